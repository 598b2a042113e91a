"""Finite networks trained on sampled data sets: data sets x initialisations in one vmapped loop, to set beside a prediction."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntk_shortcuts.compilation import make_room
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.laws.two_features.optimum import optimal_reliance
from ntk_shortcuts.laws.two_features.plane import plane_basis
from ntk_shortcuts.metrics.reliance import reliance
from ntk_shortcuts.networks.base import require_finite_network
from ntk_shortcuts.networks.mlp import MLP, Parameters
from ntk_shortcuts.numerics import without_key_type
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.training.rules import GradientDescent
from ntk_shortcuts.typing import Array, Float, Key, Latents
from ntk_shortcuts.validation import as_points, require, require_integer, require_key

# Optimisers whose updates commute with rotations of the weights, so that the reduction to the plane is exact.
ROTATION_INVARIANT = (optax.sgd,)
# Seconds of work between two reports of progress or checkpoints; segments of steps are made that long.
_SEGMENT_SECONDS = 2.0
_MEMBER_BYTES = 2**30


class Ensemble(eqx.Module):
    """Outputs and biases of networks trained on D data sets from I initialisations each.

    A leading axis T is there where the steps of the training rule were an array.

    - `outputs`: (*T, D, I, probes); `initial_outputs`: (D, I, probes); `initial_train_outputs`: (D, I, N), at the training
      inputs. Centred ensembles have f - f_0 in all three.
    - `bias`, `reliance`: (*T, D, I); `optimal_reliance`: a number; `probes`: latents (probes, 2).
    - `train_loss`: (*T, D, I), of the loss trained on; `validation_accuracy`: (*T, D, I), NaN without validation data.
    - `steps`: (*T,), `datasets`: the D data sets as one batched `Dataset`, `params`: final parameters, batched (D, I).
    - `plane`: whether the networks were reduced to the plane, `params` then being those of the reduced networks.
    """

    outputs: Float[Array, "*times datasets inits probes"]
    initial_outputs: Float[Array, "datasets inits probes"]
    initial_train_outputs: Float[Array, "datasets inits n"]
    bias: Float[Array, "*times datasets inits"]
    reliance: Float[Array, "*times datasets inits"]
    optimal_reliance: float
    probes: Float[Array, "probes 2"]
    train_loss: Float[Array, "*times datasets inits"]
    validation_accuracy: Float[Array, "*times datasets inits"]
    steps: np.ndarray
    datasets: Dataset
    params: Parameters
    plane: bool = eqx.field(static=True)

    @property
    def mean_bias(self) -> Any:
        """Mean over data sets and initialisations: a float, or (T,)."""
        mean = np.asarray(self.bias, np.float64).mean(axis=(-2, -1))
        return float(mean) if mean.ndim == 0 else mean

    @property
    def standard_error(self) -> Any:
        """Standard error of `mean_bias`: a float, or (T,).

        Networks on the same data set are not independent: with D > 1 it comes from the spread of the data sets' means, and is
        the error of an average over data sets; with D = 1 from the spread of initialisations; NaN for a single network.
        """
        bias = np.asarray(self.bias, np.float64)
        values = bias.mean(axis=-1) if bias.shape[-2] > 1 else bias[..., 0, :]
        count = values.shape[-1]
        error = values.std(axis=-1, ddof=1) / np.sqrt(count) if count > 1 else np.full(values.shape[:-1], np.nan)
        return float(error) if error.ndim == 0 else error

    def dataset(self, index: int) -> Dataset:
        """One of the data sets, for `predict_bias(..., method="dataset", dataset=...)`."""
        return jax.tree.map(lambda leaf: leaf[index], self.datasets)

    def at_best_validation(self) -> Ensemble:
        """Early stopping: each network at the first recorded step of its highest validation accuracy.

        Raises:
            ValueError: without validation data, or with one recorded step only.
        """
        accuracy = np.asarray(self.validation_accuracy)
        require(accuracy.ndim == 3 and bool(np.isfinite(accuracy).all()), "num_validation", "given, with several steps", None)
        best = np.argmax(accuracy, axis=0)

        def chosen(values: Any) -> Any:
            index = best.reshape(1, *best.shape, *[1] * (values.ndim - 3))
            return jnp.take_along_axis(jnp.asarray(values), jnp.asarray(index), axis=0)[0]

        recorded = ("outputs", "bias", "reliance", "train_loss", "validation_accuracy")
        changes = {name: chosen(getattr(self, name)) for name in recorded}
        return dataclasses.replace(self, steps=self.steps[best], **changes)


def train_ensemble(
    model: GenerativeModel,
    network: MLP,
    training: GradientDescent,
    num_samples: int,
    num_datasets: int = 1,
    num_inits: int = 1,
    *,
    key: Key,
    **options: Any,
) -> Ensemble:
    r"""Train finite networks on sampled data sets and measure their shortcut bias.

    Args:
        model: the data law; every data set has its own random embedding.
        network: an `MLP` of finite width.
        training: `GradientDescent(learning_rate, steps)`. Several steps (an array) are recorded in one run.
        num_samples: N, even.
        num_datasets: D.
        num_inits: I, networks on each data set.
        key: `jax.random` key.
        **options: loss, optimiser, batches, precision, checkpoints and more: the keyword arguments of :func:`train_ensembles`.

    Returns:
        An :class:`Ensemble`.

    Raises:
        ValueError, FloatingPointError: as :func:`train_ensembles`.

    Example:
        >>> model, network = GenerativeModel(amplification=(4.0, 1.0)), MLP(1, width=64)
        >>> e = train_ensemble(model, network, GradientDescent(1.0, [1, 10]), 100, 2, 2, key=jax.random.key(0))
        >>> e.bias.shape, e.outputs.shape
        ((2, 2, 2), (2, 2, 2, 900))
    """
    return train_ensembles([model], network, training, num_samples, num_datasets, num_inits, key=key, **options)[0]


def train_ensembles(
    models: list[GenerativeModel],
    network: MLP,
    training: GradientDescent,
    num_samples: int,
    num_datasets: int = 1,
    num_inits: int = 1,
    *,
    key: Key,
    loss: str = "squared",
    batch_size: int | None = None,
    optimizer: Callable[[Any], optax.GradientTransformation] = optax.sgd,
    centred: bool = False,
    num_validation: int | None = None,
    probes: Latents | None = None,
    plane: bool | None = None,
    orthogonal: bool = False,
    dtype: Any = None,
    checkpoint: str | os.PathLike | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> list[Ensemble]:
    r"""Train finite networks under several data laws in one loop; :func:`train_ensemble` for a single one.

    Laws that differ in their real parameters only are grid points of equal shape, compiled once and trained side by side. All
    share the key, and so the random draws.

    Args:
        models: the data laws; every data set has its own random embedding.
        network: an `MLP` of finite width.
        training: `GradientDescent(learning_rate, steps)`. Several steps (an array) are recorded in one run.
        num_samples: N, even.
        num_datasets: D.
        num_inits: I, networks on each data set.
        key: `jax.random` key.
        loss: "squared", (1/(2B)) sum (f - y)^2 over a batch of B, or "logistic", the mean of log(1 + exp(-y f)).
        batch_size: samples per step, in a new random order every epoch (the last batch may be smaller); None: all.
        optimizer: a function from the learning rate to an optax optimiser: `optax.adam`,
            `functools.partial(optax.sgd, momentum=0.9)`, or your own. `optax.sgd` by default.
        centred: train and report f - f_0, which starts at zero.
        num_validation: size of a further sample of each data law, on which the accuracy is recorded; even.
        probes: latents (n, 2) at which outputs are recorded; the 30 x 30 grid by default.
        plane: train the exactly equivalent networks on the plane (:mod:`ntk_shortcuts.laws.two_features.plane`), which costs
            nothing in d; None: where the optimiser is `optax.sgd` (also in a `functools.partial`) and the data has no nesting.
        orthogonal: make the two feature directions exactly orthogonal, as they are for large d.
        dtype: of parameters and data; by default JAX's current default float.
        checkpoint: directory in which finished networks and the running state are kept; a run that was killed goes on from
            there, and gives the same numbers to the bit on the same machine.
        progress: called as `progress(done, total)`, in network steps.

    Returns:
        One :class:`Ensemble` for each law.

    Raises:
        ValueError: naming the argument, the allowed values and the value got; a checkpoint of another run.
        FloatingPointError: training diverged (a loss that is not finite), with the step by which it did.

    Numerics: networks are independent members of one batch, spread over all JAX devices where their number divides it, and
    trained in groups whose activations fit into 1 GiB.
    """
    make_room()
    models = list(models)
    require(len(models) >= 1 and all(isinstance(m, GenerativeModel) for m in models), "model", "a GenerativeModel", models)
    shapes = {(m.nesting, m.input_dim) for m in models}
    require(len(shapes) == 1, "models", "of one nesting and one input_dim", shapes)
    require_finite_network(network)
    require(isinstance(training, GradientDescent), "training", "GradientDescent(learning_rate, steps)", training)
    require(np.ndim(training.learning_rate) == 0, "learning_rate", "a number", training.learning_rate)
    steps = np.atleast_1d(np.asarray(training.steps))
    require(bool(np.isfinite(steps).all()) and len(steps) > 0, "steps", "finite", steps)
    steps = steps.astype(np.int64)
    require_key(key)
    require_integer("num_samples", num_samples, 2)
    require(num_samples % 2 == 0, "num_samples", "even, for balanced classes", num_samples)
    require_integer("num_datasets", num_datasets, 1)
    require_integer("num_inits", num_inits, 1)
    resolve_loss(loss)
    if batch_size is not None:
        require(1 <= require_integer("batch_size", batch_size, 1) <= num_samples, "batch_size", "at most N", batch_size)
    require(callable(optimizer), "optimizer", "a function from the learning rate to an optax optimiser", optimizer)
    if num_validation is not None:
        require(require_integer("num_validation", num_validation, 2) % 2 == 0, "num_validation", "even", num_validation)
    invariant = getattr(optimizer, "func", optimizer) in ROTATION_INVARIANT
    in_plane = models[0].nesting == (0, 0)
    require(not plane or in_plane, "plane", "False or None with nesting", plane)
    reduced = (invariant and in_plane) if plane is None else bool(plane)
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)

    grids = [m.probe_grid() if probes is None else as_points("probes", probes, dimension=2) for m in models]
    data_key, init_key, order_key = jax.random.split(key, 3)
    data_keys = jax.random.split(data_key, num_datasets)
    tasks = [
        [_task(m, network, k, num_samples, num_validation, grid, reduced, orthogonal, dtype) for k in data_keys]
        for m, grid in zip(models, grids, strict=True)
    ]
    settings = _Settings(
        network,
        training.learning_rate,
        optimizer,
        loss,
        batch_size or num_samples,
        centred,
        reduced,
        models[0].input_dim,
    )
    members = [(law, data, init) for law in range(len(models)) for data in range(num_datasets) for init in range(num_inits)]
    pairs = num_datasets * num_inits
    member_keys = [jax.random.split(k, pairs) for k in (init_key, order_key)]

    group = _group_size(network, num_samples, len(members), dtype)
    sizes = (num_samples, num_datasets, num_inits, num_validation, orthogonal)
    mark = _fingerprint(settings, (_name(optimizer), sizes, str(dtype)), (models, training, key, grids))
    store = _Store(checkpoint, mark)
    meter = _Meter(progress, len(members) * int(steps.max()))
    records = []
    for start in range(0, len(members), group):
        chosen = members[start : start + group]
        batch = _stack([tasks[law][data].training for law, data, _ in chosen])
        indices = jnp.asarray([data * num_inits + init for _, data, init in chosen])
        keys = [k[indices] for k in member_keys]
        records.append(_train_group(settings, batch, keys, steps, store, start, meter))
    merged = jax.tree.map(lambda *leaves: np.concatenate(leaves), *records)
    shape = (len(models), num_datasets, num_inits)
    merged = jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), merged)
    return [
        _ensemble(model, grid, row, jax.tree.map(lambda leaf, i=i: leaf[i], merged), training, steps, reduced)
        for i, (model, grid, row) in enumerate(zip(models, grids, tasks, strict=True))
    ]


class _Training(eqx.Module):
    """What one network trains on and is measured on."""

    inputs: jax.Array
    labels: jax.Array
    probes: jax.Array
    validation_inputs: jax.Array
    validation_labels: jax.Array
    basis: jax.Array


class _Task(eqx.Module):
    data: Dataset
    training: _Training


class _Settings(eqx.Module):
    network: MLP
    learning_rate: Any
    # The function and not what it returns, a new closure each time that would be compiled anew.
    make_optimizer: Callable[[Any], optax.GradientTransformation] = eqx.field(static=True)
    loss: str = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    centred: bool = eqx.field(static=True)
    reduced: bool = eqx.field(static=True)
    input_dim: int = eqx.field(static=True)

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return self.make_optimizer(self.learning_rate)


class _State(eqx.Module):
    """One network in training."""

    params: Parameters
    optimizer_state: Any
    order: jax.Array
    initial: jax.Array  # f_0 at training inputs, subtracted where centred
    key: jax.Array


class _Record(eqx.Module):
    """What is kept of a group of networks, as NumPy arrays, members first."""

    outputs: Any
    initial_outputs: Any
    initial_train_outputs: Any
    train_loss: Any
    validation_accuracy: Any
    params: Any


def _task(
    model: GenerativeModel,
    network: MLP,
    key: Key,
    num_samples: int,
    num_validation: int | None,
    probes: jax.Array,
    reduced: bool,
    orthogonal: bool,
    dtype: Any,
) -> _Task:
    with jax.enable_x64(True):
        data, training = _sample(model, network, key, num_samples, num_validation or 2, probes, reduced, orthogonal)
    return _Task(data, jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), training))


@eqx.filter_jit
def _sample(
    model: GenerativeModel,
    network: MLP,
    key: Key,
    num_samples: int,
    num_validation: int,
    probes: jax.Array,
    reduced: bool,
    orthogonal: bool,
) -> tuple[Dataset, _Training]:
    sample_key, embedding_key, validation_key = jax.random.split(key, 3)
    embedding = model.embedding(embedding_key, orthogonal)
    data = model.sample(sample_key, num_samples, embedding=embedding)
    validation = model.sample(validation_key, num_validation, embedding=embedding)
    basis = plane_basis(embedding) if reduced else jnp.zeros((0, 0))
    inputs = [data.inputs, embedding(probes), validation.inputs]
    if reduced:
        inputs = [network.plane_inputs(x, basis) for x in inputs]
    return data, _Training(inputs[0], data.labels, inputs[1], inputs[2], validation.labels, basis)


def _stack(items: list) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *items)


def _group_size(network: MLP, num_samples: int, count: int, dtype: Any) -> int:
    """Members whose activations fit into 1 GiB, a multiple of the number of devices where there are several."""
    per_member = 6 * num_samples * max(1, network.depth) * (network.width or 1) * jnp.dtype(dtype).itemsize
    size = int(np.clip(_MEMBER_BYTES // per_member, 1, count))
    devices = jax.device_count()
    return size if devices == 1 or size < devices else size - size % devices


def _start(settings: _Settings, data: _Training, init_key: Key, order_key: Key) -> tuple[_State, jax.Array]:
    """The network at initialisation, and its outputs at the probes."""
    network = settings.network
    params = network.init(init_key, settings.input_dim, data.inputs.dtype)
    if settings.reduced:
        params = network.on_plane(params, data.basis)
    count = data.inputs.shape[0]
    initial = network.apply(params, data.inputs)
    state = _State(params, settings.optimizer.init(params), jnp.arange(count), initial, order_key)
    outputs = network.apply(params, data.probes)
    return state, jnp.zeros_like(outputs) if settings.centred else outputs


def _loss(
    settings: _Settings, params: Parameters, x: jax.Array, y: jax.Array, offset: jax.Array, weight: jax.Array
) -> jax.Array:
    outputs = settings.network.apply(params, x) - (offset if settings.centred else 0)
    return jnp.sum(weight * resolve_loss(settings.loss)(outputs, y)) / jnp.sum(weight)


def _step(settings: _Settings, data: _Training, index: jax.Array, state: _State) -> _State:
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
    gradient = jax.grad(lambda params: _loss(settings, params, x, y, offset, weight))(state.params)
    updates, optimizer_state = settings.optimizer.update(gradient, state.optimizer_state, state.params)
    return _State(optax.apply_updates(state.params, updates), optimizer_state, order, state.initial, state.key)


@eqx.filter_jit
def _initialize(settings: _Settings, batch: _Training, init_keys: jax.Array, order_keys: jax.Array) -> Any:
    return jax.vmap(functools.partial(_start, settings))(batch, init_keys, order_keys)


@eqx.filter_jit(donate="all-except-first")
def _advance(fixed: tuple[_Settings, _Training], states: _State, first: jax.Array, last: jax.Array) -> _State:
    """Steps first, ..., last - 1. The bounds are data: one compiled loop, whose numbers do not depend on how it is cut."""
    settings, batch = fixed

    def body(index: jax.Array, states: _State) -> _State:
        return jax.vmap(lambda data, state: _step(settings, data, index, state))(batch, states)

    return jax.lax.fori_loop(first, last, body, states)


@eqx.filter_jit
def _measure(settings: _Settings, batch: _Training, states: _State, start: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Outputs at the probes, training loss and validation accuracy of every member."""

    def one(data: _Training, state: _State) -> tuple[jax.Array, jax.Array, jax.Array]:
        apply = functools.partial(settings.network.apply, state.params)
        loss = _loss(settings, state.params, data.inputs, data.labels, state.initial, jnp.ones_like(data.labels))
        return apply(data.probes), loss, jnp.mean(jnp.sign(apply(data.validation_inputs)) == data.validation_labels)

    outputs, loss, accuracy = jax.vmap(one)(batch, states)
    return (outputs - start if settings.centred else outputs), loss, accuracy


def _train_group(
    settings: _Settings, batch: _Training, keys: list, steps: np.ndarray, store: _Store, name: int, meter: _Meter
) -> _Record:
    """Train some members together, recording at the requested steps; from a checkpoint where there is one."""
    init_keys, order_keys = keys
    members, times = init_keys.shape[0], len(steps)
    batch, init_keys, order_keys = _on_all_devices((batch, init_keys, order_keys))
    states, initial = _initialize(settings, batch, init_keys, order_keys)
    start = initial
    if settings.centred:
        start = jax.vmap(settings.network.apply)(states.params, batch.probes)
    shape = (members, times)
    probes = batch.probes.shape[1]
    dtype = np.dtype(initial.dtype)
    record = _Record(
        np.zeros((*shape, probes), dtype), np.asarray(initial), None, np.zeros(shape, dtype), np.zeros(shape, dtype), None
    )
    done, states, record = store.load(name, states, record)
    meter.advance(members * done)
    segment, saved = 1, time.monotonic()
    milestones = np.unique(np.append(steps, 0))
    while True:
        for index in np.flatnonzero(steps == done):
            outputs, loss, accuracy = _measure(settings, batch, states, start)
            _require_finite(loss, done)
            record.outputs[:, index], record.train_loss[:, index] = np.asarray(outputs), np.asarray(loss)
            record.validation_accuracy[:, index] = np.asarray(accuracy)
        if done == milestones[-1]:
            break
        stop = min(done + segment, int(milestones[np.searchsorted(milestones, done, side="right")]))
        began = time.monotonic()
        bounds = (jnp.asarray(done), jnp.asarray(stop))
        states = jax.block_until_ready(_advance((settings, batch), states, *bounds))
        elapsed = time.monotonic() - began
        meter.advance(members * (stop - done))
        done = stop
        segment = int(np.clip(segment * min(4.0, _SEGMENT_SECONDS / elapsed), 1, 10**6))
        if done < milestones[-1] and time.monotonic() - saved > 15 * _SEGMENT_SECONDS and not np.any(steps == done):
            store.save(name, done, states, record)
            saved = time.monotonic()
    initial_train = np.zeros_like(states.initial) if settings.centred else np.asarray(states.initial)
    record = dataclasses.replace(record, params=jax.tree.map(np.asarray, states.params), initial_train_outputs=initial_train)
    store.save(name, done, states, record)
    return record


def _require_finite(loss: jax.Array, step: int) -> None:
    wrong = int(np.sum(~np.isfinite(np.asarray(loss))))
    if wrong:
        raise FloatingPointError(
            f"training diverged: by step {step} the loss of {wrong} of {loss.shape[0]} networks is not finite; "
            "use a smaller learning_rate"
        )


def _on_all_devices(tree: Any) -> Any:
    """Members spread over all devices where their number is a multiple of the devices'."""
    devices = jax.devices()
    members = jax.tree.leaves(tree)[0].shape[0]
    if len(devices) == 1 or members % len(devices):
        return tree
    mesh = jax.sharding.Mesh(np.asarray(devices), ("members",))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("members")))


class _Meter:
    """Counts network steps for the caller's progress bar."""

    def __init__(self, progress: Callable[[int, int], Any] | None, total: int):
        require(progress is None or callable(progress), "progress", "None or a function of (done, total)", progress)
        self.progress, self.total, self.done = progress, total, 0

    def advance(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)


class _Store:
    """States and records of a run in a directory, one file per group of members; without a directory, nothing."""

    def __init__(self, path: str | os.PathLike | None, fingerprint: str):
        self.path = None if path is None else Path(path)
        if self.path is None:
            return
        allowed, mark = "a new directory, or that of the same run", self.path / "run.txt"
        require(self.path.is_dir() or not self.path.exists(), "checkpoint", allowed, f"{self.path}, a file")
        self.path.mkdir(parents=True, exist_ok=True)
        if mark.exists():
            same = mark.read_text(errors="replace") == fingerprint
            require(same, "checkpoint", allowed, f"{self.path}, of another run")
        else:
            require(not any(self.path.iterdir()), "checkpoint", allowed, f"{self.path}, with files of another kind")
            mark.write_text(fingerprint)

    def save(self, name: int, done: int, states: _State, record: _Record) -> None:
        if self.path is None:
            return
        target = self.path / f"members-{name:06d}.eqx"
        partial = target.with_suffix(".partial")
        state = dataclasses.replace(states, key=jax.random.key_data(states.key))
        # The parameters and f_0 are in the state already.
        kept = dataclasses.replace(record, params=None, initial_train_outputs=None)
        eqx.tree_serialise_leaves(partial, (np.asarray(done), state, kept))
        os.replace(partial, target)

    def load(self, name: int, states: _State, record: _Record) -> tuple[int, _State, _Record]:
        target = None if self.path is None else self.path / f"members-{name:06d}.eqx"
        if target is None or not target.exists():
            return 0, states, record
        plain = dataclasses.replace(states, key=jax.random.key_data(states.key))
        try:
            # Arrays one after another, without pickle.
            done, loaded, record = eqx.tree_deserialise_leaves(target, (np.asarray(0), plain, record))
        except Exception as error:
            reason = f"{target} ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more to read'})"
            raise ValueError(
                f"checkpoint must hold what this run wrote (delete the file to train again); got {reason}"
            ) from error
        loaded = dataclasses.replace(loaded, key=jax.random.wrap_key_data(loaded.key, impl=jax.random.key_impl(states.key)))
        sharded = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), loaded, states)
        return int(done), sharded, record


def _fingerprint(settings: _Settings, plain: tuple, trees: Any) -> str:
    """A hash of everything that the numbers depend on."""
    network = settings.network
    parts = (
        (network.depth, network.width, network.parameterization, network.initialization, _name(network.activation)),
        (settings.loss, settings.batch_size, settings.centred, settings.reduced, settings.input_dim),
        (plain, jax.__version__),
    )
    digest = hashlib.sha256(repr(parts).encode())
    for leaf in jax.tree.leaves((network, trees)):
        digest.update(repr(np.asarray(without_key_type(leaf)).tolist()).encode())
    return digest.hexdigest()


def _name(function: Any) -> str:
    if isinstance(function, functools.partial):
        return f"{_name(function.func)} {function.args} {sorted(function.keywords.items())}"
    return str(getattr(function, "name", None) or getattr(function, "__qualname__", type(function).__name__))


def _ensemble(
    model: GenerativeModel, probes: jax.Array, row: list, record: Any, training: Any, steps: np.ndarray, plane: bool
) -> Ensemble:
    # Members-first records (D, I, T, ...) become times-first.
    outputs, loss, accuracy = (
        np.moveaxis(value, 2, 0) for value in (record.outputs, record.train_loss, record.validation_accuracy)
    )
    if np.ndim(training.steps) == 0:
        outputs, loss, accuracy, steps = outputs[0], loss[0], accuracy[0], steps[0]
    found = np.asarray(reliance(np.asarray(outputs, np.float64), probes))
    optimum = float(optimal_reliance(model, probes))
    return Ensemble(
        outputs=outputs,
        initial_outputs=record.initial_outputs,
        initial_train_outputs=record.initial_train_outputs,
        bias=found - optimum,
        reliance=found,
        optimal_reliance=optimum,
        probes=np.asarray(probes),
        train_loss=loss,
        validation_accuracy=accuracy,
        steps=steps,
        datasets=jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *[task.data for task in row]),
        params=record.params,
        plane=plane,
    )
