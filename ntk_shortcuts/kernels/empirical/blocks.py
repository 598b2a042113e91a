"""Kernel matrices between features of points, a few blocks of points at a time, and products at full precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntk_shortcuts.kernels.tiles import take, tiled, tiled_symmetric, transpose

DEFAULT_MEMORY = 2**30
"""Bytes of working memory, 1 GiB."""

# Side of the tiles of a Gram product: large enough for full speed, small enough that the mirrored half is saved.
_TILE = 512


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """The matrix product at full precision."""
    # Some accelerators round the factors of a float32 product to ten bits unless told not to.
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def gram(a: jax.Array, b: jax.Array) -> jax.Array:
    """<a_i, b_j> along the last axis."""
    return lax.dot_general(a, b, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)


def blocked(
    features: Callable, contract: Callable, x1: jax.Array, x2: jax.Array | None, numbers: int, memory: int
) -> jax.Array:
    """contract(features(x1), features(x2)), with features of two blocks of points at a time.

    Args:
        numbers: that two blocks hold for each point of one.
    """
    entry = jax.ShapeDtypeStruct((), x1.dtype)
    size = x1.dtype.itemsize
    tile = max(1, min(_TILE, math.isqrt(memory // (8 * size))))  # four arrays of a tile's size: half of the memory
    most = max(x1.shape[0], 0 if x2 is None else x2.shape[0])
    block = max(1, memory // (2 * size * numbers))
    if block < most:  # then blocks of the result exist beside it
        block = max(1, min(block, math.isqrt(memory // (4 * size))))

    def between(a: Any, b: Any, count1: int, count2: int) -> jax.Array:
        side1, side2 = min(tile, count1), min(tile, count2)
        return tiled((count1, count2), (side1, side2), lambda i, j: contract(take(a, i, side1), take(b, j, side2)), entry)

    def within(a: Any, count: int) -> jax.Array:
        side = min(tile, count)

        def own(i: Any) -> jax.Array:
            part = take(a, i, side)
            square = contract(part, part)
            return (square + transpose(square)) / 2  # a product of a matrix with its transpose may round unevenly

        return tiled_symmetric(count, side, lambda i, j: contract(take(a, i, side), take(a, j, side)), own, entry)

    count1 = x1.shape[0]
    side1 = min(block, count1)
    if x2 is None:
        return tiled_symmetric(
            count1,
            side1,
            lambda i, j: between(features(take(x1, i, side1)), features(take(x1, j, side1)), side1, side1),
            lambda i: within(features(take(x1, i, side1)), side1),
            entry,
        )
    count2 = x2.shape[0]
    side2 = min(block, count2)
    return tiled(
        (count1, count2),
        (side1, side2),
        lambda i, j: between(features(take(x1, i, side1)), features(take(x2, j, side2)), side1, side2),
        entry,
    )
