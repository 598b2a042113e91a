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


def tiled(counts: tuple[int, int], sides: tuple[int, int], pair: Callable[[Any, Any], Any], empty: Any) -> Any:
    """The matrix (n1, n2, ...), or a pytree of them, from its tiles (side1, side2, ...).

    Args:
        counts: (n1, n2).
        sides: of a tile, at most the counts.
        pair: pair(i, j) is the tile whose first entry is (i, j).
        empty: shape and dtype of one entry of the matrix, a `jax.ShapeDtypeStruct`, or a pytree of them.
    """
    starts = [(i, j) for i in _starts(counts[0], sides[0]) for j in _starts(counts[1], sides[1])]
    if len(starts) == 1:
        return pair(0, 0)
    return _write(_zeros(counts, empty), starts, pair, mirror=False)


def tiled_symmetric(count: int, side: int, pair: Callable[[Any, Any], Any], own: Callable[[Any], Any], empty: Any) -> Any:
    """The symmetric matrix (n, n, ...), or a pytree, from the tiles above its diagonal, mirrored, and those on it.

    Entries are scalars or matrices, and symmetric means K(x, x') = K(x', x)^T. The result is so exactly if `own(i)`, the
    tile that starts at (i, i), is.
    """
    starts = _starts(count, side)
    if len(starts) == 1:
        return own(0)
    above = [(i, j) for index, i in enumerate(starts) for j in starts[index + 1 :]]
    result = _write(_zeros((count, count), empty), above, pair, mirror=True)
    # The diagonal comes last: it overwrites where a tile and its own mirror image overlap.
    return _write(result, [(i, i) for i in starts], lambda i, _: own(i), mirror=False)


def transpose(tile: jax.Array) -> jax.Array:
    """K(x', x)^T from K(x, x'): (n2, n1, k, k) from (n1, n2, k, k)."""
    return jnp.swapaxes(tile, 0, 1) if tile.ndim == 2 else jnp.transpose(tile, (1, 0, 3, 2))


def mirrored(matrix: jax.Array) -> jax.Array:
    """(n, n) with what is above the diagonal below it too. Roundings, which grow from layer to layer, are not symmetric.

    Read twice, and not added to the transpose: for a sum a compiler may compute an entry twice, and not in the same way.
    """
    i, j = jnp.indices(matrix.shape, sparse=True)
    return matrix[jnp.minimum(i, j), jnp.maximum(i, j)]


def _starts(count: int, side: int) -> list[int]:
    return [min(start, count - side) for start in range(0, count, side)]


def _zeros(counts: tuple[int, int], empty: Any) -> Any:
    return jax.tree.map(lambda entry: jnp.zeros((*counts, *entry.shape), entry.dtype), empty)


def _write(result: Any, starts: list[tuple[int, int]], pair: Callable[[Any, Any], Any], mirror: bool) -> Any:
    pair = jax.checkpoint(pair)

    def place(matrix: jax.Array, tile: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        rest = (jnp.zeros((), jnp.int32),) * (matrix.ndim - 2)
        matrix = lax.dynamic_update_slice(matrix, tile, (i, j, *rest))
        return lax.dynamic_update_slice(matrix, transpose(tile), (j, i, *rest)) if mirror else matrix

    def step(result: Any, start: jax.Array) -> tuple[Any, None]:
        tiles = pair(start[0], start[1])
        return jax.tree.map(lambda matrix, tile: place(matrix, tile, start[0], start[1]), result, tiles), None

    return lax.scan(step, result, jnp.asarray(np.asarray(starts, dtype=np.int32)))[0]
