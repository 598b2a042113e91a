"""Test points: where outputs are asked for, what a classifier may follow there, and what the best one does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import AnyArray, Array, Float, Int
from ntk_shortcuts.validation import require


class Groups(Record):
    """Groups of points by what is known of them, the label first.

    - `number` (n,): of each point's group among all combinations of values, the last name's running fastest.
    - `names`; `values`: of each name, ascending.
    """

    number: Int[AnyArray, "n"]
    names: tuple[str, ...] = eqx.field(static=True)
    values: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each name has."""
        return tuple(len(values) for values in self.values)

    @property
    def count(self) -> int:
        """How many groups, with points or without."""
        return int(np.prod(self.shape))


class TestPoints(Record):
    """Points at which outputs are predicted, and what metrics read there.

    - `points` (n, ...): of the law.
    - `attributes`: by name (n,), the side -1, +1 (or 0, undecided) on which each point lies by it; of a pool the values.
    - `optimal` (n,): signs of the Bayes-optimal classifier, 0 where it is undecided; None where it is not known.
    - `reach` (n,): the size, up to a factor, of an output that decides; an output of less than 1e-6 of the largest output per
      reach counts as undecided.
    - `classes` (n,): the number of the output that should be largest, of networks of k outputs; whether it is, is their "sign".
    - `truth` (n,): the sign of a right output, `weights` (n,): what each point counts, sum 1, and `groups`, where known.
    """

    __test__: ClassVar[bool] = False  # no test, whatever pytest makes of the name

    points: Float[Array, "n *point"]
    attributes: dict[str, Float[Array, "n"]]
    optimal: Float[Array, "n"] | None
    reach: Float[Array, "n"]
    truth: Float[Array, "n"] | None = None
    weights: Float[Array, "n"] | None = None
    groups: Groups | None = None
    classes: Int[AnyArray, "n"] | None = None


def labelled(points: TestPoints, weights: Any, expectation: Any, attributes: Sequence[str] = ()) -> TestPoints:
    """The points twice, with the label +1 and with -1, in groups by label and by the sides (-1, +1) of attributes.

    Args:
        weights: (n,), sum 1. expectation: E[y | z] (n,): a label y counts (1 + y E[y | z])/2 of the point's weight.
    """
    for name in attributes:
        require(name in points.attributes, "attributes", f"of {', '.join(sorted(points.attributes))}", name)
    both = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), dataclasses.replace(points, groups=None))
    label = np.repeat([1.0, -1.0], len(points.points))
    sides = [np.where(np.asarray(both.attributes[name]) > 0, 1, 0) for name in attributes]
    number = np.ravel_multi_index([(label > 0).astype(int), *sides], [2] * (1 + len(sides)))
    groups = Groups(number, ("label", *attributes), ((-1, 1),) * (1 + len(sides)))
    return dataclasses.replace(
        both,
        attributes={**both.attributes, "label": jnp.asarray(label)},
        truth=jnp.asarray(label),
        weights=jnp.tile(jnp.asarray(weights), 2) * (1 + label * jnp.tile(jnp.asarray(expectation), 2)) / 2,
        groups=groups,
    )
