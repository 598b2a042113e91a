r"""The averaged resolvent of the Gram matrix of a data set drawn from a pool, with repeated draws counted. Label D11.1.

With \(Q_{-p}\) the resolvent without node p, \(d_p=\frac1N\langle k_p,Q_{-p}k_p\rangle\), \(g_p=E[c/(1+cd_p)]\) and
\(e_p=E[1/(1+cd_p)]=1-d_pg_p\),

\[Q=\Big(\sum_pW_pk_pk_p^T-s\Big)^{-1},\quad W_p=\frac{g_p}{Ne_p},\quad
  \langle k_p,Q_{-p}k_p\rangle=\langle k_p,Qk_p\rangle/e_p.\]

In coordinates of the leading eigenfunctions; what they leave out enters a node's own leverage only, as
\(\tau_p=\mathrm{tail}_p/(-sN)\), and \(d_p\to d_p+\tau_p\) in the two means. Source: worked out for this package.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ntk_shortcuts.methods.average.atoms.coordinates import Coordinates
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.typing import Complex, Float, Int

_TOLERANCE = 1e-7
_ITERATIONS = 60
# Differences that Anderson's acceleration combines.
_MEMORY = 5


class Resolvent(NamedTuple):
    r"""One averaged resolvent.

    - `pole`: s. `leverage` (P,): \(d_p\) in the coordinates, `whole` (P,): with the tail's. `weight` (P,): \(W_p\).
    - `left_out` (P,): \(e_p\). `rows` (P, r): \(\Phi_pQ\).
    - `residual`: relative change of the last iteration. `iterations`.
    """

    pole: complex
    leverage: Complex[np.ndarray, "P"]
    whole: Complex[np.ndarray, "P"]
    weight: Complex[np.ndarray, "P"]
    left_out: Complex[np.ndarray, "P"]
    rows: Complex[np.ndarray, "P r"]
    residual: float
    iterations: int

    def fitted(self, targets: Float[np.ndarray, "P k"]) -> Complex[np.ndarray, "r k"]:
        r"""Coordinates of the mean output: \(f_s(x)=\Phi_x\sum_pQ\Phi_pW_py_p\)."""
        return self.rows.T @ (self.weight[:, None] * targets)

    def without(self, nodes: Int[np.ndarray, "nodes"], where: Coordinates) -> Complex[np.ndarray, "r r"]:
        """The resolvent of all other nodes, in coordinates."""
        weight = self.weight.copy()
        weight[nodes] = 0
        return np.linalg.inv(_weighted(where.nodes, weight) - self.pole * np.eye(where.nodes.shape[1]))


def averaged_resolvent(
    pole: complex, where: Coordinates, counts: Counts, num_samples: float, start: Complex[np.ndarray, "P"] | None = None
) -> Resolvent:
    """Solve the fixed point at one pole with Im s > 0, or real s < 0, by accelerated iteration (Anderson 1965).

    Args:
        start: leverages to start from, of a neighbouring pole.
    """
    nodes, own_tail = where.nodes, where.tail / (-pole * num_samples)
    leverage = np.zeros(len(nodes), complex) if start is None else start
    before: list[tuple[np.ndarray, np.ndarray]] = []
    for iteration in range(1, _ITERATIONS + 1):  # noqa: B007  the last one is reported
        weight, left_out = _weights(leverage, own_tail, counts, num_samples)
        rows = _times(nodes, np.linalg.inv(_weighted(nodes, weight) - pole * np.eye(nodes.shape[1])))
        own = np.sum(rows * nodes, axis=1)
        move = own / (num_samples * (1 - weight * own)) - leverage
        residual = float(np.max(np.abs(move) / np.abs(1 + leverage + own_tail)))
        if residual < _TOLERANCE:
            break
        before = [*before, (leverage, move)][-_MEMORY:]
        leverage = _accelerated(before)
    return Resolvent(pole, leverage, leverage + own_tail, weight, left_out, rows, residual, iteration)


def _weights(leverage: np.ndarray, own_tail: np.ndarray, counts: Counts, num_samples: float) -> tuple[np.ndarray, np.ndarray]:
    """W and e. The mean of (1 + c tail)/(1 + c d) is e without a difference."""
    response = counts.probability / (1 + counts.values[:, None] * (leverage + own_tail))
    taken = np.sum(response * counts.values[:, None], axis=0)
    left_out = np.sum(response, axis=0) + own_tail * taken
    return taken / (num_samples * left_out), left_out


def _accelerated(before: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The next iterate: where the combination of the last moves is least."""
    last, move = before[-1]
    if len(before) == 1:
        return last + move
    points = np.stack([last - point for point, _ in before[:-1]], axis=1)
    moves = np.stack([move - other for _, other in before[:-1]], axis=1)
    shares = np.linalg.lstsq(moves, move, rcond=1e-12)[0]
    return last + move - (points + moves) @ shares


def _weighted(nodes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sum of W k k^T, as two real products."""
    return (nodes.T * np.real(weight)) @ nodes + 1j * ((nodes.T * np.imag(weight)) @ nodes)


def _times(real: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return real @ np.real(matrix) + 1j * (real @ np.imag(matrix))
