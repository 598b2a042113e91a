"""A given data set: exact law of the outputs over initialisations."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.issues import Issue
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.given import given_probe_inputs, given_samples
from ntk_shortcuts.methods.any_loss.initial import NUM_DRAWS
from ntk_shortcuts.methods.any_loss.outputs import Draws, as_outputs, data_set_outputs, require_whole_kernel
from ntk_shortcuts.methods.base import Method, watched
from ntk_shortcuts.methods.exact import exact_continuation, exact_outputs, loss_weights
from ntk_shortcuts.methods.large import require_tolerance, solved_where_large
from ntk_shortcuts.methods.low_rank import Problem
from ntk_shortcuts.methods.notes import rounding_notes, unresolved_labels
from ntk_shortcuts.nodes.base import checked_weight
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.outputs import GaussianOutputs, Outputs, require_finite_outputs
from ntk_shortcuts.training.frozen_kernel import OutputLaw
from ntk_shortcuts.training.losses import Loss, resolve_loss
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.training.spectral import describe_spectrum
from ntk_shortcuts.typing import Array, Float, Key
from ntk_shortcuts.validation import require, require_finite, required


class GivenDataset(Method):
    r"""Infinitely wide networks trained on one given data set, exact over initialisations.

    Above 6000 samples, and wherever `rank_tolerance` is given, the kernel is reduced to a few landmarks
    (:func:`~ntk_shortcuts.methods.low_rank.low_rank_outputs`): time is then linear in the samples, and memory does not
    grow with them. Where landmarks do not hold it, as with inputs that fill many dimensions, the whole kernel is solved in
    blocks (:func:`~ntk_shortcuts.methods.krylov.projected_outputs`), which takes products with it alone, up to 100,000 samples.
    The size of either approximation is among the diagnostics.

    Args:
        dataset: from `model.sample`, or your own by `Dataset.from_arrays(inputs, labels)`; a `Pool` is one itself, with its
            weights in the loss.
        probe_inputs: the probes as inputs (n, d); by default embedded as the data set was, which your own data cannot do.
        random_init: include the random output at initialisation.
        initial_outputs: f_0 of one network at the training inputs and at the probes, or of several along a first axis
            (`Ensemble.initial_train_outputs[i]` and `Ensemble.initial_outputs[i]`). The outputs are then those of these
            networks, \(f(x)=f_0(x)+\Theta(x,X)F(y-f_0(X))\): `std` is 0, and `bias` and `mean` have the axis of the networks.
        sample_weight: weights (n,) >= 0 of the samples in the loss, (1/(2n)) sum w (f - y)^2; not normalised.
        rank_tolerance: largest error of mean and standard deviation at the probes that landmarks may make, by their own
            estimate; 1e-4 above 6000 samples, and then blocks stand in for landmarks that miss it. One that is given stands.
        loss: "squared", "logistic", or another that is registered: the mean over the samples. Without a filter outputs are
            integrated along time (:mod:`ntk_shortcuts.training.function_flow`) with the whole kernel, of at most 6000 samples;
            there time = inf needs samples that no outputs separate. Those that some do have no minimiser: `Ridge` of a small
            strength has one, whose direction tends to that of the largest margin.
        num_draws: of another loss, random outputs at initialisation that are drawn, since they enter nonlinearly; outputs are
            samples then, with `bias_standard_error`. A power of two is best.
        key: of these draws; `jax.random.key(0)` by default.

    Issues: the estimate stays above a `rank_tolerance` with 2048 landmarks (up to 6000 samples the whole kernel is solved
    instead); the bound of a solution in blocks above 1e-4; labels along eigenvalues below rounding; rounding that moves the
    bias.

    Raises:
        ValueError: num_samples that is not the data set's size; labels not in {-1, +1}; probe_inputs missing or of
            another shape; initial_outputs of another shape, or with random_init=False; above 100,000 samples a kernel that
            landmarks do not hold, unless `rank_tolerance` is given.
    """

    sources: ClassVar[tuple[str, ...]] = ("lee2019wide",)

    name: ClassVar[str] = "dataset"
    needs_dataset: ClassVar[bool] = True
    learns_the_law: ClassVar[bool] = False

    dataset: Dataset | None = None
    probe_inputs: Float[Array, "probes d"] | None = None
    random_init: bool = True
    initial_outputs: tuple[Float[Array, "*inits n"], Float[Array, "*inits probes"]] | None = None
    sample_weight: Float[Array, "n"] | None = None
    rank_tolerance: float | None = None
    loss: str = eqx.field(default="squared", static=True)
    num_draws: int = eqx.field(default=NUM_DRAWS, static=True)
    key: Key | None = None

    def __call__(self, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: TestPoints) -> Outputs:
        loss = resolve_loss(self.loss)
        problem = self._problem(kernel, training, num_samples, points)
        require_tolerance(self.rank_tolerance)
        if not loss.spectral:
            return self._under(loss, kernel, problem, points)
        if self.initial_outputs is None:
            solved = solved_where_large(problem, self.random_init, self.rank_tolerance)
            law, extra, issues = solved or (exact_outputs(problem, self.random_init), {}, ())
        else:
            law, extra, issues = self._continued(problem)
        return noted(kernel, training, points, law, problem.points.shape[0], extra, issues)

    def _under(self, loss: Loss, kernel: LawKernel, problem: Problem, points: TestPoints) -> Outputs:
        """Under a loss without a filter."""
        require_whole_kernel(self.rank_tolerance, loss)
        draws = Draws(self.random_init, self.num_draws, self.key)
        given = None if self.initial_outputs is None else self._given(problem)
        found = data_set_outputs(loss, problem, draws, None if given is None else tuple(map(jnp.atleast_2d, given)))
        if given is None:
            outputs = as_outputs(found, draws, kernel.law.metric, points)
        else:  # the axis of the networks stands before that of the points
            values = jnp.moveaxis(jnp.asarray(found.values), 0, -2)
            outputs = GaussianOutputs(location=values if given[0].ndim == 2 else values[..., 0, :], variance=None)
        return outputs.with_notes(found.diagnostics(), problem.rule.issues(found.problem.largest_curvature))

    def _problem(self, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: TestPoints) -> Problem:
        own = kernel.law.data_set if self.dataset is None else None
        if own is not None:
            allowed = f"None or {own.count}, the size of the pool"
            require(num_samples in (None, own.count), "num_samples", allowed, num_samples)
            require(
                self.sample_weight is None, "sample_weight", "None for a pool, which has weights of its own", self.sample_weight
            )
            return Problem(kernel, training, own.points, own.slope, jnp.asarray(points.points), own.mass)
        given = required(
            self.dataset, "dataset", 'given for method="dataset": a Dataset, of model.sample or Dataset.from_arrays'
        )
        inputs, labels = given_samples(given, num_samples)
        probe_inputs = self.inputs_of(points).astype(inputs.dtype)
        weight = None if self.sample_weight is None else checked_weight(self.sample_weight, inputs.shape[0])
        return Problem(kernel.network, training, inputs, labels, probe_inputs, loss_weights(inputs, weight))

    def inputs_of(self, points: TestPoints) -> jax.Array:
        """The test points as inputs (probes, d)."""
        return given_probe_inputs(required(self.dataset, "dataset", "given"), points.points, self.probe_inputs)

    def _continued(self, problem: Problem) -> tuple[OutputLaw, dict[str, float], tuple[Issue, ...]]:
        """From the networks' own initial outputs on."""
        labels, initial = problem.targets, self._given(problem)
        rows = jnp.atleast_2d(initial[0]), jnp.atleast_2d(initial[1])
        solved = solved_where_large(problem._replace(targets=(labels - rows[0]).T), False, self.rank_tolerance)
        if solved is None:
            law, extra, issues = exact_continuation(problem, rows), {}, ()
        else:
            law, extra, issues = solved
            law = dataclasses.replace(law, mean=rows[1] + jnp.swapaxes(law.mean, -1, -2))
        if initial[0].ndim == 1:
            law = dataclasses.replace(law, mean=law.mean[..., 0, :], error=jax.tree.map(lambda e: e[..., 0, :], law.error))
        return law, extra, issues

    def _given(self, problem: Problem) -> tuple[jax.Array, jax.Array]:
        """The networks' own initial outputs, checked."""
        require(self.random_init, "random_init", "True with initial_outputs", self.random_init)
        require(self.sample_weight is None, "sample_weight", "None with initial_outputs", self.sample_weight)
        inputs = problem.points
        return _initial_outputs(self.initial_outputs, inputs.shape[0], problem.probes.shape[0], inputs.dtype)


def noted(
    kernel: LawKernel,
    training: TrainingRule,
    points: TestPoints,
    law: OutputLaw,
    num_samples: int,
    extra: dict[str, float],
    issues: tuple[Issue, ...],
) -> GaussianOutputs:
    """The law as outputs, with what its arithmetic may have lost."""
    outputs = GaussianOutputs(location=law.mean, variance=law.variance, error=law.error)
    require_finite_outputs(outputs.location, outputs.std)
    if is_traced(law):
        return outputs
    _, moved = watched(kernel.law.metric, outputs, points)
    found = (
        *training.issues(law.spectrum.largest_eigenvalue),
        *issues,
        *unresolved_labels(kernel.network, training, law, num_samples),
    )
    return rounding_notes(outputs, moved).with_notes({**describe_spectrum(law.spectrum), **extra}, found)


def _initial_outputs(given: Any, num_samples: int, num_probes: int, dtype: Any) -> tuple[jax.Array, jax.Array]:
    name, allowed = "initial_outputs", f"a pair of shapes (*inits, {num_samples}) and (*inits, {num_probes})"
    require(isinstance(given, tuple | list) and len(given) == 2, name, allowed, given)
    at_train, at_probes = (jnp.asarray(values, dtype) for values in given)
    fits = at_train.shape[-1:] == (num_samples,) and at_probes.shape[-1:] == (num_probes,)
    same = at_train.ndim in (1, 2) and at_train.shape[:-1] == at_probes.shape[:-1]
    require(fits and same, name, allowed, f"shapes {at_train.shape} and {at_probes.shape}")
    for values in (at_train, at_probes):
        require_finite(name, values)
    return at_train, at_probes
