"""The average over data sets of a given size, without sampling any: deterministic equivalents of the kernel's resolvent."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import FewSamples, Issue, UntrustedAverage
from ntk_shortcuts.laws.base import SectorKernels
from ntk_shortcuts.laws.eigenfunctions import SectorSpectra, sector_features, sector_spectra
from ntk_shortcuts.laws.kernel import LawKernel, compiling_kernels
from ntk_shortcuts.methods.average.deterministic_equivalent import FORMS, Resolvent, averaged_resolvent, scalar_kappa
from ntk_shortcuts.methods.average.law import AveragedLaw, Switches, averaged_law
from ntk_shortcuts.methods.average.pool import Options, pool_outputs
from ntk_shortcuts.methods.average.scales import (
    differentiable_eigenvalues,
    edge,
    filter_error,
    finite_size_error,
    gains_on,
    kappa,
    modes_needed,
    resolution,
    target_missed,
)
from ntk_shortcuts.methods.base import Method, require_tolerance, watched
from ntk_shortcuts.methods.notes import rounding_notes, unresolved_direction
from ntk_shortcuts.methods.refine import Refined, refine
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.nodes.parity import Parity
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import compiled, generator, is_traced, map_needed
from ntk_shortcuts.outputs import GaussianOutputs, OutputError, Outputs, require_finite_outputs
from ntk_shortcuts.padding import out_of_batch, size_of_poles
from ntk_shortcuts.training.losses import require_squared
from ntk_shortcuts.training.rules import RationalFilter, TrainingRule
from ntk_shortcuts.typing import Key
from ntk_shortcuts.validation import require, require_integer, require_values

_RESOLVENTS = 6
_INITIAL_MODES = 8
_TRACED_MODES = 64
# Below this number, and where corrections in 1/N may be above this size, an average says so; from 64 samples on they are not.
_FEW_SAMPLES, _LARGE_CORRECTION = 10, 0.05


class DatasetAveraged(Method):
    r"""Expectation over data sets of N samples and over initialisations, without sampling.

    The filter is a sum of resolvents, \(g(\lambda)=\mathrm{Re}\sum_kc_k/(\lambda-s_k)\), and each averaged resolvent a fixed
    point (:mod:`ntk_shortcuts.methods.average.deterministic_equivalent`). With \(H_k(x,z)\) and \(\kappa_k(z)\) there,

    \[m(x)=\mathrm{Re}\sum_kc_kf_k(x),\quad f_k(x)=\int p\,H_k(x,z)f^*(z)/\kappa_k(z)\,dz,\]

    \[\begin{aligned}&F(x;z,y)=\mathrm{Re}\sum_kc_kH_k(x,z)(y-f_k(z))/\kappa_k(z),\\
      &\mathrm{Var}f(x)=\frac1N\Big(E[F^2]-\tfrac12\sum_cE[F\mid y=c]^2\Big),\end{aligned}\]

    F the influence of one training point. The outputs are taken as Gaussian in the step from mean and variance to E[sign f].

    Args:
        random_init: include the random output at initialisation: its remainder after training, and its influence on
            the variance over data sets.
        tolerance: nodes are refined until the bias moves by less.
        form: "local", where the leverage of a sample depends on where it lies; "scalar", the textbook form, one number
            for all samples; "one_step", one local iteration from the scalar form.
        balanced: data sets of exactly N/2 of each class; else independent labels.
        feedback: let the predictor's own variance over data sets act as noise in the residuals of left-out points.
        uniform_noise: replace the label noise 1 - f*(z)^2 by its average over the data law.
        replace: of a pool, whether a data set may hold a sample twice; False: subsets.
        key: of a pool, for draws of groups of which a data set holds less than ten samples; `jax.random.key(0)` by default.
        num_draws: how many of them, at least 2.
        loss: "squared" alone: under another, samples act on each other along the whole path of training, and no resolvent holds
            what is to be averaged. method="monte_carlo" samples the data sets.

    **Pools.** Nodes are the pool's samples, and repeated draws count once they are fitted
    (:mod:`ntk_shortcuts.methods.average.atoms.resolvent`, labels D11.1 to D11.3). Groups of which less than ten samples are
    expected are drawn, the rest averaged: outputs are then samples over these draws, accuracies have a standard error.

    `std` is over data sets and initialisations together. Diagnostics: `data_std` (root mean square over the test points of the
    part over data sets), `discretization_error` (last move of the bias under refinement), `nodes`, `modes_kept`,
    `fixed_point_residual`, `stieltjes_margin` (positive: the right root), `iterations`, `filter_error` (of the resolvent sum,
    relative), `rounding_error` (the move of the bias by that error at the probes, and by rounding), `initial_mass_dropped`,
    `finite_size_error` (estimate of what corrections in 1/N move the bias by, \(0.4\sqrt n/N\) for n modes learnt),
    `converged` and `trusted` (1 or 0), which do not look at the latter.

    Issues: a prediction that is not trusted, few samples (below 10, or `finite_size_error` above 0.05), `rounding_error`
    above 0.002, a direction in which the data hardly vary.

    Raises:
        ValueError: num_samples missing or below 2; unknown form; a kernel that is not symmetric.

    Numerics: about 10 samples at least; corrections are of relative order 1/N. Under a JAX transformation the second rule
    is used with 64 modes per sector and no refinement. Source: Simon et al. (2021), Canatar et al. (2021) for the scalar
    form; the local form, gradient flow and the variance were worked out for this package. Labels D9.3 and D9.4.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow, predict_bias
        >>> p = predict_bias(GenerativeModel(), MLP(1), GradientFlow(100.0), 300, method="dataset_averaged")
        >>> round(p.bias, 2)
        0.2...
    """

    sources: ClassVar[tuple[str, ...]] = ("simon2023eigenlearning", "canatar2021spectral", "weideman2007parabolic")

    name: ClassVar[str] = "dataset_averaged"

    random_init: bool = True
    tolerance: float = 2e-3
    form: str = eqx.field(default="local", static=True)
    balanced: bool = True
    feedback: bool = True
    uniform_noise: bool = False
    replace: bool = True
    key: Key | None = None
    num_draws: int = eqx.field(default=200, static=True)
    loss: str = eqx.field(default="squared", static=True)

    def __call__(self, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: TestPoints) -> Outputs:
        _require_count(num_samples)
        require_squared(self.loss, self.name, "which averages the resolvents of a linear equation")
        require_tolerance(self.tolerance)
        kernel = kernel.drawn(self.replace)
        counts = None if is_traced(num_samples) else kernel.law.counts(num_samples)
        if counts is not None:
            return self._of_pool(kernel, training, counts, num_samples, points)
        require(self.form in FORMS, "form", f"one of {', '.join(FORMS)}", self.form)
        solved, unfold = kernel.parity.fold(points.points)
        factors = (self.random_init, self.balanced, self.feedback, self.uniform_noise)
        switches = Switches(*(jnp.asarray(float(factor)) for factor in factors))
        if is_traced(kernel, training, points.points, num_samples):
            law = self._traced(kernel, training, num_samples, solved, switches)
            return GaussianOutputs(*unfold(law.mean, law.variance, law.error))
        kernel.require_symmetric(points.points)
        sectors, enlarged = kernel.in_sectors().shared(), training.enlarged()
        count = jnp.asarray(float(num_samples))  # an array: one compilation for all N

        def at_level(level: int) -> _Solved:
            nodes = kernel.nodes(level, "resolvents")
            with compiling_kernels():
                spectra = _spectra(sectors, nodes)
            filter_ = enlarged.rational(num_samples, edge(spectra, num_samples), _RESOLVENTS)
            modes = modes_needed(spectra, filter_, num_samples)
            gains = _gains(enlarged, spectra, count)
            needed = _needed(training.batch_shape, filter_)
            problem = _Problem(sectors, kernel.parity, solved, nodes, spectra, jnp.asarray(modes.kept))
            half = jnp.asarray(kappa(0.0, spectra, num_samples))
            found = _jitted_law(problem, filter_.enlarged(), gains, count, modes.size, self.form, switches, needed, half)
            outputs = GaussianOutputs(*unfold(found.mean, found.variance, found.error))
            law, outputs = out_of_batch(training.batch_shape, (found, outputs))
            require_finite_outputs(outputs.location, outputs.std)
            gains = out_of_batch(training.batch_shape, gains)
            read = watched(kernel.law.metric, outputs, points)
            return _Solved(outputs, law, spectra, gains, modes.kept, nodes.radius.size, *read)

        refined = refine(at_level, kernel.levels("resolvents"), lambda solved: solved.watched, self.tolerance)
        return self._noted(kernel, training, num_samples, refined)

    def _of_pool(
        self, kernel: LawKernel, training: TrainingRule, counts: Counts, num_samples: int, points: TestPoints
    ) -> Outputs:
        require(self.form == "local", "form", 'the default "local" for a pool', self.form)
        require_integer("num_draws", self.num_draws, 2)
        if not self.balanced:
            counts = dataclasses.replace(counts, totals=np.zeros_like(counts.totals))
        rng = generator(jax.random.key(0) if self.key is None else self.key)
        options = Options(bool(self.random_init), bool(self.feedback), self.num_draws, rng)
        return pool_outputs(kernel, training, counts, num_samples, points, options)

    def _traced(
        self, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: jax.Array, switches: Switches
    ) -> AveragedLaw:
        nodes, sectors = kernel.nodes(1, "resolvents"), kernel.in_sectors()
        spectra = sector_spectra(sectors, nodes)
        modes = min(_TRACED_MODES, nodes.count)
        filter_ = training.rational(num_samples, jnp.max(spectra.basis.eigenvalues), _RESOLVENTS)
        gains = gains_on(training, spectra, num_samples)
        problem = _Problem(sectors, kernel.parity, points, nodes, spectra, modes)
        return _averaged(problem, filter_, gains, num_samples, modes, self.form, switches)

    def _noted(self, kernel: LawKernel, training: TrainingRule, num_samples: Any, refined: Refined[_Solved]) -> GaussianOutputs:
        """The outputs with what their approximations dropped."""
        found, change = refined.found, refined.change
        law, spectra, modes = found.law, found.spectra, found.modes
        residual, margin = float(np.max(law.residual)), float(np.min(law.margin))
        filter_error = float(np.max(law.filter_error))
        trusted = refined.converged and residual < 1e-6 and margin > 0 and filter_error < self.tolerance
        if self.form == "one_step":
            trusted = refined.converged
        diagnostics = {
            "data_std": float(np.sqrt(np.max(np.mean(law.data_variance, axis=-1)))),
            "discretization_error": change,
            "nodes": float(found.nodes),
            "modes_kept": float(modes),
            "fixed_point_residual": residual,
            "stieltjes_margin": margin,
            "iterations": float(np.max(law.iterations)),
            "filter_error": filter_error,
            "initial_mass_dropped": float(np.max(law.nngp_dropped)),
            "finite_size_error": finite_size_error(found.gains, spectra, num_samples),
            "converged": float(refined.converged),
            "trusted": float(trusted),
        }
        issues: list[Issue] = list(training.issues(np.max(np.asarray(spectra.basis.eigenvalues))))
        few = num_samples < _FEW_SAMPLES
        if few or diagnostics["finite_size_error"] > _LARGE_CORRECTION:
            issues.append(FewSamples(float(num_samples), diagnostics["finite_size_error"]))
        if not few and not trusted:
            issues.append(UntrustedAverage(change, float(self.tolerance), residual, margin, filter_error))
        largest, *_, smallest = np.asarray(spectra.basis.eigenvalues)[0, :modes]
        resolved = max(resolution(spectra), smallest / largest)
        issues += unresolved_direction(kernel.law, training, largest, resolved, num_samples)
        return rounding_notes(found.outputs, found.moved).with_notes(diagnostics, tuple(issues))


class _Solved(NamedTuple):
    outputs: GaussianOutputs
    law: AveragedLaw
    spectra: SectorSpectra
    gains: np.ndarray
    modes: int
    nodes: int
    watched: Any
    moved: float | None


def _require_count(num_samples: Any) -> None:
    require(num_samples is not None, "num_samples", 'an integer >= 2 for method="dataset_averaged"', num_samples)
    if isinstance(num_samples, jax.Array | np.ndarray | float):
        # A real number, to be differentiated; traced ones are arrays too.
        require_values("num_samples", num_samples, (), "an integer >= 2", lambda v: (v >= 2) & (v < np.inf))
    else:
        require_integer("num_samples", num_samples, 2)


class _Problem(eqx.Module):
    """What every filter of a batch is averaged for; `kept`: how many eigenfunctions per sector are."""

    sectors: SectorKernels
    parity: Parity
    points: jax.Array
    nodes: Nodes
    spectra: SectorSpectra
    kept: Any


_spectra, _gains = compiled(sector_spectra), compiled(gains_on)


def _needed(batch: tuple[int, ...], filter_: RationalFilter) -> jax.Array:
    """Which poles (T', K') of an enlarged filter are those of a rule's batch, () or (T,)."""
    rows, poles = filter_.poles.shape
    row, pole = np.arange(rows)[:, None], np.arange(size_of_poles(poles))
    return jnp.asarray((row < (batch[0] if batch else 1)) & (pole < poles))


def _averaged(
    problem: _Problem,
    filter_: RationalFilter,
    gains: jax.Array,
    num_samples: Any,
    modes: int,
    form: str,
    switches: Switches,
    needed: jax.Array | None = None,
    learnt_half: jax.Array | None = None,
) -> AveragedLaw:
    """The law for every filter of the batch.

    Args:
        gains: the rule's own filter, of :func:`~ntk_shortcuts.methods.average.scales.gains_on`.
        modes: eigenfunctions per sector that there is room for; those beyond `problem.kept` are zero.
        needed: which poles are; None for all. Laws without any are 0.
        learnt_half: the eigenvalue that N samples learn half.
    """
    nodes, spectra = problem.nodes, problem.spectra
    features = sector_features(problem.sectors, nodes, problem.points, modes, min(_INITIAL_MODES, modes), spectra, problem.kept)
    eigenvalues = differentiable_eigenvalues(spectra, nodes.mass)

    def at_one_pole(s: jax.Array) -> Resolvent:
        start = scalar_kappa(s, eigenvalues, num_samples)
        # The local form's derivative is implicit: it does not depend on where the iteration starts.
        start = jax.lax.stop_gradient(start) if form == "local" else start
        return averaged_resolvent(s, start, nodes, features, num_samples, form)

    def at_one_setting(setting: tuple[RationalFilter, jax.Array | None]) -> AveragedLaw:
        one, present = setting
        # One pole after another: batched LAPACK calls are not safe (numerics.eigh_each), and each stops when it converged.
        resolvents = map_needed(at_one_pole, one.poles, present)
        if present is not None:
            resolvents = eqx.tree_at(lambda r: r.margin, resolvents, jnp.where(present, resolvents.margin, jnp.inf))
        return averaged_law(jnp.asarray(one.residues), resolvents, nodes, features, problem.parity, num_samples, switches)

    if filter_.poles.ndim == 1:
        law = at_one_setting((filter_, needed))
    else:
        law = map_needed(at_one_setting, (filter_, needed), None if needed is None else needed[:, 0])
    error = filter_error(filter_, gains, spectra)
    if learnt_half is None:
        return eqx.tree_at(lambda a: a.filter_error, law, error)
    size, missed = target_missed(filter_, gains, nodes, spectra, features.points[0], learnt_half)
    # The random output at initialisation is forgotten to the filter's error.
    kept = switches.random_init * error[..., None] ** 2 * jnp.sum(features.nngp_own, axis=0)
    errors = OutputError(missed[..., None, :], law.error.variance + kept)
    return eqx.tree_at(lambda a: (a.filter_error, a.error), law, (jnp.maximum(error, size), errors))


_jitted_law = compiled(_averaged)
