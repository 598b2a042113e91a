"""Steps of an optimiser, for many networks in one compiled loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.experiments.ensembles.sources import TrainingData
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.typing import AnyArray, Key

if TYPE_CHECKING:
    import optax


class Settings(eqx.Module):
    """How every network of a run is trained."""

    network: FiniteNetwork
    learning_rate: Any
    # The function and not what it returns, a new closure each time that would be compiled anew.
    make_optimizer: Callable[[Any], optax.GradientTransformation] = eqx.field(static=True)
    loss: str = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    centred: bool = eqx.field(static=True)
    input_dim: int = eqx.field(static=True)

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return self.make_optimizer(self.learning_rate)


class State(eqx.Module):
    """One network in training."""

    params: Any
    optimizer_state: Any
    order: jax.Array
    initial: jax.Array  # f_0 at training inputs, subtracted where centred
    key: jax.Array


@compiled
def initialize(settings: Settings, batch: TrainingData, init_keys: jax.Array, order_keys: jax.Array) -> tuple[State, jax.Array]:
    """Every member at initialisation, and its outputs at the probes (zero where centred)."""
    return jax.vmap(functools.partial(_start, settings))(batch, init_keys, order_keys)


@functools.partial(compiled, donate="all-except-first")
def advance(fixed: tuple[Settings, TrainingData], states: State, first: jax.Array, last: jax.Array) -> State:
    """Steps first, ..., last - 1. The bounds are data: one compiled loop, whose numbers do not depend on how it is cut."""
    return jax.lax.fori_loop(first, last, lambda index, states: _all(fixed, states, index), states)


def advance_apart(fixed: tuple[Settings, TrainingData], states: State, first: jax.Array, last: jax.Array) -> State:
    """The same, each step a program of its own."""
    for index in range(int(first), int(last)):
        states = _advance_once(fixed, states, jnp.asarray(index))
    return states


@functools.partial(compiled, donate="all-except-first")
def _advance_once(fixed: tuple[Settings, TrainingData], states: State, index: jax.Array) -> State:
    return _all(fixed, states, index)


def _all(fixed: tuple[Settings, TrainingData], states: State, index: AnyArray) -> State:
    """A step of every member."""
    settings, batch = fixed
    return jax.vmap(lambda data, state: _step(settings, data, index, state))(batch, states)


@compiled
def measure(settings: Settings, batch: TrainingData, states: State, start: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Outputs at the probes, training loss and validation accuracy (NaN without validation data) of every member."""

    def one(data: TrainingData, state: State) -> tuple[jax.Array, jax.Array, jax.Array]:
        apply = functools.partial(settings.network.apply, state.params)
        loss = _loss(settings, state.params, data.inputs, data.labels, state.initial, jnp.ones_like(data.labels))
        accuracy = jnp.full((), jnp.nan, loss.dtype)
        if data.validation_inputs is not None and data.validation_labels is not None:
            # An output of 0 counts half, as it does in the bias.
            accuracy = jnp.mean((1 + jnp.sign(apply(data.validation_inputs)) * data.validation_labels) / 2)
        return apply(data.probes), loss, accuracy

    outputs, loss, accuracy = jax.vmap(one)(batch, states)
    return (outputs - start if settings.centred else outputs), loss, accuracy


def _start(settings: Settings, data: TrainingData, init_key: Key, order_key: Key) -> tuple[State, jax.Array]:
    network = settings.network
    params = network.init(init_key, settings.input_dim, data.inputs.dtype)
    if data.basis is not None:
        params = network.on_plane(params, data.basis)
    count = data.inputs.shape[0]
    initial = network.apply(params, data.inputs)
    state = State(params, settings.optimizer.init(params), jnp.arange(count), initial, order_key)
    outputs = network.apply(params, data.probes)
    return state, jnp.zeros_like(outputs) if settings.centred else outputs


def _loss(settings: Settings, params: Any, x: AnyArray, y: AnyArray, offset: jax.Array, weight: AnyArray) -> jax.Array:
    outputs = settings.network.apply(params, x) - (offset if settings.centred else 0)
    return jnp.sum(weight * resolve_loss(settings.loss)(outputs, jnp.asarray(y))) / jnp.sum(weight)


def _step(settings: Settings, data: TrainingData, index: AnyArray, state: State) -> State:
    """One optimiser step; `index` is the same for all members, so that `cond` stays a branch under vmap."""
    count, size = data.inputs.shape[0], settings.batch_size
    order = state.order
    if size == count:
        x, y, offset, weight = data.inputs, data.labels, state.initial, jnp.ones_like(data.labels)
    else:
        batches = -(-count // size)
        epoch, batch = index // batches, index % batches
        order = jax.lax.cond(
            batch == 0, lambda: jax.random.permutation(jax.random.fold_in(state.key, epoch), count), lambda: order
        )
        position = batch * size + jnp.arange(size)
        rows = order[jnp.minimum(position, count - 1)]
        x, y, offset = data.inputs[rows], data.labels[rows], state.initial[rows]
        weight = (position < count).astype(y.dtype)
    from optax import apply_updates

    gradient = jax.grad(lambda params: _loss(settings, params, x, y, offset, weight))(state.params)
    updates, optimizer_state = settings.optimizer.update(gradient, state.optimizer_state, state.params)
    return State(apply_updates(state.params, updates), optimizer_state, order, state.initial, state.key)
