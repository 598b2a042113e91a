r"""Finite networks, feature learning included: gradient flow of the network itself on the population risk.

The data has few latent dimensions, so that the risk is a sum over quadrature nodes and the network one on their span
(:mod:`ntk_shortcuts.laws.two_features.plane`): nothing is sampled but initialisations, and, where asked for, the counts of
samples at the nodes.
"""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import Issue, LostOutputs, OutOfSteps, Unconverged, UndecidedProbes
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.two_features.mixture import mixture_nodes
from ntk_shortcuts.methods.base import Method
from ntk_shortcuts.methods.flow.equation import Drawn, FlowPath, FlowPoints, FlowRules, RiskRule, draw_several, flow_from
from ntk_shortcuts.methods.flow.minibatches import Minibatches, minibatches
from ntk_shortcuts.methods.flow.mirrors import GROUP, mirrored_draws
from ntk_shortcuts.methods.flow.optimizers import Descent, OptimizedNetworks, Optimizer, require_batch_size, require_optimizer
from ntk_shortcuts.methods.flow.sensitivities import differentiable_outputs
from ntk_shortcuts.methods.refine import refine
from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.networks.base import require_finite_network
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64, is_traced
from ntk_shortcuts.outputs import SampledOutputs
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.training.gradient_flow import GradientFlow
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.typing import Key
from ntk_shortcuts.validation import require, require_integer, require_key, require_values, required

# Hermite nodes per axis and class without refinement, where derivatives are taken.
_TRACED_ORDER = 12
# Rules are padded to multiples of this many nodes, for one compiled program.
_PADDED = 320
# Targets below this are rounding.
_NO_TARGET = 1e-12
# Networks on which the rule is chosen: a group of mirrored ones.
_FIRST = GROUP
# Of economical flows: how many times as large an error the solver's steps may have at the coarsest of several rules, and which
# part of the scatter over initialisations may come from what rules differ by.
_COARSE, _ADDED = 3.0, 1 / 8


class PopulationFlow(Method):
    r"""Finite networks trained by gradient flow on infinitely many samples or on N, averaged over initialisations.

    \[\begin{aligned}&\dot\theta=-\nabla_\theta\sum_mw_m\sum_{y=\pm1}P(y\mid z_m)\,\ell(f_\theta(z_m),y)-\lambda\theta,\\
      &\ell(f,y)=\tfrac12(f-y)^2\ \text{or}\ \log(1+e^{-yf}).\end{aligned}\]

    Unlike the frozen-kernel methods it lets the kernel move. Each initialisation has a random embedding of its own. The
    network is finite (a linear one of any width), of any activation, parameterisation and initialisation. `GradientDescent` is
    taken as flow for time learning_rate x steps; the squared loss is half of PyTorch's mean squared error, which runs twice as
    fast. With `num_samples` = N, even, every initialisation has a data set of N samples of its own, half of either class, each
    at a node of the quadrature: that has the mean and the covariance of sampling noise, at a cost that does not grow with N.
    The initialisations are those of infinite data under the same key.

    With `optimizer` it is no flow: the steps of that optimiser are made one by one, on the whole risk or on minibatches
    (:mod:`ntk_shortcuts.methods.flow.optimizers`), by networks on \(R^d\).

    Args:
        key: `jax.random` key.
        num_inits: initialisations averaged.
        loss: "squared" or "logistic".
        momentum: heavy-ball momentum beta in [0, 1), in its limit of small learning rates: flow, 1/(1 - beta) as fast. That
            of a `GradientDescent` means the same.
        weight_decay: lambda >= 0, added to the gradient as lambda theta: towards 0, not as a rule's towards the start.
        batch_size: None, or samples per step of a `GradientDescent` with one learning rate: the flow then has the noise of such
            steps (:mod:`ntk_shortcuts.methods.flow.minibatches`), on fresh samples of the data law, or on the data set of
            `num_samples` in a new random order every epoch.
        optimizer: None: gradient flow. Otherwise a function from the rule's learning rate to an optax optimiser (`optax.adam`,
            `lambda rate: optax.sgd(rate, momentum=0.9)`), or a ready one (`optax.adam(1e-3)`), whose own rate then stands; with
            `GradientDescent`, whose steps are counted and whose rate may be a schedule.
        random_init: False: train and report f - f_0, which starts at zero.
        orthogonal: make the two feature directions exactly orthogonal, as they are for large d.
        tolerance: nodes are refined until the mean bias of the first four initialisations moves by less than this, or the
            finest rule is reached.
        order: a fixed rule without refinement, `flow_nodes` of the law: of two features this many nodes across and 4/3 as many
            along (:func:`ntk_shortcuts.laws.two_features.mixture.density_nodes`), Hermite nodes per axis and class where
            derivatives are taken (12 unless given) and with num_samples or batch_size (16); of other laws the rule's number.
        step_tolerance: error of one step that the solver accepts, in the Euclidean norm of the parameters; from 0.01 to
            0.001 the bias was seen to move by up to 0.004.
        max_steps: of the solver.
        dtype: of the parameters; the solver's error is above float32's rounding.
        economical: where rules are refined, run all initialisations but the first four by the coarsest rule that may stand for
            the finest, and move their mean by what the two differ by on the first four (label D13.6).
        mirrored: draw initialisations in groups of four that share a network and have the features' span turned, each by itself
            a draw like any other (:mod:`ntk_shortcuts.methods.flow.mirrors`). The mean mostly has less error; for deep networks
            with biases, while the output still is what it was at initialisation, more.

    Outputs are samples of networks: bias and reliance are means over initialisations of each network's own (no Gaussian
    assumption), `bias_std` the standard deviation of the bias over them. Diagnostics: `bias_standard_error` (of the mean bias,
    largest over times; of mirrored initialisations by groups), `discretization_error` (that last move; NaN with `order`),
    `nodes`, `converged` (1, 0), `solver_steps` (largest over initialisations), `time_reached`, `undecided` (the part of the
    reliance that probes with outputs below step_tolerance/10 of the largest decide, at most; largest over times).

    Issues: a solver out of steps, whose predictions beyond are NaN; a bias that moves by more than the tolerance at the finest
    rule; outputs f - f_0 within rounding of f_0; undecided probes of a weight above the tolerance.

    Raises:
        ValueError: an argument out of range, width None, a loss that does not exist, nesting or another law that is none of
            latents in R^K, an infinite time, another training rule; an optimizer with a momentum or weight decay beside it, or
            where derivatives are taken, as mirrored; derivatives on laws of more than two features.
        FloatingPointError: an optimiser's steps diverged.

    Numerics: an adaptive, stabilised Runge-Kutta method (:mod:`ntk_shortcuts.methods.flow.chebyshev`) under diffrax.
    Derivatives in predictivities, amplifications, correlation, variances and times
    (:mod:`ntk_shortcuts.methods.flow.sensitivities`) are those of the reliance with each probe's sign averaged over its cell
    of the grid, which is smooth; the traced prediction holds that reliance. Source: worked out for this package; the reduction
    to the plane is exact.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, predict_bias
        >>> network = MLP(1, width=16, parameterization="standard", initialization="torch")
        >>> model, training = GenerativeModel(amplification=(4.0, 1.0)), GradientFlow([2.0, 60.0])
        >>> p = predict_bias(model, network, training, method=PopulationFlow(key=jax.random.key(0), num_inits=4))
        >>> bool(p.bias[0] > 0.5 > p.bias[1]), p.bias_std.shape
        (True, (2,))
    """

    sources: ClassVar[tuple[str, ...]] = ("sommeijer1998rkc", "kidger2021on")

    name: ClassVar[str] = "population_flow"
    moves_kernel: ClassVar[bool] = True

    key: Key | None = None
    num_inits: int = eqx.field(default=16, static=True)
    loss: str = eqx.field(default="squared", static=True)
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int | None = eqx.field(default=None, static=True)
    optimizer: Optimizer | None = eqx.field(default=None, static=True)
    random_init: bool = True
    orthogonal: bool = eqx.field(default=False, static=True)
    tolerance: float = 0.03
    order: int | None = eqx.field(default=None, static=True)
    step_tolerance: float = 1e-2
    max_steps: int = eqx.field(default=20_000, static=True)
    dtype: Any = eqx.field(default="float32", static=True)
    economical: bool = eqx.field(default=False, static=True)
    mirrored: bool = eqx.field(default=False, static=True)

    def __call__(self, kernel: LawKernel, training: Any, num_samples: Any, points: TestPoints) -> SampledOutputs:
        key = self._checked_key(kernel, num_samples)
        rules = self._rules(num_samples)
        if self.optimizer is not None:
            require(not is_traced(kernel, training), "optimizer", "None where derivatives are taken", self.optimizer)
            require_optimizer(self.optimizer, training, self.momentum, self.weight_decay)
            if self.batch_size is not None:
                require_batch_size(self.batch_size, num_samples)
        sampled = num_samples is not None or self.batch_size is not None
        law = kernel.law
        order = law.flow_orders[1] if sampled and self.order is None else self.order
        if is_traced(kernel, training):
            require(not self.mirrored, "mirrored", "False where derivatives are taken", True)
            keys = jax.random.split(key, self.num_inits)
            return self._traced(kernel, training, keys, num_samples, points, order or _TRACED_ORDER, rules)
        times = flow_times(training)
        require(not (self.momentum and np.any(_momentum(training))), "momentum", "0 beside that of the rule", self.momentum)
        flows, where = self._flows(kernel, key, training, num_samples, points, rules)

        def run(chosen: slice, rule: RiskRule) -> _Path:
            path = flows(chosen, rule)
            outputs = np.array(path.outputs, np.float64)[:, where]
            if not self.random_init:
                outputs[:, np.atleast_1d(times) == 0] = 0  # f_0 - f_0, which two roundings of f_0 need not be
            reached, steps, subtracted = (np.asarray(part) for part in path[1:])
            return _Path(outputs, reached, steps, subtracted, rule)

        # The rule is chosen on the first networks, by the move of their bias from the next coarser rule to this one.
        orders = law.flow_orders if order is None else (order,)
        tried: list[_Path] = []

        def at_level(level: int) -> _Path:
            coarse = self.economical and level == 0 < len(orders) - 1
            tried.append(run(slice(_FIRST), _risk_rule(law, orders[level], sampled, _COARSE if coarse else 1.0)))
            return tried[-1]

        refined = refine(
            at_level, len(orders), lambda path: law.metric(SampledOutputs(values=path.outputs), points), self.tolerance
        )
        path, coarse = tried[-1], None
        if self.num_inits > _FIRST:
            usual = self._cheapest(tried, law.metric, points) if self.economical else path
            coarse = None if usual is path else usual.outputs
            path = path.joined(run(slice(_FIRST, None), usual.rule))
        return self._noted(kernel, points, path, coarse, times, refined.change, order is not None)

    def _flows(
        self, kernel: LawKernel, key: Key, training: Any, num_samples: Any, points: TestPoints, rules: FlowRules
    ) -> tuple[_Flows | OptimizedNetworks, np.ndarray]:
        """The networks, and where each of the rule's times is among those at which they are looked at."""
        if self.optimizer is not None:
            descent = Descent(kernel.network, training.learning_rate, rules, self.optimizer, self.batch_size, num_samples)
            stops, where = np.unique(np.atleast_1d(np.asarray(training.steps)), return_inverse=True)
            drawn = self._drawn(kernel, key, rules, on_plane=False)
            return OptimizedNetworks(kernel, drawn, points.points, stops, descent), where
        if self.batch_size is not None:
            batches = _minibatches(self.batch_size, training, num_samples, self.momentum)
            rules = dataclasses.replace(rules, batches=batches)
        times, where = np.unique(np.atleast_1d(flow_times(training)), return_inverse=True)
        drawn = self._drawn(kernel, key, rules, on_plane=True)
        return _Flows(kernel.network, drawn, points.points, jnp.asarray(times * self._speed), rules), where

    def _drawn(self, kernel: LawKernel, key: Key, rules: FlowRules, on_plane: bool) -> Drawn:
        if self.mirrored:
            return mirrored_draws(kernel, key, self.num_inits, rules, on_plane)
        return draw_several(kernel, jax.random.split(key, self.num_inits), rules, on_plane)

    def _cheapest(self, tried: list[_Path], metric: Metric, points: TestPoints) -> _Path:
        """The coarsest of the rules tried that may stand for the last one: what their differences on the first networks add to
        the variance of the mean is an eighth of the scatter over initialisations at most. Label D13.6."""
        numbers = [np.asarray(metric.of_signs(SampledOutputs(values=path.outputs).signs(points), points)) for path in tried]
        allowed = _ADDED * np.mean(np.var(numbers[-1], axis=0, ddof=1)) / self.num_inits
        share = 1 / _FIRST - 1 / self.num_inits
        added = [np.mean(np.var(found - numbers[-1], axis=0, ddof=1)) * share for found in numbers]
        # Of runs out of steps nothing is known.
        return next((path for path, variance in zip(tried, added, strict=True) if variance <= allowed), tried[-1])

    @property
    def _speed(self) -> float:
        """Of heavy-ball momentum, in its limit of small learning rates."""
        return 1 / (1 - self.momentum)

    def _checked_key(self, kernel: LawKernel, num_samples: Any) -> Key:
        law = kernel.law
        if num_samples is not None:
            require_integer("num_samples", num_samples, 2)
            half = float(law.positive_share) == 0.5
            require(not half or num_samples % 2 == 0, "num_samples", "even, half of either class", num_samples)
            allowed = 'None with noisy labels and method="population_flow"'
            require(not law.flips_labels, "num_samples", allowed, num_samples)
        nesting = (0, 0) if law.two_features is None else law.two_features.nesting
        require(not any(nesting), "nesting", '(0, 0) with method="population_flow"', nesting)
        allowed = 'a law of latents in R^K, such as a GenerativeModel, with method="population_flow" (networks: train_ensemble)'
        require(law.latent_dim is not None, "model", allowed, type(law).__name__.removeprefix("Indexed"))
        allowed = 'an integer with method="population_flow" (infinitely wide networks: method="population")'
        require_finite_network(kernel.network, allowed)
        key = require_key(self.key, 'a jax.random key with method="population_flow"')
        require_integer("num_inits", self.num_inits, 1)
        resolve_loss(self.loss)
        require_values("momentum", self.momentum, (), "in [0, 1)", lambda v: (v >= 0) & (v < 1))
        require_values("weight_decay", self.weight_decay, (), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        require_values("tolerance", self.tolerance, (), "positive", lambda v: v > 0)
        require_values("step_tolerance", self.step_tolerance, (), "in (0, 0.1]", lambda v: (v > 0) & (v <= 0.1))
        require_integer("max_steps", self.max_steps, 1)
        if self.order is not None:
            require_integer("order", self.order, 1)
        return key

    def _rules(self, num_samples: int | None) -> FlowRules:
        numbers = (jnp.asarray(self.weight_decay), jnp.asarray(self.step_tolerance))
        count = None if num_samples is None else jnp.asarray(float(num_samples))
        dtype = str(jnp.dtype(self.dtype))
        return FlowRules(*numbers, self.loss, not self.random_init, self.orthogonal, self.max_steps, dtype, count)

    def _traced(
        self, kernel: LawKernel, training: Any, keys: Key, num_samples: Any, points: TestPoints, order: int, rules: FlowRules
    ) -> SampledOutputs:
        """Inside JAX's transformations: one rule of nodes, and signs averaged over the cells of the grid, which are smooth."""
        for name, value in (("num_samples", num_samples), ("batch_size", self.batch_size)):
            require(value is None, name, "None where derivatives are taken: samples are counted at nodes", value)
        two = required(kernel.law.two_features, "model", "a GenerativeModel where derivatives are taken", kernel.law)
        given = None if is_traced(points.points) else np.asarray(points.points)
        grid = two.probe_grid()
        on_grid = given is None or (given.shape == grid.shape and np.allclose(given, grid, rtol=1e-12, atol=1e-12))
        require(on_grid, "probes", "None where derivatives are taken: they need the grid", given)
        times = jnp.asarray(training.time)
        flat = jnp.atleast_1d(times) * self._speed
        ascending = jnp.argsort(flat)

        def at_nodes(model: Any) -> FlowPoints:
            nodes, weights = mixture_nodes(model, order)
            return FlowPoints(nodes, weights, model.class_expectation(nodes), model.probe_grid())

        outputs = differentiable_outputs(kernel, keys, at_nodes, flat[ascending], rules)
        # The weights are those of the model's dtype: derivatives of the reliance are taken in float64.
        outputs = outputs.astype(flat.dtype)[:, jnp.argsort(ascending)].reshape(len(keys), *times.shape, -1)
        return SampledOutputs(values=outputs, in_cells=True)

    def _noted(
        self,
        kernel: LawKernel,
        points: TestPoints,
        path: _Path,
        coarse: np.ndarray | None,
        times: np.ndarray,
        move: float,
        fixed: bool,
    ) -> SampledOutputs:
        """The outputs with what the solver and the nodes may have missed."""
        wanted, dtype, each = float(np.max(times)), jnp.dtype(self.dtype), np.atleast_1d(times)
        issues: list[Issue] = []
        finished = bool(np.all(path.reached >= np.asarray(wanted * self._speed, self.dtype)))
        reached = wanted if finished else float(np.min(path.reached)) / self._speed
        if not finished:
            issues.append(OutOfSteps(reached, wanted, self.max_steps))
        if move > self.tolerance:
            issues.append(Unconverged(move, float(self.tolerance)))
        # Between two nearly equal outputs only their rounding is left.
        largest = np.max(np.abs(path.outputs), axis=-1)
        lost = largest < 100 * float(jnp.finfo(dtype).eps) * path.subtracted[:, None]
        # Without a target (all predictivities 1/2) f - f_0 stays 0.
        if lost[:, each > 0].any() and np.max(np.abs(np.asarray(path.rule.targets))) > _NO_TARGET:
            issues.append(LostOutputs(float(np.max(each[lost.any(0)])), str(dtype)))
        # Probes on the boundary to the solver's error, as a linear network's at equal predictivities: their signs are noise.
        error = self.step_tolerance / 10 if self.optimizer is None else 0.0
        near = np.abs(path.outputs) < error * largest[..., None]
        undecided = float(np.max(np.mean(near @ np.abs(kernel.law.metric.weights(points)), axis=0)))
        if undecided > self.tolerance:
            issues.append(UndecidedProbes(undecided))
        values = path.outputs.reshape(len(path.outputs), *np.shape(times), -1)
        beside = None if coarse is None else coarse.reshape(len(coarse), *values.shape[1:])
        outputs = SampledOutputs(values=values, coarse=beside, group=GROUP if self.mirrored else 1)
        error = np.asarray(kernel.law.metric.read(outputs, points).error) if self.num_inits > 1 else np.nan
        diagnostics = {
            "bias_standard_error": float(np.max(error)),
            "discretization_error": move,
            "nodes": float(jnp.count_nonzero(path.rule.weights)),
            "converged": float(finished and (fixed or move <= self.tolerance)),
            "solver_steps": float(np.max(path.steps)),
            "time_reached": float(reached),
            "undecided": undecided,
        }
        return outputs.with_notes(diagnostics, tuple(issues))


class _Path(NamedTuple):
    """Of each initialisation: outputs (inits, times, probes), time reached, steps and the largest initial output that was
    subtracted (inits,); and the rule of the first ones."""

    outputs: np.ndarray
    reached: np.ndarray
    steps: np.ndarray
    subtracted: np.ndarray
    rule: RiskRule

    def joined(self, other: _Path) -> _Path:
        """With the initialisations of another, by this one's rule or by a coarser one."""
        outputs, reached, steps, subtracted = (np.concatenate(part) for part in zip(self[:-1], other[:-1], strict=True))
        return _Path(outputs, reached, steps, subtracted, self.rule)


def _momentum(training: Any) -> Any:
    return training.momentum if isinstance(training, GradientDescent) else 0.0


def _minibatches(batch_size: int, training: Any, num_samples: int | None, momentum: float) -> Minibatches:
    """Batches of a training rule in steps; before it, gradient flow has no noise."""
    require_batch_size(batch_size, num_samples)
    allowed = "GradientDescent(learning_rate, steps) with batch_size: the noise of minibatches grows with the learning rate"
    require(isinstance(training, GradientDescent), "training", allowed, type(training).__name__)
    require(
        not training.scheduled, "learning_rate", "one number with batch_size, or a schedule with optimizer=optax.sgd", "one"
    )
    require_values("learning_rate", training.learning_rate, (), "one number with batch_size", np.isfinite)
    require_values("momentum", training.momentum, (), "one number with batch_size", np.isfinite)
    momentum = momentum or float(training.momentum)
    return minibatches(batch_size, float(training.learning_rate), momentum, float(np.max(np.asarray(training.steps))))


def flow_times(training: Any) -> np.ndarray:
    """Times of the flow: learning rate x steps, or their sum, over 1 - momentum."""
    allowed = 'GradientFlow or GradientDescent with method="population_flow"'
    require(isinstance(training, GradientFlow | GradientDescent), "training", allowed, type(training).__name__)
    if isinstance(training, GradientDescent):
        allowed = "0 in a rule for networks whose kernel moves (towards 0: weight_decay= of the method)"
        require(not training.decays, "weight_decay", allowed, training.weight_decay)
    times = np.asarray(training.time, np.float64)
    require(bool(np.isfinite(times).all()), "time", 'finite with method="population_flow"', times)
    return times


class _Flows:
    """Flows of drawn networks, which come stacked."""

    def __init__(self, network: Any, drawn: Drawn, probes: Any, times: jax.Array, rules: FlowRules):
        self.network, self.probes, self.times, self.rules = network, probes, times, rules
        params, frames = jax.device_get((drawn.params, drawn.frame))
        self.drawn = [
            Drawn(jax.tree.map(lambda leaf, i=i: leaf[i], params), frames[i], key) for i, key in enumerate(drawn.data_key)
        ]

    def __call__(self, chosen: slice, rule: RiskRule) -> FlowPath:
        points = FlowPoints(rule.nodes, rule.weights, rule.targets, self.probes)
        rules = dataclasses.replace(self.rules, step_tolerance=self.rules.step_tolerance * rule.coarseness)

        @in_float64
        def one(drawn: Drawn) -> FlowPath:
            return flow_from(drawn, self.network, points, self.times, rules)

        # One by one, a network never waits for the steps of another, and every core has a network of its own.
        first, *rest = self.drawn[chosen]
        paths = [one(first)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            paths += pool.map(one, rest)
        return jax.tree.map(lambda *leaves: np.stack(leaves), *paths)


def _risk_rule(law: DataLaw, order: int, sampled: bool, coarseness: float) -> RiskRule:
    """Nodes, weights and targets, padded with nodes of no weight."""
    rule = law.flow_nodes(order, sampled)
    found = (rule.points, rule.weights[:, 0], rule.targets[:, 0])
    nodes, weights, targets = (jnp.pad(leaf, [(0, -len(leaf) % _PADDED)] + [(0, 0)] * (leaf.ndim - 1)) for leaf in found)
    return RiskRule(nodes, weights, targets, coarseness)
