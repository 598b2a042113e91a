"""The NTK of any JAX function: the product of its Jacobians."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.kernels.empirical.blocks import gram
from ntk_shortcuts.kernels.empirical.checks import is_real_array, kernel_dtype
from ntk_shortcuts.kernels.tiles import take, tiled, tiled_symmetric, transpose
from ntk_shortcuts.numerics import compiled


@compiled
def jacobian_ntk(
    function: Callable,
    params: Any,
    x1: jax.Array,
    x2: jax.Array | None,
    rates: list[jax.Array],
    trace: bool,
    memory: int,
    outputs: tuple[int, ...],
    dtype: Any,
) -> jax.Array:
    """The product of Jacobians, with those of two blocks of points at a time.

    Args:
        rates: factor of each real array of `params`.
        outputs: shape of the output at a point, () or (k,); dtype: of the kernel.
    """
    trained, held = eqx.partition(params, is_real_array)
    sizes = [leaf.size * kernel_dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(trained)]
    channels = math.prod(outputs)
    point = channels * sum(sizes)
    # All points of a symmetric kernel are one block if they fit; else the tiles are made from two.
    whole = x2 is None and x1.shape[0] * point <= memory
    block = x1.shape[0] if whole else max(1, memory // (2 * point))
    summed = trace and len(outputs) == 1
    entry = jax.ShapeDtypeStruct(() if summed else outputs * 2, dtype)

    def jacobian(x: jax.Array) -> list[jax.Array]:
        """Derivatives by each array of parameters, (n, k, size); k = 1 without an axis of outputs."""

        def at(point: jax.Array) -> Any:
            return jax.jacrev(lambda free: function(eqx.combine(free, held), point[None])[0])(trained)

        leaves = jax.tree.leaves(jax.vmap(at)(x))
        return [leaf.reshape(x.shape[0], channels, -1).astype(kernel_dtype(leaf.dtype)) for leaf in leaves]

    def contract(a: list[jax.Array], b: list[jax.Array]) -> jax.Array:
        total = jnp.zeros((), dtype)
        for rate, left, right in zip(rates, a, b, strict=True):
            (count1, _, size), count2 = left.shape, right.shape[0]
            if summed:
                products = gram(left.reshape(count1, -1), right.reshape(count2, -1))
            else:
                products = gram(left.reshape(-1, size), right.reshape(-1, size)).reshape(count1, channels, count2, channels)
                products = products.transpose(0, 2, 1, 3).reshape(count1, count2, *entry.shape)
            total = total + (rate * products).astype(dtype)
        return total

    def own(i: Any) -> jax.Array:
        part = jacobian(take(x1, i, side1))
        square = contract(part, part)
        return (square + transpose(square)) / 2

    side1 = min(block, x1.shape[0])
    if x2 is None:
        return tiled_symmetric(
            x1.shape[0],
            side1,
            lambda i, j: contract(jacobian(take(x1, i, side1)), jacobian(take(x1, j, side1))),
            own,
            entry,
        )
    side2 = min(block, x2.shape[0])
    return tiled(
        (x1.shape[0], x2.shape[0]),
        (side1, side2),
        lambda i, j: contract(jacobian(take(x1, i, side1)), jacobian(take(x2, j, side2))),
        entry,
    )
