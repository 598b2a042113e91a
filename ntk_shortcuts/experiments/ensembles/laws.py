"""Networks trained on data sets sampled from any data law, and read at its test points."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np

from ntk_shortcuts.compilation import make_room
from ntk_shortcuts.experiments.ensembles.checks import Optimizer
from ntk_shortcuts.experiments.ensembles.measured import MeasuredEnsemble
from ntk_shortcuts.experiments.ensembles.result import standard_error, times_first
from ntk_shortcuts.experiments.ensembles.run import run
from ntk_shortcuts.experiments.ensembles.sources import Source, Task, TrainingData
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.two_features.plane import plane_basis
from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.results.base import origin_of
from ntk_shortcuts.results.prediction import labelled, plain
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.typing import AnyArray, Float, Key
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LawEnsemble(MeasuredEnsemble):
    """Outputs of networks trained on D data sets of a law from I initialisations each, and what is read off them.

    A leading axis T is there where the steps of the training rule were an array.

    - `outputs`: (*T, D, I, n) at the n test points; `initial_outputs`: (D, I, n); `initial_train_outputs`: (D, I, N).
    - `train_loss`: (*T, D, I), of the loss trained on; `steps` and `times` = learning rate x steps: (*T,).
    - `law`; `datasets`: what it drew, one after the other; `points`: the test points; `params`: final parameters, (D, I).
    - `reduced`: whether networks were reduced to the span of the features' directions.
    """

    outputs: Float[AnyArray, "*times datasets inits n"]
    initial_outputs: Float[AnyArray, "datasets inits n"]
    initial_train_outputs: Float[AnyArray, "datasets inits N"]
    train_loss: Float[AnyArray, "*times datasets inits"]
    steps: np.ndarray
    times: np.ndarray
    law: DataLaw
    datasets: tuple[Any, ...]
    points: TestPoints
    params: Any
    reduced: bool = eqx.field(static=True)

    @property
    def value(self) -> Any:
        """The law's own metric, network by network: an array (*T, D, I), or an `xarray.DataArray` where the metric has axes."""
        return self._named(self.read(self.law.metric), {"dataset": None, "init": None})

    @property
    def bias(self) -> Any:
        """`value` less that of the Bayes-optimal classifier: of a law with shortcuts the bias."""
        return self.value - self._optimal

    @property
    def mean_bias(self) -> Any:
        """Mean of `bias` over data sets and initialisations."""
        return self._named(np.mean(self.read(self.law.metric), axis=self._networks), {}) - self._optimal

    @property
    def bias_standard_error(self) -> Any:
        """Of `mean_bias`, from the spread of the data sets' means as for :class:`~ntk_shortcuts.experiments.Ensemble`."""
        own = self.law.metric.axes
        values = np.asarray(self.read(self.law.metric))
        first = np.moveaxis(values, range(values.ndim - own, values.ndim), range(own))
        errors = np.asarray(standard_error(first))
        return self._named(np.moveaxis(errors, range(own), range(errors.ndim - own, errors.ndim)), {})

    def plot(self, ax: Any = None) -> Figure:
        """Accuracies of the groups, or without groups the mean bias with its standard error, towards each shortcut where there
        are several; over time where there are several times.

        Args:
            ax: matplotlib axes to draw in; by default those of a new figure.
        """
        if self.points.groups is not None:
            return super().plot(ax)
        from ntk_shortcuts.plotting.numbers import axis_label, number_label, plot_numbers
        from ntk_shortcuts.plotting.prediction import by_entry

        own = self.law.metric.coordinates(self.points)
        numbers, errors = (by_entry(v, own) if own else {"mean bias": v} for v in (self.mean_bias, self.bias_standard_error))
        along = (axis_label("time"), self.times) if self._batch else None
        return plot_numbers(numbers, along, number_label("bias"), errors, ax)

    @property
    def _networks(self) -> tuple[int, int]:
        own = self.law.metric.axes
        return -2 - own, -1 - own

    @property
    def _optimal(self) -> Any:
        metric: Metric = self.law.metric
        axes = metric.coordinates(self.points)
        optimum = np.asarray(metric.optimal(self.points))
        return labelled(optimum, axes) if axes else optimum

    def _named(self, values: Any, networks: dict[str, Any]) -> Any:
        axes = self.law.metric.coordinates(self.points)
        return labelled(values, axes, {**self._batch, **networks}) if axes else plain(values)


class Drawn(Source):
    """Samples of a law, each data set with what embeds it."""

    num_samples: int = eqx.field(static=True)
    num_datasets: int = eqx.field(static=True)
    input_dim: int = eqx.field(static=True)
    embedded: bool = eqx.field(static=True)
    orthogonal: bool = eqx.field(static=True)

    def __init__(self, law: DataLaw, num_samples: Any, num_datasets: int, example: Any, orthogonal: bool):
        self.num_samples = require_integer("num_samples", num_samples, 2)
        self.num_datasets = require_integer("num_datasets", num_datasets, 1)
        self.input_dim, self.embedded = int(np.prod(example.inputs.shape[1:])), example.embedding is not None
        require(self.embedded or not orthogonal, "orthogonal", "False for inputs that are no embedded latents", orthogonal)
        self.orthogonal = orthogonal

    def outside_plane(self) -> str | None:
        return None if self.embedded else "for inputs that are no embedded latents"

    def tasks(self, model: Any, network: FiniteNetwork, key: Key, probes: Any, reduced: bool) -> list[Task]:
        with jax.enable_x64(True):
            return [self._task(model, network, k, probes, reduced) for k in jax.random.split(key, self.num_datasets)]

    def _task(self, law: Any, network: FiniteNetwork, key: Key, probes: Any, reduced: bool) -> Task:
        given = {"embedding": law.embedding(jax.random.fold_in(key, 1), orthogonal=True)} if self.orthogonal else {}
        data = law.sample(key, self.num_samples, **given)
        embedding: Any = data.embedding
        at_probes = law.inputs(probes).vectors(key) if embedding is None else embedding(probes)
        basis = plane_basis(embedding) if reduced and embedding is not None else None
        inputs, seen = (
            x.reshape(len(x), -1) if basis is None else network.plane_inputs(x, basis) for x in (data.inputs, at_probes)
        )
        return Task(data, TrainingData(inputs, data.labels, seen, None, None, basis))


def train_on_law(
    law: DataLaw,
    network: FiniteNetwork,
    training: GradientDescent,
    num_samples: int | None = None,
    num_datasets: int = 1,
    num_inits: int = 1,
    *,
    key: Key,
    probes: Any = None,
    plane: bool | None = None,
    orthogonal: bool = False,
    loss: str = "squared",
    batch_size: int | None = None,
    optimizer: Optimizer | None = None,
    centred: bool = False,
    dtype: Any = None,
    checkpoint: str | os.PathLike | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> LawEnsemble:
    """Train finite networks on data sets sampled from a law, and evaluate them at its test points.

    Args:
        law: anything that samples data sets with inputs, labels and, where inputs are embedded latents, the embedding.
        network: of finite width.
        training: `GradientDescent(learning_rate, steps)`; several steps (an array) are recorded in one run.
        num_samples: N of each data set.
        num_datasets: D, each with its own embedding.
        num_inits: I, networks on each data set.
        key: `jax.random` key.
        probes: points of the law at which outputs are recorded; by default where its metric is read.
        plane: train the exactly equivalent networks on the span of the K features' directions.
        orthogonal: make these directions exactly orthogonal, as they are for large d and as averages take them to be.
        loss: this and the options after it as in :func:`~ntk_shortcuts.experiments.train_ensembles`.

    Returns:
        A :class:`LawEnsemble`.

    Raises:
        ValueError, FloatingPointError: as :func:`~ntk_shortcuts.experiments.train_ensembles`.

    Example:
        >>> from ntk_shortcuts import MLP, GaussianFeatures
        >>> law, descent = GaussianFeatures((0.8, 0.85, 0.9), (4.0, 2.0, 1.0)), GradientDescent(0.5, [5, 50])
        >>> e = train_on_law(law, MLP(1, width=16), descent, 20, 3, 2, key=jax.random.key(0))
        >>> e.bias.dims, e.mean_bias.shape, e.reduced
        (('time', 'dataset', 'init', 'shortcut'), (2, 2), True)
    """
    make_room()
    allowed = "an MLP of finite width, or another network with init and apply"
    require(isinstance(network, FiniteNetwork), "network", allowed, type(network).__name__)
    points = law.test_points(probes)
    source = Drawn(law, num_samples, num_datasets, law.sample(jax.random.key(0), 2), orthogonal)
    options = {"loss": loss, "batch_size": batch_size, "optimizer": optimizer, "centred": centred, "dtype": dtype}
    at = [points.points]
    finished = run(
        [law], source, at, network, training, num_inits, key, plane=plane, checkpoint=checkpoint, progress=progress, **options
    )
    record, steps = finished.records[0], finished.steps if np.ndim(training.steps) else finished.steps[0]
    counts = {"num_samples": num_samples, "num_datasets": num_datasets, "num_inits": num_inits}
    return LawEnsemble(
        outputs=times_first(record.outputs, training),
        initial_outputs=record.initial_outputs,
        initial_train_outputs=record.initial_train_outputs,
        train_loss=times_first(record.train_loss, training),
        steps=steps,
        times=np.asarray(training.time),
        law=law,
        datasets=tuple(task.data for task in finished.tasks[0]),
        points=points,
        params=record.params,
        reduced=finished.reduced,
        origin=origin_of({"model": law, "network": network, "training": training}, **counts, **options, orthogonal=orthogonal),
    )
