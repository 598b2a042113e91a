"""Networks trained on data sets drawn from a pool, and tested on other samples."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ntk_shortcuts.compilation import make_room
from ntk_shortcuts.experiments.ensembles.checks import Optimizer
from ntk_shortcuts.experiments.ensembles.pool_result import PoolEnsemble, pool_ensemble
from ntk_shortcuts.experiments.ensembles.run import run
from ntk_shortcuts.experiments.ensembles.sources import Source, Task, TrainingData
from ntk_shortcuts.issues import give
from ntk_shortcuts.laws.base import Law
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.laws.pool.checks import notes_on
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.results.base import origin_of
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.typing import Key
from ntk_shortcuts.validation import require, require_integer


class Draws(Source):
    """Data sets drawn from a pool, or without num_samples the pool itself."""

    num_samples: int = eqx.field(static=True)
    num_datasets: int = eqx.field(static=True)
    input_dim: int = eqx.field(static=True)
    whole: bool = eqx.field(static=True)
    replace: bool = eqx.field(static=True)

    def __init__(self, pool: Pool, num_samples: int | None, num_datasets: int, replace: bool):
        self.whole, self.replace = num_samples is None, replace
        self.num_datasets = require_integer("num_datasets", num_datasets, 1)
        self.num_samples = pool.size if num_samples is None else require_integer("num_samples", num_samples, 2)
        self.input_dim = int(np.prod(pool.inputs.shape[1:]))
        if self.whole:
            require(num_datasets == 1, "num_datasets", "1 without num_samples: the pool is the data set", num_datasets)
            alike = np.ptp(pool.weights) <= 1e-12 * np.max(pool.weights)
            allowed = "given for a pool with weights: networks here train on samples that count alike"
            require(bool(alike), "num_samples", allowed, num_samples)

    def outside_plane(self) -> str:
        return "for the samples of a pool"

    def tasks(self, model: Any, network: FiniteNetwork, key: Key, probes: Any, reduced: bool) -> list[Task]:
        keys = jax.random.split(key, self.num_datasets)
        pool = model.samples
        draws = [np.arange(pool.size) if self.whole else pool.draw(k, self.num_samples, self.replace) for k in keys]
        rows, labels = pool.inputs.reshape(pool.size, -1), pool.targets
        tasks = []
        for own, drawn in zip(keys, draws, strict=True):
            seen = np.asarray(model.observed_labels(jax.random.fold_in(own, 1), drawn[:, None], labels[drawn]))
            tasks.append(Task(drawn, TrainingData(rows[drawn], seen, probes, None, None, None)))
        return tasks


def train_on_pool(
    law: Law,
    network: FiniteNetwork,
    training: GradientDescent,
    num_samples: int | None = None,
    num_datasets: int = 1,
    num_inits: int = 1,
    *,
    key: Key,
    test: Any,
    replace: bool = True,
    loss: str = "squared",
    batch_size: int | None = None,
    optimizer: Optimizer | None = None,
    centred: bool = False,
    dtype: Any = None,
    checkpoint: str | os.PathLike | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> PoolEnsemble:
    """Train finite networks on data sets drawn from a pool, and evaluate them on a test pool.

    Networks learn -1 for the first of two classes and +1 for the second.

    Args:
        law: a `Pool` of two classes, whose weights are those of the draws, or one with noisy labels.
        network: of finite width; images become rows for a network of vectors.
        training: `GradientDescent(learning_rate, steps)`; several steps (an array) are recorded in one run.
        num_samples: N of each data set, class counts fixed at the classes' weights; None: the pool, whose samples must weigh
            alike, is the one data set.
        num_datasets: D.
        num_inits: I, networks on each data set.
        key: `jax.random` key.
        test: the samples to evaluate on, a `Pool`.
        replace: draw with replacement; False: subsets.
        loss: this and the options after it as in :func:`~ntk_shortcuts.experiments.train_ensembles`.

    Returns:
        A :class:`~ntk_shortcuts.experiments.PoolEnsemble`.

    Raises:
        ValueError: more than two classes, a `test` that is no pool or of another kind; the rest as
            :func:`~ntk_shortcuts.experiments.train_ensembles`.
        FloatingPointError: training diverged.

    Warns:
        UntrustedPredictionWarning: test samples that are in the pool, and other issues of the two.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> inputs, labels = jax.random.normal(jax.random.key(0), (80, 5)), np.tile([-1, 1], 40)
        >>> pool, test = Pool(inputs, labels, np.repeat([-1, 1], 40)).split(jax.random.key(1), 0.5)
        >>> options = {"num_samples": 20, "num_datasets": 3, "num_inits": 2, "test": test}
        >>> e = train_on_pool(pool, MLP(1, width=16), GradientDescent(0.5, [5, 50]), key=jax.random.key(2), **options)
        >>> e.group_accuracy.dims
        ('time', 'dataset', 'init', 'label', 'attribute')
        >>> e.standard_error.sel(label=1, attribute=-1).shape
        (2,)
    """
    make_room()
    pool = law.samples
    require(len(pool.classes) == 2, "pool", "of two classes", f"{len(pool.classes)} of them")
    points = pool.test_points(test)
    source = Draws(pool, num_samples, num_datasets, replace)
    allowed = "an MLP of finite width, or another network with init and apply"
    require(isinstance(network, FiniteNetwork), "network", allowed, type(network).__name__)
    seen: Any = network.on_images(pool.inputs.shape[1:])
    rows = test.inputs.reshape(test.size, -1)
    options = {"loss": loss, "batch_size": batch_size, "optimizer": optimizer, "centred": centred, "dtype": dtype}
    finished = run([law], source, [rows], seen, training, num_inits, key, checkpoint=checkpoint, progress=progress, **options)
    give(notes_on(pool, test))
    samples = np.stack([task.data for task in finished.tasks[0]])
    labels = np.stack([task.training.labels for task in finished.tasks[0]])
    counts = {"num_samples": num_samples, "num_datasets": num_datasets, "num_inits": num_inits}
    origin = origin_of({"model": pool, "network": network, "training": training}, **counts, **options)
    return pool_ensemble(pool, points, samples, labels, finished.records[0], training, finished.steps, origin)
