"""Sampled data sets: exact predictions for each, averaged."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import Issue
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.methods.any_loss.outputs import Draws, data_set_outputs, require_whole_kernel
from ntk_shortcuts.methods.base import Method, watched
from ntk_shortcuts.methods.exact import exact_outputs, loss_weights
from ntk_shortcuts.methods.large import require_tolerance, solved_where_large
from ntk_shortcuts.methods.low_rank import Problem
from ntk_shortcuts.methods.notes import rounding_notes, unresolved_labels
from ntk_shortcuts.nodes.base import SampleWeight, evaluate_weight
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.outputs import SampledOutputs, require_finite_outputs
from ntk_shortcuts.progress import steps
from ntk_shortcuts.training.losses import Loss, resolve_loss
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.training.spectral import describe_spectrum
from ntk_shortcuts.typing import Key
from ntk_shortcuts.validation import require, require_integer, require_key


class MonteCarlo(Method):
    """Average of the exact prediction over sampled data sets, with its standard error.

    Args:
        key: `jax.random` key; data set i uses `fold_in(key, i)`.
        num_datasets: how many to average, at least 2.
        random_init: include the random output at initialisation.
        embedded: sample inputs in R^d with their random directions; by default kernels are those of d -> infinity.
        sample_weight: a function of latents (n, 2) and labels (n,) to the weights (n,) of samples in the loss,
            (1/(2N)) sum w (f - y)^2; not normalised. The bias stays relative to the optimum of the unweighted law.
        rank_tolerance: as for method="dataset".
        replace: of a pool, whether a data set may hold a sample twice; False: subsets.
        loss: "squared", "logistic", or another that is registered, as for method="dataset". Random outputs at initialisation
            enter nonlinearly there: every data set has one of its own, and the standard error holds both.

    `mean` and `std` are those of the output over data sets and initialisations; signs are averaged data set by data set, so
    that no Gaussian law over data sets is assumed. Diagnostics: `bias_standard_error` (of the mean over data sets; the largest
    one for several times) and `num_datasets`.

    Raises:
        ValueError: key or num_samples (N, even) missing or out of range.
    """

    sources: ClassVar[tuple[str, ...]] = ("lee2019wide",)

    name: ClassVar[str] = "monte_carlo"
    learns_the_law: ClassVar[bool] = False

    key: Key | None = None
    num_datasets: int = eqx.field(default=16, static=True)
    random_init: bool = True
    embedded: bool = False
    sample_weight: SampleWeight | None = eqx.field(default=None, static=True)
    rank_tolerance: float | None = None
    replace: bool = True
    loss: str = eqx.field(default="squared", static=True)

    def __call__(self, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: TestPoints) -> SampledOutputs:
        key = require_key(self.key, 'a jax.random key for method="monte_carlo"')
        require(num_samples is not None, "num_samples", 'an even integer >= 2 for method="monte_carlo"', num_samples)
        require_integer("num_datasets", self.num_datasets, 2)
        require_tolerance(self.rank_tolerance)
        loss = resolve_loss(self.loss)
        kernel = kernel.drawn(self.replace)
        if not loss.spectral:
            return self._under(loss, kernel, training, num_samples, points, key)
        laws, extra, issues = [], {}, []
        for index in steps(range(self.num_datasets), "data sets"):
            problem = self._problem(kernel, training, num_samples, points, jax.random.fold_in(key, index))
            solved = solved_where_large(problem, self.random_init, self.rank_tolerance)
            law, sizes, found = solved or (exact_outputs(problem, self.random_init), {}, ())
            require_finite_outputs(law.mean, law.variance)
            extra = {name: max(size, extra.get(name, 0.0)) for name, size in sizes.items()}
            issues += [*training.issues(law.spectrum.largest_eigenvalue), *found]
            laws.append(law)
        means = jnp.stack([law.mean for law in laws])
        variances = jnp.stack([jnp.zeros_like(law.mean) if law.variance is None else law.variance for law in laws])
        errors = None
        if all(law.error is not None for law in laws):
            errors = jax.tree.map(lambda *parts: jnp.stack(parts), *[law.error for law in laws])
        outputs = SampledOutputs(values=means, variances=variances, error=errors, networks=False)
        issues += unresolved_labels(kernel.network, training, laws[-1], num_samples)
        _, moved = watched(kernel.law.metric, outputs, points)
        outputs = rounding_notes(outputs, 0.0 if moved is None else moved)
        return self._noted(kernel, outputs, points, {**describe_spectrum(laws[-1].spectrum), **extra}, issues)

    def _under(
        self, loss: Loss, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: TestPoints, key: Key
    ) -> SampledOutputs:
        """Under a loss without a filter."""
        require_whole_kernel(self.rank_tolerance, loss)
        values, variances, issues, extra = [], [], [], {}
        for index in steps(range(self.num_datasets), "data sets"):
            own = jax.random.fold_in(key, index)
            problem = self._problem(kernel, training, num_samples, points, own)
            found = data_set_outputs(loss, problem, Draws(self.random_init, 1, jax.random.fold_in(own, 1)))
            values.append(found.values[0])
            variances.append(found.variances()[0])
            issues += training.issues(found.problem.largest_curvature)
            extra = found.diagnostics()
        stacked = jnp.asarray(np.stack(values)), jnp.asarray(np.stack(variances))
        outputs = SampledOutputs(values=stacked[0], variances=stacked[1], networks=False)
        return self._noted(kernel, outputs, points, extra, issues)

    def _problem(self, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: TestPoints, key: Key) -> Problem:
        """One data set, as latents under the law's kernel or as inputs in R^d."""
        data = kernel.law.sample(key, num_samples)
        network, at_samples, at_points = kernel, data.latents, points.points
        if self.embedded:
            network, at_samples, at_points = kernel.network, data.inputs, data.embedding(points.points)
        weight = None
        if self.sample_weight is not None:
            weight = evaluate_weight(self.sample_weight, data.latents, data.labels)
        return Problem(network, training, at_samples, data.labels, at_points, loss_weights(at_samples, weight))

    def _noted(
        self, kernel: LawKernel, outputs: SampledOutputs, points: TestPoints, extra: dict[str, float], issues: list[Issue]
    ) -> SampledOutputs:
        reading = kernel.law.metric.read(outputs, points)
        error = float(np.max(np.asarray(reading.error)))
        diagnostics = {"bias_standard_error": float(error), "num_datasets": float(self.num_datasets), **extra}
        return outputs.with_notes(diagnostics, tuple(dict.fromkeys(issues)))
