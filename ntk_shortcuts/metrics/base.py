"""A metric: one number read off outputs at test points, by the sign that a classifier takes there.

A new metric is one file with a subclass of :class:`Metric`; it takes Gaussian outputs and sampled ones alike.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.batches import compiled_each, in_batches
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import compiled, in_float64
from ntk_shortcuts.outputs import Outputs
from ntk_shortcuts.padding import out_of_batch
from ntk_shortcuts.spec import Spec
from ntk_shortcuts.typing import Array, Float


class Reading(NamedTuple):
    """A metric of some outputs, (*batch,): its `value`, its `spread` over samples and the value's standard `error` (None for a
    law), and the largest `move` under the outputs' own error (None without one)."""

    value: jax.Array
    spread: jax.Array | None
    error: jax.Array | None
    move: jax.Array | None


class Metric(Spec):
    """A number read off the signs at the test points, linear in them, so that it may be taken of expected signs.

    - `axes`: how many trailing axes it has beside those of the batch; 0 for a number.
    - `of_shortcuts`: whether it is a reliance on shortcuts, of which a prediction makes biases.
    """

    axes: ClassVar[int] = 0
    of_shortcuts: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The class in words with underscores: what tables call the metric."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def coordinates(self, points: TestPoints) -> dict[str, list[Any]]:
        """Names and values of its trailing axes, where they have any."""
        return {}

    @abc.abstractmethod
    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch"]:
        """The metric of (expected) signs."""

    @in_float64
    def read(self, outputs: Outputs, points: TestPoints) -> Reading:
        """The expectation over all that is random, with its spread over samples and its move under the outputs' error."""
        bare, shape = outputs.with_notes_dropped().in_batch(points)
        reading = _read(self, bare, points)
        return reading if shape is None else out_of_batch(shape, reading)

    def __call__(self, outputs: Outputs, points: TestPoints) -> Any:
        """The expectation over all that is random, (*batch,)."""
        return self.read(outputs, points).value

    @in_float64
    def weights(self, points: TestPoints) -> np.ndarray:
        """By how much the metric moves with the sign at each point, (n,), or (n, axes) of one with axes."""
        count = len(points.points)
        signs = jnp.concatenate([jnp.eye(count), jnp.zeros((1, count))])
        found = np.asarray(_of_signs(self, signs, points))
        return found[:-1] - found[-1]

    @in_float64
    def optimal(self, points: TestPoints) -> Any:
        """The metric of the Bayes-optimal classifier."""
        if points.optimal is None:
            raise ValueError("points must be of a law whose Bayes-optimal classifier is known; got none")
        return _optimal(self, points)


@compiled
def _of_signs(metric: Metric, signs: jax.Array, points: TestPoints) -> jax.Array:
    return metric.of_signs(signs, points)


@compiled
def _optimal(metric: Metric, points: TestPoints) -> jax.Array:
    return metric.of_signs(jnp.asarray(points.optimal), points)


def _reading(metric: Metric, outputs: Outputs, points: TestPoints) -> Reading:
    def number(found: Outputs) -> jax.Array:
        return metric.of_signs(found.signs(points), points)

    shifted = outputs.shifted()
    move = None
    if shifted is not None:
        draws = -1 - metric.axes
        moves = jnp.abs(number(shifted) - jnp.expand_dims(number(outputs), draws))
        move = jnp.max(moves, axis=draws)
        move = move if outputs.samples is None else jnp.max(move, axis=0)
    return Reading(*outputs.average(number), move)


_read, _read_each = compiled(_reading), compiled_each(_reading)


@in_float64
def read_each(asked: Sequence[tuple[Metric, Outputs, TestPoints]]) -> list[Reading]:
    """The readings of several metrics, each of outputs and points of its own; none of them traced."""
    if len(asked) == 1:
        metric, outputs, points = asked[0]
        return [metric.read(outputs, points)]
    bare, shapes = zip(*(outputs.with_notes_dropped().in_batch(points) for _, outputs, points in asked), strict=True)
    problems = [(metric, outputs, points) for outputs, (metric, _, points) in zip(bare, asked, strict=True)]
    readings = in_batches(_read_each, problems)
    return [found if shape is None else out_of_batch(shape, found) for shape, found in zip(shapes, readings, strict=True)]
