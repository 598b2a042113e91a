r"""Finite networks, feature learning included: gradient flow of the network itself on the population risk.

The data is two-dimensional, so that the risk is a sum over quadrature nodes and the network one on the plane
(:mod:`ntk_shortcuts.laws.two_features.plane`): nothing is sampled but initialisations, and, where asked for, the counts of samples at the nodes.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.metrics.reliance import optimal_reliance, reliance, reliance_between_probes
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.networks.mlp import MLP, require_finite_network
from ntk_shortcuts.numerics import in_float64, is_traced
from ntk_shortcuts.methods.flow.equation import Drawn, FlowPath, FlowPoints, FlowRules, differentiable_outputs, draw, flow_from
from ntk_shortcuts.methods.flow.minibatches import Minibatches, minibatches
from ntk_shortcuts.results.prediction import Prediction, UntrustedPredictionWarning, plain
from ntk_shortcuts.methods.registry import register_method
from ntk_shortcuts.laws.two_features.polar import density_nodes, mixture_nodes
from ntk_shortcuts.training.rules import GradientDescent, GradientFlow
from ntk_shortcuts.typing import Key, Latents, Scalar
from ntk_shortcuts.validation import as_points, require, require_integer, require_key, require_values

# Nodes across of the rule, with 4/3 as many along: refined until the bias moves by less than the tolerance.
_ORDERS = (10, 16, 24, 36)
# Hermite nodes per axis and class without refinement, where derivatives are taken.
_TRACED_ORDER = 12
# For samples at nodes: with 8 the modes in which noise is fitted late are missing.
_SAMPLED_ORDER = 16
# Rules are padded to multiples of this many nodes, for one compiled program.
_PADDED = 320
# Networks on which the rule is chosen.
_FIRST = 4


class _Path(NamedTuple):
    """Of each initialisation: outputs (inits, times, probes), reliance (inits, times), time reached, steps and the largest
    initial output that was subtracted (inits,)."""

    outputs: np.ndarray
    reliance: np.ndarray
    reached: np.ndarray
    steps: np.ndarray
    subtracted: np.ndarray


@register_method("population_flow")
@in_float64
def predict_population_flow(
    model: GenerativeModel,
    network: MLP,
    training: GradientFlow | GradientDescent,
    num_samples: int | None = None,
    *,
    key: Key | None = None,
    num_inits: int = 16,
    loss: str = "squared",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: int | None = None,
    probes: Latents | None = None,
    random_init: bool = True,
    orthogonal: bool = False,
    tolerance: float = 0.03,
    order: int | None = None,
    step_tolerance: float = 1e-2,
    max_steps: int = 20_000,
    dtype: Any = "float32",
) -> Prediction:
    r"""Bias of finite networks trained by gradient flow on infinitely many samples or on N, averaged over initialisations.

    \[\dot\theta=-\nabla_\theta\sum_mw_m\sum_{y=\pm1}P(y\mid z_m)\,\ell(f_\theta(z_m),y)-\lambda\theta,\qquad
      \ell(f,y)=\tfrac12(f-y)^2\ \text{or}\ \log(1+e^{-yf}).\]

    Unlike the frozen-kernel methods it lets the kernel move. Each initialisation has a random embedding of its own.

    Args:
        network: an `MLP` of finite width (of any width at depth 0), any activation, parameterisation and initialisation.
        training: `GradientFlow(time)`, or `GradientDescent(learning_rate, steps)`, taken as flow for time learning_rate x
            steps. The squared loss is half of PyTorch's mean squared error, which runs twice as fast. Several times in one
            pass.
        num_samples: None, or N, even: then every initialisation has a data set of N samples of its own, half of either class,
            each at a node of the quadrature. That has the mean and the covariance of sampling noise, at a cost that does not
            grow with N. The initialisations are those of infinite data under the same key.
        key: `jax.random` key.
        num_inits: initialisations averaged.
        loss: "squared" or "logistic".
        momentum: heavy-ball momentum beta in [0, 1), in its limit of small learning rates: flow, 1/(1 - beta) as fast.
        weight_decay: lambda >= 0, added to the gradient as lambda theta.
        batch_size: None, or samples per step of a `GradientDescent` with one learning rate: the flow then has the noise of such
            steps (:mod:`ntk_shortcuts.methods.flow.minibatches`), on fresh samples of the data law, or on the data set of
            `num_samples` in a new random order every epoch.
        probes: latents (n, 2) at which reliance is measured; the 30 x 30 grid by default.
        random_init: False: train and report f - f_0, which starts at zero.
        orthogonal: make the two feature directions exactly orthogonal, as they are for large d.
        tolerance: nodes are refined until the mean bias of the first four initialisations moves by less than this, or the
            finest rule is reached.
        order: a fixed rule without refinement, of this many nodes across and 4/3 as many along
            (:func:`ntk_shortcuts.laws.two_features.polar.density_nodes`). Hermite nodes per axis and class where derivatives are taken (12
            unless given) and with num_samples or batch_size (16).
        step_tolerance: error of one step that the solver accepts, in the Euclidean norm of the parameters; from 0.01 to
            0.001 the bias was seen to move by up to 0.004.
        max_steps: of the solver.
        dtype: of the parameters; the solver's error is above float32's rounding.

    Returns:
        A Prediction: `bias` and `reliance` are means over initialisations of each network's own (no Gaussian assumption),
        `bias_std` the standard deviation of the bias over them, `mean` and `std` of the outputs likewise. Diagnostics:
        `bias_standard_error` (largest over times), `discretization_error` (that last move; NaN with `order`),
        `nodes`, `converged` (1, 0), `solver_steps` (largest over initialisations), `time_reached`, `undecided` (the part of
        the reliance that probes with outputs below step_tolerance/10 of the largest decide, at most; largest over times).

    Raises:
        ValueError: an argument out of range, width None, a loss that does not exist, nesting, an infinite time, another
            training rule.

    Numerics: an adaptive, stabilised Runge-Kutta method (:mod:`ntk_shortcuts.methods.flow.chebyshev`) under diffrax. A solver that runs out
    of steps warns, with the time it reached (a derivative, when it is computed); what lies beyond is NaN. So do a bias that
    moves by more than the tolerance at the finest rule, and undecided probes of that weight. Derivatives in predictivities,
    amplifications, correlation, variances and times (:mod:`ntk_shortcuts.methods.flow.equation`) are those of the reliance with each
    probe's sign averaged over its cell of the grid, which is smooth; the traced prediction holds that reliance. Source: worked
    out for this package; the reduction to the plane is exact.

    Example:
        >>> network = MLP(1, width=16, parameterization="standard", initialization="torch")
        >>> model, training = GenerativeModel(amplification=(4.0, 1.0)), GradientFlow([2.0, 60.0])
        >>> p = predict_population_flow(model, network, training, key=jax.random.key(0), num_inits=4)
        >>> bool(p.bias[0] > 0.5 > p.bias[1]), p.bias_std.shape
        (True, (2,))
    """
    if num_samples is not None:
        require_integer("num_samples", num_samples, 2)
        require(num_samples % 2 == 0, "num_samples", "even, half of either class", num_samples)
    require_finite_network(network, 'an integer with method="population_flow" (infinitely wide networks: method="population")')
    require(not any(model.nesting), "nesting", '(0, 0) with method="population_flow"', model.nesting)
    require_key(key, 'a jax.random key with method="population_flow"')
    require_integer("num_inits", num_inits, 1)
    resolve_loss(loss)
    require_values("momentum", momentum, (), "in [0, 1)", lambda v: (v >= 0) & (v < 1))
    require_values("weight_decay", weight_decay, (), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
    require_values("tolerance", tolerance, (), "positive", lambda v: v > 0)
    require_values("step_tolerance", step_tolerance, (), "in (0, 0.1]", lambda v: (v > 0) & (v <= 0.1))
    require_integer("max_steps", max_steps, 1)
    if order is not None:
        require_integer("order", order, 1)
    speed = 1 / (1 - momentum)
    numbers = (jnp.asarray(weight_decay), jnp.asarray(step_tolerance))
    count = None if num_samples is None else jnp.asarray(float(num_samples))
    rules = FlowRules(*numbers, loss, not random_init, orthogonal, max_steps, str(jnp.dtype(dtype)), count)
    sampled = num_samples is not None or batch_size is not None
    if sampled and order is None:
        order = _SAMPLED_ORDER
    if is_traced(model, network, training):
        for name, value in (("num_samples", num_samples), ("batch_size", batch_size)):
            require(value is None, name, "None where derivatives are taken: samples are counted at nodes", value)
        require(probes is None, "probes", "None where derivatives are taken: they need the grid", probes)
        keys = jax.random.split(key, num_inits)
        return _traced_prediction(model, network, training, keys, speed, order or _TRACED_ORDER, rules)
    times = _times(training)
    if batch_size is not None:
        rules = dataclasses.replace(rules, batches=_minibatches(batch_size, training, num_samples, momentum))
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)

    optimum = optimal_reliance(model, probes)
    stops, where = np.unique(np.atleast_1d(times), return_inverse=True)
    keys = jax.random.split(key, num_inits)
    flows = _Flows(model, network, keys, probes, jnp.asarray(stops * speed), rules)

    def run(chosen: slice, points: tuple) -> _Path:
        path = flows(chosen, points)
        outputs = np.array(path.outputs, np.float64)[:, where]
        if not random_init:
            outputs[:, np.atleast_1d(times) == 0] = 0  # f_0 - f_0, which two roundings of f_0 need not be
        found = np.where(np.isfinite(outputs).all(-1), np.asarray(reliance(outputs, probes)), np.nan)
        return _Path(outputs, found, np.asarray(path.reached), np.asarray(path.steps), np.asarray(path.subtracted))

    # The rule is chosen on the first networks, by the move of their bias from the next coarser rule to this one.
    move, first = np.nan, None
    for rung in _ORDERS if order is None else (order,):
        points = _padded_nodes(model, rung, sampled)
        coarse, first = first, run(slice(_FIRST), points)
        if coarse is not None:
            moves = np.abs(first.reliance.mean(0) - coarse.reliance.mean(0))
            move = float(np.max(moves[np.isfinite(moves)], initial=0.0))
        if move <= tolerance:
            break
    parts = [first] if num_inits <= _FIRST else [first, run(slice(_FIRST, None), points)]
    path = _Path(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    outputs, found, reached = path.outputs, path.reliance, path.reached
    finished = bool(np.all(reached >= np.asarray(stops[-1] * speed, dtype)))
    reached = stops[-1] if finished else float(np.min(reached)) / speed
    if not finished:
        warnings.warn(
            f"the solver ran out of max_steps={max_steps} at time {reached:.4g} of {stops[-1]:.4g}: predictions beyond are "
            "NaN; raise max_steps or step_tolerance",
            UntrustedPredictionWarning,
            stacklevel=3,
        )
    if move > tolerance:
        warnings.warn(
            f"the bias still moved by {move:.2g}, more than tolerance={tolerance:g}, at the finest rule of nodes",
            UntrustedPredictionWarning,
            stacklevel=3,
        )
    # Between two nearly equal outputs only their rounding is left.
    lost = np.max(np.abs(outputs), axis=-1) < 100 * float(jnp.finfo(dtype).eps) * path.subtracted[:, None]
    # Without a target (both predictivities 1/2) f - f_0 stays 0.
    if lost[:, np.atleast_1d(times) > 0].any() and np.any(np.asarray(model.means) > 0):
        warnings.warn(
            f"at time {np.max(np.atleast_1d(times)[lost.any(0)]):.3g} the outputs f - f_0 are within the rounding of f_0 in "
            f'{jnp.dtype(dtype)}, and their signs noise; dtype="float64" reaches further, and before the kernel moves '
            'method="population" has the answer',
            UntrustedPredictionWarning,
            stacklevel=3,
        )
    # Probes on the boundary to the solver's error, as a linear network's at equal predictivities: their signs are noise.
    signs = np.sign(np.asarray(probes))
    near = np.abs(outputs) < step_tolerance / 10 * np.max(np.abs(outputs), axis=-1, keepdims=True)
    undecided = float(np.max(np.mean(near @ np.abs(signs[:, 0] - signs[:, 1]), axis=0))) / len(signs)
    if undecided > tolerance:
        warnings.warn(
            f"probes within the solver's error of the decision boundary decide up to {undecided:.2g} of the bias: others "
            "(probes=) do not lie on it",
            UntrustedPredictionWarning,
            stacklevel=3,
        )
    spread = found.std(0, ddof=1) if num_inits > 1 else np.full(found.shape[1:], np.nan)
    shape = np.shape(times)
    errors = spread / np.sqrt(num_inits)
    averaged = jnp.asarray(found.mean(0).reshape(shape))
    return Prediction(
        bias=plain(averaged - optimum),
        reliance=plain(averaged),
        optimal_reliance=plain(optimum),
        mean=jnp.asarray(outputs.mean(0).reshape(*shape, -1)),
        std=jnp.asarray(outputs.std(0, ddof=min(1, num_inits - 1)).reshape(*shape, -1)),
        probes=probes,
        method="population_flow",
        bias_std=plain(jnp.asarray(spread.reshape(shape))),
        diagnostics={
            "bias_standard_error": float(np.max(errors)),
            "discretization_error": move,
            "nodes": float(jnp.count_nonzero(points[1])),
            "converged": float(finished and (order is not None or move <= tolerance)),
            "solver_steps": float(np.max(path.steps)),
            "time_reached": float(reached),
            "undecided": undecided,
        },
    )


def _minibatches(batch_size: int, training: Any, num_samples: int | None, momentum: float) -> Minibatches:
    """Batches of a training rule in steps; before it, gradient flow has no noise."""
    require_integer("batch_size", batch_size, 1)
    require(num_samples is None or batch_size <= num_samples, "batch_size", f"at most num_samples={num_samples}", batch_size)
    allowed = "GradientDescent(learning_rate, steps) with batch_size: the noise of minibatches grows with the learning rate"
    require(isinstance(training, GradientDescent), "training", allowed, type(training).__name__)
    require_values("learning_rate", training.learning_rate, (), "one number with batch_size", np.isfinite)
    return minibatches(batch_size, float(training.learning_rate), momentum, float(np.max(np.asarray(training.steps))))


def _times(training: Any) -> np.ndarray:
    """Times of the flow: learning rate x steps."""
    allowed = 'GradientFlow or GradientDescent with method="population_flow"'
    require(isinstance(training, GradientFlow | GradientDescent), "training", allowed, type(training).__name__)
    if isinstance(training, GradientFlow):
        times = np.asarray(training.time, np.float64)
    else:
        times = np.asarray(training.learning_rate, np.float64) * np.asarray(training.steps, np.float64)
    require(bool(np.isfinite(times).all()), "time", 'finite with method="population_flow"', times)
    return times


def _traced_prediction(
    model: GenerativeModel, network: MLP, training: Any, keys: jax.Array, speed: Scalar, order: int, rules: FlowRules
) -> Prediction:
    """The prediction inside JAX's transformations: one rule of nodes, and the smooth reliance of the cells of the grid."""
    if isinstance(training, GradientFlow):
        times = jnp.asarray(training.time)
    else:
        times = jnp.asarray(training.learning_rate) * jnp.asarray(training.steps)
    flat = jnp.atleast_1d(times) * speed
    ascending = jnp.argsort(flat)

    def points(model: GenerativeModel) -> FlowPoints:
        nodes, weights = mixture_nodes(model, order)
        return FlowPoints(nodes, weights, model.class_expectation(nodes), model.probe_grid())

    outputs = differentiable_outputs(model, network, keys, points, flat[ascending], rules)
    # The weights are those of the model's dtype: derivatives of the reliance are taken in float64.
    outputs = outputs.astype(flat.dtype)[:, jnp.argsort(ascending)].reshape(len(keys), *times.shape, -1)
    probes = model.probe_grid()
    found = reliance_between_probes(outputs, probes)
    optimum = optimal_reliance(model, probes)
    spread = {"ddof": min(1, len(keys) - 1)}
    return Prediction(
        bias=found.mean(0) - optimum,
        reliance=found.mean(0),
        optimal_reliance=optimum,
        mean=outputs.mean(0),
        std=outputs.std(0, **spread),
        probes=probes,
        method="population_flow",
        bias_std=found.std(0, **spread),
    )


class _Flows:
    """Flows of the networks of some keys, drawn once."""

    def __init__(self, model: GenerativeModel, network: MLP, keys: jax.Array, probes: Any, times: jax.Array, rules: FlowRules):
        self.network, self.probes, self.times, self.rules = network, probes, times, rules
        self.drawn = [draw(model, network, key, rules) for key in keys]

    def __call__(self, chosen: slice, points: tuple) -> FlowPath:
        points = FlowPoints(*points, self.probes)

        @in_float64
        def one(drawn: Drawn) -> FlowPath:
            return flow_from(drawn, self.network, points, self.times, self.rules)

        # One by one, a network never waits for the steps of another, and every core has a network of its own.
        first, *rest = self.drawn[chosen]
        paths = [one(first)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            paths += pool.map(one, rest)
        return jax.tree.map(lambda *leaves: np.stack(leaves), *paths)


def _padded_nodes(model: GenerativeModel, order: int, sampled: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Nodes, weights and targets, padded with nodes of no weight."""
    if sampled:  # the targets of the density's own rule are projections, and no probabilities
        nodes, weights = mixture_nodes(model, order)
        rule = nodes, weights, model.class_expectation(nodes)
    else:
        rule = density_nodes(model, -(-4 * order // 3), order)
    nodes, weights, targets = (jnp.pad(leaf, [(0, -len(leaf) % _PADDED)] + [(0, 0)] * (leaf.ndim - 1)) for leaf in rule)
    return nodes, weights, targets
