"""Points as a network sees them: vectors, or points of a data law of which only inner products are needed."""

from __future__ import annotations

import abc
from typing import Any

import jax

from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import Array, Float, Key
from ntk_shortcuts.validation import as_points


class Inputs(Record):
    """Points that a network is evaluated at."""

    @property
    @abc.abstractmethod
    def input_dim(self) -> int:
        """The dimension d by which kernels divide inner products."""

    @abc.abstractmethod
    def scaled(self) -> tuple[Float[Array, "n k"], Float[Array, "k"] | None] | None:
        """Coordinates and the factor of each (None: 1) whose inner products are those of the points.

        None where the points have no such coordinates, and :meth:`moments` are all there is.
        """

    @abc.abstractmethod
    def moments(self, other: Any) -> PairMoments:
        """Inner products of all pairs with points of the same kind, not divided by d."""

    @abc.abstractmethod
    def vectors(self, key: Key) -> Float[Array, "n ..."]:
        """The points as arrays in R^d; where that takes a random embedding, one drawn with the key."""


class Vectors(Inputs):
    """Arrays (n, d) as they are."""

    points: Float[Array, "n d"]

    @property
    def input_dim(self) -> int:
        return self.points.shape[1]

    def scaled(self) -> tuple[jax.Array, None]:
        return self.points, None

    def moments(self, other: Vectors) -> PairMoments:
        return PairMoments.from_inputs(self.points, other.points)

    def vectors(self, key: Key) -> jax.Array:
        return self.points


def two_inputs(x1: Any, x2: Any) -> tuple[Inputs, Inputs | None]:
    """Both arguments of a kernel as inputs of one dtype; None for the second where it is the first.

    Raises:
        ValueError: arrays that are not (n, d), of two dimensions, or with entries that are not finite.
    """
    if isinstance(x1, Inputs):
        return x1, None if x2 is x1 else x2
    points1 = as_points("x1", x1)
    if x2 is None or x2 is x1:
        return Vectors(points1), None
    return Vectors(points1), Vectors(as_points("x2", x2, dimension=points1.shape[1]).astype(points1.dtype))
