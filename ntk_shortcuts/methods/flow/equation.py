r"""Gradient flow of one finite network as a differential equation.

The state is the network's parameters \(\theta\), the field \(-\nabla_\theta R(\theta)-\lambda\theta\) with R the risk over
quadrature nodes.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.two_features.plane import plane_basis
from ntk_shortcuts.methods.flow.minibatches import Minibatches, Pieces, draw_pieces
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.typing import AnyArray, Array, Float, Key, Scalar

# Nodes of which a gradient is made at a time.
CHUNK = 32


class FlowRules(eqx.Module):
    """How a flow is run: the options of :func:`ntk_shortcuts.methods.flow.population_flow.PopulationFlow`."""

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
    """Latents of the nodes (m, K), their weights (m,) and targets E[y | z] (m,), and the latents of the probes (p, K).

    Nodes of no weight behind the last of some weight cost nothing.
    """

    nodes: Float[Array, "m K"]
    weights: Float[Array, "m"]
    targets: Float[Array, "m"]
    probes: Float[Array, "p K"]


class RiskRule(NamedTuple):
    """How the risk is made: latents of the nodes (m, K), weights and targets (m,), and how many times what is asked for the
    error of the solver's steps may be."""

    nodes: Float[Array, "m K"]
    weights: Float[Array, "m"]
    targets: Float[Array, "m"]
    coarseness: float


class FlowPath(NamedTuple):
    """Outputs (inits, times, probes) along the flow, the times reached (inits,), the steps taken (inits,), and the largest
    initial output that was subtracted (inits,)."""

    outputs: Float[Array, "inits times probes"]
    reached: Float[Array, "inits"]
    steps: Any
    subtracted: Float[Array, "inits"]


class Labels(NamedTuple):
    """What a network is trained on: P(y = 1) and weights of the nodes, and what minibatches make of these."""

    positive: jax.Array
    weights: jax.Array
    pieces: Pieces | None


class Start(NamedTuple):
    """A network at its start, its inputs at nodes and probes, and its labels."""

    params: Any
    inputs: jax.Array
    offset: jax.Array
    labels: Labels


class Drawn(NamedTuple):
    """A network at initialisation, reduced to the span of the features where it can be, the frame (K, K) that takes latents to
    its inputs, (K, d) where it cannot, and the key of its data set."""

    params: Any
    frame: Float[AnyArray, "K k"]
    data_key: Key


def draw(kernel: LawKernel, key: Key, rules: FlowRules, on_plane: bool = True) -> Drawn:
    """Embedding and initialisation of one key, reduced to the features' span where the network has that, and it is wanted.

    Outside of `jit` the random numbers of layers of one shape share a compiled program, whatever the network's depth.
    """
    law, network = kernel.law, kernel.finite_network
    embedding_key, init_key = jax.random.split(key)
    embedded, basis = _embedded_axes(law, embedding_key, rules.orthogonal)
    params = network.init(init_key, embedded.shape[1], rules.dtype)
    reduced = network.on_plane(params, basis) if on_plane else None
    # Not one of the two keys above, so that the same networks start on infinite and on finite data.
    data_key = jax.random.fold_in(key, 2)
    if reduced is None:
        return Drawn(params, embedded, data_key)
    return Drawn(reduced, network.plane_inputs(embedded, basis), data_key)


def draw_several(kernel: LawKernel, keys: jax.Array, rules: FlowRules, on_plane: bool = True) -> Drawn:
    """The networks of some keys, stacked: the numbers of :func:`draw` one by one, in one call for each layer."""
    return jax.vmap(lambda key: draw(kernel, key, rules, on_plane))(keys)


@compiled
def _embedded_axes(law: Any, key: Key, orthogonal: bool) -> tuple[jax.Array, jax.Array]:
    """Inputs of the latents' unit vectors, and the basis of their span: compiled once for networks of all shapes."""
    embedding = law.embedding(key, orthogonal)
    basis = plane_basis(embedding)
    return embedding(jnp.eye(law.latent_dim, dtype=basis.dtype)), basis


@compiled
def flow_path(kernel: LawKernel, keys: jax.Array, points: FlowPoints, times: jax.Array, rules: FlowRules) -> FlowPath:
    """Flows of the networks of these keys, with outputs at sorted times."""
    return jax.vmap(lambda key: flow_from(draw(kernel, key, rules), kernel.network, points, times, rules))(keys)


def flow_from(drawn: Drawn, network: Any, points: FlowPoints, times: jax.Array, rules: FlowRules) -> FlowPath:
    """The flow of one network, with outputs at sorted times.

    Outside of `jit` the samples are drawn by a program of their own, which networks of all shapes share. Minibatches are drawn
    there only.
    """
    labels = draw_labels(drawn.data_key, points, rules)
    if rules.batches is not None:
        batch_key, count = jax.random.fold_in(drawn.data_key, 1), rules.num_samples
        law = (labels.positive, labels.weights, rules.batches)
        labels = labels._replace(pieces=draw_pieces(batch_key, *law, None if count is None else int(count)))
    return _flow_from(drawn, labels, network, points, times, rules)


@compiled
def _flow_from(drawn: Drawn, labels: Labels, network: Any, points: FlowPoints, times: jax.Array, rules: FlowRules) -> FlowPath:
    start = started(drawn, labels, network, points, rules)
    outputs, last, steps = integrate(
        start.params,
        lambda time, params: velocity(time, params, start, network, rules),
        lambda params: probe_outputs(params, start, network),
        times,
        rules,
    )
    return FlowPath(jnp.where(jnp.isfinite(outputs), outputs, jnp.nan), last, steps, jnp.max(jnp.abs(start.offset)))


@compiled
def flow_parameters(
    kernel: LawKernel, keys: jax.Array, points: FlowPoints, times: jax.Array, rules: FlowRules
) -> tuple[Any, jax.Array]:
    """Any on the plane at sorted times, leaves (inits, times, ...), and the inputs (inits, points, K) they act on."""

    network = kernel.network

    def one(key: Key) -> tuple[Any, jax.Array]:
        drawn = draw(kernel, key, rules)
        start = started(drawn, draw_labels(drawn.data_key, points, rules), network, points, rules)
        found, _, _ = integrate(start.params, lambda t, p: velocity(t, p, start, network, rules), lambda p: p, times, rules)
        return found, start.inputs

    return jax.vmap(one)(keys)


def started(drawn: Drawn, labels: Labels, network: Any, points: FlowPoints, rules: FlowRules) -> Start:
    """A network at initialisation, its inputs, and what it is trained on there."""
    inputs = (jnp.concatenate([points.nodes, points.probes]) @ drawn.frame).astype(rules.dtype)
    offset = network.apply(drawn.params, inputs) if rules.centred else jnp.zeros(len(inputs), rules.dtype)

    def cast(leaf: jax.Array) -> jax.Array:
        return leaf.astype(rules.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return Start(drawn.params, inputs, offset, jax.tree.map(cast, labels))


@compiled
def draw_labels(key: Key, points: FlowPoints, rules: FlowRules) -> Labels:
    positive, weights = (1 + points.targets) / 2, points.weights
    if rules.num_samples is not None:
        positive, weights = _data_set(key, positive, weights, rules.num_samples)
    return Labels(positive, weights, None)


def _data_set(key: Key, positive: jax.Array, weights: jax.Array, count: Scalar) -> tuple[jax.Array, jax.Array]:
    """P(y = 1) and weights at the nodes for `count` samples, in the proportions of the classes, each drawn at a node."""
    laws = jnp.stack([weights * positive, weights * (1 - positive)])
    shares = laws.sum(axis=1)
    laws, counts = laws / shares[:, None], jnp.round(count * shares / shares.sum())
    drawn = jax.vmap(jax.random.multinomial)(jax.random.split(key), counts, laws)
    total = drawn.sum(axis=0)
    return jnp.where(total > 0, drawn[0] / jnp.maximum(total, 1), 0.5), total / count


def velocity(time: Scalar, params: Any, start: Start, network: Any, rules: FlowRules) -> Any:
    cost, count = resolve_loss(rules.loss), start.labels.weights.shape[0]

    def risk(params: Any, inputs: jax.Array, offset: jax.Array, positive: jax.Array, weights: jax.Array) -> jax.Array:
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

    def add(index: jax.Array, total: Any) -> Any:
        part = [jax.lax.dynamic_slice_in_dim(leaf, index * CHUNK, CHUNK) for leaf in nodes]
        return jax.tree.map(jnp.add, total, jax.grad(risk)(params, *part))

    slope = jax.lax.fori_loop(0, (used + CHUNK - 1) // CHUNK, add, jax.tree.map(jnp.zeros_like, params))
    decay = jnp.asarray(rules.weight_decay)
    return jax.tree.map(lambda g, p: -(g + decay.astype(p.dtype) * p), slope, params)


def probe_outputs(params: Any, start: Start, network: Any) -> jax.Array:
    count = start.labels.weights.shape[0]
    return network.apply(params, start.inputs[count:]) - start.offset[count:]


def integrate(state: Any, velocity: Callable, observed: Callable, times: jax.Array, rules: FlowRules) -> tuple[Any, Any, Any]:
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
    with _on_error("off") as chosen:

        def field(time: Scalar, vector: jax.Array, _: Any) -> jax.Array:
            with _on_error(chosen):
                return ravel_pytree(velocity(time, restore(vector)))[0]

        def seen_at(_: Scalar, vector: jax.Array, __: Any) -> Any:
            with _on_error(chosen):
                return observed(restore(vector))

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            RungeKuttaChebyshev(),
            t0=jnp.zeros((), dtype),
            t1=end,
            # Small enough for any network of use, grown tenfold a step: diffrax's own choice is one more copy of the field.
            dt0=1e-5 * end,
            y0=flat,
            saveat=diffrax.SaveAt(
                subs=[diffrax.SubSaveAt(ts=times, fn=seen_at), diffrax.SubSaveAt(t1=True, fn=lambda t, *_: t)]
            ),
            stepsize_controller=controller,
            # Derivatives are made beside the flow, not through the solver.
            adjoint=diffrax.ForwardMode(),
            max_steps=rules.max_steps,
            throw=False,
        )
    seen, last = solution.ys  # pyright: ignore[reportGeneralTypeIssues]  saved, as asked for
    return seen, last[0], solution.stats["num_steps"]


@contextlib.contextmanager
def _on_error(action: Any) -> Iterator[Any]:
    """What equinox' checks do that are traced inside, and hands out what they did before.

    diffrax checks that times are sorted and within the flow, as they are here. A check that may raise is a call from the
    program to Python, and JAX keeps no such program on disk. Equinox has a switch for a whole process only (0.13); where what
    it sets is gone, the checks stay.
    """
    errors: Any = importlib.import_module("equinox._errors")
    before = getattr(errors, "EQX_ON_ERROR", None)
    if before is None:
        yield None
        return
    errors.EQX_ON_ERROR = action
    try:
        yield before
    finally:
        errors.EQX_ON_ERROR = before
