"""Checks of a function whose kernel is asked for: that it takes a batch, and treats each point of it on its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import compiled, is_traced
from ntk_shortcuts.validation import require

_BATCHED = "apply_fn(params, x) of a batch (n, ...): wrap a function of one input as jax.vmap(apply_fn, (None, 0))"
_MISFITS = (TypeError, ValueError, IndexError)

# In a batch of another size sums round otherwise; statistics of the batch change an output by as much as it is.
_POINTWISE = 0.01


def checked_outputs(function: Callable, params: Any, x1: jax.Array) -> jax.ShapeDtypeStruct:
    """Shape and dtype of the outputs at one point.

    Raises:
        ValueError: a function of one input instead of a batch; outputs of another shape; an output that depends on the rest of
            the batch (batch statistics, dropout), in which derivatives point by point are wrong, or zero.
    """
    try:
        outputs = eqx.filter_eval_shape(function, params, x1[:1])
    except _MISFITS as error:
        if not _takes_one_point(function, params, x1):
            raise
        require(False, "network", _BATCHED, error)
    allowed = "a function whose outputs are a real floating-point array (n,) or (n, k) with k >= 1 at inputs (n, ...)"
    require(isinstance(outputs, jax.ShapeDtypeStruct), "network", allowed, outputs)
    fits = len(outputs.shape) in (1, 2) and outputs.shape[0] == 1 and math.prod(outputs.shape) >= 1
    fits = fits and jnp.issubdtype(outputs.dtype, jnp.floating)
    allowed = allowed if outputs.shape else f"{allowed}; {_BATCHED}"
    require(fits, "network", allowed, f"outputs {outputs.dtype}{list(outputs.shape)} at one input of shape {x1.shape[1:]}")
    if not is_traced(params, x1):
        _require_pointwise(function, params, x1, outputs.dtype)
    return outputs


def _takes_one_point(function: Callable, params: Any, x1: jax.Array) -> bool:
    try:
        eqx.filter_eval_shape(function, params, x1[0])
    except _MISFITS:
        return False
    return True


def _require_pointwise(function: Callable, params: Any, x1: jax.Array, dtype: Any) -> None:
    outputs = _alone_and_together(function, params, x1[:1], x1[-1:])
    alone, together = (np.ravel(np.asarray(output).astype(np.float64)) for output in outputs)
    rounding = max(_POINTWISE, float(jnp.finfo(dtype).eps) ** 0.5) * np.max(np.abs([alone, together]))
    same = bool(np.max(np.abs(alone - together)) <= rounding) or not np.isfinite(alone).all()
    allowed = "a function whose output at a point is the same in any batch (no batch statistics, no dropout: inference mode)"
    require(same, "network", allowed, f"an output of {alone[0]:.3g} at a point alone and {together[0]:.3g} beside others")


@compiled
def _alone_and_together(function: Callable, params: Any, first: jax.Array, last: jax.Array) -> tuple[jax.Array, jax.Array]:
    # Zeros beside, for where all points are the same; at another place, where other units are dropped out.
    return function(params, first)[0], function(params, jnp.concatenate([last, jnp.zeros_like(first), first]))[-1]
