r"""A pool's kernel as an operator, \((Tf)(p)=\sum_r q_r\Theta(p,r)f(r)\), in its symmetric form \(\sqrt q\,\Theta\sqrt q\)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ntk_shortcuts.analysis.samples.functions import centred
from ntk_shortcuts.issues import WidthIgnored, give
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.networks.base import as_network
from ntk_shortcuts.networks.gram import gram_within
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.typing import Float, Int

# Up to so many samples the whole spectrum is computed; beyond, the leading pairs and a quadrature of each measure.
WHOLE = 2048
_STEPS = 300
# Eigenvalues below this part of the largest are rounding: what lies there is never learnt.
_ROUNDING = 1e-13


class Measure(NamedTuple):
    r"""A function's square along a spectrum: \(\sum_kw_k\delta(\lambda-\lambda_k)\), its norm removed.

    - `eigenvalues` (k,), `weights` (k,): of sum 1; NaN for a function that is 0.
    """

    eigenvalues: Float[np.ndarray, "k"]
    weights: Float[np.ndarray, "k"]

    def left(self, time: Any) -> Any:
        r"""The part that gradient flow on infinite data has not learnt, \(\sum_kw_ke^{-2\lambda_kt}\), of the squared norm."""
        return np.exp(-2 * np.multiply.outer(np.asarray(time), self.eigenvalues)) @ self.weights

    @property
    def learning_time(self) -> float:
        """When half of the square is learnt; inf where that is never, NaN for a function that is 0.

        Example:
            >>> round(Measure(np.array([2.0]), np.array([1.0])).learning_time, 4)  # log(2)/(2 x 2)
            0.1733
        """
        from scipy.optimize import brentq

        if not np.all(np.isfinite(self.weights)):
            return float("nan")
        seen = self.eigenvalues > 0
        if np.sum(self.weights[~seen]) >= 0.5 - 1e-9 or not np.any(seen):
            return float("inf")
        # Half is learnt at the latest when the slowest eigenfunction that is seen has lost its share.
        latest = 40 / np.min(self.eigenvalues[seen])
        earliest = np.log(2) / 2 / np.max(self.eigenvalues)
        bounds = np.log(earliest) - 1, np.log(latest) + 1
        logarithm: Any = brentq(lambda u: float(self.left(np.exp(u))) - 0.5, *bounds, xtol=1e-12)
        return float(np.exp(logarithm))


class Operator(NamedTuple):
    """The kernel (P, P), its symmetric form (P, P), and the roots of the weights (P,)."""

    kernel: Float[np.ndarray, "P P"]
    matrix: Float[np.ndarray, "P P"]
    root: Float[np.ndarray, "P"]

    def functions(self, values: Int[np.ndarray, "P"]) -> Float[np.ndarray, "P k"]:
        """Values as centred functions (`centred`), times the roots of the weights: their products are those under the law."""
        return self.root[:, None] * centred(values, self.root**2)

    def leading(self, count: int) -> tuple[Float[np.ndarray, "count"], Float[np.ndarray, "P count"]]:
        """Eigenvalues, descending, and eigenvectors as columns."""
        from scipy.sparse.linalg import eigsh

        size = len(self.matrix)
        if size <= WHOLE or 2 * count > size:
            eigenvalues, vectors = np.linalg.eigh(self.matrix)
        else:
            eigenvalues, vectors = eigsh(self.matrix, count, which="LA", v0=np.random.default_rng(0).normal(size=size))
        return eigenvalues[::-1][:count], vectors[:, ::-1][:, :count]

    def at_samples(
        self, eigenvalues: Float[np.ndarray, "count"], vectors: Float[np.ndarray, "P count"]
    ) -> Float[np.ndarray, "P count"]:
        """Eigenfunctions from eigenvectors; samples without weight have theirs by their kernels with the others."""
        weighted = self.root > 0
        functions = np.divide(vectors, self.root[:, None], where=weighted[:, None], out=np.full(vectors.shape, np.nan))
        if not np.all(weighted):
            with np.errstate(divide="ignore", invalid="ignore"):
                functions[~weighted] = self.kernel[~weighted] @ (self.root[:, None] * vectors) / eigenvalues
        return functions

    def measure(self, functions: Float[np.ndarray, "P k"]) -> Measure:
        """Of functions together: their squares along the spectrum add up."""
        size, norm = len(self.matrix), np.sum(functions**2)
        if norm <= 1e-24:
            return Measure(np.ones(1), np.full(1, np.nan))
        if size <= WHOLE:
            eigenvalues, vectors = self.leading(size)
            weights = np.sum((vectors.T @ functions) ** 2, axis=1)
        else:
            parts = [_quadrature(self.matrix, column) for column in functions.T if np.any(column)]
            eigenvalues, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
        largest = np.max(eigenvalues)
        return Measure(np.where(eigenvalues > _ROUNDING * largest, eigenvalues, 0), weights / norm)

    def alignment(self, functions: Float[np.ndarray, "P k"]) -> float:
        r"""\(y^T\!Ky/(|y|^2\|K\|_F)\) under the weights, of functions together."""
        with np.errstate(invalid="ignore"):
            whole = np.sum(functions**2) * np.linalg.norm(self.matrix)
            return float(np.sum(functions * (self.matrix @ functions)) / whole)


def operator_of(pool: Pool, network: Any, cache: Any = None) -> Operator:
    """The NTK of a network of infinite width on a pool's samples, under its weights."""
    network = as_network(network)
    width = network.facts.width
    if width is not None:
        give([WidthIgnored(float(width))])
    kernel, root = _kernel(network, pool, cache), np.sqrt(pool.weights)
    return Operator(kernel, root[:, None] * (kernel + kernel.T) / 2 * root, root)


@in_float64
def _kernel(network: Any, pool: Pool, cache: Any) -> np.ndarray:
    return gram_within(network, pool.inputs, cache).ntk


def _quadrature(matrix: np.ndarray, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A vector's square along the spectrum by Gauss's quadrature: Lanczos from the vector, all of the basis kept orthogonal."""
    norm = np.linalg.norm(vector)
    basis = np.empty((min(_STEPS, len(matrix)), len(vector)))
    basis[0] = vector / norm
    diagonal, beside = [], []
    for step in range(len(basis)):
        following = matrix @ basis[step]
        diagonal.append(basis[step] @ following)
        for _ in range(2):
            following -= basis[: step + 1].T @ (basis[: step + 1] @ following)
        size = np.linalg.norm(following)
        if step + 1 == len(basis) or size <= 1e-14 * abs(diagonal[0]):
            break
        beside.append(size)
        basis[step + 1] = following / size
    eigenvalues, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    return eigenvalues, norm**2 * vectors[0] ** 2
