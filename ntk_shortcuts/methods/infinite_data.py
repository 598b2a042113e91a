"""A spectral filter of the kernel as an integral operator, on nodes that are refined until the law's metric stays."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.laws.base import SectorKernels
from ntk_shortcuts.laws.kernel import LawKernel, compiling_kernels, own_sectors, train_and_cross
from ntk_shortcuts.methods.base import watched
from ntk_shortcuts.methods.notes import rounding_notes, unresolved_direction
from ntk_shortcuts.methods.refine import refine
from ntk_shortcuts.nodes.base import Nodes, SampleWeight
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import compiled, is_traced
from ntk_shortcuts.padding import out_of_batch
from ntk_shortcuts.results.outputs import GaussianOutputs, OutputError, require_finite_outputs
from ntk_shortcuts.training.frozen_kernel import FrozenKernel, OutputLaw, Training, from_gains
from ntk_shortcuts.training.rules import SpectralFilter
from ntk_shortcuts.training.spectral import SpectralDiagnostics, Spectrum, describe_spectrum, diagonalised, gains
from ntk_shortcuts.typing import Array, Float


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
    traced = is_traced(kernel, training, points.points)
    batch = None if traced else training.batch_shape

    def at_level(level: int) -> _Solved:
        nodes = kernel.nodes(level, "operator")
        with compiling_kernels():
            law, kernel_error = _outputs(kernel, training, solved, nodes, random_init, sample_weight)
        outputs = GaussianOutputs(*unfold(law.mean, law.variance, law.error))
        if batch is not None:
            outputs = out_of_batch(batch, outputs)
        require_finite_outputs(outputs.location, outputs.std)
        return _Solved(outputs, law.spectrum, kernel_error, nodes.count, *watched(kernel.law.metric, outputs, points))

    if traced:
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


class _Operator(eqx.Module):
    """The kernel on the nodes in each sector that is asked for, the target, which lies in the first, and the kernel's error."""

    sectors: tuple[FrozenKernel, ...]
    targets: Float[Array, "nodes"]
    error: jax.Array


def _operator(
    sectors: SectorKernels, points: jax.Array, nodes: Nodes, random_init: bool, sample_weight: SampleWeight | None
) -> _Operator:
    nodes = nodes.reweighted(sample_weight)
    train, cross = train_and_cross(sectors, nodes.points, points)
    error = jnp.asarray(cross[0].quadrature_error)
    weights, targets = nodes.mass, nodes.slope
    if not random_init:
        return _Operator((FrozenKernel(train[0], cross[0], None, weights),), targets, error)
    # Only the random output at initialisation has a part in the other sectors.
    parts = zip(train, cross, own_sectors(sectors, points), strict=True)
    return _Operator(tuple(FrozenKernel(t, c, own.nngp, weights) for t, c, own in parts), targets, error)


def _law(operator: _Operator, trainings: Sequence[Training]) -> OutputLaw:
    """Law of the outputs at the points, of independent parts in the sectors."""
    targets = operator.targets
    laws = [
        kernel.outputs(targets if i == 0 else jnp.zeros_like(targets), training)
        for i, (kernel, training) in enumerate(zip(operator.sectors, trainings, strict=True))
    ]
    variances = [law.variance for law in laws if law.variance is not None]
    errors = [law.error for law in laws if law.error is not None]
    variance = functools.reduce(jnp.add, variances) if variances else None
    rounding = None
    if errors:
        rounding = OutputError(errors[0].mean, functools.reduce(jnp.add, [error.variance for error in errors]))
    return OutputLaw(laws[0].mean, variance, laws[0].spectrum, rounding)


@compiled
def _diagonalised(*arguments: Any) -> tuple[_Operator, tuple[Spectrum, ...]]:
    operator = _operator(*arguments)
    return operator, tuple(diagonalised(kernel.matrix) for kernel in operator.sectors)


@compiled
def _gains(rule: SpectralFilter, spectra: tuple[Spectrum, ...]) -> tuple[jax.Array, ...]:
    return tuple(gains(rule, spectrum, None) for spectrum in spectra)


@compiled
def _law_of_gains(operator: _Operator, spectra: tuple[Spectrum, ...], known: tuple[jax.Array, ...]) -> OutputLaw:
    return _law(operator, [from_gains(*pair) for pair in zip(spectra, known, strict=True)])


@compiled
def _in_one(kernel: LawKernel, rule: SpectralFilter, *arguments: Any) -> tuple[OutputLaw, jax.Array]:
    operator = _operator(kernel.in_sectors(), *arguments)
    return _law(operator, [part.under(rule, None) for part in operator.sectors]), operator.error


def _outputs(
    kernel: LawKernel,
    rule: SpectralFilter,
    points: jax.Array,
    nodes: Nodes,
    random_init: bool,
    sample_weight: SampleWeight | None,
) -> tuple[OutputLaw, jax.Array]:
    """Law of the outputs at the points, and the kernel's own error.

    As one program where derivatives are taken. Else neither the rule nor the number of times is in the large ones, so that
    others need no new one, and the law is that of the enlarged rule.
    """
    arguments = points, nodes, random_init, sample_weight
    if is_traced(kernel, rule, points):
        return _in_one(kernel, rule, *arguments)
    operator, spectra = _diagonalised(kernel.in_sectors().shared(), *arguments)
    return _law_of_gains(operator, spectra, _gains(rule.enlarged(), spectra)), operator.error
