"""From outputs to the sign that a classifier takes: expected ones, those of probes on the boundary, and those of cells."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ntk_shortcuts.numerics import safe_divide
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import require

# Relative to an output that grows linearly from the origin.
_BOUNDARY = 1e-6


def expected_sign(mean: jax.Array, std: jax.Array) -> jax.Array:
    r"""E[sign f] for f ~ N(mean, std^2), \(2\Phi(m/s)-1=\mathrm{erf}(m/(s\sqrt2))\); sign(mean) where std is 0."""
    std = jnp.broadcast_to(std, mean.shape).astype(mean.dtype)
    return jnp.where(
        std > 0,
        jax.scipy.special.erf(safe_divide(mean, std * jnp.sqrt(2.0).astype(mean.dtype))),
        jnp.sign(mean),
    )


def decided(mean: Float[Array, "*batch n"], reach: Float[Array, "n"]) -> Float[Array, "*batch n"]:
    """Mean outputs with those on the decision boundary, to a relative 1e-6, as 0: they count half.

    Args:
        reach: the size, up to a factor, of an output that decides.
    """
    reach = jnp.broadcast_to(reach, mean.shape)
    slope = jnp.max(jnp.abs(safe_divide(mean, reach)), axis=-1, keepdims=True)
    undecided = jnp.abs(mean) <= _BOUNDARY * slope * reach
    # The value is 0, the derivative stays.
    return mean - jax.lax.stop_gradient(jnp.where(undecided, mean, 0))


def cell_signs(outputs: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    r"""The sign at each point of a square grid averaged over its cell: differentiable where sign is a step.

    In a cell the output is taken as linear, \(f+ax+by\) with x, y uniform in [-1, 1] and a, b half the differences from cell to
    cell. With \(S(v)=v|v|/2\),

    \[E\,\mathrm{sign}=\frac{S(f+a+b)-S(f+a-b)-S(f-a+b)+S(f-a-b)}{4ab}.\]
    """
    side = round(outputs.shape[-1] ** 0.5)
    require(side >= 2 and side * side == outputs.shape[-1], "probes", "a square grid, as model.probe_grid() is", outputs)
    f = outputs.reshape(*outputs.shape[:-1], side, side)
    # A slope that vanishes would divide by zero; the floor is a thousandth of the output's size, far below a cell's change.
    floor = 1e-3 * jnp.max(jnp.abs(f), axis=(-2, -1), keepdims=True)
    floor = jnp.where(floor > 0, floor, 1.0)
    a, b = (jnp.maximum(jnp.abs(slope) / 2, floor) for slope in jnp.gradient(f, axis=(-2, -1)))

    def integral(v: jax.Array) -> jax.Array:
        return v * jnp.abs(v) / 2

    signs = (integral(f + a + b) - integral(f + a - b) - integral(f - a + b) + integral(f - a - b)) / (4 * a * b)
    return signs.reshape(outputs.shape)
