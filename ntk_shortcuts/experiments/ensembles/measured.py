"""Networks read at test points: accuracies by group and any metric, network by network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np

from ntk_shortcuts.experiments.ensembles.result import standard_error
from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.metrics.groups import Accuracy, AttributeReliance, GroupAccuracy
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.outputs import SampledOutputs
from ntk_shortcuts.results.arrays import coordinate, table, variable
from ntk_shortcuts.results.base import Result
from ntk_shortcuts.results.prediction import by_group
from ntk_shortcuts.typing import AnyArray, Float

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class MeasuredEnsemble(Result):
    """Outputs (*T, D, I, n) of networks at test points, and what is read off them; `times` = learning rate x steps: (*T,)."""

    outputs: eqx.AbstractVar[Float[AnyArray, "*times datasets inits n"]]
    times: eqx.AbstractVar[np.ndarray]
    points: eqx.AbstractVar[TestPoints]
    train_loss: eqx.AbstractVar[Float[AnyArray, "*times datasets inits"]]

    def numbers(self) -> dict[str, Any]:
        """How many networks there are, when they were read, and, of groups, the mean accuracies."""
        counts = dict(zip(("data sets", "initialisations"), np.shape(self.outputs)[-3:-1], strict=True))
        read = {} if self.points.groups is None else {"mean_accuracy": self.accuracy.mean(axis=(-2, -1))}
        return {**read, **counts, **({"time": self.times} if self._batch else {})}

    def plot(self, ax: Any = None) -> Figure:
        """Accuracies of the groups, means over all networks with standard errors; of points without groups the outputs. Over
        time where there are several.

        Args:
            ax: matplotlib axes to draw in; by default those of a new figure.
        """
        from ntk_shortcuts.plotting.numbers import axis_label, plot_numbers
        from ntk_shortcuts.plotting.outputs import plot_outputs
        from ntk_shortcuts.plotting.prediction import by_words

        if self.points.groups is None:
            values = np.asarray(self.outputs)
            return plot_outputs(values.mean(axis=(-3, -2)), values.std(axis=(-3, -2)), ax=ax)
        along = (axis_label("time"), self.times) if self._batch else None
        means, errors = by_words(self.mean_group_accuracy), by_words(self.standard_error)
        known = {name: error for name, error in errors.items() if np.isfinite(error).all()}
        return plot_numbers(means, along, "accuracy in the group", known, ax)

    def to_xarray(self) -> xarray.Dataset:
        """Outputs, losses and accuracies of groups over the dimensions `time` (of several), `dataset`, `init` and `probe`."""
        over = (*self._batch, "dataset", "init")
        variables = {
            "outputs": variable((*over, "probe"), self.outputs, "output"),
            "train_loss": variable(over, self.train_loss, "loss on the training data"),
        }
        coordinates = {name: coordinate(name, at) for name, at in self._batch.items()}
        if self.points.groups is not None:
            found = self.group_accuracy
            variables["group_accuracy"] = variable(found.dims, found, "accuracy in the group")
            coordinates |= {name: coordinate(name, found[name]) for name in self.points.groups.names}
        return table(variables, coordinates, self.origin)

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
