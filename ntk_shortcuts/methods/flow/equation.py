r"""Gradient flow of one finite network on the plane as a differential equation, and its derivatives in the setting.

The state is the network's parameters \(\theta\), the field \(-\nabla_\theta R(\theta)-\lambda\theta\) with R the risk over
quadrature nodes. The derivative in a parameter p of the data law or the network obeys the linearised flow

\[\dot v_p=\partial_\theta F(\theta;p)\,v_p+\partial_pF(\theta;p),\qquad v_p(0)=\partial_p\theta_0(p),\]

integrated beside \(\theta\): it is as stable as the flow itself, which the adjoint run backwards in time is not. There are few
parameters p, so all their derivatives are made on the way forward, and reverse mode contracts them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.networks.mlp import MLP, Parameters
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.laws.two_features.plane import plane_basis
from ntk_shortcuts.methods.flow.minibatches import Minibatches, Pieces, draw_pieces
from ntk_shortcuts.results.prediction import UntrustedPredictionWarning
from ntk_shortcuts.typing import Array, Float, Key, Scalar

# Nodes of which a gradient is made at a time.
CHUNK = 32


class FlowRules(eqx.Module):
    """How a flow is run: the options of :func:`ntk_shortcuts.methods.flow.population_flow.predict_population_flow`."""

    weight_decay: Scalar
    step_tolerance: Scalar
    loss: str = eqx.field(static=True)
    centred: bool = eqx.field(static=True)
    orthogonal: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    dtype: str = eqx.field(static=True)
    num_samples: Scalar | None = None
    batches: Minibatches | None = None


class FlowPoints(NamedTuple):
    """Latents of the nodes (m, 2), their weights (m,) and targets E[y | z] (m,), and the latents of the probes (p, 2).

    Nodes of no weight behind the last of some weight cost nothing.
    """

    nodes: Float[Array, "m 2"]
    weights: Float[Array, "m"]
    targets: Float[Array, "m"]
    probes: Float[Array, "p 2"]


class FlowPath(NamedTuple):
    """Outputs (inits, times, probes) along the flow, the times reached (inits,), the steps taken (inits,), and the largest
    initial output that was subtracted (inits,)."""

    outputs: Float[Array, "inits times probes"]
    reached: Float[Array, "inits"]
    steps: Any
    subtracted: Float[Array, "inits"]


class _Labels(NamedTuple):
    """What a network is trained on: P(y = 1) and weights of the nodes, and what minibatches make of these."""

    positive: jax.Array
    weights: jax.Array
    pieces: Pieces | None


class _Start(NamedTuple):
    """A network at its start, its inputs at nodes and probes, and its labels."""

    params: Parameters
    inputs: jax.Array
    offset: jax.Array
    labels: _Labels


class Drawn(NamedTuple):
    """A network at initialisation, reduced to the plane, the frame (2, 2) that takes latents to its inputs, and the key of its
    data set."""

    params: Parameters
    frame: Float[Array, "2 2"]
    data_key: Key


def draw(model: GenerativeModel, network: MLP, key: Key, rules: FlowRules) -> Drawn:
    """Embedding and initialisation of one key.

    Outside of `jit` the random numbers of layers of one shape share a compiled program, whatever the network's depth.
    """
    embedding_key, init_key = jax.random.split(key)
    embedded, basis = _embedded_axes(model, embedding_key, rules.orthogonal)
    frame = network.plane_inputs(embedded, basis)
    params = network.on_plane(network.init(init_key, model.input_dim, rules.dtype), basis)
    # Not one of the two keys above, so that the same networks start on infinite and on finite data.
    return Drawn(params, frame, jax.random.fold_in(key, 2))


@eqx.filter_jit
def _embedded_axes(model: GenerativeModel, key: Key, orthogonal: bool) -> tuple[jax.Array, jax.Array]:
    """Inputs of the latents' unit vectors, and the basis of the plane: compiled once for networks of all shapes."""
    embedding = model.embedding(key, orthogonal)
    basis = plane_basis(embedding)
    return embedding(jnp.eye(2, dtype=basis.dtype)), basis


@eqx.filter_jit
def flow_path(
    model: GenerativeModel, network: MLP, keys: jax.Array, points: FlowPoints, times: jax.Array, rules: FlowRules
) -> FlowPath:
    """Flows of the networks of these keys, with outputs at sorted times."""
    return jax.vmap(lambda key: flow_from(draw(model, network, key, rules), network, points, times, rules))(keys)


def flow_from(drawn: Drawn, network: MLP, points: FlowPoints, times: jax.Array, rules: FlowRules) -> FlowPath:
    """The flow of one network, with outputs at sorted times.

    Outside of `jit` the samples are drawn by a program of their own, which networks of all shapes share. Minibatches are drawn
    there only.
    """
    labels = _draw_labels(drawn.data_key, points, rules)
    if rules.batches is not None:
        batch_key, count = jax.random.fold_in(drawn.data_key, 1), rules.num_samples
        law = (labels.positive, labels.weights, rules.batches)
        labels = labels._replace(pieces=draw_pieces(batch_key, *law, None if count is None else int(count)))
    return _flow_from(drawn, labels, network, points, times, rules)


@eqx.filter_jit
def _flow_from(drawn: Drawn, labels: _Labels, network: MLP, points: FlowPoints, times: jax.Array, rules: FlowRules) -> FlowPath:
    start = _start(drawn, labels, network, points, rules)
    outputs, last, steps = _solved(
        start.params,
        lambda time, params: _velocity(time, params, start, network, rules),
        lambda params: _outputs(params, start, network),
        times,
        rules,
    )
    return FlowPath(jnp.where(jnp.isfinite(outputs), outputs, jnp.nan), last, steps, jnp.max(jnp.abs(start.offset)))


@eqx.filter_jit
def flow_parameters(
    model: GenerativeModel, network: MLP, keys: jax.Array, points: FlowPoints, times: jax.Array, rules: FlowRules
) -> tuple[Parameters, jax.Array]:
    """Parameters on the plane at sorted times, leaves (inits, times, ...), and the inputs (inits, points, 2) they act on."""

    def one(key: Key) -> tuple[Parameters, jax.Array]:
        drawn = draw(model, network, key, rules)
        start = _start(drawn, _draw_labels(drawn.data_key, points, rules), network, points, rules)
        found, _, _ = _solved(start.params, lambda t, p: _velocity(t, p, start, network, rules), lambda p: p, times, rules)
        return found, start.inputs

    return jax.vmap(one)(keys)


def differentiable_outputs(
    model: GenerativeModel,
    network: MLP,
    keys: jax.Array,
    points: Callable[[GenerativeModel], FlowPoints],
    times: jax.Array,
    rules: FlowRules,
) -> Float[Array, "inits times probes"]:
    """Outputs of :func:`flow_path` under JAX's tracing, with derivatives in the traced parameters of model and network and in
    the (sorted) times."""
    dynamic, fixed = eqx.partition((model, network), is_traced)
    return _sensitive_outputs((dynamic, times), fixed, keys, points, rules)


@eqx.filter_custom_vjp
def _sensitive_outputs(varied: Any, fixed: Any, keys: jax.Array, points: Any, rules: FlowRules) -> jax.Array:
    dynamic, times = varied
    model, network = eqx.combine(dynamic, fixed)
    path = flow_path(model, network, keys, points(model), times, rules)
    jax.debug.callback(_warn_if_unfinished, path.reached, times[-1])
    return path.outputs


@_sensitive_outputs.def_fwd
def _forward(perturbed: Any, varied: Any, fixed: Any, keys: jax.Array, points: Any, rules: FlowRules) -> tuple:
    dynamic, times = varied
    directions = _unit_tangents(dynamic, perturbed[0])

    def start_of(dynamic: Any, key: Key) -> _Start:
        model, network = eqx.combine(dynamic, fixed)
        drawn, nodes = draw(model, network, key, rules), points(model)
        return _start(drawn, _draw_labels(drawn.data_key, nodes, rules), network, nodes, rules)

    def one(key: Key) -> tuple:
        start = start_of(dynamic, key)

        def field(params: Parameters, start: _Start, dynamic: Any) -> Parameters:
            return _velocity(0.0, params, start, eqx.combine(dynamic, fixed)[1], rules)

        def outputs(params: Parameters, start: _Start, dynamic: Any) -> jax.Array:
            return _outputs(params, start, eqx.combine(dynamic, fixed)[1])

        def along(function: Callable, params: Parameters, tangents: Any) -> Any:
            """Derivatives of a function of (params, start, dynamic) in every direction."""

            def single(tangent: Parameters, moved: _Start, direction: Any) -> Any:
                return jax.jvp(function, (params, start, dynamic), (tangent, moved, direction))[1]

            return jax.vmap(single)(tangents, moves, directions)

        moves = jax.vmap(lambda direction: jax.jvp(lambda d: start_of(d, key), (dynamic,), (direction,))[1])(directions)

        def velocity(time: Scalar, state: tuple) -> tuple:
            params, tangents = state
            return field(params, start, dynamic), along(field, params, tangents)

        def observed(state: tuple) -> tuple:
            params, tangents = state
            value, speed = jax.jvp(lambda p: outputs(p, start, dynamic), (params,), (field(params, start, dynamic),))
            return value, along(outputs, params, tangents), speed

        found, last, _ = _solved((start.params, moves.params), velocity, observed, times, rules)
        return found, last

    # Without anything perturbed but the times, the stack of directions is empty, and so are the tangents.
    (values, slopes, speeds), last = jax.vmap(one)(keys)
    jax.debug.callback(_warn_if_unfinished, last, times[-1])
    return values, (slopes, speeds)


@_sensitive_outputs.def_bwd
def _backward(residuals: tuple, cotangent: jax.Array, perturbed: Any, varied: Any, *_: Any) -> tuple:
    slopes, speeds = residuals  # (inits, times, directions, probes), (inits, times, probes)
    dynamic, times = varied
    contracted = jnp.einsum("itkp,itp->k", slopes, cotangent)
    leaves, structure = jax.tree.flatten(dynamic)
    found, position = [], 0
    for leaf, moved in zip(leaves, jax.tree.leaves(perturbed[0]), strict=True):
        size = leaf.size if moved else 0
        part = contracted[position : position + size].reshape(leaf.shape) if moved else jnp.zeros(leaf.shape)
        found.append(part.astype(leaf.dtype))
        position += size
    slope_of_times = jnp.einsum("itp,itp->t", speeds, cotangent).astype(times.dtype)
    return jax.tree.unflatten(structure, found), slope_of_times


def _warn_if_unfinished(reached: jax.Array, wanted: jax.Array) -> None:
    """Said when the compiled program runs: a trace does not know."""
    if not np.all(np.asarray(reached) >= np.asarray(wanted, np.asarray(reached).dtype)):
        warnings.warn(
            f"the solver ran out of max_steps at time {float(np.min(reached)):.4g} of {float(np.max(wanted)):.4g}: the bias "
            "beyond and its derivatives are NaN; raise max_steps or step_tolerance",
            UntrustedPredictionWarning,
            stacklevel=2,
        )


def _unit_tangents(dynamic: Any, perturbed: Any) -> Any:
    """One tangent for every entry of every perturbed leaf, stacked: leaves (directions, *shape)."""
    leaves, structure = jax.tree.flatten(dynamic)
    moved = jax.tree.leaves(perturbed)
    total = sum(leaf.size for leaf, m in zip(leaves, moved, strict=True) if m)
    position, stacked = 0, []
    for leaf, m in zip(leaves, moved, strict=True):
        rows = jnp.zeros((total, leaf.size), leaf.dtype)
        if m:
            rows = rows.at[position : position + leaf.size].set(jnp.eye(leaf.size, dtype=leaf.dtype))
            position += leaf.size
        stacked.append(rows.reshape(total, *leaf.shape))
    return jax.tree.unflatten(structure, stacked)


def _start(drawn: Drawn, labels: _Labels, network: MLP, points: FlowPoints, rules: FlowRules) -> _Start:
    """A network at initialisation, its inputs, and what it is trained on there."""
    inputs = (jnp.concatenate([points.nodes, points.probes]) @ drawn.frame).astype(rules.dtype)
    offset = network.apply(drawn.params, inputs) if rules.centred else jnp.zeros(len(inputs), rules.dtype)

    def cast(leaf: jax.Array) -> jax.Array:
        return leaf.astype(rules.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return _Start(drawn.params, inputs, offset, jax.tree.map(cast, labels))


@eqx.filter_jit
def _draw_labels(key: Key, points: FlowPoints, rules: FlowRules) -> _Labels:
    positive, weights = (1 + points.targets) / 2, points.weights
    if rules.num_samples is not None:
        positive, weights = _data_set(key, positive, weights, rules.num_samples)
    return _Labels(positive, weights, None)


def _data_set(key: Key, positive: jax.Array, weights: jax.Array, count: Scalar) -> tuple[jax.Array, jax.Array]:
    """P(y = 1) and weights at the nodes for `count` samples, half of either class, each drawn at a node."""
    laws = jnp.stack([weights * positive, weights * (1 - positive)])
    laws = laws / laws.sum(axis=1, keepdims=True)
    drawn = jax.vmap(lambda key, law: jax.random.multinomial(key, count / 2, law))(jax.random.split(key), laws)
    total = drawn.sum(axis=0)
    return jnp.where(total > 0, drawn[0] / jnp.maximum(total, 1), 0.5), total / count


def _velocity(time: Scalar, params: Parameters, start: _Start, network: MLP, rules: FlowRules) -> Parameters:
    cost, count = resolve_loss(rules.loss), start.labels.weights.shape[0]

    def risk(params: Parameters, inputs: jax.Array, offset: jax.Array, positive: jax.Array, weights: jax.Array) -> jax.Array:
        f = network.apply(params, inputs) - offset
        return jnp.sum(weights * (positive * cost(f, 1.0) + (1 - positive) * cost(f, -1.0)))

    positive, weights, pieces = start.labels
    nodes = (start.inputs[:count], start.offset[:count], positive, weights)
    if pieces is not None:
        piece = jnp.searchsorted(pieces.ends, time, side="right")
        order, positive, weights = pieces.order[piece], pieces.positive[piece], pieces.weights[piece]
        nodes = (start.inputs[order], start.offset[order], positive, weights)
    # In chunks, up to the last node of any weight: rules of all sizes, padded to one, share a compiled program.
    nodes = [jnp.pad(leaf, [(0, -count % CHUNK)] + [(0, 0)] * (leaf.ndim - 1)) for leaf in nodes]
    used = jnp.max(jnp.where(weights != 0, jnp.arange(1, count + 1), 0))

    def add(index: jax.Array, total: Parameters) -> Parameters:
        part = [jax.lax.dynamic_slice_in_dim(leaf, index * CHUNK, CHUNK) for leaf in nodes]
        return jax.tree.map(jnp.add, total, jax.grad(risk)(params, *part))

    slope = jax.lax.fori_loop(0, (used + CHUNK - 1) // CHUNK, add, jax.tree.map(jnp.zeros_like, params))
    decay = jnp.asarray(rules.weight_decay)
    return jax.tree.map(lambda g, p: -(g + decay.astype(p.dtype) * p), slope, params)


def _outputs(params: Parameters, start: _Start, network: MLP) -> jax.Array:
    count = start.labels.weights.shape[0]
    return network.apply(params, start.inputs[count:]) - start.offset[count:]


def _solved(state: Any, velocity: Callable, observed: Callable, times: jax.Array, rules: FlowRules) -> tuple[Any, Any, Any]:
    """What is observed at the times, the time reached, and the number of steps."""
    # diffrax takes a quarter of a second to import, which `import ntk_shortcuts` should not cost.
    import diffrax

    from ntk_shortcuts.methods.flow.chebyshev import RungeKuttaChebyshev, euclidean_norm

    # One leaf: the solver's arithmetic is compiled once, and not for every layer.
    flat, restore = ravel_pytree(state)
    dtype = jnp.dtype(rules.dtype)
    times, tolerance = times.astype(dtype), jnp.asarray(rules.step_tolerance).astype(dtype)
    # A flow for no time at all is one for an invisible time.
    end = jnp.maximum(times[-1], jnp.finfo(dtype).tiny * 1e12)
    # The Euclidean norm: a mean over parameters would let the output err by the square root of their number.
    controller = diffrax.PIDController(rtol=tolerance, atol=tolerance, norm=euclidean_norm)
    if rules.batches is not None:
        controller = diffrax.ClipStepSizeController(controller, jump_ts=rules.batches.ends.astype(dtype))
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, vector, args: ravel_pytree(velocity(t, restore(vector)))[0]),
        RungeKuttaChebyshev(),
        t0=jnp.zeros((), dtype),
        t1=end,
        # Small enough for any network of use, and grown tenfold a step: diffrax's own choice is a further copy of the field.
        dt0=1e-5 * end,
        y0=flat,
        saveat=diffrax.SaveAt(
            subs=[
                diffrax.SubSaveAt(ts=times, fn=lambda t, vector, args: observed(restore(vector))),
                diffrax.SubSaveAt(t1=True, fn=lambda t, *_: t),
            ]
        ),
        stepsize_controller=controller,
        # Derivatives are made beside the flow, not through the solver.
        adjoint=diffrax.ForwardMode(),
        max_steps=rules.max_steps,
        throw=False,
    )
    seen, last = solution.ys  # pyright: ignore[reportGeneralTypeIssues]  saved, as asked for
    return seen, last[0], solution.stats["num_steps"]
