"""Fit of the two-feature law to latents of your own, and how well they fit it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from ntk_shortcuts.issues import PoorFit
from ntk_shortcuts.validation import as_labels, as_points, require

# Of the Kolmogorov-Smirnov distance, times the root of the number of samples: a Gaussian sample exceeds it once in 10,000 fits.
_CRITICAL = 2.23


def fitted_features(latents: Any, labels: Any) -> tuple[dict[str, Any], tuple[PoorFit, ...]]:
    """Predictivity, correlation and amplification, and the features that are not Gaussian within a class."""
    latents = np.asarray(as_points("latents", latents, dimension=2), np.float64)
    labels = np.asarray(as_labels("labels", labels, count=len(latents)))
    positive, negative = latents[labels > 0], latents[labels < 0]
    counts = (len(positive), len(negative))
    require(min(counts) >= 2, "labels", "at least two of each of -1 and +1", f"{counts[1]} and {counts[0]}")
    residuals = np.concatenate([positive - positive.mean(axis=0), negative - negative.mean(axis=0)])
    covariance = residuals.T @ residuals / (len(latents) - 2)
    scale = np.sqrt(np.diag(covariance))
    require(bool(np.all(scale > 0)), "latents", "of positive spread within a class in both columns", scale)
    means = (positive.mean(axis=0) - negative.mean(axis=0)) / (2 * scale)
    require(
        bool(np.all(means >= 0)),
        "latents",
        "higher on average in class +1 in both columns (flip the sign of a column)",
        means,
    )
    estimates = {
        "predictivity": np.asarray(ndtr(means), np.float64),
        "correlation": float(covariance[0, 1] / np.prod(scale)),
        "amplification": scale,
    }
    names = ("shortcut", "core")
    return estimates, tuple(
        fit for i in (0, 1) if (fit := _misfit(names[i], residuals[:, i] / scale[i], latents[:, i])) is not None
    )


def _misfit(name: str, standardised: np.ndarray, latents: np.ndarray) -> PoorFit | None:
    """The issue of a feature whose residuals, over the spread within a class, are not those of a Gaussian."""
    from scipy import stats

    distance = float(stats.kstest(standardised, "norm").statistic)
    allowed = _CRITICAL / np.sqrt(len(standardised))
    if distance <= allowed:
        return None
    return PoorFit(distance, name, float(allowed), len(np.unique(latents)))
