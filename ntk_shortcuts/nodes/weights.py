r"""Weights of samples in the loss, \((1/(2N))\sum_nw_n(f(x_n)-y_n)^2\): another density of the points, another target.

Training sees \(p_w(z)=\sum_yw(z,y)p(z,y)\) for the density and \(\sum_yy\,w(z,y)p(z,y)/p_w(z)\) for the target. Weights that
depend on z alone leave the target where it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import is_traced, safe_divide
from ntk_shortcuts.laws.two_features.polar import LatentRays
from ntk_shortcuts.typing import Array, Float, Latents
from ntk_shortcuts.validation import require, require_values

SampleWeight = Callable[[Latents, Float[Array, "n"]], Any]


def evaluate_weight(sample_weight: SampleWeight, latents: Latents, labels: Float[Array, "n"]) -> Float[Array, "n"]:
    """Weights of points with latents (n, 2) and labels (n,), checked.

    Raises:
        ValueError: not a function; weights of another shape than (n,), negative, NaN or infinite.
    """
    require(callable(sample_weight), "sample_weight", "a function of latents (n, 2) and labels (n,)", sample_weight)
    return checked_weight(sample_weight(latents, labels), latents.shape[0]).astype(latents.dtype)


def checked_weight(weights: Any, count: int) -> jax.Array:
    """Weights (count,) that are finite, not negative, and not all zero."""
    require_values("sample_weight", weights, (count,), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
    weights = jnp.asarray(weights)
    require(is_traced(weights) or bool(jnp.any(weights > 0)), "sample_weight", "positive for at least one point", weights)
    return weights


def reweighted_rays(rays: LatentRays, sample_weight: SampleWeight) -> LatentRays:
    """The nodes of the weighted law: their weights and targets changed, not normalised."""
    points = (rays.radius[..., None] * rays.directions[:, None, :]).reshape(-1, 2)
    ones = jnp.ones(points.shape[0], points.dtype)
    positive, negative = (
        evaluate_weight(sample_weight, points, y * ones).reshape(rays.radius.shape) * (1 + y * rays.targets) / 2
        for y in (1.0, -1.0)
    )
    mass = positive + negative
    return dataclasses.replace(rays, weights=rays.weights * mass, targets=safe_divide(positive - negative, mass))


def require_symmetric_weight(sample_weight: SampleWeight, probes: Latents) -> None:
    """Refuse weights that break the symmetry (z, y) -> (-z, -y) of the data law."""
    if is_traced(probes):
        return
    ones = jnp.ones(probes.shape[0], probes.dtype)
    for y in (1.0, -1.0):
        there, back = (np.asarray(evaluate_weight(sample_weight, s * probes, s * y * ones)) for s in (1.0, -1.0))
        worst = int(np.argmax(np.abs(there - back)))
        require(
            bool(np.allclose(there, back, rtol=1e-9, atol=0)),
            "sample_weight",
            'symmetric, w(-z, -y) = w(z, y), for method="population" (or method="monte_carlo")',
            f"{there[worst]:g} and {back[worst]:g} at z = {np.asarray(probes[worst]).tolist()}, y = {y:g} and the opposite",
        )
