"""Large data sets: the kernel through a few landmarks, so that time is linear in the samples and memory does not grow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf  # pyright: ignore[reportAttributeAccessIssue]  made when SciPy is compiled

from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.networks.base import Network
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.training.frozen_kernel import OutputLaw
from ntk_shortcuts.training.rules import SpectralFilter, TrainingRule
from ntk_shortcuts.training.spectral import apply_filter
from ntk_shortcuts.typing import Array, Float

# Landmarks are chosen among so many samples; ranks are tried in turn; samples are taken in blocks.
_CANDIDATES = 4096
_RANKS = (1024, 2048)
_BLOCK = 2048


class Landmarks(eqx.Module):
    r"""Points Z and the Cholesky factor of the kernel between them: \(k(x,x')\approx g(x)\cdot g(x'),\ g(x)=L^{-1}k(Z,x)\).

    The pivots are in greedy order, so that the first r entries of g are those of the first r points alone.
    """

    points: Float[Array, "r d"]
    factor: Float[Array, "r r"]

    @classmethod
    def choose(cls, points: jax.Array, gram: jax.Array) -> Landmarks:
        """Greedy choice by pivoted Cholesky: the next landmark is the point that the others describe worst."""
        # Below this a pivot is rounding.
        tolerance = len(gram) * np.finfo(np.float64).eps * float(jnp.max(jnp.diagonal(gram)))
        factor, pivots, rank, _ = dpstrf(np.asarray(gram), tol=tolerance, lower=1)
        rank = min(int(rank), _RANKS[-1])
        return cls(points[pivots[:rank] - 1], jnp.tril(jnp.asarray(factor[:rank, :rank])))

    def leading(self, rank: int) -> Landmarks:
        """The first landmarks."""
        return Landmarks(self.points[:rank], self.factor[:rank, :rank])

    def features(self, kernel: jax.Array) -> jax.Array:
        """g(x), (r, n), from k(Z, x)."""
        return solve_triangular(self.factor, kernel, lower=True) if len(self.factor) else kernel


class _Moments(eqx.Module):
    """Sums over the samples of weight x products of features, targets, and the NTK to the probes (`cross`)."""

    tangent: Float[Array, "r r"]
    mixed: Float[Array, "r s"]
    target: Float[Array, "r k"]
    cross: Float[Array, "probes r"]
    cross_target: Float[Array, "probes k"]
    residual: Float[Array, ""]
    trace: Float[Array, ""]


class _BeyondStart(SpectralFilter):
    """(g(lambda) - g(0)) / lambda; 0 for a rule without a start, whose g(0) is infinite."""

    rule: TrainingRule

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: int | None) -> Float[Array, "*batch modes"]:
        start = jnp.asarray(self.rule.expansion(num_samples)[0])[..., None]
        return jnp.where(jnp.isfinite(start), (self.rule.filter(eigenvalues, num_samples) - start) / eigenvalues, 0)


class Problem(NamedTuple):
    """A network, or the kernel under a law, the rule, samples (n, d), targets (n,) or (n, k), probe inputs, and weights (n,),
    1/n each."""

    network: Network | LawKernel
    rule: TrainingRule
    points: jax.Array
    targets: jax.Array
    probes: jax.Array
    weights: jax.Array


def low_rank_outputs(problem: Problem, random_init: bool, tolerance: float) -> tuple[OutputLaw, dict[str, float]]:
    r"""Law of the outputs after training, in the span of landmarks, and how far to trust it.

    With \(\Theta\approx GG^T\), \(C=G^TWG\) and \(g(C)\) the filter of an r x r matrix,

    \[m(x)=\Theta(x,X)W\left(g_0+G\,\frac{g(C)-g_0}{C}\,G^TW\right)y,\qquad
      \mathrm{var}(x)=K(x,x)-|h(x)|^2+\left|h(x)-H^TWG\,g(C)\,g(x)\right|^2,\]

    where \(g_0=g(0)\): modes beyond the span are learnt linearly, which is what training does to eigenvalues far below
    \(1/g_0\). Where the mean residual exceeds \(1/g_0\) they are left out instead, \(m=g(x)^Tg(C)G^TWy\).
    \(K\approx HH^T\) has landmarks of its own. Samples pass by in blocks, so that memory holds r x r matrices only.

    Args:
        problem: what is to be solved. Targets (n, k) give a mean (*batch, k, probes).
        random_init: with the variance over initialisations.
        tolerance: the rank is doubled, up to 2048, until the estimate `low_rank_error` is below it.

    Returns:
        The law, and diagnostics:

        - `rank`: landmarks of the NTK.
        - `low_rank_error`: half the largest change of mean or standard deviation at the probes against half the landmarks.
          An estimate: it bounds the error where twice the landmarks make it at most a third (they made it a third to a
          thirtieth where this was measured).
        - `trace_error`: mean of \(\Theta(x,x)-|g(x)|^2\) over the samples, relative to that of \(\Theta(x,x)\).
        - `training_error_bound`: g(0) times the same mean, a bound of the root mean square error of the outputs at the
          samples, per unit of the targets' (the filter \(\lambda g(\lambda)\) is operator Lipschitz with constant g(0)).

    Source: pivoted Cholesky as in Harbrecht, Peters & Schneider (2012); low rank instead of the whole matrix as in
    Williams & Seeger (2001).
    """
    network, rule, points, targets, probes, weights = problem
    kernels = network.kernels
    count = points.shape[0]
    columns = targets.reshape(count, -1)
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:_CANDIDATES])
    candidates = points[chosen]
    gram = kernels(candidates)
    all_tangent = Landmarks.choose(candidates, gram.ntk)
    all_prior = Landmarks.choose(candidates, gram.nngp) if random_init else all_tangent.leading(0)
    del gram
    own = network.own(probes).nngp
    for most in _RANKS:
        # Half as many for the NNGP, whose spectrum falls faster.
        tangent, prior = all_tangent.leading(most), all_prior.leading(most // 2)
        moments = _accumulate(network, tangent, prior, points, columns, probes, weights)
        at_probes = _features(kernels, tangent, prior, probes)
        law = _reduced_law(moments, *at_probes, own if random_init else None, rule, count)
        half = _reduced_law(*_leading(most // 2, moments, *at_probes), own if random_init else None, rule, count)
        error = _largest_change(law, half) / 2
        if error <= tolerance or len(tangent.points) < most:
            break
    if targets.ndim == 1:
        law = dataclasses.replace(law, mean=law.mean[..., 0, :])
    start = float(jnp.max(jnp.asarray(rule.expansion(count)[0])))
    return law, {
        "rank": float(len(tangent.points)),
        "low_rank_error": error,
        "trace_error": float(jnp.maximum(moments.residual, 0) / moments.trace),
        "training_error_bound": start * float(jnp.maximum(moments.residual, 0)),
    }


def _features(kernels: Callable, tangent: Landmarks, prior: Landmarks, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    both = kernels(jnp.concatenate([tangent.points, prior.points]), points)
    rank = len(tangent.points)
    return tangent.features(both.ntk[:rank]), prior.features(both.nngp[rank:])


def _accumulate(
    network: Network | LawKernel,
    tangent: Landmarks,
    prior: Landmarks,
    points: jax.Array,
    targets: jax.Array,
    probes: jax.Array,
    weights: jax.Array,
) -> _Moments:
    """One pass over the samples. The last block is filled up with samples of weight zero: one shape, one compilation."""
    total = None
    for start in range(0, len(points), _BLOCK):
        index = np.arange(start, start + min(_BLOCK, len(points)))
        inside = jnp.asarray(index < len(points))
        index = np.minimum(index, len(points) - 1)
        block = points[index]
        features = _features(network.kernels, tangent, prior, block)
        weight = jnp.where(inside, weights[index], 0)
        cross, own = network.kernels(probes, block).ntk, network.own(block).ntk
        part = _block_moments(*features, cross, own, targets[index], weight)
        total = part if total is None else jax.tree.map(jnp.add, total, part)
    assert total is not None
    return total


@jax.jit
def _block_moments(
    tangent: jax.Array, prior: jax.Array, cross: jax.Array, own: jax.Array, targets: jax.Array, weight: jax.Array
) -> _Moments:
    weighted = tangent * weight[None, :]
    return _Moments(
        tangent=weighted @ tangent.T,
        mixed=weighted @ prior.T,
        target=weighted @ targets,
        cross=cross @ weighted.T,
        cross_target=cross @ (weight[:, None] * targets),
        residual=jnp.sum(weight * (own - jnp.sum(tangent**2, axis=0))),
        trace=jnp.sum(weight * own),
    )


@compiled
def _reduced_law(
    moments: _Moments, tangent: jax.Array, prior: jax.Array, own: jax.Array | None, rule: TrainingRule, count: int
) -> OutputLaw:
    columns = moments.target if own is None else jnp.concatenate([moments.target, tangent], axis=1)
    filtered, spectrum = apply_filter(moments.tangent, columns, rule, num_samples=count)
    targets = moments.target.shape[1]
    mean = jnp.einsum("rp,...rk->...kp", tangent, filtered[..., :targets])
    start = jnp.asarray(rule.expansion(count)[0])
    beyond_start = apply_filter(moments.tangent, moments.target, _BeyondStart(rule), num_samples=count)[0]
    linear = start[..., None, None] * moments.cross_target.T + jnp.einsum("pr,...rk->...kp", moments.cross, beyond_start)
    mean = jnp.where((start * moments.residual < 1)[..., None, None], linear, mean)
    if own is None:
        return OutputLaw(mean, None, spectrum)
    learnt = jnp.einsum("...rp,rs->...sp", filtered[..., targets:], moments.mixed)
    beyond = jnp.maximum(own - jnp.sum(prior**2, axis=0), 0)
    return OutputLaw(mean, beyond + jnp.sum((prior - learnt) ** 2, axis=-2), spectrum)


def _leading(most: int, moments: _Moments, tangent: jax.Array, prior: jax.Array) -> tuple[_Moments, jax.Array, jax.Array]:
    """What fewer landmarks would have given: leading parts, since the pivots are in order."""
    parts = _Moments(
        moments.tangent[:most, :most],
        moments.mixed[:most, : most // 2],
        moments.target[:most],
        moments.cross[:, :most],
        moments.cross_target,
        moments.residual,
        moments.trace,
    )
    return parts, tangent[:most], prior[: most // 2]


def _largest_change(law: OutputLaw, other: OutputLaw) -> float:
    change = jnp.max(jnp.abs(law.mean - other.mean))
    if law.variance is not None and other.variance is not None:
        change = jnp.maximum(change, jnp.max(jnp.abs(jnp.sqrt(law.variance) - jnp.sqrt(other.variance))))
    return float(change)
