"""A training rule applied to a symmetric matrix: the step that all predictors share."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.spec import Record
from ntk_shortcuts.training.rules import SpectralFilter
from ntk_shortcuts.typing import Array, Bool, Float, Scalar


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


class Spectrum(eqx.Module):
    """A symmetric matrix by its `eigenvalues` (m,), ascending, and `vectors` (m, m); `kept` (m,): which are above rounding."""

    eigenvalues: Float[Array, "m"]
    kept: Bool[Array, "m"]
    vectors: Float[Array, "m m"]


@eqx.filter_custom_jvp
def apply_filter(
    matrix: Float[Array, "m m"], columns: Float[Array, "m p"], rule: SpectralFilter, *, num_samples: Scalar | None
) -> tuple[Float[Array, "*batch m p"], SpectralDiagnostics]:
    """g(matrix) @ columns for a symmetric positive semi-definite matrix, and diagnostics for the first column.

    A rule with parameters of shape (T,) gives (T, m, p) from one eigendecomposition. Differentiable also where eigenvalues
    coincide: the derivative of a matrix function is taken by divided differences of g (Daletskii & Krein), not
    through eigenvectors.
    """
    spectrum = diagonalised(matrix)
    return filtered(spectrum, gains(rule, spectrum, num_samples), columns)


@apply_filter.def_jvp
def _apply_filter_jvp(primals: Any, tangents: Any, *, num_samples: Scalar | None) -> Any:
    matrix, columns, rule = primals
    d_matrix, d_columns, d_rule = tangents
    spectrum = diagonalised(matrix)
    eigenvalues, vectors = spectrum.eigenvalues, spectrum.vectors

    def gains_at(r: SpectralFilter, values: jax.Array) -> jax.Array:
        return gains(r, dataclasses.replace(spectrum, eigenvalues=values), num_samples)

    known = gains_at(rule, eigenvalues)
    result, diagnostics = filtered(spectrum, known, columns)
    d_components = jnp.zeros_like(result)
    if d_matrix is not None:
        weights = divided_differences(lambda values: gains_at(rule, values), eigenvalues)
        rotated = vectors.T @ ((d_matrix + d_matrix.T) / 2) @ vectors
        d_components += (weights * _like(rotated, weights)) @ (vectors.T @ columns)
    if d_columns is not None:
        d_components += known[..., None] * _like(vectors.T @ d_columns, known[..., None])
    if jax.tree.leaves(d_rule):
        d_gains = eqx.filter_jvp(lambda r: gains_at(r, eigenvalues), (rule,), (d_rule,))[1][..., None]
        d_components += d_gains * _like(vectors.T @ columns, d_gains)
    return (result, diagnostics), (vectors @ d_components, jax.tree.map(lambda _: None, diagnostics))


def diagonalised(matrix: Float[Array, "m m"], size: Scalar | None = None) -> Spectrum:
    """Eigenvalues and vectors; what is below size x eps x the largest eigenvalue is rounding.

    Args:
        size: of the matrix without rows and columns of zeros that it is padded with.
    """
    eigenvalues, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2, symmetrize_input=False)
    resolution = (matrix.shape[0] if size is None else size) * jnp.finfo(matrix.dtype).eps
    return Spectrum(eigenvalues, eigenvalues > resolution * eigenvalues[-1], vectors)


def gains(rule: SpectralFilter, spectrum: Spectrum, num_samples: Scalar | None) -> Float[Array, "*batch m"]:
    """g at the eigenvalues of a spectrum, 0 at those that are rounding."""
    found = rule.filter(jnp.where(spectrum.kept, spectrum.eigenvalues, 1), num_samples)
    return jnp.where(jnp.broadcast_to(spectrum.kept, found.shape), found, 0)


def filtered(
    spectrum: Spectrum, gains: Float[Array, "*batch m"], columns: Float[Array, "m p"]
) -> tuple[Float[Array, "*batch m p"], SpectralDiagnostics]:
    """g(matrix) @ columns from the matrix' spectrum and g there, and diagnostics for the first column."""
    eigenvalues, kept, vectors = spectrum.eigenvalues, spectrum.kept, spectrum.vectors
    components = vectors.T @ columns
    power = components[:, 0] ** 2
    diagnostics = SpectralDiagnostics(
        largest_eigenvalue=eigenvalues[-1],
        modes_kept=jnp.sum(kept),
        condition_number=eigenvalues[-1] / jnp.min(jnp.where(kept, eigenvalues, eigenvalues[-1])),
        mass_dropped=jnp.sum(jnp.where(kept, 0, power)) / jnp.maximum(jnp.sum(power), jnp.finfo(power.dtype).tiny),
    )
    return vectors @ (gains[..., None] * _like(components, gains[..., None])), diagnostics


def last_gain(rule: SpectralFilter, diagnostics: SpectralDiagnostics, num_samples: Scalar | None) -> Float[Array, "*batch"]:
    """g at the smallest eigenvalue that is kept; at 1 of a kernel that is zero, such as a linear network's even part."""
    largest = diagnostics.largest_eigenvalue
    smallest = jnp.where(largest > 0, largest / diagnostics.condition_number, 1)
    return rule.filter(smallest[None], num_samples)[..., 0]


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
