"""One run: networks trained on the data sets of a source, whatever law these are of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.experiments.ensembles.checkpoints import Record, Store, fingerprint
from ntk_shortcuts.experiments.ensembles.checks import (
    Optimizer,
    checked_batches,
    checked_steps,
    chosen_optimizer,
    reduces,
    require_trainable,
)
from ntk_shortcuts.experiments.ensembles.groups import train_members
from ntk_shortcuts.experiments.ensembles.meter import Meter
from ntk_shortcuts.experiments.ensembles.sources import Source, Task
from ntk_shortcuts.experiments.ensembles.steps import Settings
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.typing import Key
from ntk_shortcuts.validation import require_integer, require_key


class Finished(NamedTuple):
    """What a run leaves: for each law the record of its networks, leaves (D, I, ...), and its data sets; the steps that were
    recorded (T,); and whether the networks were reduced to the plane."""

    records: list[Record]
    tasks: list[list[Task]]
    steps: np.ndarray
    reduced: bool


def run(
    laws: Sequence[Any],
    source: Source,
    probes: Sequence[Any],
    network: FiniteNetwork,
    training: GradientDescent,
    num_inits: int,
    key: Key,
    *,
    plane: bool | None = None,
    loss: str = "squared",
    batch_size: int | None = None,
    optimizer: Optimizer | None = None,
    centred: bool = False,
    dtype: Any = None,
    checkpoint: str | os.PathLike | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> Finished:
    """Check, train and record. Options as in :func:`ntk_shortcuts.experiments.train_ensembles`.

    Args:
        laws: the data laws.
        source: their data sets.
        probes: of each law, where outputs are recorded.
    """
    steps = checked_steps(training)
    optimizer = chosen_optimizer(optimizer, training)
    require_key(key)
    require_integer("num_inits", num_inits, 1)
    require_trainable(network, source.num_samples, source.input_dim)
    batch_size = checked_batches(loss, optimizer, batch_size, source.num_samples)
    reduced = reduces(plane, optimizer, network, source)
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)

    data_key, init_key, order_key = jax.random.split(key, 3)
    tasks = [
        [task.cast(dtype) for task in source.tasks(law, network, data_key, at, reduced)]
        for law, at in zip(laws, probes, strict=True)
    ]
    settings = Settings(network, training.learning_rate, optimizer, loss, batch_size, centred, source.input_dim)
    shape = (len(laws), source.num_datasets, num_inits)
    mark = fingerprint(settings, source, laws, training, key, probes, num_inits, reduced, str(dtype))
    store, meter = Store(checkpoint, mark), Meter(progress, int(np.prod(shape)) * int(steps.max()))
    record = train_members(settings, tasks, shape, (init_key, order_key), steps, store, meter, dtype)
    records = [jax.tree.map(lambda leaf, i=index: leaf[i], record) for index in range(len(laws))]
    return Finished(records, tasks, steps, reduced)
