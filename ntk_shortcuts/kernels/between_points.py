"""Kernels of fully connected networks between points: compiled, and tile by tile, so that nothing is as large as the result."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.activations.hermite import Quadrature
from ntk_shortcuts.kernels.angular import AngleSeries
from ntk_shortcuts.kernels.blocks import Block
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.recursion import Kernels, Layers, RepeatedLayers, blockwise, mlp_kernels
from ntk_shortcuts.kernels.tiles import mirrored
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.typing import Scalar


@compiled
def point_kernels(
    points1: jax.Array,
    points2: jax.Array | None,
    scale: jax.Array | None,
    layers: Layers,
    activation: Activation,
    input_dim: Scalar,
    block: Block,
) -> Kernels:
    """Kernels between inputs, or between points of the plane amplified by `scale` (2,), from the layers."""

    def between(a: jax.Array, b: jax.Array) -> Kernels:
        return mlp_kernels(_moments(a, b, scale), layers, activation, input_dim, block)

    others = points1 if points2 is None else points2
    sides = activation.block_sides
    # Quadrature takes one block whole: the blocks' errors would have to be taken once more, from all points.
    is_exact = not isinstance(activation, Quadrature)
    if sides is None or (not isinstance(layers, RepeatedLayers) and len(layers) == 1):
        return between(points1, others)
    if not is_exact and max(points1.shape[0], others.shape[0]) <= min(sides):
        kernels = between(points1, others)
        if points2 is not None:
            return kernels
        return Kernels(mirrored(kernels.nngp), mirrored(kernels.ntk), kernels.quadrature_error)
    error = jnp.zeros((), points1.dtype)
    if not is_exact:
        points = jnp.concatenate([points1, others]) if points2 is not None else points1
        squares = jnp.sum((points * (1 if scale is None else scale)) ** 2, axis=1)
        error = jnp.asarray(mlp_kernels(PairMoments.diagonal(squares), layers, activation, input_dim, block).quadrature_error)
    return _in_tiles(between, sides, points1, points2, error)


@compiled
def series_of_moments(moments: PairMoments, series: AngleSeries) -> Kernels:
    """Kernels of pairs from the series."""
    return Kernels(*series.of_moments(moments), jnp.asarray(series.error, moments.covariance.dtype))


@compiled
def series_kernels(
    points1: jax.Array, points2: jax.Array | None, scale: jax.Array | None, series: AngleSeries, sides: tuple[int, int]
) -> Kernels:
    """The same from a series in the angle, whatever network it is of."""
    if points1.shape[1] == 2:
        factor = 1 if scale is None else scale
        error = jnp.asarray(series.error, points1.dtype)
        return Kernels(*series.between(points1 * factor, (points1 if points2 is None else points2) * factor), error)

    def between(a: jax.Array, b: jax.Array) -> Kernels:
        return series_of_moments(_moments(a, b, scale), series)

    return _in_tiles(between, sides, points1, points2, jnp.asarray(series.error, points1.dtype))


def _moments(points1: jax.Array, points2: jax.Array, scale: jax.Array | None) -> PairMoments:
    if scale is None:
        return PairMoments.from_inputs(points1, points2)
    return PairMoments.from_scaled_plane(points1, points2, scale)


def _in_tiles(
    between: Callable[[jax.Array, jax.Array], Kernels],
    sides: tuple[int, int],
    points1: jax.Array,
    points2: jax.Array | None,
    error: jax.Array,
) -> Kernels:
    def tile(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        kernels = between(a, b)
        return kernels.nngp, kernels.ntk

    return Kernels(*blockwise(tile, sides, points1, points2, points1.dtype), error)
