"""What networks trained on data sets of a pool leave: outputs at the test samples, and accuracies by group."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np

from ntk_shortcuts.experiments.ensembles.checkpoints import Record
from ntk_shortcuts.experiments.ensembles.result import standard_error, times_first
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.metrics.groups import Accuracy, AttributeReliance, GroupAccuracy
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.results.outputs import SampledOutputs
from ntk_shortcuts.results.prediction import by_group
from ntk_shortcuts.training.rules import GradientDescent
from ntk_shortcuts.typing import AnyArray, Float, Int


class PoolEnsemble(eqx.Module):
    """Outputs of networks trained on D data sets of a pool from I initialisations each, and what is read off them.

    A leading axis T is there where the steps of the training rule were an array.

    - `outputs`: (*T, D, I, n) at the n test samples; `initial_outputs`: (D, I, n); `initial_train_outputs`: (D, I, N), at the
      training inputs. Centred ensembles have f - f_0 in all three.
    - `train_loss`: (*T, D, I), of the loss trained on; `steps` and `times` = learning rate x steps: (*T,).
    - `pool`; `samples`: (D, N), the numbers of the drawn samples in it; `points`: the test samples.
    - `params`: final parameters, batched (D, I).

    An output of 0 counts as half right, as in predictions.
    """

    outputs: Float[AnyArray, "*times datasets inits n"]
    initial_outputs: Float[AnyArray, "datasets inits n"]
    initial_train_outputs: Float[AnyArray, "datasets inits N"]
    train_loss: Float[AnyArray, "*times datasets inits"]
    steps: np.ndarray
    times: np.ndarray
    pool: Pool
    samples: Int[np.ndarray, "datasets N"]
    points: TestPoints
    params: Any

    @property
    def accuracy(self) -> Float[np.ndarray, "*times datasets inits"]:
        """Of each network: part of the test samples classified rightly, under their weights."""
        return self.read(Accuracy())

    @property
    def group_accuracy(self) -> Any:
        """Of each network: accuracy in each group, an `xarray.DataArray`, dims (*time, dataset, init, label, attributes)."""
        return by_group(self.read(GroupAccuracy()), self.points, {**self._batch, "dataset": None, "init": None})

    @property
    def worst_group_accuracy(self) -> Float[np.ndarray, "*times datasets inits"]:
        """Of each network: the least of its groups' accuracies.

        Its mean lies below the least of the groups' mean accuracies, which is what a prediction calls by that name:
        `e.mean_group_accuracy.min(("label", "attribute"))`.
        """
        return np.nanmin(self.read(GroupAccuracy()), axis=-1)

    @property
    def mean_group_accuracy(self) -> Any:
        """Mean of `group_accuracy` over data sets and initialisations, dims (*time, label, attributes)."""
        return self.group_accuracy.mean(("dataset", "init"), skipna=False)

    @property
    def standard_error(self) -> Any:
        """Standard error of `mean_group_accuracy`, with its dims, of an average over data sets.

        Networks on one data set are not independent: with D > 1 it comes from the spread of the data sets' means; with D = 1
        from the spread of initialisations; NaN for a single network.
        """
        groups_first = np.moveaxis(self.read(GroupAccuracy()), -1, 0)
        return by_group(np.moveaxis(standard_error(groups_first), 0, -1), self.points, self._batch)

    @property
    def reliance(self) -> Float[np.ndarray, "*times datasets inits"]:
        """Of each network: reliance on the pool's one attribute.

        Raises:
            ValueError: several attributes, or none.
        """
        return self.reliance_on(self.pool.attribute())

    def reliance_on(self, attribute: str) -> Float[np.ndarray, "*times datasets inits"]:
        """Of each network: 1 - 2 (accuracy where the attribute differs from the label, groups balanced)."""
        return self.read(AttributeReliance(attribute))

    @in_float64
    def read(self, metric: Metric) -> Any:
        """A metric of each network, (*T, D, I), with the metric's own axes last."""
        outputs = SampledOutputs(values=np.asarray(self.outputs, np.float64))
        return metric.of_signs(outputs.signs(self.points), self.points)

    def dataset(self, index: int) -> Pool:
        """One of the data sets, for `predict(..., method="dataset", test=test)`; its samples count alike."""
        return self.pool.reweighted(np.ones(self.pool.size)).take(self.samples[index])

    @property
    def _batch(self) -> dict[str, Any]:
        return {"time": self.times} if np.ndim(self.times) else {}


def pool_ensemble(
    pool: Pool, points: TestPoints, samples: np.ndarray, record: Record, training: GradientDescent, steps: np.ndarray
) -> PoolEnsemble:
    """The ensemble from the records of its networks, leaves (D, I, ...)."""
    steps = steps if np.ndim(training.steps) else steps[0]
    return PoolEnsemble(
        outputs=times_first(record.outputs, training),
        initial_outputs=record.initial_outputs,
        initial_train_outputs=record.initial_train_outputs,
        train_loss=times_first(record.train_loss, training),
        steps=steps,
        times=np.asarray(training.time),
        pool=pool,
        samples=samples,
        points=points,
        params=record.params,
    )
