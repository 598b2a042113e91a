"""Class imbalance on any law with a density: the classes in other proportions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import Axis, declare_axes
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.wrapped import WrappedLaw
from ntk_shortcuts.networks.base import KernelFacts
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.counts import class_sizes
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64, real_leaf, safe_divide
from ntk_shortcuts.typing import Array, Float, Key, Scalar
from ntk_shortcuts.validation import require, require_integer, require_values


class ImbalancedClasses(WrappedLaw):
    r"""A law with its classes in other proportions, \(P(y=+1)=\pi\); within a class nothing changes.

    With the factors \(a_\pm\) by which the classes grow,

    \[p'(z)=p(z)\sum_ya_yP(y\mid z),\qquad E'[y\mid z]=\frac{a_+P(+\mid z)-a_-P(-\mid z)}{a_+P(+\mid z)+a_-P(-\mid z)}.\]

    There is no symmetry left, and a constant is learnt too. Optima are those of these proportions. Label D14.3.

    Args:
        law: one with a density: a `GenerativeModel`, `GaussianFeatures`, `Clusters`. (Of a `Pool` the weights say it:
            `pool.with_class_share`.)
        positive: pi in (0, 1).

    Raises:
        ValueError: a share out of range, a law of samples.

    Example:
        >>> from ntk_shortcuts import GenerativeModel
        >>> rare = ImbalancedClasses(GenerativeModel(), positive=0.1)
        >>> round(float(rare.class_expectation([[0.0, 0.0]])[0]), 6)
        -0.8
    """

    law: DataLaw
    positive: Scalar

    def __init__(self, law: DataLaw, positive: Scalar = 0.2):
        allowed = "a law with a density, such as a GenerativeModel (of a pool: pool.with_class_share)"
        require(isinstance(law, DataLaw) and law.data_set is None, "law", allowed, type(law).__name__)
        require(
            not law.flips_labels, "law", "one whose labels are true: NoisyLabels(ImbalancedClasses(...))", type(law).__name__
        )
        require_values("positive", positive, (), "in (0, 1)", lambda v: (v > 0) & (v < 1))
        self.law, self.positive = law, real_leaf(positive)

    @property
    def positive_share(self) -> Any:
        return self.positive

    @property
    def growth(self) -> tuple[Any, Any]:
        """How many times as likely each class is: -1 and +1."""
        share, before = jnp.asarray(self.positive), self.law.positive_share
        return (1 - share) / (1 - before), share / before

    def nodes(self, level: int, facts: KernelFacts, purpose: str) -> Nodes:
        """Those of the law, the density and its labels reweighted class by class."""
        nodes = self.law.parity.whole(self.law.nodes(level, facts, purpose))
        fewer, more = self.growth
        classes, mass = _rebalanced(nodes.sides, fewer, more)
        positive, negative = nodes.labels_by_class
        return nodes.relabelled(more * positive / mass, fewer * negative / mass, classes, mass)

    @in_float64
    def class_expectation(self, points: Any) -> Float[Array, "n"]:
        """E[y | z] at points of the law."""
        return _rebalanced(jnp.asarray(self.law.class_expectation(points)), *self.growth)[0]

    @in_float64
    def density(self, points: Any) -> Float[Array, "n"]:
        """p(z) at points of the law."""
        _, mass = _rebalanced(jnp.asarray(self.law.class_expectation(points)), *self.growth)
        return mass * self.law.density(points)

    @in_float64
    def group_shares(self, points: Any) -> Any:
        fewer, more = self.growth
        largest = max(group[0] for group in self.label_groups)
        grown = jnp.stack([jnp.asarray(more if group[0] == largest else fewer) for group in self.label_groups])
        shares = jnp.asarray(self.law.group_shares(points)) * grown
        whole = jnp.sum(shares, axis=1, keepdims=True)
        return safe_divide(shares, jnp.broadcast_to(whole, shares.shape))

    @in_float64
    def seen_points(self, points: TestPoints) -> TestPoints:
        """With the signs of the Bayes-optimal classifier, and points with labels in the proportions of the classes."""
        optimal = jnp.sign(self.class_expectation(points.points))
        weights = points.weights
        if weights is not None and points.truth is not None:
            fewer, more = self.growth
            weights = jnp.asarray(weights) * jnp.where(jnp.asarray(points.truth) > 0, more, fewer)
        return dataclasses.replace(points, optimal=optimal, weights=weights)

    def sample(self, key: Key, num_samples: int, **options: Any) -> Dataset:
        """A data set, class counts fixed at the proportions; options as of the law."""
        require_integer("num_samples", num_samples, 2)
        share = float(self.positive)
        sizes = class_sizes(num_samples, [1 - share, share])
        shares = np.array([1 - self.law.positive_share, self.law.positive_share], float)
        whole = 2 * int(np.ceil(np.max(sizes / shares) / 2)) + 2
        draw_key, order_key = jax.random.split(key)
        data = self.law.sample(draw_key, whole, **options)
        labels = np.asarray(data.labels)
        kept = np.concatenate([np.flatnonzero(labels == side)[:size] for side, size in zip((-1, 1), sizes, strict=True)])
        kept = np.asarray(jax.random.permutation(order_key, jnp.asarray(kept)))
        return Dataset(data.inputs[kept], data.labels[kept], data.latents[kept], data.embedding)


def _rebalanced(expectation: Any, fewer: Any, more: Any) -> tuple[jax.Array, jax.Array]:
    """E[class | z] where the classes -1 and +1 have grown, and by how much the density has."""
    positive, negative = more * (1 + expectation) / 2, fewer * (1 - expectation) / 2
    return (positive - negative) / (positive + negative), positive + negative


declare_axes(
    ImbalancedClasses,
    "model",
    "an ImbalancedClasses",
    {"positive": Axis("share of class +1"), "law": Axis("the law", inside=True)},
)
