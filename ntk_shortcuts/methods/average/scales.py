"""Scales of an average: the edge of the spectrum, what N samples learn half, the modes needed, and what the poles miss."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.eigenfunctions import SectorSpectra
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.training.rules import RationalFilter, TrainingRule
from ntk_shortcuts.typing import Array, Float

_FEW_MODES = 36
# How many are kept, and sizes of arrays of them: each of those is compiled anew.
_STEPS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_SIZES = (16, 32, 64, 128, 256, 512)
# A mode is left out when it is learnt to less than this.
_LEARNT = 2e-3
# As measured: see finite_size_error.
_FINITE_SIZE = 0.4


def edge(spectra: SectorSpectra, num_samples: int) -> float:
    """About the largest eigenvalue of a sampled Gram matrix over N."""
    eigenvalues = np.ravel(spectra.basis.eigenvalues)
    largest = eigenvalues.max()
    return float(largest * (1 + np.sqrt(np.sum(np.maximum(eigenvalues, 0)) / (num_samples * largest))) ** 2)


def gains_on(training: TrainingRule, spectra: SectorSpectra, num_samples: Any) -> Float[Array, "*batch sector nodes"]:
    """The filter at the eigenvalues of all sectors; where these are rounding, at the largest one."""
    eigenvalues, present = _present(spectra)
    found = training.filter(eigenvalues.ravel(), num_samples)
    return found.reshape(*found.shape[:-1], *present.shape)


def _present(spectra: SectorSpectra) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues with the largest in place of those that are rounding, and which are not."""
    eigenvalues = spectra.basis.eigenvalues
    largest = jnp.max(eigenvalues)
    present = eigenvalues > resolution(spectra) * largest
    return jnp.where(present, eigenvalues, largest), present


def filter_error(
    filter_: RationalFilter, gains: Float[Array, "*batch sector nodes"], spectra: SectorSpectra
) -> Float[Array, "*batch"]:
    """How far the resolvent sum is from the filter, times the eigenvalue, at most.

    Eigenvalues below 1e-7 of the largest are left out; where they matter, infinite time is not yet reached.
    """
    eigenvalues, _ = _present(spectra)
    error = jnp.abs(filter_(eigenvalues.ravel()).reshape(gains.shape) - gains) * eigenvalues
    return jnp.max(jnp.where(eigenvalues > 1e-7 * jnp.max(eigenvalues), error, 0), axis=(-2, -1))


def finite_size_error(gains: Float[np.ndarray, "*batch sector nodes"], spectra: SectorSpectra, num_samples: Any) -> float:
    r"""What corrections in 1/N may move the bias by: \(0.4\sqrt n/N\), \(n=\sum_i\lambda_ig(\lambda_i)\le N\) the modes learnt.

    An empirical estimate, the largest over a batch of times; errors found against sampled data sets are mostly a fifth to a
    whole of it, one twice as large (docs/evidence/dataset_average.md). The largest part is in the mean output, which the
    average takes over pairs of independent points, while a data set pairs no point with itself and,
    balanced, favours unlike labels.
    """
    eigenvalues = np.asarray(spectra.basis.eigenvalues)
    present = eigenvalues > resolution(spectra) * eigenvalues.max()
    modes = np.minimum(np.sum(np.where(present, gains * eigenvalues, 0), axis=(-2, -1)), num_samples)
    return float(_FINITE_SIZE * np.sqrt(np.max(modes)) / num_samples)


def target_missed(
    filter_: RationalFilter,
    gains: Float[Array, "*batch sector nodes"],
    nodes: Nodes,
    spectra: SectorSpectra,
    points: Float[Array, "points modes"],
    kappa: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """What the resolvent sum misses of the target above rounding: relative in norm, and at the points.

    The poles keep a distance from 0, which eigenvalues of less than 1e-9 of the largest feel. They matter where they hold a
    part of the target that N samples could learn, and more at points that lie far out in a direction of little variance.

    Args:
        points: the coordinates of the test points' kernel sections.
        kappa: the eigenvalue that N samples learn half.
    """
    values, present = (part[0] for part in _present(spectra))
    vectors = spectra.basis.vectors[0]
    target = vectors.T @ (jnp.sqrt(nodes.mass) * nodes.slope)
    error = (filter_(values) - gains[..., 0, :]) * values * values / (values + kappa)
    missed = jnp.where(present, error * target, 0)
    size = jnp.sqrt(jnp.sum(missed**2, axis=-1) / jnp.maximum(jnp.sum(target**2), np.finfo(np.float64).tiny))
    modes = points.shape[1]
    return size, (missed / jnp.sqrt(values))[..., :modes] @ points.T


def resolution(spectra: SectorSpectra) -> float:
    """Relative to the largest eigenvalue; what lies below is rounding."""
    return 10 * spectra.basis.eigenvalues.shape[-1] * np.finfo(np.float64).eps


def kappa(ridge: float, spectra: SectorSpectra, num_samples: Any) -> float:
    """The scalar fixed point at a real ridge >= 0: the eigenvalue that N samples learn half."""
    eigenvalues = np.maximum(np.ravel(spectra.basis.eigenvalues), 0)
    value = ridge + np.sum(eigenvalues) / num_samples
    for _ in range(60):
        # It vanishes where there are fewer modes than samples and no ridge.
        value = ridge + np.sum(eigenvalues * value / (eigenvalues + value)) / num_samples if value > 0 else 0.0
    return float(value)


class Modes(NamedTuple):
    """Eigenfunctions per sector: how many are kept, and for how many there is room in compiled programs."""

    kept: int
    size: int


def modes_needed(spectra: SectorSpectra, filter_: RationalFilter, num_samples: int) -> Modes:
    """Those that are learnt noticeably at the pole nearest to 0, rounded up."""
    nearest = kappa(float(np.min(np.abs(filter_.poles))), spectra, num_samples)
    needed = int(np.max(np.sum(np.asarray(spectra.basis.eigenvalues) > _LEARNT * nearest, axis=1)))
    count = spectra.basis.eigenvalues.shape[1]
    if count <= _FEW_MODES:  # as fast with all of them, and one compilation
        return Modes(count, count)
    kept = min(next(step for step in [*_STEPS, count] if step >= min(needed, count)), count)
    return Modes(kept, min(next(size for size in [*_SIZES, count] if size >= kept), count))


def differentiable_eigenvalues(spectra: SectorSpectra, mass: jax.Array) -> jax.Array:
    """Eigenvalues of both sectors, whose derivative is that of first-order perturbation theory."""
    columns = jnp.sqrt(mass)[:, None] * spectra.basis.vectors
    return jnp.sum(columns * (spectra.kernels.ntk @ columns), axis=-2).ravel()
