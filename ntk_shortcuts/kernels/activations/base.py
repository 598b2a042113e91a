"""Dual activations: what an activation does to the second moments of Gaussian pre-activations.

A new activation is one file with a subclass of :class:`Activation` and one call of
:func:`~ntk_shortcuts.kernels.activations.registry.register`. An activation without a closed form needs neither: any JAX
function of one variable goes through Hermite series (:class:`~ntk_shortcuts.kernels.activations.hermite.Quadrature`).
"""

from __future__ import annotations

import abc
import functools
from typing import Any

import jax
import numpy as np

from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import compiled, in_no_trace, is_traced
from ntk_shortcuts.spec import Record, Spec

ELEMENTWISE_BLOCK = (256, 512)
"""Block sides for an exact dual of many elementwise steps. Entries are enough for XLA to share an operation among the cores,
and few enough for what one operation leaves to the next, some ten arrays of 1 MB in float64, to stay in the cache."""


class Dual(Record):
    r"""Result of a dual activation at pre-activation moments \((q_{11}, q_{12}, q_{22})\).

    `moments` holds \(E[\phi(a)\phi(b)]\) and its diagonal parts, `derivative` is \(E[\phi'(a)\phi'(b)]\).
    `quadrature_error` bounds the relative error of both (0 for closed forms).
    """

    moments: PairMoments
    derivative: jax.Array
    quadrature_error: jax.Array | float = 0.0


class Activation(Spec):
    """A nonlinearity: its pointwise function (finite networks) and its dual (infinite networks)."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The registered name, or the callable's."""

    @property
    def is_homogeneous(self) -> bool:
        """Whether phi(r x) = r phi(x) for every r > 0."""
        return False

    @property
    def is_even(self) -> bool:
        """Whether phi(-x) = phi(x), by its values on a grid; a traced activation is not known to be."""
        return not is_traced(self) and _looks_even(self)

    @property
    def block_sides(self) -> tuple[int, int] | None:
        """Largest sides of the blocks by which a kernel matrix is best filled; None for the whole matrix at once.

        None suits a dual of a few elementwise steps, which leaves no intermediate arrays.
        """
        return None

    @abc.abstractmethod
    def __call__(self, x: jax.Array) -> jax.Array:
        """The pointwise function."""

    @abc.abstractmethod
    def dual(self, moments: PairMoments) -> Dual:
        """Second moments of the activations and of their derivatives under centred Gaussians."""


# As one program: step by step, a function with a custom derivative takes part in a surrounding `vmap`, whatever it is given.
@compiled
def _values(activation: Activation, x: Any) -> jax.Array:
    return activation(x)


@functools.lru_cache(maxsize=256)
def _looks_even(activation: Activation) -> bool:
    points = np.linspace(0.05, 5.0, 23)
    # Inside a transformation too, of which an activation without tracers is a constant.
    with in_no_trace():
        there, back = (np.asarray(_values(activation, sign * points)) for sign in (1, -1))
    return bool(np.all(np.abs(there - back) <= 1e-5 * np.max(np.abs(there))))
