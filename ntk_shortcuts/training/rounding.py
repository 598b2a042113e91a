"""What rounding makes of trained outputs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.outputs.error import DRAWS
from ntk_shortcuts.training.spectral import SpectralDiagnostics
from ntk_shortcuts.typing import Array, Float

# Of an entry of a kernel, as measured (2 to 8).
_ROUNDINGS = 4


def error_directions(size: int, dtype: Any, draws: int = DRAWS) -> Float[Array, "m draws"]:
    """Standard normal vectors, the same ones at every call."""
    return jnp.asarray(np.random.default_rng(0).normal(size=(size, draws)), dtype)


def mean_rounding(
    spectrum: SpectralDiagnostics,
    last_gain: Float[Array, "*batch"],
    target: Float[Array, "*k m"],
    rows: Float[Array, "probes m"],
    dual: Float[Array, "*batch m"],
    directions: Float[Array, "*b m draws"],
) -> Float[Array, "*batch draws probes"]:
    r"""Draws of the rounding error of the mean \(k(x)^Tg(S)b\), to first order. Label D4.7.

    Rounding changes S by a matrix of norm \(\epsilon\lambda_{\max}\) without a preferred direction, b and k likewise. Among
    modes that are kept g(S) changes by at most \(g(S)\,\delta S\,g(S)\); those left out, a part \(b_0\) of b, mix into them,
    most into the smallest. With \(\xi\), \(\zeta\) standard normal and M the size of S

    \[\delta m(x)=\frac{\epsilon}{\sqrt M}\left(\sqrt{\lambda_{\max}^2(|g(S)b|^2+g(\lambda_0)^2|b_0|^2)+|b|^2}\;
      k(x)^Tg(S)\xi+|g(S)b|\,|k(x)|\,\zeta_x\right).\]

    Args:
        last_gain: g at the smallest eigenvalue that is kept.
        target: b, or several; rows: k of each probe; dual: g(S) b; directions: \(g(S)\xi\), of :func:`error_directions`.
    """

    def norm(vectors: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.sum(vectors**2, axis=-1))

    alone = jnp.asarray(np.random.default_rng(2).normal(size=(directions.shape[-1], rows.shape[0])), rows.dtype)
    largest = spectrum.largest_eigenvalue
    left_out = jnp.sqrt(spectrum.mass_dropped) * last_gain
    left_out = left_out.reshape(left_out.shape + (1,) * (target.ndim - 1)) * norm(target)
    source = jnp.hypot(largest * jnp.hypot(norm(dual), left_out), norm(target))
    response = jnp.einsum("pm,...md->...dp", rows, directions)
    response = response.reshape(*response.shape[:-2], *(1,) * (target.ndim - 1), *response.shape[-2:])
    scale = _ROUNDINGS * jnp.finfo(rows.dtype).eps / np.sqrt(rows.shape[1])
    return scale * (source[..., None, None] * response + norm(dual)[..., None, None] * norm(rows) * alone)


def variance_rounding(
    prior: Float[Array, "probes"], nngp: Float[Array, "m m"], operator: Float[Array, "*batch probes m"]
) -> Float[Array, "*batch probes"]:
    r"""Rounding of a variance \(K(x,x)+AKA^T-2AK(X,x)\): of its terms, which cancel.

    Args:
        nngp: K between the training points, times the roots of their weights; operator: g(S) k of each probe.
    """
    epsilon = jnp.finfo(prior.dtype).eps
    quadratic = jnp.sum(operator**2, axis=-1) * jnp.sqrt(jnp.sum(nngp**2))
    return epsilon * (4 * _ROUNDINGS * prior + _ROUNDINGS * quadratic)
