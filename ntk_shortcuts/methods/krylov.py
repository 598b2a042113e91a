r"""Large data sets with their whole kernel: the problem projected onto a block Krylov space, with a bound of the error.

No more of the kernel matrix \(S=\sqrt W\Theta\sqrt W\) is needed than its products with blocks of columns. From the columns
\(B=(\sqrt Wy,\sqrt W\Theta(X,x))\) of targets and probes on, and with those of some landmarks beside them, the space
\(\mathrm{span}(B,SB,\dots,S^{m-1}B)\) of orthonormal basis Q holds nearly all that a filter makes of them, and in it the data
set is one of few points: \(T=Q^TSQ\) stands for S. Labels D16.1 and D16.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import eigh, qr

from ntk_shortcuts.issues import Issue, UnfinishedSolve
from ntk_shortcuts.kernels.products import KernelProduct
from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.memory import free_memory
from ntk_shortcuts.methods.low_rank import Problem
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.training.frozen_kernel import OutputLaw, trained_outputs
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.typing import Float

# Samples whose kernel columns start beside the others; dimensions of the space; probes that share one.
_LANDMARKS = 64
_MOST = 4096
_PROBES = 1024
# Arrays (n, m) that exist at once, the basis and what products with it take; with the tiles they share what memory is free.
_COPIES = 6
# Of a kernel, samples that pass by at once.
_BLOCK = 2048
# Of the largest column: what is below adds nothing to a space.
_FLOOR = 1e-11
# Nodes of the rational filter of which the bound is made. Few: their residues do not cancel.
_NODES = 8
# Spaces are filled up to multiples of this, which share compiled programs.
_ROUND = 512

_trained = compiled(trained_outputs)


class KrylovSpace(NamedTuple):
    """An orthonormal `basis` Q (n, m) and what it knows of a matrix S and of the columns B that it was started from.

    - `projected` \\(Q^TSQ\\), (m, m); `start` \\(Q^TB\\), (m, columns).
    - `beyond` (b, last): \\(SQ=Q\\,Q^TSQ+Q'\\,(0,\\text{beyond})\\), orthonormal Q' beyond the space, the last block of Q alone
      reaching there.
    """

    basis: Float[np.ndarray, "n m"]
    projected: Float[np.ndarray, "m m"]
    start: Float[np.ndarray, "m columns"]
    beyond: Float[np.ndarray, "b last"]


def krylov_space(
    product: Callable[[Float[np.ndarray, "n b"]], Float[np.ndarray, "n b"]],
    columns: Float[np.ndarray, "n columns"],
    enough: Callable[[KrylovSpace], bool],
    most: int = _MOST,
) -> KrylovSpace:
    """Block Lanczos, every block made orthogonal to all before it, until `enough`, or until another block would not fit.

    Columns that the others nearly span are left out of a block. Label D16.2.

    Args:
        product: with the symmetric matrix.
        most: dimensions, but for the first block.
    """
    scale = np.max(np.linalg.norm(columns, axis=0), initial=0)
    block, first = _orthonormal(columns, _FLOOR * scale)
    basis, projected, largest = np.empty((len(columns), 0)), np.empty((0, 0)), 0.0
    while True:
        basis, before = np.concatenate([basis, block], axis=1), basis.shape[1]
        image = product(block)
        largest = max(largest, float(np.max(np.linalg.norm(image, axis=0), initial=0)))
        inside = np.zeros((basis.shape[1], block.shape[1]))
        for _ in range(2):
            found = basis.T @ image
            image = image - basis @ found
            inside += found
        own = inside[before:]
        projected = np.block([[projected, inside[:before]], [inside[:before].T, (own + own.T) / 2]])
        block, beyond = _orthonormal(image, _FLOOR * largest)
        start = np.pad(first, ((0, len(projected) - len(first)), (0, 0)))
        space = KrylovSpace(basis, projected, start, beyond)
        if not block.shape[1] or basis.shape[1] + block.shape[1] > most or enough(space):
            return space


def _orthonormal(columns: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis of all but what is below the floor, and the columns in it."""
    factors: Any = qr(columns, mode="economic", pivoting=True)
    basis, triangle, order = factors
    rank = int(np.sum(np.abs(np.diagonal(triangle)) > floor))
    coefficients = np.empty((rank, columns.shape[1]))
    coefficients[:, order] = triangle[:rank]
    return basis[:, :rank], coefficients


class FilterErrors(NamedTuple):
    r"""Bounds of what a projection leaves out of a filter g: `mean` of \(b^Tg(S)y\), between all columns b and the first ones,
    y; `columns` of \(g(S)b\)."""

    mean: Float[np.ndarray, "*batch columns targets"]
    columns: Float[np.ndarray, "*batch columns"]


def filter_errors(space: KrylovSpace, rule: TrainingRule, count: int, targets: int) -> FilterErrors:
    r"""Bounds of the error of \(Qg(T)Q^TB\), and of \(B^TQg(T)Q^TB\) with its first columns, `targets`. Label D16.1.

    With the filter's resolvents, \(g(\lambda)=\mathrm{Re}\sum_kc_k/(\lambda-s_k)\), and residuals
    \(r_k=b-(S-s_k)Q(T-s_k)^{-1}Q^Tb\), orthogonal to the space,

    \[|g(S)b-Qg(T)Q^Tb|\le\sum_k\frac{|c_k|\,|r_k|}{\mathrm{dist}(s_k)},\qquad
      |b'^Tg(S)b-b'^TQg(T)Q^Tb|\le\sum_k\frac{|c_k|\,|r_k|\,|r'_k|}{\mathrm{dist}(s_k)}.\]

    The distance is that from the spectrum of S, for which the interval from half of T's smallest eigenvalue to its largest is
    taken: both converge from within. Where S has eigenvalues below, and training reaches them, the bound is an estimate.
    """
    values, vectors = eigh(space.projected)
    low, high = max(values[0], 0) / 2, values[-1]
    rational = rule.rational(count, float(high), _NODES)
    sides = space.beyond @ vectors[len(vectors) - space.beyond.shape[1] :]
    parts = vectors.T @ space.start

    def bounds(poles: np.ndarray, residues: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        left = np.stack([np.linalg.norm(sides @ (parts / (values - pole)[:, None]), axis=0) for pole in poles])
        weights = np.abs(residues) / np.abs(poles - np.clip(np.real(poles), low, high))
        return np.einsum("k,kb,ky->by", weights, left, left[:, :targets]), weights @ left

    poles, residues = (np.asarray(part) for part in (rational.poles, rational.residues))
    found = [bounds(*row) for row in zip(np.atleast_2d(poles), np.atleast_2d(residues), strict=True)]
    return FilterErrors(*(np.stack(part).reshape(*poles.shape[:-1], *part[0].shape) for part in zip(*found, strict=True)))


def projected_outputs(
    problem: Problem, random_init: bool, tolerance: float, full_covariance: bool = False
) -> tuple[OutputLaw, dict[str, float], tuple[Issue, ...]]:
    r"""Law of the outputs after training, as :func:`~ntk_shortcuts.training.frozen_kernel.trained_outputs` has it.

    In the basis Q of a Krylov space the data set becomes one of m points of weight one, with the kernels \(T=Q^TSQ\) and
    \(Q^T\sqrt WK\sqrt WQ\), the targets \(Q^T\sqrt Wy\), and \(k(x)^T\sqrt WQ\) to the probes. Memory holds n x m numbers, and
    the tiles of the kernel that fit beside them.

    Args:
        problem: what is to be solved; of targets (n, k) the mean is (*batch, probes, k).
        random_init: with the variance over initialisations, or the covariance (probes, probes) on request.
        tolerance: of mean and standard deviation at the probes.

    Returns:
        The law, diagnostics (`krylov_dimension` m, and `krylov_error`, the bound of mean and standard deviation at the
        probes), and an issue where the bound is still above the tolerance in the largest space.

    Source: block Lanczos as in Golub & Underwood (1977); the bound is this project's. Label D16.1.
    """
    product = KernelProduct(problem.network.kernels, "ntk", problem.points, problem.weights)
    most = min(_MOST, free_memory() // (2 * _COPIES * 8 * len(problem.points)))
    groups = -(-len(problem.probes) // _PROBES) if random_init and not full_covariance else 1
    laws, dimension, error = [], 0, 0.0
    for group in np.array_split(np.arange(len(problem.probes)), groups):
        of_group = problem._replace(probes=problem.probes[group])
        bound = _Bound.of(of_group, random_init)
        space = krylov_space(product, bound.columns(of_group), lambda found, bound=bound: bound(found) <= tolerance, most)
        laws.append(_law_in(space, of_group, random_init, full_covariance))
        dimension, error = max(dimension, space.basis.shape[1]), max(error, bound(space))
    issues = () if error <= tolerance else (UnfinishedSolve(error, len(problem.points), dimension, tolerance),)
    law = laws[0] if groups == 1 else _joined(laws, -1 if problem.targets.ndim == 1 else -2)
    return law, {"krylov_dimension": float(dimension), "krylov_error": error}, issues


class _Bound(NamedTuple):
    """The bound of mean and standard deviation for a problem, of so many targets, and so many probes whose columns start."""

    rule: TrainingRule
    count: int
    targets: int
    probes: int
    scale: float

    @classmethod
    def of(cls, problem: Problem, random_init: bool) -> _Bound:
        """By what a column's error moves the outputs at most: of the standard deviation the root of K's trace, else of the
        mean the norm of a probe's column."""
        own = problem.network.own(problem.probes)
        traces = np.zeros(2)
        for block, weights, size in _blocks(problem.points, problem.weights):
            found = problem.network.own(block)
            traces += [float(np.sum((np.asarray(part) * weights)[:size])) for part in (found.nngp, found.ntk)]
        scale = np.sqrt(traces[0]) if random_init else np.sqrt(traces[1] * np.max(np.asarray(own.ntk), initial=0))
        targets = int(np.prod(problem.targets.shape[1:]))
        return cls(problem.rule, len(problem.points), targets, len(problem.probes) if random_init else 0, float(scale))

    def columns(self, problem: Problem) -> Float[np.ndarray, "n columns"]:
        """What the space is started from: targets, kernels to the probes, and to some landmarks. Label D16.2."""
        targets, points = np.asarray(problem.targets).reshape(self.count, -1), problem.points
        chosen = np.random.default_rng(0).choice(self.count, min(_LANDMARKS, self.count), replace=False)
        starts = jnp.concatenate([problem.probes[: self.probes], points[np.sort(chosen)]])
        kernels = [
            np.asarray(problem.network.kernels(block, starts).ntk)[:size] for block, _, size in _blocks(points, problem.weights)
        ]
        return np.sqrt(np.asarray(problem.weights))[:, None] * np.concatenate([targets, np.concatenate(kernels)], axis=1)

    def __call__(self, space: KrylovSpace) -> float:
        asked = space._replace(start=space.start[:, : self.targets + self.probes])
        found = filter_errors(asked, self.rule, self.count, self.targets)
        if not self.probes:
            return self.scale * float(np.max(found.columns))
        spread = self.scale * np.max(found.columns[..., self.targets :])
        return float(max(np.max(found.mean[..., self.targets :, :]), spread))


def _law_in(space: KrylovSpace, problem: Problem, random_init: bool, full_covariance: bool) -> OutputLaw:
    """The law of the data set that the space makes of a large one."""
    network, rule, points, targets, probes, weights = problem
    kernels = network.kernels
    basis = space.basis
    weighted = np.sqrt(np.asarray(weights))[:, None] * basis
    cross = np.zeros((2, len(probes), basis.shape[1]))
    for start, (block, _, size) in zip(range(0, len(points), _BLOCK), _blocks(points, weights), strict=True):
        found = kernels(probes, block)
        cross += [np.asarray(part)[:, :size] @ weighted[start : start + size] for part in (found.nngp, found.ntk)]
    nngp, prior = np.zeros_like(space.projected), None
    if random_init:
        nngp = basis.T @ KernelProduct(kernels, "nngp", points, weights, memory=0)(basis)
        prior = kernels(probes).nngp if full_covariance else network.own(probes).nngp
    known = space.start[:, : int(np.prod(targets.shape[1:]))]
    return _trained(
        Kernels(_filled(nngp, 0, 1), _filled(space.projected, 0, 1)),
        Kernels(*(_filled(part, 1) for part in cross)),
        prior,
        _filled(np.ones(len(known)), 0),
        _filled(known[:, 0] if targets.ndim == 1 else known, 0),
        rule,
        len(points),
    )


def _filled(array: np.ndarray, *axes: int) -> jax.Array:
    """Zeros behind, to one of few sizes: points of weight zero."""
    return jnp.pad(jnp.asarray(array), [(0, -size % _ROUND if axis in axes else 0) for axis, size in enumerate(array.shape)])


def _blocks(points: jax.Array, weights: jax.Array) -> Iterator[tuple[jax.Array, np.ndarray, int]]:
    """Points and weights block by block, the last one filled up with copies of the last point, and how many are meant."""
    size = min(_BLOCK, len(points))
    for start in range(0, len(points), size):
        index = np.minimum(np.arange(start, start + size), len(points) - 1)
        yield points[index], np.asarray(weights)[index], min(size, len(points) - start)


def _joined(laws: list[OutputLaw], axis: int) -> OutputLaw:
    """The laws at groups of probes as one."""

    def along(axis: int, *parts: Any) -> Any:
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=axis), *parts)

    means, variances, errors = ([getattr(law, name) for law in laws] for name in ("mean", "variance", "error"))
    return dataclasses.replace(laws[0], mean=along(axis, *means), variance=along(axis, *variances), error=along(-1, *errors))
