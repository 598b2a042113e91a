"""The Bayes-optimal classifier of two features: its reliance on probes, and that of any linear classifier in the limit of
many."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.metrics.reliance import Reliance
from ntk_shortcuts.numerics import in_float64, safe_divide
from ntk_shortcuts.typing import AnyArray, Array, Float, Latents, Num


@in_float64
def optimal_reliance(model: GenerativeModel, probes: Latents | None = None) -> Float[Array, ""]:
    """Reliance of the Bayes-optimal classifier sign(w* . z) on the probes (by default the 30 x 30 grid). Label D1.4.

    Probes on its boundary, to rounding, count as undecided (sign 0).
    """
    return Reliance().optimal(model.test_points(probes))


@in_float64
def direction_reliance(
    model: GenerativeModel, direction: Num[AnyArray, "*batch 2"] | Sequence[float]
) -> Float[Array, "*batch"]:
    r"""Reliance of the linear classifier sign(v . z) on an infinitely fine probe grid, a smooth function of v. Label D1.5.

    With \((p,q)=(v_s\mu_s,v_c\mu_c)/\max(|v_s\mu_s|,|v_c\mu_c|)\):

    \[R=p\left(1-|q|/2\right)-q\left(1-|p|/2\right),\]

    which is p - q for p, q >= 0, -1 where p < 0 < q, and 1 where q < 0 < p. On n x n probes, n even, the reliance moves in
    steps and is within 2/n of it. 0 for v = 0.

    Args:
        direction: v in latent coordinates, (..., 2).

    Example:
        >>> round(float(direction_reliance(GenerativeModel(predictivity=(0.9, 0.9)), [1.0, 2.0])), 12)
        -0.5
    """
    direction = jnp.asarray(direction, jnp.result_type(float))
    if direction.ndim == 0 or direction.shape[-1] != 2:
        raise ValueError(f"direction must be of shape (..., 2); got shape {direction.shape}")
    return _direction_reliance(direction * model.means)


def _direction_reliance(projected: jax.Array) -> jax.Array:
    scaled = safe_divide(projected, jnp.max(jnp.abs(projected), axis=-1, keepdims=True))
    p, q = scaled[..., 0], scaled[..., 1]
    return p * (1 - jnp.abs(q) / 2) - q * (1 - jnp.abs(p) / 2)


@in_float64
def optimal_reliance_limit(model: GenerativeModel) -> Float[Array, ""]:
    r"""Reliance of the Bayes-optimal classifier on an infinitely fine probe grid, a smooth function of the model. Label D1.5.

    With \(q=w^*_s\mu_s/(w^*_c\mu_c)\): q - 1 for q in [0, 1], 1 - 1/q for q > 1, and -1 (w*_s < 0) or 1 (w*_c < 0) beyond. The
    reliance on a finite grid moves in steps, whose derivative is zero.

    Example:
        >>> float(optimal_reliance_limit(GenerativeModel(predictivity=(0.9, 0.9))))
        0.0
    """
    return direction_reliance(model, model.bayes_direction)
