"""Scales of an average: the edge of the spectrum, what N samples learn half, the modes needed, and what the poles miss."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.eigenfunctions import SectorSpectra
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.training.rules import RationalFilter, TrainingRule
from ntk_shortcuts.typing import Array, Float

_FEW_MODES = 36
# A mode is left out when it is learnt to less than this.
_LEARNT = 2e-3
# As measured: see finite_size_error.
_FINITE_SIZE = 0.4


def edge(spectra: SectorSpectra, num_samples: int) -> float:
    """About the largest eigenvalue of a sampled Gram matrix over N."""
    eigenvalues = np.ravel(spectra.basis.eigenvalues)
    largest = eigenvalues.max()
    return float(largest * (1 + np.sqrt(np.sum(np.maximum(eigenvalues, 0)) / (num_samples * largest))) ** 2)


def finite_size_error(training: TrainingRule, spectra: SectorSpectra, num_samples: Any) -> float:
    r"""What corrections in 1/N may move the bias by: \(0.4\sqrt n/N\), \(n=\sum_i\lambda_ig(\lambda_i)\le N\) the modes learnt.

    An empirical estimate, the largest over a batch of times; errors found against sampled data sets are mostly a fifth to a
    whole of it, one twice as large (docs/evidence/dataset_average.md). The largest part is in the mean output, which the
    average takes over pairs of independent points, while a data set pairs no point with itself and,
    balanced, favours unlike labels.
    """
    eigenvalues = np.ravel(spectra.basis.eigenvalues)
    eigenvalues = eigenvalues[eigenvalues > resolution(spectra) * eigenvalues.max()]
    gains = np.asarray(training.filter(jnp.asarray(eigenvalues), num_samples))
    modes = np.minimum(np.sum(gains * eigenvalues, axis=-1), num_samples)
    return float(_FINITE_SIZE * np.sqrt(np.max(modes)) / num_samples)


def target_missed(
    training: TrainingRule,
    filter_: RationalFilter,
    nodes: Nodes,
    spectra: SectorSpectra,
    points: Float[Array, "points modes"],
    num_samples: Any,
    kappa: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """What the resolvent sum misses of the target above rounding: relative in norm, and at the points.

    The poles keep a distance from 0, which eigenvalues of less than 1e-9 of the largest feel. They matter where they hold a
    part of the target that N samples could learn, and more at points that lie far out in a direction of little variance.

    Args:
        points: the coordinates of the test points' kernel sections.
        kappa: the eigenvalue that N samples learn half.
    """
    eigenvalues, vectors = spectra.basis.eigenvalues[0], spectra.basis.vectors[0]
    largest = eigenvalues[0]
    present = eigenvalues > resolution(spectra) * largest
    values = jnp.where(present, eigenvalues, largest)
    target = vectors.T @ (jnp.sqrt(nodes.mass) * nodes.slope)
    error = (filter_(values) - training.filter(values, num_samples)) * values * values / (values + kappa)
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


def modes_needed(spectra: SectorSpectra, filter_: RationalFilter, num_samples: int) -> int:
    """Eigenfunctions per sector that are learnt noticeably at the pole nearest to 0, rounded up."""
    nearest = kappa(float(np.min(np.abs(filter_.poles))), spectra, num_samples)
    needed = int(np.max(np.sum(np.asarray(spectra.basis.eigenvalues) > _LEARNT * nearest, axis=1)))
    steps = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    size = spectra.basis.eigenvalues.shape[1]
    if size <= _FEW_MODES:  # as fast with all of them, and one compilation
        return size
    return min(next(step for step in [*steps, size] if step >= min(needed, size)), size)


def differentiable_eigenvalues(spectra: SectorSpectra, mass: jax.Array) -> jax.Array:
    """Eigenvalues of both sectors, whose derivative is that of first-order perturbation theory."""
    columns = jnp.sqrt(mass)[:, None] * spectra.basis.vectors
    return jnp.sum(columns * (spectra.kernels.ntk @ columns), axis=-2).ravel()
