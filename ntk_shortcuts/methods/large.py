"""Data sets too large for an eigendecomposition of their kernel matrix: landmarks where these hold it, else blocks."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp

from ntk_shortcuts.issues import Issue, LowRank
from ntk_shortcuts.methods.krylov import projected_outputs
from ntk_shortcuts.methods.low_rank import Problem, low_rank_outputs
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.training.frozen_kernel import OutputLaw
from ntk_shortcuts.validation import require, require_values

TOLERANCE = 1e-4
"""Largest error of mean and standard deviation where none is given."""

DENSE_LIMIT = 6000
"""Largest data set solved with its whole kernel matrix where nothing else is asked for; some 2 GiB."""

BLOCK_LIMIT = 100_000
"""Largest one solved with its whole kernel in blocks: every product evaluates five billion entries, minutes on two cores."""

Solved = tuple[OutputLaw, dict[str, float], tuple[Issue, ...]]


def require_tolerance(rank_tolerance: float | None) -> None:
    """Refuse a tolerance that is not positive."""
    if rank_tolerance is not None:
        require_values("rank_tolerance", rank_tolerance, (), "None, or positive", lambda v: v > 0)


def solved_where_large(problem: Problem, random_init: bool, rank_tolerance: float | None) -> Solved | None:
    """The law of the outputs, its diagnostics and issues; None where the whole kernel matrix is to be solved.

    Landmarks come first. What they do not hold to the tolerance, 1e-4 where none is given, is solved whole: up to
    `DENSE_LIMIT` samples as one matrix, beyond in blocks (:func:`~ntk_shortcuts.methods.krylov.projected_outputs`) unless a
    tolerance was given; then the landmarks' answer has an issue.

    Raises:
        ValueError: more than `BLOCK_LIMIT` samples that landmarks do not hold, with the size of the kernel.
    """
    count = len(problem.points)
    few = count <= DENSE_LIMIT
    if (rank_tolerance is None and few) or is_traced(problem.points, problem.probes, problem.rule, problem.weights):
        return None
    tolerance = TOLERANCE if rank_tolerance is None else float(rank_tolerance)
    law, sizes = low_rank_outputs(problem, random_init, tolerance)
    error = sizes["low_rank_error"]
    if error <= tolerance:
        return _outputs_last(law, problem), sizes, ()
    if few:
        return None
    if rank_tolerance is not None:
        return _outputs_last(law, problem), sizes, (LowRank(error, count, int(sizes["rank"]), tolerance),)
    require_fitting(count, f"rank_tolerance={error:.1e} accepts what landmarks give, and a shorter time or a ridge needs fewer")
    return projected_outputs(problem, random_init, tolerance)


def require_fitting(count: int, way_out: str) -> None:
    """Refuse a kernel of which a single product takes too long."""
    size = count**2 * 8 / 2**30
    allowed = f"at most {BLOCK_LIMIT} where the whole kernel is needed, here {size:.0f} GiB at every product ({way_out})"
    require(count <= BLOCK_LIMIT, "num_samples", allowed, count)


def _outputs_last(law: OutputLaw, problem: Problem) -> OutputLaw:
    """Of targets (n, k): mean and variance (*batch, probes, k)."""
    if problem.targets.ndim == 1:
        return law
    mean: Any = jnp.moveaxis(law.mean, -2, -1)
    variance = None if law.variance is None else jnp.broadcast_to(law.variance[..., None], mean.shape)
    return dataclasses.replace(law, mean=mean, variance=variance)
