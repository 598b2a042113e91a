"""What the entries return: outputs at test points, the metrics read off them on demand, and how far to trust them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np

from ntk_shortcuts.issues import Issue
from ntk_shortcuts.metrics.base import Metric, Reading
from ntk_shortcuts.metrics.core_accuracy import CoreAccuracy
from ntk_shortcuts.metrics.groups import Accuracy, AttributeReliance, BalancedAccuracy, GroupAccuracy
from ntk_shortcuts.metrics.reliance import Reliance
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.outputs import Outputs
from ntk_shortcuts.results.arrays import Variable, coordinate, table, two_feature_coordinates, variable
from ntk_shortcuts.results.base import Result
from ntk_shortcuts.spec import shown
from ntk_shortcuts.validation import require, required

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class Prediction(Result):
    """Predicted outputs, and the numbers read off them.

    - `outputs`: mean and variance, or samples, at the test points `points`.
    - `method`: its registered name. `metric`: the law's own.
    - `coordinates`: what tells the answers of several training rules in one apart, (T,), by name: {"time": ...} for flows.
    - `origin`: the law, network, rule and method that it is of.

    Everything else is read off these: the attributes below, and any other metric by :meth:`read`.
    """

    outputs: Outputs
    points: TestPoints
    method: str = eqx.field(static=True)
    metric: Metric = eqx.field(default_factory=Reliance)
    coordinates: dict[str, Any] = eqx.field(default_factory=dict)

    def __repr__(self) -> str:
        """The numbers that it is asked for first, and what keeps them from being trusted."""
        if is_traced(self):
            return super().__repr__()
        read = self.rows()
        units = {name: f" ({units})" for name, units in self.units.items()}
        numbers = {name: shown(np.asarray(value)) + units.get(name, "") for name, value in read.items()}
        issues = ", ".join(issue.kind for issue in self.issues) or "none"
        words = {"method": repr(self.method), **numbers, "points": str(len(self.points.points)), "issues": issues}
        return f"Prediction({', '.join(f'{name}={value}' for name, value in words.items())})"

    @property
    def value(self) -> Any:
        """The law's own metric, shaped like the bias: for two features the reliance."""
        return plain(self.metric(self.outputs, self.points))

    @property
    def accuracy(self) -> Any:
        """Part of the test points classified rightly, under their weights; shaped like the bias."""
        return plain(Accuracy()(self.outputs, self.points))

    @property
    def group_accuracy(self) -> Any:
        """Accuracy in each group: an `xarray.DataArray`, dims (label, attributes).

        For several times `time` is the first dim, with the times as coordinate; for several ridges it is `strength`.
        """
        return by_group(GroupAccuracy()(self.outputs, self.points), self.points, self.coordinates)

    @property
    def worst_group_accuracy(self) -> Any:
        """The least of the groups' expected accuracies, among those with test points."""
        return plain(np.nanmin(np.asarray(GroupAccuracy()(self.outputs, self.points)), axis=-1))

    @property
    def balanced_error(self) -> Any:
        """Mean over the labels of the part of their test points that are classified wrongly; shaped like the bias."""
        return 1 - plain(BalancedAccuracy()(self.outputs, self.points))

    @property
    def optimal_group_accuracy(self) -> Any:
        """Accuracy of the Bayes-optimal classifier in each group, at the same points; dims as of `group_accuracy`.

        Raises:
            ValueError: of a law whose Bayes-optimal classifier is not known, such as a pool.
        """
        return by_group(GroupAccuracy().optimal(self.points), self.points)

    def standard_error(self, metric: Metric) -> Any:
        """Of a metric's mean over samples of outputs (data sets, networks), shaped like it; 0 for a law of the outputs."""
        reading = metric.read(self.outputs, self.points)
        return plain(np.zeros(np.shape(reading.value)) if reading.error is None else np.asarray(reading.error))

    def reliance_on(self, attribute: str) -> Any:
        """Reliance on an attribute of a pool, 1 - 2 (accuracy where it differs from the label, groups balanced)."""
        return plain(AttributeReliance(attribute)(self.outputs, self.points))

    def numbers(self) -> dict[str, Any]:
        """What is read off by default, by name: bias and reliance where the law has a shortcut and a core, else its metric."""
        if self.points.groups is not None:
            reliances = {AttributeReliance(name).name: self.reliance_on(name) for name in self.points.groups.names[1:]}
            return {"accuracy": self.accuracy, "worst_group_accuracy": self.worst_group_accuracy, **reliances}
        if self._reliance_metric is None:
            return {self.metric.name: self.value}
        named = ("bias", "reliance", "optimal_reliance", "bias_std")
        return {name: value for name in named if (value := getattr(self, name)) is not None}

    @property
    def bias(self) -> Any:
        """Shortcut bias: a float; an array (T,) where the training rule has T times.

        Of a law with several shortcuts an `xarray.DataArray` over them, dim "shortcut" after that of the times. Label D14.1.
        """
        return self.reliance - self.optimal_reliance

    @property
    def reliance(self) -> Any:
        """Reliance on the shortcut, or on the one attribute of a pool, in [-1, 1], shaped like the bias."""
        groups = self.points.groups
        if groups is None:
            return self._named(self._reliance.value, self.coordinates)
        allowed = f"read by reliance_on(name), name one of {', '.join(groups.names[1:])}"
        require(len(groups.names) == 2, "reliance", allowed, f"{len(groups.names) - 1} attributes")
        return self.reliance_on(groups.names[1])

    @property
    def optimal_reliance(self) -> Any:
        """Reliance of the Bayes-optimal classifier."""
        return self._named(self._optimum, {})

    @property
    def accuracy_conflicting(self) -> Any:
        """Part of the test points where shortcut and core conflict that go with the core; there the shortcut misleads.

        (1 - reliance)/2 on the probe grid, where the two groups of either label are of one size.
        """
        return plain(CoreAccuracy(conflicting=True)(self.outputs, self.points))

    @property
    def accuracy_agreeing(self) -> Any:
        """Part of the test points where shortcut and core agree that go with both."""
        return plain(CoreAccuracy(conflicting=False)(self.outputs, self.points))

    @property
    def bias_std(self) -> Any:
        """Standard deviation of the bias over initialisations, where the method runs single networks; else None."""
        spread, samples = self._reliance.spread, self.outputs.samples
        if not self.outputs.of_networks or spread is None or samples is None:
            return None
        return plain(spread if samples > 1 or is_traced(spread) else spread * np.nan)

    @property
    def mean(self) -> Any:
        """Of the output at the test points, (n,) or (T, n), over initialisations and, where the method has them, data sets."""
        return _array(self.outputs.mean)

    @property
    def std(self) -> Any:
        """Standard deviation of the output, shaped like `mean`."""
        return _array(self.outputs.std)

    @property
    def probes(self) -> Any:
        """The test points: latents (n, 2)."""
        return self.points.points

    @property
    def diagnostics(self) -> dict[str, float]:
        """Size of every approximation made, by name."""
        return self.outputs.diagnostics

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What keeps the prediction from being trusted; empty where nothing was found."""
        return self.outputs.issues

    def read(self, metric: Metric) -> Any:
        """A metric of the outputs, shaped like the bias.

        Example:
            >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow, predict_bias
            >>> from ntk_shortcuts.metrics import Agreement
            >>> p = predict_bias(GenerativeModel(), MLP(0), GradientFlow(30.0), method="leading_order")
            >>> shortcut, core = (p.read(Agreement(name)) for name in ("shortcut", "core"))
            >>> bool(abs(shortcut - core - p.reliance) < 1e-12)
            True
        """
        return plain(metric(self.outputs, self.points))

    def rows(self) -> dict[str, Any]:
        """The numbers, and what tells the settings of the rule apart."""
        return {**self.numbers(), **{name: value for name, value in self.coordinates.items() if value is not None}}

    def plot(self, ax: Any = None) -> Figure:
        """What there is to see of it, in matplotlib axes `ax` where they are given: against time, of several times; of one the
        groups, the decision surface, or the outputs. :func:`ntk_shortcuts.plotting.plot_prediction`."""
        from ntk_shortcuts.plotting.prediction import plot_prediction

        law = self.origin.specs.get("model")
        return plot_prediction(self, None if law is None else law.two_features, ax)

    def to_xarray(self) -> xarray.Dataset:
        """Outputs at the test points (dimension `probe`) and the numbers read off them, over the settings of the rule (`time`,
        `strength`, ...) where there are several; attributes hold every resolved parameter, the versions and diagnostics."""
        batch = self._batch_dimensions
        several = () if self.points.classes is None else ("output",)
        variables = {
            "mean": variable((*batch, "probe", *several), self.mean, "mean predicted output"),
            "std": variable((*batch, "probe", *several), self.std, "standard deviation of the output"),
        }
        coordinates: dict[str, Variable] = {
            name: coordinate(name, values) for name, values in self.coordinates.items() if values is not None and batch
        }
        read = {**self.numbers(), **({} if self.points.groups is None else {"group_accuracy": self.group_accuracy})}
        for name, value in read.items():
            own = getattr(value, "dims", None)
            variables[name] = variable(batch[: np.ndim(value)] if own is None else own, value, name.replace("_", " "))
            found = {} if own is None else {axis: coordinate(axis, value[axis]) for axis in own if axis in value.coords}
            coordinates = {**found, **coordinates}
        return table(variables, {**coordinates, **self._of_points()}, self.origin, self.diagnostics, self.issues)

    @property
    def _batch_dimensions(self) -> tuple[str, ...]:
        """Names of the axes before that of the points; those beyond the rule's are of `network`."""
        count = np.ndim(self.mean) - 1 - (self.points.classes is not None)
        known = (*self.coordinates, *("network",) * count)
        return known[:count]

    def _of_points(self) -> dict[str, Variable]:
        """What is known of each test point."""
        points = np.asarray(self.points.points)
        known = {f"probe_{name}": np.asarray(values) for name, values in self.points.attributes.items()}
        known |= {} if self.points.weights is None else {"probe_weight": np.asarray(self.points.weights)}
        found = {name: variable(("probe",), values, name.replace("_", " ")) for name, values in known.items()}
        if {"shortcut", "core"} == self.points.attributes.keys() and points.shape[1:] == (2,):
            return {**two_feature_coordinates(points), **found}
        return found if points.ndim != 2 else {"point": variable(("probe", "entry"), points, "test points"), **found}

    @functools.cached_property
    def _reliance(self) -> Reading:
        return self._relied_on.read(self.outputs, self.points)

    @functools.cached_property
    def _optimum(self) -> Any:
        return self._relied_on.optimal(self.points)

    @property
    def _reliance_metric(self) -> Metric | None:
        """The law's own metric where that is a reliance; else the one of test points with a shortcut and a core."""
        if self.metric.of_shortcuts and self.metric.axes > 0:
            return self.metric
        return Reliance() if {"shortcut", "core"} <= self.points.attributes.keys() else None

    @property
    def _relied_on(self) -> Metric:
        known = ", ".join(self.points.attributes)
        allowed = f"read of a law with a shortcut and a core; this one has {known}: use value or read(metric)"
        return required(self._reliance_metric, "bias", allowed, "it")

    def _named(self, values: Any, batch: Mapping[str, Any]) -> Any:
        """A reading of the reliance, with names where it has axes of its own."""
        axes = self._relied_on.coordinates(self.points)
        return labelled(values, axes, batch) if axes and not is_traced(values) else plain(values)


def by_group(values: Any, points: TestPoints, batch: Mapping[str, Any] | None = None) -> Any:
    """Values (*batch, groups) with the groups as named axes.

    Args:
        batch: the first axes in order, by name, each with its coordinate or None; axes beyond these are of `network`.
    """
    groups = required(points.groups, "points", "test points with labels, such as those of a Pool")
    values = np.asarray(values)
    axes = {name: list(found) for name, found in zip(groups.names, groups.values, strict=True)}
    return labelled(values.reshape(*values.shape[:-1], *groups.shape), axes, batch)


def labelled(values: Any, axes: Mapping[str, list], batch: Mapping[str, Any] | None = None) -> Any:
    """Values (*batch, *axes) as an `xarray.DataArray`.

    Args:
        axes: the last axes in order, by name, with their coordinates.
        batch: the first ones likewise, each with its coordinate or None; axes between are of `network`.
    """
    import xarray

    values, batch = np.asarray(values), batch or {}
    further = ("network",) * (values.ndim - len(axes) - len(batch))
    known = {name: np.asarray(found) for name, found in batch.items() if found is not None}
    return xarray.DataArray(values, {**known, **axes}, (*batch, *further, *axes))


def plain(value: Any) -> Any:
    """A concrete scalar as a Python float, a concrete array as NumPy's."""
    if is_traced(value):
        return value
    return np.asarray(value) if np.ndim(value) else float(value)


def _array(value: Any) -> Any:
    return value if is_traced(value) else np.asarray(value)
