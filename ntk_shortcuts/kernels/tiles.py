"""Kernel matrices filled tile by tile, so that what a tile is made from need not exist for all points at once.

Tiles are visited by a scan that writes into the result in place. The last tile of a row or column starts early enough to
be a whole one and overlaps the one before: no padding, one tile shape. In reverse mode a tile is recomputed, not stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def take(tree: Any, start: Any, size: int) -> Any:
    """`size` points from `start` on, of every array of a pytree with points along the first axis."""
    return jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, start, size), tree)


def tiled(
    counts: tuple[int, int], sides: tuple[int, int], pair: Callable[[Any, Any], jax.Array], empty: jax.ShapeDtypeStruct
) -> jax.Array:
    """The matrix (n1, n2, ...) from its tiles (side1, side2, ...).

    Args:
        counts: (n1, n2).
        sides: of a tile, at most the counts.
        pair: pair(i, j) is the tile whose first entry is (i, j).
        empty: shape and dtype of one entry of the matrix.
    """
    starts = [(i, j) for i in _starts(counts[0], sides[0]) for j in _starts(counts[1], sides[1])]
    if len(starts) == 1:
        return pair(0, 0)
    return _write(jnp.zeros((*counts, *empty.shape), empty.dtype), starts, pair, mirror=False)


def tiled_symmetric(
    count: int,
    side: int,
    pair: Callable[[Any, Any], jax.Array],
    own: Callable[[Any], jax.Array],
    empty: jax.ShapeDtypeStruct,
) -> jax.Array:
    """The symmetric matrix (n, n, ...) from the tiles above its diagonal, mirrored, and those on it.

    Entries are scalars or matrices, and symmetric means K(x, x') = K(x', x)^T. The result is so exactly if `own(i)`, the
    tile that starts at (i, i), is.
    """
    starts = _starts(count, side)
    if len(starts) == 1:
        return own(0)
    above = [(i, j) for index, i in enumerate(starts) for j in starts[index + 1 :]]
    result = _write(jnp.zeros((count, count, *empty.shape), empty.dtype), above, pair, mirror=True)
    # The diagonal comes last: it overwrites where a tile and its own mirror image overlap.
    return _write(result, [(i, i) for i in starts], lambda i, _: own(i), mirror=False)


def transpose(tile: jax.Array) -> jax.Array:
    """K(x', x)^T from K(x, x'): (n2, n1, k, k) from (n1, n2, k, k)."""
    return jnp.swapaxes(tile, 0, 1) if tile.ndim == 2 else jnp.transpose(tile, (1, 0, 3, 2))


def _starts(count: int, side: int) -> list[int]:
    return [min(start, count - side) for start in range(0, count, side)]


def _write(result: jax.Array, starts: list[tuple[int, int]], pair: Callable[[Any, Any], jax.Array], mirror: bool) -> jax.Array:
    pair = jax.checkpoint(pair)
    rest = (jnp.zeros((), jnp.int32),) * (result.ndim - 2)

    def step(result: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        i, j = start[0], start[1]
        tile = pair(i, j)
        result = lax.dynamic_update_slice(result, tile, (i, j, *rest))
        if mirror:
            result = lax.dynamic_update_slice(result, transpose(tile), (j, i, *rest))
        return result, None

    return lax.scan(step, result, jnp.asarray(np.asarray(starts, dtype=np.int32)))[0]
