r"""Mean and variance of outputs over data sets drawn from a pool, from the averaged resolvents of one filter. Label D11.2.

Node p moves the output by its count's fluctuation, times the kernel's resolvent without it, times the residual without it:

\[F_c(x,p)=\mathrm{Re}\sum_k\frac{c_k}{N}\frac{c}{1+cd_p}\frac{\langle k_x,Q_kk_p\rangle}{e_p}\frac{y_p-f_k(p)}{e_p},\qquad
  \mathrm{Var}f(x)=\sum_p\mathrm{Var}_cF_c(x,p)-\sum_{\mathrm{totals}}\frac{(\sum_p\mathrm{Cov}(F_c,c))^2}{\sum_p\mathrm{Var}\,c},\]

the second term for sums of counts that are fixed, as those of the classes are. Source: worked out for this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ntk_shortcuts.methods.average.atoms.coordinates import Coordinates, coordinates
from ntk_shortcuts.methods.average.atoms.resolvent import Resolvent
from ntk_shortcuts.networks.gram import Gram
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.typing import Bool, Complex, Float, Int

_FEEDBACK_PASSES = 12
# The random output's residuals are kept to this part of their variance, of at most so many eigenfunctions, in chunks.
_INITIAL = 1e-3
_TARGETS = 1024
_CHUNK = 128

Columns = list[tuple[float, np.ndarray, np.ndarray]]


class Influence(NamedTuple):
    """What moves outputs at one time: the resolvents of its filter with their residues, the counts and N.

    - `varying` (nodes,): the numbers of the nodes whose counts count as random.
    """

    residues: Complex[np.ndarray, "K"]
    resolvents: Sequence[Resolvent]
    counts: Counts
    num_samples: float
    varying: Int[np.ndarray, "nodes"]

    @property
    def varies(self) -> Bool[np.ndarray, "P"]:
        """Whether each node's count counts as random."""
        return np.isin(np.arange(len(self.counts.totals)), self.varying)

    def mean(self, where: Coordinates, targets: Float[np.ndarray, "P k"]) -> Float[np.ndarray, "n k"]:
        """Mean outputs at the test points."""
        coefficients = sum((c * r.fitted(targets)).real for c, r in zip(self.residues, self.resolvents, strict=True))
        return where.points @ coefficients

    def residuals(self, where: Coordinates, targets: Float[np.ndarray, "P k"]) -> list[Complex[np.ndarray, "P k"]]:
        """Of each resolvent, at each node with the node itself left out."""
        return [(targets - where.nodes @ r.fitted(targets)) / r.left_out[:, None] for r in self.resolvents]

    def operator(self, where: Coordinates) -> Float[np.ndarray, "n P"]:
        """The mean linear map from targets at the nodes to outputs at the test points."""
        parts = zip(self.residues, self.resolvents, strict=True)
        rows = np.sum([np.real(c * r.rows * r.weight[:, None]) for c, r in parts], axis=0)
        return where.points @ rows.T

    def columns(self, residuals: Sequence[Complex[np.ndarray, "P"]]) -> Columns:
        """F for every count above 0: its value, its probability at the varying nodes, and F in coordinates (nodes, r)."""
        of = self.varying
        parts = zip(self.residues, self.resolvents, residuals, strict=True)
        factors = [(c * left[of] / (self.num_samples * r.left_out[of]), r.whole[of], r.rows[of]) for c, r, left in parts]
        found = []
        for value, probability in zip(self.counts.values, self.counts.probability[:, of], strict=True):
            if value > 0:
                taken = [(factor * value / (1 + value * whole), rows) for factor, whole, rows in factors]
                moved = sum(np.real(a)[:, None] * np.real(rows) - np.imag(a)[:, None] * np.imag(rows) for a, rows in taken)
                found.append((float(value), probability, moved))
        return found

    def fluctuation(self, columns: Columns) -> Float[np.ndarray, "r r"]:
        """Sum over the nodes of the variance of F over the count."""
        mean = np.sum([probability[:, None] * moved for _, probability, moved in columns], axis=0)
        return sum((moved * probability[:, None]).T @ moved for _, probability, moved in columns) - mean.T @ mean

    def own(self, columns: Columns, where: Coordinates) -> Float[np.ndarray, "P"]:
        """What each node's own count adds to the variance of the output at that node."""
        nodes = where.nodes[self.varying]
        at_nodes = [(probability, np.sum(moved * nodes, axis=1)) for _, probability, moved in columns]
        mean = sum(probability * moved for probability, moved in at_nodes)
        found = np.zeros(len(where.nodes))
        found[self.varying] = sum(probability * moved**2 for probability, moved in at_nodes) - mean**2
        return found

    def along_totals(self, residuals: Sequence[Complex[np.ndarray, "P k"]]) -> Float[np.ndarray, "r factors"]:
        """What the fixed sums of counts take away, as factors: one for each of them and each target."""
        values, probability = self.counts.values[:, None], self.counts.probability
        apart, spread = probability * (values - self.counts.mean) * values, self.counts.variance
        found = []
        for total in np.unique(self.counts.totals):
            of = self.varying[self.counts.totals[self.varying] == total]
            varied = float(np.sum(spread[of]))
            if varied > 0:
                together = 0.0
                for c, r, left in zip(self.residues, self.resolvents, residuals, strict=True):
                    factor = c * np.sum(apart[:, of] / (1 + values * r.whole[of]), axis=0) / r.left_out[of]
                    together = together + (r.rows[of].T @ (factor[:, None] * left[of])).real
                found.append(together / (self.num_samples * np.sqrt(varied)))
        return np.concatenate(found, axis=1) if found else np.zeros((self.resolvents[0].rows.shape[1], 1))


def spread_at(matrix: Float[np.ndarray, "r r"], where: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n"]:
    """The variance at points of given coordinates."""
    return np.maximum(np.sum((where @ matrix) * where, axis=1), 0)


class Spread(NamedTuple):
    """Variance of the output over data sets: a matrix in coordinates, and what each node's own count has of it there."""

    matrix: Float[np.ndarray, "r r"]
    own: Float[np.ndarray, "P"]


def label_spread(influence: Influence, where: Coordinates, targets: Float[np.ndarray, "P k"]) -> Spread:
    """Variance over data sets of the outputs for given targets, without feedback, averaged over k outputs."""
    residuals, count = influence.residuals(where, targets), targets.shape[1]
    along = influence.along_totals(residuals)
    matrix, own = -along @ along.T, np.zeros(len(targets))
    for k in range(count):
        columns = influence.columns([r[:, k] for r in residuals])
        matrix, own = matrix + influence.fluctuation(columns), own + influence.own(columns, where)
    return Spread(matrix / count, own / count)


def flip_spread(influence: Influence, where: Coordinates, variance: Float[np.ndarray, "P"]) -> Spread:
    """Variance over flips of the labels, which are independent: the mean of c labels has a c-th of the variance of one."""
    columns = influence.columns([np.sqrt(variance) + 0j for _ in influence.resolvents])
    nodes, matrix, own = where.nodes[influence.varying], 0.0, np.zeros(len(variance))
    for value, probability, moved in columns:
        share = probability / value
        matrix = matrix + (moved * share[:, None]).T @ moved
        own[influence.varying] += share * np.sum(moved * nodes, axis=1) ** 2
    return Spread(np.asarray(matrix), own)


def label_covariance(influence: Influence, where: Coordinates, targets: Float[np.ndarray, "P k"]) -> Float[np.ndarray, "n k k"]:
    """Covariance of k outputs at the test points over data sets, without feedback."""
    residuals, count = influence.residuals(where, targets), targets.shape[1]
    columns = [influence.columns([r[:, k] for r in residuals]) for k in range(count)]
    total, mean = 0.0, 0.0
    for of_value in zip(*columns, strict=True):
        probability = of_value[0][1]
        moved = np.stack([where.points @ part.T for _, _, part in of_value])  # (k, n, nodes)
        total = total + np.einsum("inp,jnp->nij", moved * probability, moved, optimize=True)
        mean = mean + moved * probability
    total = total - np.einsum("inp,jnp->nij", mean, mean, optimize=True)
    along = np.stack([where.points @ influence.along_totals([r[:, k : k + 1] for r in residuals]) for k in range(count)])
    return total - np.einsum("inp,jnp->nij", along, along, optimize=True)


def initial_spread(influence: Influence, where: Coordinates, gram: Gram, weights: np.ndarray) -> Spread:
    """Variance over data sets of the output for the random targets -f_0, averaged over initialisations.

    The residuals of all eigenfunctions of the NNGP kernel act through their second moments over the poles alone.
    """
    smallest = _INITIAL * np.sum(weights * np.diag(gram.nngp)) / len(weights)
    initial = coordinates(gram.nngp, gram.nngp_cross, weights, smallest, _TARGETS)
    size = 2 * len(influence.resolvents)
    moments, along = np.zeros((len(weights), size, size)), np.zeros((where.nodes.shape[1],) * 2)
    for targets in np.array_split(initial.nodes, max(1, initial.nodes.shape[1] // _CHUNK), axis=1):
        residuals = influence.residuals(where, targets)
        stacked = np.stack([part for r in residuals for part in (np.real(r), np.imag(r))], axis=1)  # (P, 2 K, targets)
        moments += stacked @ np.swapaxes(stacked, 1, 2)
        factors = influence.along_totals(residuals)
        along += factors @ factors.T
    # A node's own part beyond the eigenfunctions is learnt from no other node: all of it is left over.
    moments[:, ::2, ::2] += initial.tail[:, None, None]
    values, vectors = np.linalg.eigh(moments)
    values, vectors = np.maximum(values[:, ::-1], 0), vectors[:, :, ::-1]
    kept = np.cumsum(values.sum(axis=0)) < (1 - _INITIAL) * values.sum()
    total, own = 0.0, np.zeros(len(where.nodes))
    for j in range(int(kept.sum()) + 1):
        column = np.sqrt(values[:, j, None]) * vectors[:, :, j]
        parts = [column[:, 2 * k] + 1j * column[:, 2 * k + 1] for k in range(len(influence.resolvents))]
        columns = influence.columns(parts)
        total, own = total + influence.fluctuation(columns), own + influence.own(columns, where)
    return Spread(total - along, own)


def remaining_variance(influence: Influence, where: Coordinates, gram: Gram) -> Float[np.ndarray, "n"]:
    """Variance over initialisations of (1 - A) f_0, A the mean linear map."""
    operator = influence.operator(where)
    change = np.sum((operator @ gram.nngp - 2 * gram.nngp_cross) * operator, axis=1)
    return np.maximum(gram.nngp_own + change, 0)


def with_feedback(influence: Influence, where: Coordinates, spread: Spread) -> tuple[Float[np.ndarray, "r r"], float]:
    """The variance once the outputs' own variance stands in the residuals too: v = v_0 + B v at the nodes; and by which part
    of the largest the last pass moved it.

    A residual is that of the node left out, on which its own count has no effect: that part of the variance is not fed back.
    """
    first = np.maximum(spread_at(spread.matrix, where.nodes) - spread.own, 0)
    variance, added, moved = first, np.zeros_like(spread.matrix), 0.0
    for _ in range(_FEEDBACK_PASSES):
        before = variance
        roots = [np.sqrt(variance) / r.left_out for r in influence.resolvents]
        columns = influence.columns(roots)
        added = influence.fluctuation(columns)
        variance = np.maximum(first + spread_at(added, where.nodes) - influence.own(columns, where), 0)
        moved = float(np.max(np.abs(variance - before)) / max(np.max(variance), np.finfo(float).tiny))
        if moved < 1e-3:
            break
    return spread.matrix + added, moved
