"""From outputs to the sign that a classifier takes: expected ones, those of probes on the boundary, and those of cells."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from ntk_shortcuts.numerics import safe_divide, safe_sqrt
from ntk_shortcuts.typing import AnyArray, Array, Float, Int
from ntk_shortcuts.validation import require

# Relative to an output that grows linearly from the origin.
_BOUNDARY = 1e-6


def expected_sign(mean: jax.Array, std: jax.Array) -> jax.Array:
    r"""E[sign f] for f ~ N(mean, std^2), \(2\Phi(m/s)-1=\mathrm{erf}(m/(s\sqrt2))\); sign(mean) where std is 0. Label D4.4."""
    std = jnp.broadcast_to(std, mean.shape).astype(mean.dtype)
    return jnp.where(
        std > 0,
        jax.scipy.special.erf(safe_divide(mean, std * jnp.sqrt(2.0).astype(mean.dtype))),
        jnp.sign(mean),
    )


def sign_slope(mean: AnyArray, std: AnyArray) -> jax.Array:
    r"""Derivative of the expected sign in the mean output, \(2\varphi(m/s)/s\)."""
    mean, std = jnp.asarray(mean), jnp.asarray(std)
    return 2 * jax.scipy.stats.norm.pdf(safe_divide(mean, std)) * safe_divide(jnp.ones_like(std), std)


def right_class(
    mean: Float[Array, "*batch n k"], covariance: Float[Array, "*batch n k k"] | None, classes: Int[AnyArray, "n"]
) -> Float[Array, "*batch n"]:
    r"""P(argmax f = class) for the joint Gaussian law of k outputs; ties are shared.

    By 1024 quasi-random draws, the same at every point: good to about 2e-3 at one point, and better in means over points.
    """
    count = mean.shape[-1]
    if covariance is None:
        best = mean == jnp.max(mean, axis=-1, keepdims=True)
        won = best / jnp.sum(best, axis=-1, keepdims=True)
    else:
        values, vectors = jnp.linalg.eigh(covariance)
        root = vectors * safe_sqrt(values)[..., None, :]

        def of_draw(total: jax.Array, draw: jax.Array) -> tuple[jax.Array, None]:
            outputs = mean + root @ draw
            return total + (outputs == jnp.max(outputs, axis=-1, keepdims=True)), None

        draws = jnp.asarray(_normal_draws(count), mean.dtype)
        won = jax.lax.scan(of_draw, jnp.zeros_like(mean), draws)[0] / len(draws)
    return jnp.sum(won * jax.nn.one_hot(jnp.asarray(classes), count, dtype=mean.dtype), axis=-1)


def expected_right(mean: Any, variance: Any, covariance: Any, classes: Any) -> jax.Array:
    """2 P(the class' output is largest) - 1: the expected sign of a decision that is right where it is +1."""
    mean = jnp.asarray(mean)
    if covariance is None and variance is not None:
        covariance = jnp.asarray(variance)[..., None] * jnp.eye(mean.shape[-1], dtype=mean.dtype)
    return 2 * right_class(mean, None if covariance is None else jnp.asarray(covariance), classes) - 1


@functools.cache
def _normal_draws(count: int) -> np.ndarray:
    """Standard normal vectors (1024, count) from a Sobol sequence, moved to the middle of its cells."""
    from scipy.stats import qmc

    return ndtri(qmc.Sobol(count, scramble=False).random_base2(10) + 0.5 / 1024)


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
