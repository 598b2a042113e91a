"""Networks trained group by group, with records at the steps asked for and checkpoints on the way."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.experiments.ensembles.checkpoints import Record, Store
from ntk_shortcuts.experiments.ensembles.memory import group_size
from ntk_shortcuts.experiments.ensembles.meter import Meter
from ntk_shortcuts.experiments.ensembles.sources import Task, TrainingData, stacked
from ntk_shortcuts.experiments.ensembles.steps import Settings, State, advance, advance_apart, initialize, measure
from ntk_shortcuts.networks.sizes import convolves
from ntk_shortcuts.typing import Key

# Seconds of work between two reports of progress or checkpoints; segments of steps are made that long.
_SEGMENT_SECONDS = 2.0


def train_members(
    settings: Settings,
    tasks: list[list[Task]],
    shape: tuple[int, int, int],
    keys: tuple[Key, Key],
    steps: np.ndarray,
    store: Store,
    meter: Meter,
    dtype: Any,
) -> Record:
    """Records of all members, leaves (laws, data sets, inits, ...); initialisations are the same ones under every law."""
    # Compiled programs take JAX's arrays only, in the precision of now (see `numerics.compiled`).
    settings = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, settings)
    members = list(np.ndindex(shape))
    num_inits = shape[2]
    alone = jax.default_backend() == "cpu" and convolves(settings.network, settings.input_dim, dtype)
    # XLA has fast routines on a CPU for a network's convolutions by themselves, not in a loop, nor for several networks' at
    # once: there a step took 40 and 5 times as long.
    group = 1 if alone else group_size(settings.network, tasks[0][0].training, settings.input_dim, len(members), dtype)
    move = advance_apart if alone else advance
    member_keys = [jax.random.split(k, shape[1] * num_inits) for k in keys]
    records = []
    for start in range(0, len(members), group):
        chosen = members[start : start + group]
        batch = stacked([tasks[law][data] for law, data, _ in chosen])
        indices = jnp.asarray([data * num_inits + init for _, data, init in chosen])
        records.append(_train_group(settings, batch, [k[indices] for k in member_keys], steps, store, start, meter, move))
    merged = jax.tree.map(lambda *leaves: np.concatenate(leaves), *records)
    return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), merged)


def _train_group(
    settings: Settings,
    batch: TrainingData,
    keys: list,
    steps: np.ndarray,
    store: Store,
    name: int,
    meter: Meter,
    move: Callable[..., State],
) -> Record:
    """Train some members together, recording at the requested steps; from a checkpoint where there is one.

    Args:
        keys: of initialisations and of orders of samples, (members,) each.
        name: of the group in the store.
        move: takes the states some steps further.

    Raises:
        FloatingPointError: a loss that is not finite.
    """
    batch, init_keys, order_keys = _on_all_devices((batch, *keys))
    members = init_keys.shape[0]
    states, initial = initialize(settings, batch, init_keys, order_keys)
    start = initial
    if settings.centred:
        start = jax.vmap(settings.network.apply)(states.params, batch.probes)
    done, states, record = store.load(name, states, _empty_record(np.asarray(initial), len(steps)))
    meter.advance(members * done)
    segment, saved = 1, time.monotonic()
    milestones = np.unique(np.append(steps, 0))
    while True:
        for index in np.flatnonzero(steps == done):
            _write(record, int(index), done, measure(settings, batch, states, start))
        if done == milestones[-1]:
            break
        stop = min(done + segment, int(milestones[np.searchsorted(milestones, done, side="right")]))
        began = time.monotonic()
        bounds = (jnp.asarray(done), jnp.asarray(stop))
        states = jax.block_until_ready(move((settings, batch), states, *bounds))
        elapsed = time.monotonic() - began
        meter.advance(members * (stop - done))
        done = stop
        segment = int(np.clip(segment * min(4.0, _SEGMENT_SECONDS / elapsed), 1, 10**6))
        if done < milestones[-1] and time.monotonic() - saved > 15 * _SEGMENT_SECONDS and not np.any(steps == done):
            store.save(name, done, states, record)
            saved = time.monotonic()
    record = _with_state(record, states, settings.centred)
    store.save(name, done, states, record)
    return record


def _empty_record(initial: np.ndarray, times: int) -> Record:
    members, probes = initial.shape

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros((members, times, *shape), initial.dtype)

    return Record(zeros(probes), initial, None, zeros(), zeros(), None)


def _write(record: Record, index: int, step: int, measured: tuple[jax.Array, jax.Array, jax.Array]) -> None:
    outputs, loss, accuracy = map(np.asarray, measured)
    wrong = int(np.sum(~np.isfinite(loss)))
    if wrong:
        raise FloatingPointError(
            f"training diverged: by step {step} the loss of {wrong} of {loss.shape[0]} networks is not finite; "
            "use a smaller learning_rate"
        )
    record.outputs[:, index], record.train_loss[:, index], record.validation_accuracy[:, index] = outputs, loss, accuracy


def _with_state(record: Record, states: State, centred: bool) -> Record:
    initial = np.zeros_like(states.initial) if centred else np.asarray(states.initial)
    return dataclasses.replace(record, params=jax.tree.map(np.asarray, states.params), initial_train_outputs=initial)


def _on_all_devices(tree: Any) -> Any:
    """Members spread over all devices where their number is a multiple of the devices'."""
    devices = jax.devices()
    members = jax.tree.leaves(tree)[0].shape[0]
    if len(devices) == 1 or members % len(devices):
        return tree
    mesh = jax.sharding.Mesh(np.asarray(devices), ("members",))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("members")))
