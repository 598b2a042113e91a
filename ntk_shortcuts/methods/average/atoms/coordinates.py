"""Coordinates in which an average over a pool is computed: leading eigenfunctions of its kernel, and what they leave out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import qr

from ntk_shortcuts.typing import Float

# Up to so many nodes all eigenfunctions are computed; beyond, the leading ones by subspace iteration.
_ALL = 2048
_PASSES = 3
# What lies below this part of the largest eigenvalue is rounding.
_ROUNDING = 1e-13


class Coordinates(NamedTuple):
    r"""\(\Theta(x,z)\approx\Phi_x\Phi_z^T\): leading eigenfunctions, each times the root of its eigenvalue.

    - `nodes` (P, r), `points` (n, r): \(\Phi\). `eigenvalues` (r,), descending.
    - `tail` (P,): \(\Theta(z,z)-|\Phi_z|^2\).
    """

    nodes: Float[np.ndarray, "P r"]
    points: Float[np.ndarray, "n r"]
    eigenvalues: Float[np.ndarray, "r"]
    tail: Float[np.ndarray, "P"]

    def above(self, eigenvalue: float) -> Coordinates:
        """Only the eigenfunctions beyond that eigenvalue; the others join the tail."""
        r = max(1, int(np.sum(self.eigenvalues > eigenvalue)))
        left_out = np.sum(self.nodes[:, r:] ** 2, axis=1)
        return Coordinates(self.nodes[:, :r], self.points[:, :r], self.eigenvalues[:r], self.tail + left_out)


def coordinates(
    kernel: Float[np.ndarray, "P P"],
    cross: Float[np.ndarray, "n P"],
    weights: Float[np.ndarray, "P"],
    smallest: float,
    most: int | None = None,
) -> Coordinates:
    """Eigenfunctions of the kernel under the weights with eigenvalues above `smallest`, and at most so many."""
    root = np.sqrt(weights)
    matrix = root[:, None] * kernel * root
    if len(matrix) <= _ALL:
        eigenvalues, vectors = np.linalg.eigh(matrix)
    else:
        eigenvalues, vectors = _leading(matrix, smallest, most)
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    r = max(1, int(np.sum(eigenvalues > max(smallest, _ROUNDING * eigenvalues[0]))))
    r = r if most is None else min(r, most)
    columns = root[:, None] * vectors[:, :r] / np.sqrt(eigenvalues[:r])
    nodes = kernel @ columns
    tail = np.maximum(np.diag(kernel) - np.sum(nodes**2, axis=1), 0)
    return Coordinates(nodes, cross @ columns, eigenvalues[:r], tail)


def _leading(matrix: np.ndarray, smallest: float, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Eigenpairs down to `smallest`, by subspace iteration from random vectors, ascending (Halko, Martinsson & Tropp 2011)."""
    size, count = len(matrix), 512
    rng = np.random.default_rng(0)
    while True:
        if count > size // 2:
            return np.linalg.eigh(matrix)
        basis = matrix @ rng.normal(size=(size, count))
        for _ in range(_PASSES - 1):
            basis = matrix @ _orthonormal(basis)
        basis = _orthonormal(basis)
        eigenvalues, vectors = np.linalg.eigh(basis.T @ (matrix @ basis))
        # The last tenth of a subspace has not converged.
        if eigenvalues[count // 10] <= smallest or (most is not None and count - count // 10 >= most):
            return eigenvalues[count // 10 :], basis @ vectors[:, count // 10 :]
        count = min(2 * count, size)


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    return np.asarray(qr(columns, mode="economic", overwrite_a=True, check_finite=False)[0])
