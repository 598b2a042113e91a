"""Named settings of clusters: what the constructor takes for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntk_shortcuts.validation import require_values


def waterbirds(
    majority: float = 0.95, separation: tuple[float, float] = (1.5, 1.0), positive: float = 0.5, **parameters: Any
) -> dict[str, Any]:
    """Label x background: four groups in the plane (background, bird), the background the more separated one.

    Args:
        majority: P(background = label), in (0, 1); the benchmark's is 0.95 (Sagawa et al., 2020).
        separation: distances of the means from 0, in standard deviations: of the background and of the bird.
        positive: P(y = +1), in (0, 1); of the benchmark 0.23.
    """
    _require_share("majority", majority)
    _require_share("positive", positive)
    groups = [(y, a) for y in (-1, 1) for a in (-1, 1)]
    return {
        "means": [(a * separation[0], y * separation[1]) for y, a in groups],
        "proportions": [(positive if y == 1 else 1 - positive) * (majority if a == y else 1 - majority) for y, a in groups],
        "labels": [y for y, _ in groups],
        "attributes": {"background": [a for _, a in groups]},
        **parameters,
    }


def xor_core(agreement: float = 0.9, separation: tuple[float, float] = (1.5, 2.0), **parameters: Any) -> dict[str, Any]:
    """A linear shortcut beside a core that no linear classifier reads: y is the product of the signs of two features.

    Features are (shortcut, first, second); the attribute is the shortcut's side.

    Args:
        agreement: P(shortcut = label), in (0, 1).
        separation: distances of the means from 0, in standard deviations: of the shortcut and of either core feature.
    """
    _require_share("agreement", agreement)
    clusters = [(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    scale = np.array([separation[0], separation[1], separation[1]])
    return {
        "means": np.array(clusters) * scale,
        "proportions": [(agreement if a == b * c else 1 - agreement) / 4 for a, b, c in clusters],
        "labels": [b * c for _, b, c in clusters],
        "attributes": {"shortcut": [a for a, _, _ in clusters]},
        **parameters,
    }


def imbalanced(majority: float = 0.9, separation: float = 2.0, **parameters: Any) -> dict[str, Any]:
    r"""A majority of either class along feature 0, a minority along feature 1, both told as well by their feature.

    The second moment is diagonal, \(q_is^2+v\) with the shares \(q=(\rho,1-\rho)\) and the variance v within clusters, and so
    the majority's direction the top eigenfunction of a linear network (Lim, Kim & Moon, 2026). Gradient flow takes its weights
    to

    \[w_i(t)=\frac{q_is}{q_is^2+v}\,(1-e^{-\lambda_it}),\qquad\lambda_i\propto q_is^2+v.\]

    Clusters 0 and 1 are the majority, 2 and 3 the minority; the attribute "minority" is 0 or 1. Label D14.5.

    Args:
        majority: its share rho, in (0, 1).
        separation: distance s of all means from 0.
    """
    _require_share("majority", majority)
    return {
        "means": [(-separation, 0.0), (separation, 0.0), (0.0, -separation), (0.0, separation)],
        "proportions": [majority / 2, majority / 2, (1 - majority) / 2, (1 - majority) / 2],
        "labels": [-1, 1, -1, 1],
        "attributes": {"minority": [0, 0, 1, 1]},
        **parameters,
    }


def _require_share(name: str, value: Any) -> None:
    require_values(name, value, (), "in (0, 1)", lambda v: (v > 0) & (v < 1))
