r"""Steps of an optimiser on the population risk, its noise of minibatches included.

The risk is a sum over nodes in the plane of the two features. Adam and its like divide each parameter's gradient by a size of
its own: their steps do not commute with rotations, so that there is no reduction to the plane, and the nodes are embedded in
\(R^d\) by each network's own directions. A step on B fresh samples is one on the counts of a multinomial of B draws over nodes
and labels, \(w_mP(y\mid z_m)\): a gradient of the mean and covariance of those of samples of the law. Label D13.4. Of a data
set, N such draws are gone through in a new random order every epoch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.methods.flow.equation import (
    Drawn,
    FlowPath,
    FlowPoints,
    FlowRules,
    RiskRule,
    Start,
    draw_labels,
    probe_outputs,
)
from ntk_shortcuts.methods.flow.equation import started as placed
from ntk_shortcuts.networks.sizes import preactivations
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.progress import steps
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.typing import Array, Float, Int, Key
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    import optax

Optimizer: TypeAlias = "Callable[[Any], optax.GradientTransformation] | optax.GradientTransformation"

# Steps between two looks at a bar.
_AT_ONCE = 200
# Of the activations of networks that are trained side by side; a step holds each about six times.
_MEMBER_BYTES, _COPIES = 2**30, 6


class Descent(eqx.Module):
    """How steps are made: `learning_rate` is the rule's, `num_samples` those of a data set that batches are taken from."""

    network: Any
    learning_rate: Any
    rules: FlowRules
    optimizer: Optimizer = eqx.field(static=True)
    batch_size: int | None = eqx.field(static=True)
    num_samples: int | None = eqx.field(static=True)

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The optimiser at the rule's rate; one with a rate of its own as it is."""
        from optax import GradientTransformation

        if isinstance(self.optimizer, GradientTransformation):
            return self.optimizer
        dtype = self.rules.dtype
        return self.optimizer(jax.tree.map(lambda rate: jnp.asarray(rate, dtype), self.learning_rate))


class Member(eqx.Module):
    """What stays of a network in training: where its nodes lie and what they are labelled, and the key of its batches."""

    start: Start
    key: Key


class State(eqx.Module):
    """What moves: parameters, what the optimiser remembers, and the order of a data set's samples, by node and label."""

    params: Any
    memory: Any
    order: Int[Array, "samples"]


class Batch(eqx.Module):
    """Numbers of nodes (b,), their weights (b,) with either label."""

    rows: Int[Array, "b"]
    positive: Float[Array, "b"]
    negative: Float[Array, "b"]


def require_optimizer(optimizer: Any, training: Any, momentum: Any, weight_decay: Any) -> None:
    """Refuse what is no optimiser, and rules that an optimiser does not take."""
    allowed = "GradientDescent(learning_rate, steps) with optimizer=, whose steps are counted"
    require(isinstance(training, GradientDescent), "training", allowed, type(training).__name__)
    one = training.scheduled or np.ndim(training.learning_rate) == 0
    require(one, "learning_rate", "one number or schedule with optimizer=", training.learning_rate)
    finite = bool(np.isfinite(np.asarray(training.steps)).all())
    require(finite, "steps", "finite with optimizer=", training.steps)
    numbers = {"momentum": (training.momentum, momentum), "weight_decay": (training.weight_decay, weight_decay)}
    for name, both in numbers.items():
        zero = not any(np.any(np.asarray(value)) for value in both)
        require(zero, name, "0 with optimizer=, which says itself what it does beside the rate", both)
    from optax import GradientTransformation

    made = optimizer
    allowed = "an optax optimiser, or a function from the learning rate to one, such as optax.adam"
    require(callable(optimizer) or isinstance(optimizer, GradientTransformation), "optimizer", allowed, optimizer)
    if not isinstance(optimizer, GradientTransformation):
        made = optimizer(1e-3)
    require(isinstance(made, GradientTransformation), "optimizer", allowed, made)


def require_batch_size(batch_size: Any, num_samples: int | None) -> None:
    """Refuse batches that are no number of samples, or more than there are."""
    require_integer("batch_size", batch_size, 1)
    require(num_samples is None or batch_size <= num_samples, "batch_size", f"at most num_samples={num_samples}", batch_size)


class OptimizedNetworks:
    """Networks drawn on R^d (stacked), trained on the risk over given nodes."""

    def __init__(self, kernel: LawKernel, drawn: Drawn, probes: Any, stops: np.ndarray, descent: Descent):
        self.kernel, self.drawn, self.probes, self.descent = kernel, drawn, jnp.asarray(probes), descent
        self.stops = np.asarray(stops, np.int64)

    def __call__(self, chosen: slice, rule: RiskRule) -> FlowPath:
        points = FlowPoints(rule.nodes, rule.weights, rule.targets, self.probes)
        members = jax.tree.map(lambda leaf: leaf[chosen], self.drawn)
        count = len(members.frame)
        size = self._side_by_side(len(points.weights))
        groups = [jax.tree.map(lambda leaf, i=i: leaf[i : i + size], members) for i in range(0, count, size)]
        ends = np.unique(np.concatenate([self.stops, np.arange(0, self.stops.max(), _AT_ONCE)]))
        work = [(group, int(first), int(last)) for group in groups for first, last in zip([0, *ends], ends, strict=False)]
        found, subtracted = [], []
        state: Any = None
        member: Any = None
        for group, first, last in steps(work, "steps of the optimiser"):
            if last == ends[0]:
                member, state = begin(self.descent, group, points)
                subtracted.append(np.max(np.abs(np.asarray(member.start.offset)), axis=1))
                found.append([])
            state = advance((self.descent, member), state, jnp.asarray(first), jnp.asarray(last))
            if last in self.stops:
                outputs = np.asarray(at_probes(self.descent, member, state))
                if not np.isfinite(outputs).all():
                    raise FloatingPointError(
                        f"training diverged: by step {last} outputs are not finite; use a smaller learning_rate"
                    )
                found[-1].append(outputs)
        whole: Any = np.concatenate([np.stack(group, axis=1) for group in found])
        reached, largest = np.full(count, np.inf), np.concatenate(subtracted)
        return FlowPath(whole, jnp.asarray(reached), np.full(count, self.stops.max()), jnp.asarray(largest))

    def _side_by_side(self, nodes: int) -> int:
        """Networks whose activations fit into 1 GiB."""
        rules, network = self.descent.rules, self.kernel.finite_network
        rows = nodes if self.descent.batch_size is None else min(self.descent.batch_size, nodes)
        passes = max(_COPIES * rows, nodes + len(self.probes))
        one = preactivations(network, 1, self.drawn.frame.shape[-1], rules.dtype)
        data = (nodes + len(self.probes)) * self.drawn.frame.shape[-1] + (self.descent.num_samples or 0)
        return max(1, _MEMBER_BYTES // ((one * passes + data) * jnp.dtype(rules.dtype).itemsize))


@compiled
def begin(descent: Descent, drawn: Drawn, points: FlowPoints) -> tuple[Member, State]:
    """Every network at its start."""

    def one(drawn: Drawn) -> tuple[Member, State]:
        # Where there are no samples, labels are those of the law.
        labels = draw_labels(drawn.data_key, points, descent.rules)
        start = placed(drawn, labels, descent.network, points, descent.rules)
        order = jnp.zeros(0, int)
        if descent.batch_size is not None and descent.num_samples is not None:
            counts = jnp.round(descent.num_samples * _law(labels.positive, labels.weights))
            order = jnp.searchsorted(jnp.cumsum(counts), jnp.arange(descent.num_samples) + 0.5)
        # The parameters move, and their memory is given away.
        member = Member(start._replace(params=None), jax.random.fold_in(drawn.data_key, 1))
        return member, State(start.params, descent.transformation.init(start.params), order)

    return jax.vmap(one)(drawn)


@functools.partial(compiled, donate="all-except-first")
def advance(fixed: tuple[Descent, Member], states: State, first: jax.Array, last: jax.Array) -> State:
    """Steps first, ..., last - 1 of every network. The bounds are data: one compiled loop, however it is cut."""
    descent, members = fixed

    def body(index: jax.Array, states: State) -> State:
        return jax.vmap(functools.partial(_step, descent, index))(members, states)

    return jax.lax.fori_loop(first, last, body, states)


@compiled
def at_probes(descent: Descent, members: Member, states: State) -> jax.Array:
    return jax.vmap(lambda member, state: probe_outputs(state.params, member.start, descent.network))(members, states)


def _law(positive: jax.Array, weights: jax.Array) -> jax.Array:
    """Probabilities of node and label, those of the label +1 first."""
    return jnp.concatenate([weights * positive, weights * (1 - positive)])


def _step(descent: Descent, index: jax.Array, member: Member, state: State) -> State:
    from optax import apply_updates

    cost, start = resolve_loss(descent.rules.loss), member.start
    order, batch = draw_batch(descent, index, member, state.order)
    inputs, offset = start.inputs[batch.rows], start.offset[batch.rows]

    def risk(params: Any) -> jax.Array:
        outputs = descent.network.apply(params, inputs) - offset
        return jnp.sum(batch.positive * cost(outputs, 1.0) + batch.negative * cost(outputs, -1.0))

    updates, memory = descent.transformation.update(jax.grad(risk)(state.params), state.memory, state.params)
    return State(apply_updates(state.params, updates), memory, order)


def draw_batch(descent: Descent, index: jax.Array, member: Member, order: jax.Array) -> tuple[jax.Array, Batch]:
    """The samples of a step, and the order of those of a data set, which is new in every epoch. Label D13.4."""
    labels = member.start.labels
    count, size = len(labels.weights), descent.batch_size
    if size is None:
        return order, Batch(jnp.arange(count), labels.weights * labels.positive, labels.weights * (1 - labels.positive))
    if descent.num_samples is None:
        cumulative = jnp.cumsum(_law(labels.positive, labels.weights).astype(float))
        chance = jax.random.uniform(jax.random.fold_in(member.key, index), (size,), float)
        drawn = jnp.searchsorted(cumulative, chance * cumulative[-1], side="right")
        taken = jnp.ones(size, labels.weights.dtype)
    else:
        batches = -(-descent.num_samples // size)
        epoch, batch = index // batches, index % batches
        order = jax.lax.cond(
            batch == 0, lambda: jax.random.permutation(jax.random.fold_in(member.key, epoch), order), lambda: order
        )
        position = batch * size + jnp.arange(size)
        drawn = order[jnp.minimum(position, descent.num_samples - 1)]
        taken = (position < descent.num_samples).astype(labels.weights.dtype)
    share = taken / jnp.sum(taken)
    if size > count:
        counted = jnp.zeros(2 * count, share.dtype).at[drawn].add(share)
        return order, Batch(jnp.arange(count), counted[:count], counted[count:])
    above = drawn < count
    return order, Batch(drawn % count, jnp.where(above, share, 0), jnp.where(above, 0, share))
