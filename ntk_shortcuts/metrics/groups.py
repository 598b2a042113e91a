"""Accuracy, all in all and by group, and what a classifier owes to an attribute."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import safe_divide
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import require, required

_KNOWN = "test points with labels, such as those of a Pool"


def right(signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch n"]:
    """Probability that each point is classified rightly; 1/2 where the sign is 0."""
    truth = required(points.truth, "points", _KNOWN)
    return (1 + signs * jnp.asarray(truth, signs.dtype)) / 2


class Accuracy(Metric):
    """Part of the test points that are classified rightly, under their weights."""

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch"]:
        return right(signs, points) @ jnp.asarray(required(points.weights, "points", _KNOWN), signs.dtype)


class GroupAccuracy(Metric):
    """Accuracy in each group, (*batch, groups), points of a group weighing by their weights; NaN in groups without points."""

    axes: ClassVar[int] = 1

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch groups"]:
        return right(signs, points) @ jnp.asarray(group_shares(points), signs.dtype)


class BalancedAccuracy(Metric):
    """Mean over the labels of the accuracy on points of that label; 1/2 for whoever always says the larger class.

    1 less it is the balanced error. Labels without points are left out. Label D14.3.
    """

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch"]:
        groups, weights = required(points.groups, "points", _KNOWN), jnp.asarray(required(points.weights, "points", _KNOWN))
        labels = dict(zip(groups.names, groups.values, strict=True)).get("label", (-1, 1))
        member = jnp.asarray(points.attributes["label"])[:, None] == jnp.asarray(labels)
        of_label = (member * weights[:, None]).astype(signs.dtype)
        return jnp.nanmean(right(signs, points) @ (of_label / jnp.sum(of_label, axis=0)), axis=-1)


class AttributeReliance(Metric):
    """Reliance on an attribute, 1 - 2 (accuracy on the points where it differs from the label, groups balanced).

    1: those points all go wrong; 0: half of them; -1: none, as for a classifier that ignores the attribute. Of a random guess
    it is 0.

    Args:
        attribute: its name.

    NaN where it differs from the label on no test point.

    Raises:
        ValueError: no such attribute.
    """

    attribute: str = eqx.field(static=True)

    @property
    def name(self) -> str:
        return f"reliance_on_{self.attribute}"

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch"]:
        groups = required(points.groups, "points", _KNOWN)
        require(self.attribute in groups.names[1:], "attribute", f"one of {', '.join(groups.names[1:])}", self.attribute)
        label, other = (jnp.asarray(points.attributes[name]) for name in ("label", self.attribute))
        values = groups.values[groups.names.index(self.attribute)]
        pairs = jnp.asarray([(y, a) for y in groups.values[0] for a in values if a != y], label.dtype).reshape(-1, 2)
        member = ((label == pairs[:, :1]) & (other == pairs[:, 1:])).astype(signs.dtype)  # (pairs, n)
        sizes = jnp.sum(member, axis=1)
        shares = jnp.sum(safe_divide(member, jnp.broadcast_to(sizes[:, None], member.shape)), axis=0) / jnp.sum(sizes > 0)
        return 1 - 2 * (right(signs, points) @ shares)


def group_shares(points: TestPoints) -> Any:
    """What each point counts in its group's mean, (n, groups); NaN in groups without points."""
    groups = required(points.groups, "points", _KNOWN)
    weights = jnp.asarray(required(points.weights, "points", _KNOWN))
    member = jax.nn.one_hot(jnp.asarray(groups.number), groups.count, dtype=weights.dtype)
    # Where all of a group's weights are 0 its points count alike.
    weighted = jnp.where(weights @ member > 0, weights[:, None] * member, member)
    return weighted / jnp.sum(weighted, axis=0)
