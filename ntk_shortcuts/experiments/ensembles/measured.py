"""Networks read at test points: accuracies by group and any metric, network by network."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np

from ntk_shortcuts.experiments.ensembles.result import standard_error
from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.metrics.groups import Accuracy, AttributeReliance, GroupAccuracy
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.results.outputs import SampledOutputs
from ntk_shortcuts.results.prediction import by_group
from ntk_shortcuts.typing import AnyArray, Float


class MeasuredEnsemble(eqx.Module):
    """Outputs (*T, D, I, n) of networks at test points, and what is read off them; `times` = learning rate x steps: (*T,)."""

    outputs: eqx.AbstractVar[Float[AnyArray, "*times datasets inits n"]]
    times: eqx.AbstractVar[np.ndarray]
    points: eqx.AbstractVar[TestPoints]

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

    def reliance_on(self, attribute: str) -> Float[np.ndarray, "*times datasets inits"]:
        """Of each network: 1 - 2 (accuracy where the attribute differs from the label, groups balanced)."""
        return self.read(AttributeReliance(attribute))

    @in_float64
    def read(self, metric: Metric) -> Any:
        """A metric of each network, (*T, D, I), with the metric's own axes last."""
        outputs = SampledOutputs(values=np.asarray(self.outputs, np.float64))
        return metric.of_signs(outputs.signs(self.points), self.points)

    @property
    def _batch(self) -> dict[str, Any]:
        return {"time": self.times} if np.ndim(self.times) else {}
