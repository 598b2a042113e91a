"""A training rule applied to a symmetric matrix: the step that all predictors share."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.spec import Record
from ntk_shortcuts.training.rules import SpectralFilter
from ntk_shortcuts.typing import Array, Float, Scalar


class SpectralDiagnostics(Record):
    """What the filter did to the spectrum.

    - `largest_eigenvalue`: of the matrix.
    - `modes_kept`: eigenvalues above the resolution of the floating-point format, size x eps x largest. The rest are zero
      to the arithmetic: no training time moves them, and they are left out.
    - `condition_number`: largest over smallest kept eigenvalue.
    - `mass_dropped`: fraction of the target's squared norm along the modes left out.
    """

    largest_eigenvalue: jax.Array
    modes_kept: jax.Array
    condition_number: jax.Array
    mass_dropped: jax.Array


@eqx.filter_custom_jvp
def apply_filter(
    matrix: Float[Array, "m m"], columns: Float[Array, "m p"], rule: SpectralFilter, *, num_samples: Scalar | None
) -> tuple[Float[Array, "*batch m p"], SpectralDiagnostics]:
    """g(matrix) @ columns for a symmetric positive semi-definite matrix, and diagnostics for the first column.

    A rule with parameters of shape (T,) gives (T, m, p) from one eigendecomposition. Differentiable also where eigenvalues
    coincide: the derivative of a matrix function is taken by divided differences of g (Daletskii & Krein), not
    through eigenvectors.
    """
    eigenvalues, kept, vectors = _spectrum(matrix)
    return _evaluate(eigenvalues, kept, vectors, columns, rule, num_samples)


@apply_filter.def_jvp
def _apply_filter_jvp(primals: Any, tangents: Any, *, num_samples: Scalar | None) -> Any:
    matrix, columns, rule = primals
    d_matrix, d_columns, d_rule = tangents
    eigenvalues, kept, vectors = _spectrum(matrix)
    result, diagnostics = _evaluate(eigenvalues, kept, vectors, columns, rule, num_samples)

    def gains(r: SpectralFilter, values: jax.Array) -> jax.Array:
        return _gains(r, values, kept, num_samples)

    d_components = jnp.zeros_like(result)
    if d_matrix is not None:
        weights = divided_differences(lambda values: gains(rule, values), eigenvalues)
        rotated = vectors.T @ ((d_matrix + d_matrix.T) / 2) @ vectors
        d_components += (weights * _like(rotated, weights)) @ (vectors.T @ columns)
    if d_columns is not None:
        filtered = gains(rule, eigenvalues)[..., None]
        d_components += filtered * _like(vectors.T @ d_columns, filtered)
    if jax.tree.leaves(d_rule):
        d_gains = eqx.filter_jvp(lambda r: gains(r, eigenvalues), (rule,), (d_rule,))[1][..., None]
        d_components += d_gains * _like(vectors.T @ columns, d_gains)
    return (result, diagnostics), (vectors @ d_components, jax.tree.map(lambda _: None, diagnostics))


def _spectrum(matrix: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    eigenvalues, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2, symmetrize_input=False)
    resolution = matrix.shape[0] * jnp.finfo(matrix.dtype).eps
    return eigenvalues, eigenvalues > resolution * eigenvalues[-1], vectors


def _evaluate(
    eigenvalues: jax.Array,
    kept: jax.Array,
    vectors: jax.Array,
    columns: jax.Array,
    rule: SpectralFilter,
    num_samples: Scalar | None,
) -> tuple[jax.Array, SpectralDiagnostics]:
    components = vectors.T @ columns
    gains = _gains(rule, eigenvalues, kept, num_samples)[..., None]
    power = components[:, 0] ** 2
    diagnostics = SpectralDiagnostics(
        largest_eigenvalue=eigenvalues[-1],
        modes_kept=jnp.sum(kept),
        condition_number=eigenvalues[-1] / jnp.min(jnp.where(kept, eigenvalues, eigenvalues[-1])),
        mass_dropped=jnp.sum(jnp.where(kept, 0, power)) / jnp.maximum(jnp.sum(power), jnp.finfo(power.dtype).tiny),
    )
    return vectors @ (gains * _like(components, gains)), diagnostics


def _gains(rule: SpectralFilter, eigenvalues: jax.Array, kept: jax.Array, num_samples: Scalar | None) -> jax.Array:
    gains = rule.filter(jnp.where(kept, eigenvalues, 1), num_samples)
    return jnp.where(jnp.broadcast_to(kept, gains.shape), gains, 0)


def _like(array: jax.Array, batched: jax.Array) -> jax.Array:
    """Prepend axes of size 1 until the array has as many as `batched`."""
    return array.reshape((1,) * (batched.ndim - array.ndim) + array.shape)


def divided_differences(gains: Any, eigenvalues: jax.Array) -> jax.Array:
    """(g(a) - g(b)) / (a - b) for all pairs of eigenvalues, the mean slope where a and b are too close to subtract."""
    values, slopes = jax.jvp(gains, (eigenvalues,), (jnp.ones_like(eigenvalues),))
    gap = eigenvalues[:, None] - eigenvalues[None, :]
    close = jnp.abs(gap) <= 1e-5 * jnp.abs(eigenvalues[:, None] + eigenvalues[None, :])
    difference = values[..., :, None] - values[..., None, :]
    mean_slope = (slopes[..., :, None] + slopes[..., None, :]) / 2
    safe_gap = jnp.where(close, 1, gap)
    return jnp.where(_like(close, difference), mean_slope, difference / _like(safe_gap, difference))


def describe_spectrum(spectrum: SpectralDiagnostics) -> dict[str, float]:
    """Spectral diagnostics as plain numbers."""
    return {field.name: float(getattr(spectrum, field.name)) for field in dataclasses.fields(spectrum)}
