r"""Random outputs at initialisation, drawn: under a loss that is not squared they enter nonlinearly. Label D12.2.

f_0 is Gaussian with the NNGP kernel K. It is drawn at the nodes, in the kernel's own coordinates \(K=\psi\cdot\psi\), as
\(f_0=\psi\cdot\xi\); at test points it is then Gaussian with mean \(\psi(x)\cdot\xi\) and variance \(K(x,x)-|\psi(x)|^2\),
which is not drawn but kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import ndtri

from ntk_shortcuts.numerics import generator
from ntk_shortcuts.training.coordinates import Coordinates
from ntk_shortcuts.typing import AnyArray, Float, Key
from ntk_shortcuts.validation import require, require_integer, require_key

NUM_DRAWS = 32
"""How many outputs at initialisation are drawn by default."""

# Modes drawn from a sequence that fills space evenly; the others, of the smallest eigenvalues, are plain random numbers.
_EVEN = 24


class Initial(NamedTuple):
    """Outputs at initialisation, a row for each, at nodes and test points, and their variance given those at the nodes."""

    at_nodes: Float[np.ndarray, "inits nodes"]
    at_points: Float[np.ndarray, "inits points"]
    variance: Float[np.ndarray, "points"] | None


def no_initial(nodes: int, points: int) -> Initial:
    """f_0 = 0."""
    return Initial(np.zeros((1, nodes)), np.zeros((1, points)), None)


def drawn_initial(
    train: Float[AnyArray, "nodes nodes"],
    cross: Float[AnyArray, "points nodes"],
    own: Float[AnyArray, "points"],
    weights: Float[AnyArray, "nodes"],
    num_draws: int,
    key: Key | None,
) -> Initial:
    """Draws of f_0.

    Args:
        train, cross, own: NNGP kernels between the nodes, between test points and nodes, and of each test point with itself.
        num_draws: even, so that all have their opposite.
        key: `jax.random.key(0)` by default.

    Numerics: the second half of the draws are the first with the opposite sign; the leading coordinates follow a shifted Sobol
    sequence. Means over them are closer than those of independent draws.
    """
    require_integer("num_draws", num_draws, 1)
    require(num_draws == 1 or num_draws % 2 == 0, "num_draws", "even: every draw has its opposite", num_draws)
    coordinates = Coordinates.of(train, weights)
    draws = _normal(num_draws, len(coordinates.eigenvalues), jax.random.key(0) if key is None else require_key(key))
    at_points = coordinates(cross)
    left = np.maximum(np.asarray(own) - np.sum(at_points**2, axis=1), 0)
    return Initial(draws @ coordinates(train).T, draws @ at_points.T, left)


def _normal(count: int, modes: int, key: Any) -> Float[np.ndarray, "count modes"]:
    from scipy.stats import qmc

    rng, even, half = generator(key), min(modes, _EVEN), (count + 1) // 2
    draws = rng.normal(size=(half, modes))
    if even > 0 and half > 1:
        sequence = qmc.Sobol(even, scramble=False).random_base2(int(np.ceil(np.log2(half))))[:half]
        uniform = (sequence + rng.uniform(size=even)) % 1
        draws[:, :even] = ndtri(np.clip(uniform, 1e-9, 1 - 1e-9))
    return np.concatenate([draws, -draws])[:count]


def standard_error(values: Float[np.ndarray, "inits *batch"]) -> float:
    """Of the mean over draws, the largest of a batch: that of the pairs of opposite draws; NaN for fewer than two pairs."""
    half = len(values) // 2
    if half < 2:
        return float("nan")
    pairs = (values[:half] + values[len(values) - half :]) / 2
    return float(np.max(np.std(pairs, axis=0, ddof=1)) / np.sqrt(half))
