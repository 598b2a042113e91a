"""Products with a symmetric kernel matrix that is never whole: tile by tile, of which as many stay as memory holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.memory import free_memory
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.progress import steps
from ntk_shortcuts.typing import Array, Float

_SIDE = 2048
# Of the free memory: columns, and what a tile is made from, need the rest.
_SHARE = 0.5


class KernelProduct:
    r"""\(V\mapsto\sqrt WK\sqrt WV\) for a kernel between n points; V is (n, b).

    Of two tiles that mirror each other one is made. A tile is made once where all of them fit into `memory`, and anew at every
    product where they do not.

    Args:
        kernels: from two sets of points to their kernels.
        part: which of them, "ntk" or "nngp".
        points: (n, ...).
        weights: (n,), of W.
        memory: bytes that tiles may take; by default half of what is free.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> x = jnp.eye(3)
        >>> product = KernelProduct(MLP(1).kernels, "ntk", x, jnp.full(3, 0.25))
        >>> bool(np.allclose(product(x), MLP(1).kernels(x).ntk / 4, rtol=1e-6))
        True
    """

    def __init__(
        self, kernels: Callable[..., Any], part: str, points: jax.Array, weights: jax.Array, memory: float | None = None
    ):
        self._kernels, self._part, self._count = kernels, part, len(points)
        self._side = min(_SIDE, self._count)
        # Filled up with samples of weight zero: one shape of tiles, one compilation.
        self._tiles = -(-self._count // self._side)
        index = np.arange(self._tiles * self._side)
        inside, index = index < self._count, np.minimum(index, self._count - 1)
        self._points = jnp.asarray(points)[index].reshape(self._tiles, self._side, *np.shape(points)[1:])
        self._root = jnp.where(inside, jnp.sqrt(jnp.asarray(weights)[index]), 0)
        self._pairs = [(i, j) for i in range(self._tiles) for j in range(i, self._tiles)]
        size = len(self._pairs) * self._side**2 * self._root.dtype.itemsize
        self._held: dict[tuple[int, int], jax.Array] | None = (
            {} if size <= (_SHARE * free_memory() if memory is None else memory) else None
        )

    @property
    def holds(self) -> bool:
        """Whether tiles stay in memory."""
        return self._held is not None

    def __call__(self, columns: Float[Any, "n b"]) -> Float[np.ndarray, "n b"]:
        padded = jnp.pad(jnp.asarray(columns), ((0, len(self._root) - self._count), (0, 0)))
        blocks = list((self._root[:, None] * padded).reshape(self._tiles, self._side, -1))
        total = [jnp.zeros_like(block) for block in blocks]
        for i, j in steps(self._pairs, f"kernel of {self._count} samples in {len(self._pairs)} tiles"):
            above, below = _both_sides(self._tile(i, j), blocks[i], blocks[j])
            total[i] += above
            if i != j:
                total[j] += below
            # Tiles are made no faster than they are used up.
            jax.block_until_ready(total[i])
        return np.asarray(self._root[:, None] * jnp.concatenate(total))[: self._count]

    def _tile(self, i: int, j: int) -> jax.Array:
        if self._held is not None and (i, j) in self._held:
            return self._held[i, j]
        tile = jnp.asarray(getattr(self._kernels(self._points[i], self._points[j]), self._part))
        if self._held is not None:
            self._held[i, j] = tile
        return tile


@compiled
def _both_sides(
    tile: Float[Array, "side side"], own: Float[Array, "side b"], other: Float[Array, "side b"]
) -> tuple[jax.Array, jax.Array]:
    """What the tile and its mirror image add to their rows."""
    return tile @ other, tile.T @ own
