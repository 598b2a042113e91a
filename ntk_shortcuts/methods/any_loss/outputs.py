"""Outputs of a frozen kernel under any loss: law's nodes, and samples of a data set."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.laws.kernel import LawKernel, compiling_kernels, own_sectors, train_and_cross
from ntk_shortcuts.methods.any_loss.initial import Initial, drawn_initial, no_initial, standard_error
from ntk_shortcuts.methods.base import watched
from ntk_shortcuts.methods.large import DENSE_LIMIT
from ntk_shortcuts.methods.low_rank import Problem
from ntk_shortcuts.methods.refine import refine
from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.nodes.base import Nodes, SampleWeight
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import compiled, is_traced
from ntk_shortcuts.outputs import GaussianOutputs, Outputs, SampledOutputs, require_finite_outputs
from ntk_shortcuts.training.frozen_kernel import OutputLaw
from ntk_shortcuts.training.function_flow import FunctionFlow
from ntk_shortcuts.training.losses import Loss
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.training.spectral import SpectralDiagnostics
from ntk_shortcuts.typing import Float, Key
from ntk_shortcuts.validation import require


class Draws(NamedTuple):
    """Whether outputs at initialisation are random, how many are drawn, and from which key."""

    random_init: bool
    count: int
    key: Key | None


class Learnt(NamedTuple):
    """Outputs (inits, *batch, points) after training, their variance given what was drawn (points,), and the problem."""

    values: Float[np.ndarray, "inits *batch points"]
    variance: Float[np.ndarray, "points"] | None
    problem: FunctionFlow

    def diagnostics(self) -> dict[str, float]:
        """Of the kernel under the nodes' weights."""
        eigenvalues = self.problem.eigenvalues
        return {"largest_eigenvalue": float(np.max(eigenvalues, initial=0.0)), "modes_kept": float(len(eigenvalues))}

    def law(self) -> OutputLaw:
        """Mean and variance over what was drawn and what was not, and what was left out of the kernel."""
        eigenvalues, nodes = self.problem.eigenvalues, self.problem.nodes
        target = np.asarray(nodes.mass * nodes.slope) @ self.problem.features / np.sqrt(eigenvalues)
        whole = float(np.sum(np.asarray(nodes.mass * nodes.slope**2)))
        spectrum = SpectralDiagnostics(
            largest_eigenvalue=jnp.asarray(eigenvalues[0]),
            modes_kept=jnp.asarray(len(eigenvalues)),
            condition_number=jnp.asarray(eigenvalues[0] / eigenvalues[-1]),
            mass_dropped=jnp.asarray(max(1 - float(np.sum(target**2)) / max(whole, np.finfo(float).tiny), 0.0)),
        )
        within = 0.0 if self.variance is None else self.variance
        spread = np.var(self.values, axis=0, ddof=min(1, len(self.values) - 1))
        return OutputLaw(jnp.asarray(np.mean(self.values, axis=0)), jnp.asarray(spread + within), spectrum)

    def variances(self) -> Float[np.ndarray, "inits *batch points"]:
        """Shaped like the values; 0 where nothing was drawn."""
        return np.broadcast_to(0.0 if self.variance is None else self.variance, self.values.shape)


def refuse_traced(loss: Loss, *trees: Any) -> None:
    """Derivatives are those of filters: there are none of other losses."""
    require(
        not is_traced(*trees), "loss", '"squared" inside a JAX transformation (sweeps and differences take any loss)', loss.name
    )


def learnt(
    loss: Loss, rule: TrainingRule, nodes: Nodes, train: Any, cross: Any, initial: Initial, num_samples: int | None
) -> Learnt:
    """Outputs after training from the kernels (NTK) between the nodes, and between test points and nodes."""
    problem = FunctionFlow(loss, nodes, train, initial.at_nodes)
    moved = problem.outputs(rule.follow(problem, num_samples), cross)
    values = np.moveaxis(moved + initial.at_points, -2, 0)
    require_finite_outputs(jnp.asarray(values), None)
    return Learnt(values, initial.variance, problem)


def as_outputs(found: Learnt, draws: Draws, metric: Metric, points: TestPoints) -> Outputs:
    """One law where nothing was drawn, else samples with their standard error."""
    if not draws.random_init:
        return GaussianOutputs(location=jnp.asarray(found.values[0]), variance=None)
    outputs = SampledOutputs(values=jnp.asarray(found.values), variances=jnp.asarray(found.variances()), networks=False)
    error = standard_error(np.asarray(metric.of_signs(outputs.signs(points), points)))
    return outputs.with_notes({"bias_standard_error": error, "num_draws": float(draws.count)})


# Infinite data.


class _Solved(NamedTuple):
    outputs: GaussianOutputs
    found: Learnt
    kernel_error: Any
    nodes: int
    watched: Any


def infinite_data_outputs(
    loss: Loss,
    kernel: LawKernel,
    training: TrainingRule,
    points: TestPoints,
    draws: Draws,
    tolerance: Any,
    sample_weight: SampleWeight | None,
) -> Outputs:
    """Outputs on infinitely many samples.

    Nodes are refined with f_0 = 0, where the law's symmetry holds, and from the second rule on: the first gives signs, outputs
    to a percent. Outputs at initialisation, which break the symmetry, are drawn on both nodes of every pair of the coarser of
    the last two rules, which agree.
    """
    refuse_traced(loss, kernel, training, points.points)
    kernel.require_symmetric(points.points)
    solved, unfold = kernel.parity.fold(points.points)

    def at_level(level: int) -> _Solved:
        nodes = kernel.nodes(level, "operator")
        with compiling_kernels():
            nodes, train, cross = _first_sector(kernel, nodes, solved, sample_weight)
        nodes, used = _with_weight(nodes)
        initial = no_initial(nodes.count, len(solved))
        found = learnt(loss, training, nodes, *_among(train.ntk, cross.ntk, used), initial, None)
        outputs = GaussianOutputs(location=unfold(jnp.asarray(found.values[0]), None, None)[0], variance=None)
        return _Solved(outputs, found, cross.quadrature_error, nodes.count, watched(kernel.law.metric, outputs, points)[0])

    levels = kernel.levels("operator")
    first = 1 if levels > 2 else 0
    refined = refine(lambda level: at_level(level + first), levels - first, lambda solved: solved.watched, tolerance)
    best = refined.found
    notes = {
        "discretization_error": refined.change,
        "converged": float(refined.converged),
        "nodes": float(best.nodes),
        "kernel_quadrature_error": float(best.kernel_error),
        **best.found.diagnostics(),
    }
    issues = (*training.issues(best.found.problem.largest_curvature), *refined.issues(tolerance))
    if not draws.random_init:
        return best.outputs.with_notes(notes, issues)
    agreeing = first + refined.level - (1 if refined.converged and refined.level > 0 else 0)
    with compiling_kernels():
        parts = _all_sectors(kernel, kernel.nodes(agreeing, "operator"), jnp.asarray(points.points), sample_weight)
    found = _from_drawn(loss, kernel, training, draws, *parts)
    return as_outputs(found, draws, kernel.law.metric, points).with_notes(notes, issues)


def _from_drawn(
    loss: Loss,
    kernel: LawKernel,
    training: TrainingRule,
    draws: Draws,
    nodes: Nodes,
    train: tuple[Kernels, ...],
    cross: tuple[Kernels, ...],
    own: Any,
) -> Learnt:
    """Outputs of networks with initial outputs of their own, from the kernel's parts in the sectors."""
    whole, used = _with_weight(kernel.parity.whole(nodes))

    def joined(name: str) -> tuple[Any, Any]:
        within, across = ([getattr(part, name) for part in parts] for parts in (train, cross))
        return _among(kernel.parity.joined(within, at_nodes=True), kernel.parity.joined(across), used)

    initial = drawn_initial(*joined("nngp"), own, whole.mass, draws.count, draws.key)
    return learnt(loss, training, whole, *joined("ntk"), initial, None)


@compiled
def _first_sector(
    kernel: LawKernel, nodes: Nodes, points: jax.Array, sample_weight: SampleWeight | None
) -> tuple[Nodes, Kernels, Kernels]:
    """The nodes as the loss weighs them, and the kernels of the sector that holds the target."""
    train, cross = train_and_cross(kernel.in_sectors(), nodes.points, points)
    return nodes.reweighted(sample_weight), train[0], cross[0]


@compiled
def _all_sectors(
    kernel: LawKernel, nodes: Nodes, points: jax.Array, sample_weight: SampleWeight | None
) -> tuple[Nodes, tuple[Kernels, ...], tuple[Kernels, ...], jax.Array]:
    """The same of all sectors, and the NNGP kernel of each point with itself."""
    sectors = kernel.in_sectors()
    train, cross = train_and_cross(sectors, nodes.points, points)
    own = jnp.sum(jnp.stack([kernels.nngp for kernels in own_sectors(sectors, points)]), axis=0)
    return nodes.reweighted(sample_weight), train, cross, own


def _with_weight(nodes: Nodes) -> tuple[Nodes, np.ndarray]:
    """Nodes without those of no weight, which some rules are padded with, and the numbers of those that are left."""
    used = np.flatnonzero(np.asarray(nodes.mass) > 0)
    return Nodes(nodes.points[used], nodes.radius[used], nodes.weights[used], nodes.targets[used]), used


def _among(train: Any, cross: Any, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(train)[np.ix_(used, used)], np.asarray(cross)[:, used]


# A data set.


def require_whole_kernel(rank_tolerance: Any, loss: Loss) -> None:
    """Refuse landmarks, which stand for filters."""
    require(rank_tolerance is None, "rank_tolerance", f'None with loss="{loss.name}"', rank_tolerance)


def data_set_outputs(loss: Loss, problem: Problem, draws: Draws, given: tuple[Any, Any] | None = None) -> Learnt:
    """Outputs of networks trained on given samples.

    Args:
        given: f_0 at the samples and at the test points, a row for each network, in place of draws.

    Raises:
        ValueError: more than 6000 samples, whose kernel is not diagonalised.
    """
    network, rule, points, targets, probes, weights = problem
    refuse_traced(loss, points, targets, probes, weights, rule)
    count = len(points)
    require(count <= DENSE_LIMIT, "num_samples", f'at most {DENSE_LIMIT} with loss="{loss.name}"', count)
    nodes = Nodes.of(jnp.arange(count)[:, None], weights, targets)
    train, cross = network.kernels(points), network.kernels(probes, points)
    if given is not None:
        initial = Initial(np.asarray(given[0]), np.asarray(given[1]), None)
    elif draws.random_init:
        own = network.own(probes).nngp
        initial = drawn_initial(train.nngp, cross.nngp, own, weights, draws.count, draws.key)
    else:
        initial = no_initial(count, len(probes))
    used, kept = _with_weight(nodes)
    initial = initial._replace(at_nodes=initial.at_nodes[:, kept])
    return learnt(loss, rule, used, *_among(train.ntk, cross.ntk, kept), initial, count)
