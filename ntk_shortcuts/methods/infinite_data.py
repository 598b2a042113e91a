"""A spectral filter of the kernel as an integral operator, on nodes that are refined until the law's metric stays."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.batches import SEVERAL, compiled_each, in_batches
from ntk_shortcuts.laws.base import SectorKernels
from ntk_shortcuts.laws.kernel import LawKernel, compiling_kernels, own_sectors, train_and_cross
from ntk_shortcuts.methods.base import Question, watched_in
from ntk_shortcuts.methods.notes import rounding_notes, unresolved_direction
from ntk_shortcuts.methods.refine import Refined, refine_each
from ntk_shortcuts.metrics.base import read_each
from ntk_shortcuts.nodes.base import Nodes, SampleWeight
from ntk_shortcuts.nodes.parity import Unfold
from ntk_shortcuts.numerics import compiled, is_traced
from ntk_shortcuts.outputs import GaussianOutputs, OutputError, require_finite_outputs
from ntk_shortcuts.padding import out_of_batch
from ntk_shortcuts.training.frozen_kernel import FrozenKernel, OutputLaw, Training, from_gains, unresolved_part
from ntk_shortcuts.training.rules import SpectralFilter
from ntk_shortcuts.training.spectral import SpectralDiagnostics, Spectrum, describe_spectrum, diagonalised, gains
from ntk_shortcuts.typing import AnyArray, Array, Bool, Float


def infinite_data_outputs(
    questions: Sequence[Question],
    random_init: bool,
    tolerance: Any,
    sample_weight: SampleWeight | None = None,
) -> list[GaussianOutputs]:
    """Outputs after training on infinitely many samples, of several questions side by side; arguments as in
    :class:`~ntk_shortcuts.methods.population.Population`.

    Under a JAX transformation the second rule of nodes is used, without refinement, diagnostics or issues.
    """
    options = _Options(random_init, sample_weight)
    problems = [_Folded.of(question) for question in questions]
    if is_traced([(question.kernel, question.training, question.points.points) for question in questions]):
        return [problem.traced_outputs(options) for problem in problems]
    for question in questions:
        question.kernel.require_symmetric(question.points.points)
    refined = refine_each(
        lambda level, numbers: _solved([problems[i] for i in numbers], level, options),
        [question.kernel.levels("operator") for question in questions],
        lambda solved: solved.watched,
        tolerance,
    )
    return [_noted(*pair, tolerance) for pair in zip(questions, refined, strict=True)]


# Nodes times nodes and points, of kernels that lie in memory for several problems: 6 MiB each.
_SMALL = 2**17


class _Options(NamedTuple):
    random_init: bool
    sample_weight: SampleWeight | None


@dataclasses.dataclass(frozen=True, eq=False)
class _Folded:
    """A question, the points that it is solved at, and what makes of their outputs those at all points."""

    question: Question
    points: jax.Array
    unfold: Unfold

    @classmethod
    def of(cls, question: Question) -> _Folded:
        return cls(question, *question.kernel.parity.fold(question.points.points))

    @functools.cached_property
    def sectors(self) -> SectorKernels:
        """For compiled programs, of all levels."""
        return self.question.kernel.in_sectors().shared()

    def traced_outputs(self, options: _Options) -> GaussianOutputs:
        """As one program, in which derivatives are taken."""
        kernel = self.question.kernel
        with compiling_kernels():
            law = _in_one(kernel, self.question.training, self.points, kernel.nodes(1, "operator"), *options)
        return GaussianOutputs(*self.unfold(law.mean, law.variance, law.error))


class _Solved(NamedTuple):
    outputs: GaussianOutputs
    spectrum: SpectralDiagnostics
    kernel_error: Any
    nodes: int
    watched: Any
    moved: float | None


def _solved(problems: Sequence[_Folded], level: int, options: _Options) -> list[_Solved]:
    """The problems with their rules of nodes of a level."""
    questions = [problem.question for problem in problems]
    nodes = [question.kernel.nodes(level, "operator") for question in questions]
    found = _outputs(problems, nodes, options)
    outputs = [out_of_batch(asked.training.batch_shape, own) for asked, (own, *_) in zip(questions, found, strict=True)]
    for own in outputs:
        require_finite_outputs(own.location, own.std)
    read = [(asked.kernel.law.metric, own, asked.points) for asked, own in zip(questions, outputs, strict=True)]
    return [
        _Solved(own, spectrum, error, rule.count, *watched_in(reading))
        for own, (_, spectrum, error), rule, reading in zip(outputs, found, nodes, read_each(read), strict=True)
    ]


class _Operator(eqx.Module):
    """The kernel on the nodes in each sector that is asked for, the target, which lies in the first, and the kernel's error."""

    sectors: tuple[FrozenKernel, ...]
    targets: Float[Array, "nodes"]
    error: jax.Array


def _noted(question: Question, refined: Refined[_Solved], tolerance: Any) -> GaussianOutputs:
    """The outputs with what is to be said of them."""
    found, training = refined.found, question.training
    resolution = found.nodes * float(jnp.finfo(jnp.float64).eps)
    largest = found.spectrum.largest_eigenvalue
    issues = (
        *training.issues(largest),
        *refined.issues(tolerance),
        *unresolved_direction(question.kernel.law, training, largest, resolution),
    )
    diagnostics = {
        "discretization_error": refined.change,
        "converged": float(refined.converged),
        "nodes": float(found.nodes),
        "kernel_quadrature_error": float(found.kernel_error),
        **describe_spectrum(found.spectrum),
    }
    return rounding_notes(found.outputs, found.moved).with_notes(diagnostics, issues)


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


def _diagonalised(*arguments: Any) -> tuple[_Operator, tuple[Spectrum, ...]]:
    operator = _operator(*arguments)
    return operator, tuple(diagonalised(kernel.matrix) for kernel in operator.sectors)


def _gains(rule: SpectralFilter, spectra: tuple[Spectrum, ...]) -> tuple[jax.Array, ...]:
    return tuple(gains(rule, spectrum, None) for spectrum in spectra)


def _law_of_gains(operator: _Operator, spectra: tuple[Spectrum, ...], known: tuple[jax.Array, ...]) -> OutputLaw:
    law = _law(operator, [from_gains(*pair) for pair in zip(spectra, known, strict=True)])
    if law.error is None:
        return law
    unresolved = unresolved_part(operator.sectors[0], operator.targets, spectra[0], known[0])
    return dataclasses.replace(law, error=OutputError(law.error.mean + unresolved[..., None, :], law.error.variance))


_diagonalised_each, _gains_each, _law_of_gains_each = map(compiled_each, (_diagonalised, _gains, _law_of_gains))


@compiled
def _in_one(kernel: LawKernel, rule: SpectralFilter, *arguments: Any) -> OutputLaw:
    operator = _operator(kernel.in_sectors(), *arguments)
    return _law(operator, [part.under(rule, None) for part in operator.sectors])


def _outputs(
    problems: Sequence[_Folded], nodes: Sequence[Nodes], options: _Options
) -> list[tuple[GaussianOutputs, SpectralDiagnostics, Any]]:
    """Outputs for the enlarged rules, what they did to the spectra, and the kernels' own errors."""

    asked = [
        (problem.unfold, problem.question.training.enlarged(), problem.sectors, problem.points, rule, *options)
        for problem, rule in zip(problems, nodes, strict=True)
    ]
    largest = max(rule.count * (rule.count + len(problem.points)) for problem, rule in zip(problems, nodes, strict=True))
    with compiling_kernels():
        return in_batches(_together, asked, SEVERAL if largest <= _SMALL else 1)


def _together(present: Bool[AnyArray, "room"], unfold: Unfold, rule: SpectralFilter, *arguments: Any) -> tuple:
    """Neither the rule nor the number of times is in the large programs, so that others need no new one."""
    operator, spectra = _diagonalised_each(present, *arguments)
    law = _law_of_gains_each(present, operator, spectra, _gains_each(present, rule, spectra))
    return GaussianOutputs(*unfold(law.mean, law.variance, law.error)), law.spectrum, operator.error
