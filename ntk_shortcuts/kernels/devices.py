"""Kernel matrices of inputs that are spread over several devices: each device makes the rows of its own inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.sharding import NamedSharding, PartitionSpec

from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.typing import AnyArray


def by_rows(kernel: Callable[[Any, Any, Any], Any], held: Any, x1: AnyArray, x2: AnyArray | None) -> Any:
    """kernel(held, x1, x2), whose arrays are (n1, n2, ...) or scalars, with the rows left where x1 has them.

    Where x1 lies in equal parts on the devices of a mesh, each gets all of x2 and `held`, makes its rows, and no device
    ever holds the whole matrix. Without x2 there are then no symmetric halves to save. Inputs on one device, and inputs
    inside a JAX transformation, go through unchanged.
    """
    axis = _row_axis(x1)
    if axis is None:
        return kernel(held, x1, x2)
    mesh = x1.sharding.mesh  # pyright: ignore[reportAttributeAccessIssue]  a NamedSharding, by _row_axis
    everywhere = NamedSharding(mesh, PartitionSpec())
    arrays, rest = eqx.partition(held, eqx.is_array)

    def between(arrays: Any, own: AnyArray, others: AnyArray) -> Any:
        return kernel(eqx.combine(arrays, rest), own, others)

    (arrays,) = jax.device_put((arrays,), everywhere)
    arguments = (arrays, x1, jax.device_put(x1 if x2 is None else x2, everywhere))
    rows = jax.shard_map(
        between,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(axis), PartitionSpec()),
        out_specs=jax.tree.map(
            lambda leaf: PartitionSpec(axis) if leaf.ndim else PartitionSpec(), jax.eval_shape(between, *arguments)
        ),
        check_vma=False,  # the tiles' loops start from zeros that are the same on every device
    )
    return rows(*arguments)


def _row_axis(x: Any) -> Any:
    """The axes of a mesh along which the rows are spread, or None."""
    if is_traced(x) or not isinstance(x, jax.Array) or not isinstance(x.sharding, NamedSharding):
        return None
    spec = x.sharding.spec
    return spec[0] if len(spec) and len(x.sharding.device_set) > 1 else None
