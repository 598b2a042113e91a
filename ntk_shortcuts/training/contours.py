"""Contours around the spectrum: filters as sums of resolvents. Label D4.5."""

from __future__ import annotations

import numpy as np

from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.training.rules import NEGLIGIBLE
from ntk_shortcuts.typing import Batch
from ntk_shortcuts.validation import require

# A circle of more points than this costs more than fitting the poles.
_MOST_POINTS = 2000


def hankel(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Poles (times t) and residues of the parabola, the half with Im s > 0."""
    step = 3 / nodes
    u = (np.arange(nodes) + 0.5) * step
    scaled = np.pi * nodes / 12 * (1 - 1j * u) ** 2
    return -scaled, 2 * step / np.pi * np.exp(scaled) / (1 - 1j * u)


def concrete(name: str, value: Batch) -> np.ndarray:
    """A parameter that must be a plain number here."""
    require(not is_traced(value), name, "a plain number here (GradientFlow can be traced)", value)
    return np.asarray(value, np.float64)


def on_contour(rate: float, steps: float, largest: float) -> bool:
    """Whether plain descent has a contour of few points, or diverges, which :func:`descent_poles` says."""
    near = rate * largest < 1 or rate * largest >= 2
    return near or rate * steps * largest >= NEGLIGIBLE or _points(steps) <= _MOST_POINTS


def _points(steps: float) -> int:
    """Of a circle for so many steps."""
    return 2 * int(np.ceil((4 * steps + 40) / 2))


def descent_poles(rate: float, steps: float, largest: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Poles and residues of \(g(\lambda)=(1-(1-\eta\lambda)^k)/\lambda\), where :func:`on_contour`.

    Raises:
        ValueError: a rate at which descent diverges.
    """
    if steps == 0:
        return np.array([-1.0 + 0j]), np.zeros(1, complex)
    if rate * steps * largest >= NEGLIGIBLE:
        return np.array([-largest / NEGLIGIBLE + 0j]), np.ones(1, complex)
    if rate * largest < 1 and steps >= 8:
        poles, residues = hankel(nodes)
        moved = poles / steps  # eta s'
        return -np.expm1(-moved) / rate, residues * moved * np.exp(-moved) / -np.expm1(-moved)
    # |1 - eta s| = 1 + 10/k: |1 - eta s|^k stays below e^10, and aliases of order n are smaller than e^(-10 n / k).
    require(rate * largest < 2, "learning_rate", f"below 2 / lambda_max = {2 / largest:.4g}", rate)
    count = _points(steps)
    radius = 1 + 10 / steps
    turn = radius * np.exp(2j * np.pi * (np.arange(count // 2) + 0.5) / count)
    poles = (1 - turn) / rate
    # (1/(2 pi i)) (1 - eta s)^k ds / s, upper half of the circle in s, doubled for the real part.
    residues = 2 / count * turn**steps * (-turn / rate) / poles
    return np.conj(poles), np.conj(residues)
