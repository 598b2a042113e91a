"""Errors of measured biases, agreement of predictions with them, and fitted power laws."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

from ntk_shortcuts.validation import require

# Blocks of a record that hold a prediction of the mean bias, and what each predicts for.
PREDICTIONS = {
    "own_init": "same data sets, each network's own initial output",
    "expected": "same data sets, expectation over initialisations",
    "averaged": "analytic average over data sets and initialisations",
}


def resolution(count: int, num_probes: int) -> float:
    """Least standard error of a mean of `count` biases, each of which moves in steps of 4 / probes."""
    return 4 / num_probes / np.sqrt(count)


def initialisation_error(bias: np.ndarray, num_probes: int) -> np.ndarray:
    r"""Standard error of the mean of biases (T, D, I) with the data sets given: \(\sqrt{\overline{s_d^2}/(DI)}\).

    \(s_d^2\) is the variance over the initialisations of data set d. At least the resolution of the probe grid.
    """
    count = bias.shape[1] * bias.shape[2]
    spread = np.sqrt(bias.var(axis=2, ddof=1).mean(axis=1) / count)
    return np.maximum(spread, resolution(count, num_probes))


class Agreement(NamedTuple):
    """Predicted against trained mean biases over all points of some records."""

    points: int
    mean_absolute_error: float
    worst: float
    worst_at: str
    r_squared: float
    largest_z: float | None
    rms_z: float | None
    beyond: int | None


def agreement(records: Iterable[dict], prediction: str) -> Agreement:
    r"""Errors of one of the predictions ("own_init", "expected", "averaged") over records and recorded times.

    \(R^2=1-\sum(\mathrm{trained}-\mathrm{predicted})^2/\sum(\mathrm{trained}-\overline{\mathrm{trained}})^2\). z-scores for
    "expected" (initialisations) and "averaged" (data sets); `beyond` counts points with a gap above 0.05 and above 3.5
    standard errors.

    Raises:
        ValueError: an unknown prediction; no record that has it.
    """
    require(prediction in PREDICTIONS, "prediction", f"one of {', '.join(PREDICTIONS)}", prediction)
    chosen = [r for r in records if prediction in r]
    require(len(chosen) > 0, "records", f"at least one with {prediction}", len(chosen))
    trained, predicted = (np.concatenate([r[name] for r in chosen]).astype(float) for name in ("trained", prediction))
    gap = trained - predicted
    where = [f"{r['name']}, t {t:g}" for r in chosen for t in r["times"]]
    spread = np.sum((trained - trained.mean()) ** 2)
    z = np.concatenate([r[f"{prediction}_z"] for r in chosen]).astype(float) if prediction != "own_init" else None
    worst = int(np.argmax(np.abs(gap)))
    return Agreement(
        points=len(gap),
        mean_absolute_error=float(np.mean(np.abs(gap))),
        worst=float(gap[worst]),
        worst_at=where[worst],
        r_squared=float(1 - np.sum(gap**2) / spread) if spread > 0 else float("nan"),
        largest_z=None if z is None else float(z[np.argmax(np.abs(z))]),
        rms_z=None if z is None else float(np.sqrt(np.mean(z**2))),
        beyond=None if z is None else int(np.sum((np.abs(gap) > 0.05) & (np.abs(z) > 3.5))),
    )


class PowerLaw(NamedTuple):
    """gap = scale x width^exponent, with the exponent's standard error (inf without a fit) and chi^2 per degree of freedom."""

    scale: float
    exponent: float
    exponent_error: float
    reduced_chi_squared: float

    @property
    def resolved(self) -> bool:
        """Whether the exponent is known to better than 0.5."""
        return self.exponent_error < 0.5

    def __str__(self) -> str:
        return f"{self.exponent:.2f} +- {self.exponent_error:.2f}" if self.resolved else "lost in noise"


def fit_power_law(widths: Any, squared_gaps: Any, errors: Any) -> PowerLaw:
    """Least squares of a power law on squared gaps with their standard errors; estimates of a square may be negative.

    The exponent is that of the gap, half of that of its square.

    Raises:
        ValueError: fewer than three widths, or errors that are not positive.

    Example:
        >>> widths = np.array([32.0, 64.0, 128.0])
        >>> round(fit_power_law(widths, (3 / widths) ** 2, 0.1 * (3 / widths) ** 2).exponent, 3)
        -1.0
    """
    widths, squares, errors = (np.asarray(values, float) for values in (widths, squared_gaps, errors))
    require(len(widths) >= 3, "widths", "at least three", widths)
    require(bool(np.all(errors > 0)), "errors", "positive", errors)
    middle = np.exp(np.mean(np.log(widths)))

    def square(width: np.ndarray, log_scale: float, exponent: float) -> np.ndarray:
        return np.exp(np.clip(2 * (log_scale + exponent * np.log(width / middle)), -200, 200))

    start = (0.5 * np.log(max(np.median(squares), 1e-12)), -0.75)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)  # no covariance: the error is inf
            (log_scale, exponent), covariance = curve_fit(
                square, widths, squares, start, sigma=errors, absolute_sigma=True, maxfev=20000
            )
    except RuntimeError:  # no least squares found: all noise
        return PowerLaw(float("nan"), float("nan"), float("inf"), float("nan"))
    residual = (squares - square(widths, log_scale, exponent)) / errors
    chi_squared = float(np.sum(residual**2) / (len(widths) - 2))
    scale = float(np.exp(np.clip(log_scale - exponent * np.log(middle), -700, 700)))
    return PowerLaw(scale, float(exponent), float(np.sqrt(covariance[1, 1])), chi_squared)
