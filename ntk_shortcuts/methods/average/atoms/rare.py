r"""Groups of which a data set holds a few samples only: these are drawn, and the rest averaged. Label D11.3.

Over data sets the output at a point near such a group is not Gaussian: one sample decides. With \(Q\) the averaged resolvent of
the other nodes alone, a draw adds weights \(\Delta\) on the few nodes D that came, a matrix of low rank: with
\(H=\Phi Q\Phi^T\), and f the output without them,

\[f_D(x)=f(x)+H_{xD}(1+\Delta H_{DD})^{-1}\Delta\,(y_D-f(D)).\]
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ntk_shortcuts.methods.average.atoms.coordinates import Coordinates
from ntk_shortcuts.methods.average.atoms.influence import Influence
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.typing import Float, Int

RARE = 10.0
"""Groups of which a data set is expected to hold less are drawn."""


class RareNodes(NamedTuple):
    """The nodes of rare groups by number, how often each comes in every draw, (draws, nodes), and the mean of its labels there,
    (draws, nodes, k); None: the targets themselves."""

    nodes: Int[np.ndarray, "nodes"]
    drawn: Int[np.ndarray, "draws nodes"]
    labels: Float[np.ndarray, "draws nodes k"] | None = None


def drawn_labels(
    rng: np.random.Generator, targets: Float[np.ndarray, "nodes k"], drawn: Int[np.ndarray, "draws nodes"]
) -> Float[np.ndarray, "draws nodes k"]:
    """Means of the labels that come, each +1 or -1 with the target as mean."""
    positive = rng.binomial(drawn, (1 + targets[:, 0]) / 2)
    return (2 * positive / np.maximum(drawn, 1) - 1)[..., None]


def rare_nodes(counts: Counts) -> Int[np.ndarray, "nodes"]:
    """Nodes that may come, of groups of which less than :data:`RARE` samples are expected in a data set."""
    expected = np.bincount(counts.groups, weights=counts.mean)[counts.groups]
    return np.flatnonzero((expected < RARE) & (counts.variance > 0))


def drawn_means(influence: Influence, where: Coordinates, targets: Float[np.ndarray, "P k"], rare: RareNodes) -> np.ndarray:
    """Mean outputs at the test points for each draw of the rare nodes, (draws, n, k)."""
    means = np.zeros((len(rare.drawn), len(where.points), targets.shape[1]))
    nodes = where.nodes[rare.nodes]
    labels = np.broadcast_to(targets[rare.nodes], (*rare.drawn.shape, targets.shape[1])) if rare.labels is None else rare.labels
    for c, r in zip(influence.residues, influence.resolvents, strict=True):
        without = r.without(rare.nodes, where)
        fitted = without @ (where.nodes.T @ (np.where(influence.varies, r.weight, 0)[:, None] * targets))
        at_points, at_nodes = where.points @ fitted, nodes @ fitted
        rows = nodes @ without
        to_points, among, tail = where.points @ rows.T, nodes @ rows.T, (r.whole - r.leverage)[rare.nodes]
        for draw, times in enumerate(rare.drawn):
            came = np.flatnonzero(times)
            added = times[came] / (influence.num_samples * (1 + times[came] * tail[came]))
            matrix = np.eye(len(came)) + added[:, None] * among[np.ix_(came, came)]
            left = (labels[draw] - at_nodes)[came]
            means[draw] += (c * (at_points + to_points[:, came] @ np.linalg.solve(matrix, added[:, None] * left))).real
    return means
