"""Outputs averaged over the data sets drawn from a pool."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ntk_shortcuts.methods.average.atoms.coordinates import Coordinates, coordinates
from ntk_shortcuts.methods.average.atoms.influence import (
    Influence,
    Spread,
    flip_spread,
    initial_spread,
    label_covariance,
    label_spread,
    remaining_variance,
    spread_at,
    with_feedback,
)
from ntk_shortcuts.methods.average.atoms.rare import RareNodes, drawn_means
from ntk_shortcuts.methods.average.atoms.resolvent import Resolvent, averaged_resolvent
from ntk_shortcuts.networks.gram import Gram
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.typing import Complex, Float

# Eigenfunctions are kept down to this part of the smallest pole: those learnt to 1/50 at the end.
_CUT = 0.01


class Atoms(NamedTuple):
    """A pool as an average sees it: kernels, targets and weights of its nodes, their counts in a data set, and N.

    - `flips`: whether labels are +1 or -1 at random, with the target as mean.
    """

    gram: Gram
    targets: Float[np.ndarray, "P k"]
    weights: Float[np.ndarray, "P"]
    counts: Counts
    num_samples: int
    rare: RareNodes | None = None
    flips: bool = False


class Averaged(NamedTuple):
    """The law of the outputs at n test points at one time.

    - `means` (draws, n, k): one draw where no group is rare. `covariance` (n, k, k): of the k outputs over all else that is
      random; `data_variance` (n,): the part over data sets, mean of the outputs.
    - `modes`, `iterations`, `residual`: of the fixed points. `moved`: by which part feedback's last pass moved the variance.
    """

    means: Float[np.ndarray, "draws n k"]
    covariance: Float[np.ndarray, "n k k"]
    data_variance: Float[np.ndarray, "n"]
    modes: int
    iterations: int
    residual: float
    moved: float


def coordinate_weights(weights: Float[np.ndarray, "P"]) -> Float[np.ndarray, "P"]:
    """Weights under which coordinates are the leading ones: half the law's, and half alike, so that rare nodes are resolved."""
    return (weights + 1 / len(weights)) / 2


def pool_coordinates(atoms: Atoms, poles: Complex[np.ndarray, "..."]) -> Coordinates:
    """Coordinates for all times: what the smallest pole feels."""
    smallest = _CUT * float(np.min(np.abs(poles)))
    return coordinates(atoms.gram.ntk, atoms.gram.ntk_cross, coordinate_weights(atoms.weights), smallest)


def averaged(
    atoms: Atoms,
    whole: Coordinates,
    poles: Complex[np.ndarray, "K"],
    residues: Complex[np.ndarray, "K"],
    random_init: bool,
    feedback: bool,
) -> Averaged:
    """Mean and variance at one time, from the poles and residues of its filter."""
    where = whole.above(_CUT * float(np.min(np.abs(poles))))
    resolvents: list[Resolvent] = []
    for pole in poles[::-1]:
        start = resolvents[-1].leverage if resolvents else None
        resolvents.append(averaged_resolvent(complex(pole), where, atoms.counts, atoms.num_samples, start))
    rare = atoms.rare
    varying = np.arange(len(atoms.weights))
    varying = varying if rare is None else np.setdiff1d(varying, rare.nodes)
    influence = Influence(residues, resolvents[::-1], atoms.counts, atoms.num_samples, varying)
    if rare is None:
        means = influence.mean(where, atoms.targets)[None]
    else:
        means = drawn_means(influence, where, atoms.targets, rare)
    spread = label_spread(influence, where, atoms.targets)
    if atoms.flips:
        of_flips = flip_spread(influence, where, 1 - atoms.targets[:, 0] ** 2)
        spread = Spread(spread.matrix + of_flips.matrix, spread.own + of_flips.own)
    initial = np.zeros(len(where.points))
    if random_init:
        # Drawn or not, every node moves the random output: what draws fix is the labels' part.
        everything = influence._replace(varying=np.arange(len(atoms.weights)))
        of_initial = initial_spread(everything, where, atoms.gram, coordinate_weights(atoms.weights))
        spread = Spread(spread.matrix + of_initial.matrix, spread.own + of_initial.own)
        initial = remaining_variance(influence, where, atoms.gram)
    matrix, moved = with_feedback(influence, where, spread) if feedback else (spread.matrix, 0.0)
    data_variance = spread_at(matrix, where.points)
    covariance = (initial + data_variance)[:, None, None] * np.eye(means.shape[-1])
    if means.shape[-1] > 1:
        # Outputs share what moves them: the labels' part keeps its correlations, on the scale that feedback gives it.
        labels = label_covariance(influence, where, atoms.targets)
        own = np.trace(labels, axis1=1, axis2=2) / means.shape[-1]
        rest = np.maximum(data_variance - own, 0) if random_init else np.zeros_like(own)
        scale = np.where(own > 0, (data_variance - rest) / np.where(own > 0, own, 1), 1)
        covariance = labels * scale[:, None, None] + (initial + rest)[:, None, None] * np.eye(means.shape[-1])
    return Averaged(
        means,
        covariance,
        data_variance,
        where.nodes.shape[1],
        max(r.iterations for r in resolvents),
        max(r.residual for r in resolvents),
        moved,
    )
