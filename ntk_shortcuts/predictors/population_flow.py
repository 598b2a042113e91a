r"""Finite networks, feature learning included: gradient flow of the network itself on the population risk.

The data is two-dimensional, so that the risk is a sum over quadrature nodes and the network one on the plane
(:mod:`ntk_shortcuts.plane`): nothing is sampled but initialisations.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.bias import optimal_reliance, reliance
from ntk_shortcuts.generative import GenerativeModel
from ntk_shortcuts.losses import resolve_loss
from ntk_shortcuts.networks import MLP, Parameters
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.plane import plane_basis, plane_inputs, plane_parameters
from ntk_shortcuts.predictors.prediction import Prediction, UntrustedPredictionWarning, plain
from ntk_shortcuts.predictors.registry import register_method
from ntk_shortcuts.quadrature import mixture_nodes
from ntk_shortcuts.training_rules import GradientDescent, GradientFlow
from ntk_shortcuts.typing import Key, Latents
from ntk_shortcuts.validation import as_points, require, require_integer, require_key, require_values

# Hermite nodes per axis and mixture component: refined until the bias moves by less than the tolerance.
_ORDERS = (6, 8, 12, 16, 24)
_GROUP = 4


class _Path(NamedTuple):
    """Of each initialisation: outputs (inits, times, probes), reliance (inits, times), time reached and steps (inits,)."""

    outputs: np.ndarray
    reliance: np.ndarray
    reached: np.ndarray
    steps: np.ndarray


@register_method("population_flow")
@in_float64
def predict_population_flow(
    model: GenerativeModel,
    network: MLP,
    training: GradientFlow | GradientDescent,
    num_samples: None = None,
    *,
    key: Key | None = None,
    num_inits: int = 16,
    loss: str = "squared",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    probes: Latents | None = None,
    random_init: bool = True,
    orthogonal: bool = False,
    tolerance: float = 0.03,
    order: int | None = None,
    step_tolerance: float = 1e-2,
    max_steps: int = 20_000,
    dtype: Any = "float32",
) -> Prediction:
    r"""Bias of finite networks trained by gradient flow on infinitely many samples, averaged over initialisations.

    \[\dot\theta=-\nabla_\theta\sum_mw_m\sum_{y=\pm1}P(y\mid z_m)\,\ell(f_\theta(z_m),y)-\lambda\theta,\qquad
      \ell(f,y)=\tfrac12(f-y)^2\ \text{or}\ \log(1+e^{-yf}).\]

    Unlike the frozen-kernel methods it lets the kernel move. Each initialisation has a random embedding of its own.

    Args:
        network: an `MLP` of finite width (of any width at depth 0), any activation, parameterisation and initialisation.
        training: `GradientFlow(time)`, or `GradientDescent(learning_rate, steps)`, taken as flow for time learning_rate x
            steps. The squared loss is half of PyTorch's mean squared error, which runs twice as fast. Several times in one
            pass.
        key: `jax.random` key.
        num_inits: initialisations averaged.
        loss: "squared" or "logistic".
        momentum: heavy-ball momentum beta in [0, 1), in its limit of small learning rates: flow, 1/(1 - beta) as fast.
        weight_decay: lambda >= 0, added to the gradient as lambda theta.
        probes: latents (n, 2) at which reliance is measured; the 30 x 30 grid by default.
        random_init: False: train and report f - f_0, which starts at zero.
        orthogonal: make the two feature directions exactly orthogonal, as they are for large d.
        tolerance: nodes are refined until the mean bias of the first four initialisations moves by less than this, or the
            finest rule is reached.
        order: Hermite nodes per axis and mixture component, for a fixed rule without refinement.
        step_tolerance: error of one step that the solver accepts, in the Euclidean norm of the parameters; from 0.01 to
            0.001 the bias was seen to move by up to 0.004.
        max_steps: of the solver.
        dtype: of the parameters; the solver's error is above float32's rounding.

    Returns:
        A Prediction: `bias` and `reliance` are means over initialisations of each network's own (no Gaussian assumption),
        `bias_std` the standard deviation of the bias over them, `mean` and `std` of the outputs likewise. Diagnostics:
        `bias_standard_error` (largest over times), `discretization_error` (that last move; NaN with `order`),
        `nodes`, `converged` (1, 0), `solver_steps` (largest over initialisations), `time_reached`.

    Raises:
        ValueError: an argument out of range, width None, a loss that does not exist, nesting, an infinite time, another
            training rule.

    Numerics: an adaptive, stabilised Runge-Kutta method (:mod:`ntk_shortcuts.chebyshev`) under diffrax. A solver that runs out
    of steps warns, with the time it reached; what lies beyond is NaN. So does a bias that moves by more than the tolerance at
    the finest rule. Source: worked out for this package; the reduction to the
    plane is exact.

    Example:
        >>> network = MLP(1, width=16, parameterization="standard", initialization="torch")
        >>> model, training = GenerativeModel(amplification=(4.0, 1.0)), GradientFlow([2.0, 60.0])
        >>> p = predict_population_flow(model, network, training, key=jax.random.key(0), num_inits=4)
        >>> bool(p.bias[0] > 0.5 > p.bias[1]), p.bias_std.shape
        (True, (2,))
    """
    require(num_samples is None, "num_samples", "None: the data is infinite", num_samples)
    require(isinstance(network, MLP), "network", "an MLP of finite width", type(network).__name__)
    require(
        network.width is not None or network.depth == 0,
        "width",
        'an integer with method="population_flow" (infinitely wide networks: method="population")',
        network.width,
    )
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
    times = _times(training)
    speed = 1 / (1 - momentum)
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)

    optimum = optimal_reliance(model, probes)
    stops, where = np.unique(np.atleast_1d(times), return_inverse=True)
    rates = {name: jnp.asarray(value) for name, value in (("weight_decay", weight_decay), ("step_tolerance", step_tolerance))}
    rules = {"loss": loss, "centred": not random_init, "orthogonal": orthogonal, "max_steps": max_steps, "dtype": dtype}
    # In groups of one size: one compilation, and a group need not wait for the slowest network of all.
    size = min(num_inits, _GROUP)
    count = -(-num_inits // size)
    groups = jnp.split(jax.random.split(key, size * count), count)

    def run(group: jax.Array, nodes: jax.Array, weights: jax.Array) -> _Path:
        law = [jnp.asarray(array, dtype) for array in (weights, (1 + model.class_expectation(nodes)) / 2)]
        points = jnp.concatenate([nodes, probes])
        outputs, reached, steps = _flow(model, network, group, points, law, jnp.asarray(stops * speed), rates, **rules)
        outputs = np.asarray(outputs, np.float64)[:, where]
        found = np.where(np.isfinite(outputs).all(-1), np.asarray(reliance(outputs, probes)), np.nan)
        return _Path(outputs, found, np.asarray(reached), np.asarray(steps))

    # The rule is chosen on the first group, by the move of its bias from the next coarser rule to this one.
    move, first = np.nan, None
    for rung in _ORDERS if order is None else (order,):
        nodes, weights = _padded_nodes(model, rung)
        coarse, first = first, run(groups[0], nodes, weights)
        if coarse is not None:
            moves = np.abs(first.reliance.mean(0) - coarse.reliance.mean(0))
            move = float(np.max(moves[np.isfinite(moves)], initial=0.0))
        if move <= tolerance:
            break
    paths = [first, *(run(group, nodes, weights) for group in groups[1:])]
    path = _Path(*(np.concatenate(parts)[:num_inits] for parts in zip(*paths, strict=True)))
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
            "nodes": float(jnp.count_nonzero(weights)),
            "converged": float(finished and (order is not None or move <= tolerance)),
            "solver_steps": float(np.max(path.steps)),
            "time_reached": float(reached),
        },
    )


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


@eqx.filter_jit
def _flow(
    model: GenerativeModel,
    network: MLP,
    keys: jax.Array,
    points: jax.Array,
    law: list[jax.Array],
    times: jax.Array,
    rates: dict[str, Any],
    *,
    dtype: Any,
    loss: str,
    centred: bool,
    orthogonal: bool,
    max_steps: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Outputs (inits, times, probes) along the flow, the times reached (inits,) and the steps taken (inits,)."""
    # diffrax takes a quarter of a second to import, which `import ntk_shortcuts` should not cost.
    import diffrax

    from ntk_shortcuts.chebyshev import RungeKuttaChebyshev, euclidean_norm

    weights, positive = law
    count = weights.shape[0]
    cost = resolve_loss(loss)
    times = times.astype(dtype)

    def one(key: Key) -> tuple[jax.Array, jax.Array, jax.Array]:
        params, inputs = _plane_network(model, network, key, points, orthogonal, dtype)
        offset = network.apply(params, inputs) if centred else jnp.zeros(len(inputs), dtype)

        def risk(params: Parameters) -> jax.Array:
            f = network.apply(params, inputs[:count]) - offset[:count]
            return jnp.sum(weights * (positive * cost(f, 1.0) + (1 - positive) * cost(f, -1.0)))

        def velocity(_: Any, params: Parameters, __: Any) -> Parameters:
            gradient = jax.grad(risk)(params)
            return jax.tree.map(lambda g, p: -(g + rates["weight_decay"].astype(p.dtype) * p), gradient, params)

        def at_probes(_: Any, params: Parameters, __: Any) -> jax.Array:
            return network.apply(params, inputs[count:]) - offset[count:]

        tolerance = rates["step_tolerance"].astype(dtype)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            RungeKuttaChebyshev(),
            t0=jnp.zeros((), dtype),
            # A flow for no time at all is one for an invisible time.
            t1=jnp.maximum(times[-1], jnp.finfo(dtype).tiny * 1e6),
            dt0=None,
            y0=params,
            saveat=diffrax.SaveAt(
                subs=[diffrax.SubSaveAt(ts=times, fn=at_probes), diffrax.SubSaveAt(t1=True, fn=lambda t, *_: t)]
            ),
            # The Euclidean norm: a mean over parameters would let the output err by the square root of their number.
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance, norm=euclidean_norm),
            max_steps=max_steps,
            throw=False,
        )
        outputs, last = solution.ys
        return jnp.where(jnp.isfinite(outputs), outputs, jnp.nan), last[0], solution.stats["num_steps"]

    return jax.vmap(one)(keys)


def _padded_nodes(model: GenerativeModel, order: int) -> tuple[jax.Array, jax.Array]:
    """Nodes and weights; the coarsest rule is padded with nodes of no weight to the size of the next, for one compilation."""
    nodes, weights = mixture_nodes(model, order)
    missing = len(mixture_nodes(model, _ORDERS[1])[1]) - len(weights) if order == _ORDERS[0] else 0
    return jnp.pad(nodes, ((0, missing), (0, 0))), jnp.pad(weights, (0, missing))


def _plane_network(
    model: GenerativeModel, network: MLP, key: Key, points: jax.Array, orthogonal: bool, dtype: Any
) -> tuple[Parameters, jax.Array]:
    """A network at initialisation, reduced to the plane, and the points as its inputs."""
    embedding_key, init_key = jax.random.split(key)
    embedding = model.embedding(embedding_key, orthogonal)
    basis = plane_basis(embedding)
    inputs = plane_inputs(network, embedding(points), basis).astype(dtype)
    return plane_parameters(network.init(init_key, model.input_dim, dtype), basis), inputs
