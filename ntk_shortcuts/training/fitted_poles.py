r"""A filter as a sum of few resolvents where no contour is known: a rational fit on the spectrum.

The outputs' average over data sets is linear in the filter, and a data set's spectrum lies in \([0,\Lambda]\): a sum of
resolvents that is the filter there to \(\epsilon\) moves no average by more than that, wherever its poles lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigvals

from ntk_shortcuts.typing import Complex, Float

# Between so many points per half-wave of the filter the fit is seen.
_PER_WAVE = 4
# Of few sizes, which share compiled filters.
_POINTS = (400, 1600, 4000)
# Poles on an ellipse, tried before and after those of AAA.
_FEW, _MANY = (4, 6, 8), (12, 16, 24, 32, 48, 64)
# Parts of the sum that cancel cost as many digits: their size weighs so much beside the error.
_CANCELLATION = 1e-8


class Fit(NamedTuple):
    r"""Poles and residues (K,), those of Im s > 0 for both of a pair, and the largest error of \(\lambda g(\lambda)\)."""

    poles: Complex[np.ndarray, "K"]
    residues: Complex[np.ndarray, "K"]
    error: float


def fitted_poles(
    gain: Callable[[Float[np.ndarray, "n"]], Float[np.ndarray, "n"]],
    largest: float,
    waves: float,
    tolerance: float = 1e-5,
    most: int = 40,
) -> Fit:
    r"""\(\lambda g(\lambda)\) on [0, largest] as \(\mathrm{Re}\sum_kc_k\lambda/(\lambda-s_k)\). Label D13.3.

    Poles are those of the AAA algorithm, without real ones in or beyond the spectrum; residues by least squares.

    Args:
        gain: \(\lambda g(\lambda)\) at eigenvalues >= 0.
        waves: half-waves that it may have on the interval, so that points see each.
        most: degree at which to stop, above the tolerance or not.

    Source: Nakatsukasa, Sete & Trefethen (2018) for the algorithm.

    Example:
        >>> fit = fitted_poles(lambda x: -np.expm1(-100 * x), 1.0, 1)
        >>> len(fit.poles) <= 6, fit.error < 1e-5
        (True, True)
    """
    points, between = _points(largest, waves, 0.0), _points(largest, waves, 0.5)
    values, wanted = np.split(gain(np.concatenate([points, between])), 2)
    best = Fit(np.array([-largest + 0j]), np.zeros(1, complex), np.inf)
    for poles in _candidates(points, values, tolerance, most):
        residues = _least_squares(points, values, poles)
        found = float(np.max(np.abs(_sum(between, poles, residues) - wanted)))
        if found < best.error:
            best = Fit(poles, residues, found)
        if found <= tolerance:
            break
    return best


def _candidates(points: np.ndarray, values: np.ndarray, tolerance: float, most: int) -> Iterator[np.ndarray]:
    """Where AAA puts them, and on ellipses around the spectrum: for polynomials of low degree, whose own poles are far away
    and cancel, and for those that still oscillate."""
    yield from (_ellipse(points[-1], count) for count in _FEW)
    for poles, error in _aaa(points, values, most):
        if error <= tolerance or len(poles) >= most - 1:
            kept = poles[(np.imag(poles) > 1e-9 * np.abs(poles)) | ((np.imag(poles) == 0) & (np.real(poles) < 0))]
            if len(kept):
                yield kept[np.argsort(np.abs(kept))]
    yield from (_ellipse(points[-1], count) for count in _MANY)


def _ellipse(largest: float, count: int) -> np.ndarray:
    """The upper half of Bernstein's ellipse on which the trapezoidal rule of 2 count points errs by 1e-7."""
    turn = np.exp(8 / count + 1j * np.pi * (1 - (np.arange(count) + 0.5) / count))
    return largest / 2 * (1 + (turn + 1 / turn) / 2)


def _points(largest: float, waves: float, shift: float) -> np.ndarray:
    """From far below the first wave on; equally spaced in the angle of Chebyshev, where polynomials turn alike."""
    count = next((size for size in _POINTS if size >= _PER_WAVE * waves), _POINTS[-1])
    angles = np.pi * (np.arange(count) + 0.5 + shift) / (count + 1)
    small = np.geomspace(1e-13, 1, 400)[:-1] * 10 ** (shift * 13 / 400)
    return np.sort(np.concatenate([[0.0], small, (1 - np.cos(angles)) / 2, [1.0]])) * largest


def _aaa(points: np.ndarray, values: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, float]]:
    """Poles and largest error of interpolants of growing degree."""
    supports = np.zeros(len(points), bool)
    approximation = np.full_like(values, values.mean())
    for _ in range(min(most, len(points) // 2)):
        supports[np.argmax(np.where(supports, -1, np.abs(values - approximation)))] = True
        z, f = points[supports], values[supports]
        cauchy = 1 / (points[~supports, None] - z)
        loewner = (values[~supports, None] - f) * cauchy
        weights = np.linalg.svd(loewner, full_matrices=False)[2][-1]
        approximation = values.copy()
        approximation[~supports] = (cauchy @ (weights * f)) / (cauchy @ weights)
        error = float(np.max(np.abs(approximation - values)))
        yield _roots(z, weights), error


def _roots(support: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Zeros of the denominator of a barycentric interpolant."""
    size = len(support) + 1
    scale = support.max() if support.max() > 0 else 1.0
    arrow = np.diag(np.concatenate([[0.0], support / scale]))
    arrow[0, 1:], arrow[1:, 0] = weights, 1
    found = eigvals(arrow, np.diag(np.concatenate([[0.0], np.ones(size - 1)])))
    return np.asarray(found)[np.isfinite(found)] * scale


def _least_squares(points: np.ndarray, values: np.ndarray, poles: np.ndarray) -> np.ndarray:
    columns, real = points[:, None] / (points[:, None] - poles), np.imag(poles) == 0
    matrix = np.concatenate([np.real(columns), -np.imag(columns)[:, ~real]], axis=1)
    scale = np.linalg.norm(matrix, axis=0)
    penalty = _CANCELLATION * np.sqrt(len(points)) * np.eye(len(scale))
    found = np.linalg.lstsq(np.concatenate([matrix / scale, penalty]), np.pad(values, (0, len(scale))))[0] / scale
    residues = found[: len(poles)] + 0j
    residues[~real] += 1j * found[len(poles) :]
    return residues


def _sum(points: np.ndarray, poles: np.ndarray, residues: np.ndarray) -> np.ndarray:
    return np.real(points[:, None] / (points[:, None] - poles) @ residues)
