"""A spectral filter of the kernel as an integral operator, on nodes that are refined until the law's metric stays."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntk_shortcuts.laws.kernel import LawKernel, compiling_kernels, own_sectors, train_and_cross
from ntk_shortcuts.methods.base import watched
from ntk_shortcuts.methods.notes import rounding_notes, unresolved_direction
from ntk_shortcuts.methods.refine import refine
from ntk_shortcuts.nodes.base import Nodes, SampleWeight
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import compiled, is_traced
from ntk_shortcuts.results.outputs import GaussianOutputs, OutputError, require_finite_outputs
from ntk_shortcuts.training.frozen_kernel import OutputLaw, trained_outputs
from ntk_shortcuts.training.rules import SpectralFilter
from ntk_shortcuts.training.spectral import SpectralDiagnostics, describe_spectrum


def infinite_data_outputs(
    kernel: LawKernel,
    training: SpectralFilter,
    points: TestPoints,
    random_init: bool,
    tolerance: Any,
    sample_weight: SampleWeight | None = None,
) -> GaussianOutputs:
    """Outputs after training on infinitely many samples; arguments as in :class:`~ntk_shortcuts.methods.population.Population`.

    Under a JAX transformation the second rule of nodes is used, without refinement, diagnostics or issues.
    """
    solved, unfold = kernel.parity.fold(points.points)

    def at_level(level: int) -> _Solved:
        nodes = kernel.nodes(level, "operator")
        with compiling_kernels():
            law, kernel_error = _outputs(kernel, training, solved, nodes, random_init, sample_weight)
        mean, variance, error = unfold(law.mean, law.variance, law.error)
        outputs = GaussianOutputs(location=mean, variance=variance, error=error)
        require_finite_outputs(outputs.location, outputs.std)
        return _Solved(outputs, law.spectrum, kernel_error, nodes.count, *watched(kernel.law.metric, outputs, points))

    if is_traced(kernel, training, points.points):
        return at_level(1).outputs
    kernel.require_symmetric(points.points)
    refined = refine(at_level, kernel.levels("operator"), lambda solved: solved.watched, tolerance)
    found = refined.found
    resolution = found.nodes * float(jnp.finfo(jnp.float64).eps)
    largest = found.spectrum.largest_eigenvalue
    issues = (
        *training.issues(largest),
        *refined.issues(tolerance),
        *unresolved_direction(kernel.law, training, largest, resolution),
    )
    diagnostics = {
        "discretization_error": refined.change,
        "converged": float(refined.converged),
        "nodes": float(found.nodes),
        "kernel_quadrature_error": float(found.kernel_error),
        **describe_spectrum(found.spectrum),
    }
    return rounding_notes(found.outputs, found.moved).with_notes(diagnostics, issues)


class _Solved(NamedTuple):
    outputs: GaussianOutputs
    spectrum: SpectralDiagnostics
    kernel_error: Any
    nodes: int
    watched: Any
    moved: float | None


@compiled
def _outputs(
    kernel: LawKernel,
    rule: SpectralFilter,
    points: jax.Array,
    nodes: Nodes,
    random_init: bool,
    sample_weight: SampleWeight | None,
) -> tuple[OutputLaw, jax.Array]:
    """Law of the outputs at the points, and the kernel's own error; sector by sector, the target in the first."""
    nodes = nodes.reweighted(sample_weight)
    weights, targets = nodes.mass, nodes.slope
    sectors = kernel.in_sectors()
    train, cross = train_and_cross(sectors, nodes.points, points)
    error = jnp.asarray(cross[0].quadrature_error)
    own: list[jax.Array | None] = [None] * len(train)
    if random_init:
        own = [kernels.nngp for kernels in own_sectors(sectors, points)]
    laws = [
        trained_outputs(train[i], cross[i], own[i], weights, targets if i == 0 else jnp.zeros_like(targets), rule, None)
        for i in range(len(train) if random_init else 1)
    ]
    # Only the random output at initialisation has a part in the other sectors.
    variances = [law.variance for law in laws if law.variance is not None]
    errors = [law.error for law in laws if law.error is not None]
    variance = functools.reduce(jnp.add, variances) if variances else None
    rounding = None
    if errors:
        rounding = OutputError(errors[0].mean, functools.reduce(jnp.add, [error.variance for error in errors]))
    return OutputLaw(laws[0].mean, variance, laws[0].spectrum, rounding), error
