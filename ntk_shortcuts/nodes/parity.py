r"""Symmetry of a data law under (z, y) -> (-z, -y), and the sectors into which it splits functions.

With it odd and even functions do not mix, each sector is solved on one node of every pair z, -z, and half of the test points
say it all. A law without it has one sector, that of all functions. Whoever sums over sectors needs to know no more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.nodes.base import Nodes, SampleWeight, evaluate_weight
from ntk_shortcuts.numerics import as_jax, compiled, is_traced
from ntk_shortcuts.spec import Spec
from ntk_shortcuts.typing import AnyArray
from ntk_shortcuts.validation import require

Sectors = tuple[Kernels, ...]
PointKernels = Callable[[AnyArray, AnyArray], Kernels]
Unfold = Callable[[AnyArray, AnyArray | None, Any], tuple]


class Parity(Spec):
    """No symmetry: one sector, which holds all functions. The target lies in the first sector, here and in all others.

    - `even`, `odd` (sectors, sectors), of 0 and 1: whether multiplication by an even, an odd function leads from the second
      sector to the first.
    """

    @property
    def sectors(self) -> int:
        """How many."""
        return 1

    @property
    def even(self) -> np.ndarray:
        """Whether an even factor leads from one sector (second axis) to another (first axis)."""
        return np.ones((1, 1))

    @property
    def odd(self) -> np.ndarray:
        """Whether an odd factor does."""
        return np.ones((1, 1))

    def split(self, kernels: PointKernels, points1: jax.Array, points2: jax.Array) -> Sectors:
        """The kernel's part in each sector."""
        return (kernels(points1, points2),)

    def fold(self, points: jax.Array) -> tuple[jax.Array, Unfold]:
        """The points to solve for, and what turns mean, variance and their errors there into those at all points."""
        return points, _as_they_are

    def whole(self, nodes: Nodes) -> Nodes:
        """The nodes of functions of no symmetry, which mix the sectors."""
        return nodes

    def joined(self, parts: Sequence[Any], at_nodes: bool = False) -> Any:
        """A kernel between points and the whole nodes, from its parts in the sectors, (points, nodes) each.

        Args:
            at_nodes: the points are the nodes, and the whole ones meant.
        """
        return parts[0]

    def require_symmetric(self, kernels: PointKernels, points: jax.Array) -> None:
        """Refuse a kernel that mixes the sectors."""

    def require_symmetric_weight(self, sample_weight: SampleWeight, points: jax.Array, method: str) -> None:
        """Refuse weights of samples that break the symmetry."""


class OddEven(Parity):
    """The symmetry (z, y) -> (-z, -y): odd functions, which hold the target, and even ones."""

    @property
    def sectors(self) -> int:
        return 2

    @property
    def even(self) -> np.ndarray:
        return np.eye(2)

    @property
    def odd(self) -> np.ndarray:
        return 1 - np.eye(2)

    def split(self, kernels: PointKernels, points1: jax.Array, points2: jax.Array) -> Sectors:
        """Odd and even parts (K(z, z') -+ K(z, -z')) / 2, which act on functions of a half-space."""
        # One evaluation, not one for z2 and one for -z2: compiling a kernel takes longer than evaluating it.
        both, count = kernels(points1, jnp.concatenate([points2, -points2])), points2.shape[0]

        def part(kernel: jax.Array, sign: float) -> jax.Array:
            return (kernel[:, :count] + sign * kernel[:, count:]) / 2

        error = jnp.asarray(both.quadrature_error)
        return tuple(Kernels(part(both.nngp, sign), part(both.ntk, sign), error) for sign in (-1.0, 1.0))

    def fold(self, points: jax.Array) -> tuple[jax.Array, Unfold]:
        """A grid that holds -z in reverse order is solved on its first half, any other set as it is."""
        if is_traced(points) or len(points) % 2 or not np.array_equal(points, -np.asarray(points)[::-1]):
            return super().fold(points)
        return as_jax(np.asarray(points)[: len(points) // 2]), _unfold

    def whole(self, nodes: Nodes) -> Nodes:
        """Both nodes of each pair, the mirrored ones behind."""
        there = dataclasses.replace(nodes, weights=nodes.weights / 2)
        classes = None if nodes.classes is None else -nodes.classes
        back = dataclasses.replace(there, points=-nodes.points, targets=-nodes.targets, classes=classes)
        return jax.tree.map(lambda *pair: jnp.concatenate(pair), there, back)

    def joined(self, parts: Sequence[Any], at_nodes: bool = False) -> Any:
        """K(z, z') and K(z, -z') are the sum and the difference of the even part and the odd one."""
        odd, even = (jnp.asarray(part) for part in parts)
        there = jnp.concatenate([even + odd, even - odd], axis=1)
        return jnp.concatenate([there, jnp.concatenate([even - odd, even + odd], axis=1)]) if at_nodes else there

    def require_symmetric(self, kernels: PointKernels, points: jax.Array) -> None:
        """Refuse a kernel that is not symmetric under (x, x') -> (-x, -x')."""
        some = np.asarray(points)[:: max(1, points.shape[0] // 4)]
        there, back = (np.asarray(kernels(z, z).ntk) for z in (some, -some))
        change, size = np.max(np.abs(there - back)), np.max(np.abs(there))
        require(
            bool(change <= 1e-6 * size),
            "network",
            "a kernel with Theta(-x, -x') = Theta(x, x'), as every network with symmetric random weights has",
            f"a relative difference of {change / size:.2g}",
        )

    def require_symmetric_weight(self, sample_weight: SampleWeight, points: jax.Array, method: str) -> None:
        if is_traced(points):
            return
        ones = jnp.ones(points.shape[0], points.dtype)
        for y in (1.0, -1.0):
            there, back = (np.asarray(evaluate_weight(sample_weight, s * points, s * y * ones)) for s in (1.0, -1.0))
            worst = int(np.argmax(np.abs(there - back)))
            require(
                bool(np.allclose(there, back, rtol=1e-9, atol=0)),
                "sample_weight",
                f'symmetric, w(-z, -y) = w(z, y), for method="{method}" (or method="monte_carlo")',
                f"{there[worst]:g} and {back[worst]:g} at z = {np.asarray(points[worst]).tolist()}, y = {y:g} and the opposite",
            )


def _as_they_are(mean: AnyArray, variance: AnyArray | None, error: Any) -> tuple:
    return mean, variance, error


@compiled
def _unfold(mean: AnyArray, variance: AnyArray | None, error: Any) -> tuple:
    """Odd means and even variances of a half grid, on all of it."""

    def all_of(half: AnyArray, sign: float) -> jax.Array:
        return jnp.concatenate([half, sign * half[..., ::-1]], axis=-1)

    everywhere = None if error is None else type(error)(all_of(error.mean, -1), all_of(error.variance, 1))
    return all_of(mean, -1), None if variance is None else all_of(variance, 1), everywhere


def stacked(sectors: Sectors) -> Kernels:
    """Kernels with the sector as first axis."""
    return jax.tree.map(lambda *parts: jnp.stack([jnp.asarray(part) for part in parts]), *sectors)
