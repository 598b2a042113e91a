"""A prediction as a figure: whatever there is to see of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.decision_surface import is_grid, plot_decision_surface
from ntk_shortcuts.plotting.group_curves import group_dims, plot_group_curves
from ntk_shortcuts.plotting.kinds import TwoFeatures
from ntk_shortcuts.plotting.numbers import axis_label, number_label, plot_numbers
from ntk_shortcuts.plotting.outputs import plot_outputs
from ntk_shortcuts.plotting.style import signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_prediction(prediction: Any, model: TwoFeatures | None = None, ax: Any = None) -> Figure:
    """Whatever there is to see of a prediction.

    Of several settings of the training rule what is read off them, against time or whatever tells them apart; of one setting
    the accuracies of groups, the biases towards several shortcuts, the decision surface, or else the outputs at the points.

    Args:
        prediction: of :func:`ntk_shortcuts.predict`.
        model: the law where it is one of a shortcut and a core, for the decision surface.
        ax: axes to draw in; by default those of a new figure.
    """
    if prediction.points.groups is not None:
        return _plot_groups(prediction, ax)
    numbers = prediction.numbers()
    name, values = next(iter(numbers.items()))
    values, own = np.asarray(values), prediction.metric.coordinates(prediction.points)
    settings = values.ndim - len(own)
    if own and settings <= 1:
        return plot_numbers(by_entry(values, own), _along(prediction) if settings else None, number_label(name), ax=ax)
    if settings == 1:
        spread = {name: numbers["bias_std"]} if "bias_std" in numbers else None
        return plot_numbers({name: values}, _along(prediction), number_label(name), spread, ax)
    if settings == 0 and model is not None and is_grid(prediction.probes):
        return plot_decision_surface(prediction, model, ax=ax)
    mean, std = (np.reshape(found, (-1, np.shape(found)[-1])) for found in (prediction.mean, prediction.std))
    return plot_outputs(mean, std, ax=ax)


def _along(prediction: Any) -> tuple[str, np.ndarray]:
    """What tells the settings of the rule apart; their numbers where nothing is known to."""
    known = {name: np.asarray(values) for name, values in prediction.coordinates.items() if values is not None}
    count = len(prediction.mean)
    return next(((axis_label(name), values) for name, values in known.items()), ("setting", np.arange(count)))


def _plot_groups(prediction: Any, ax: Any) -> Figure:
    accuracy = prediction.group_accuracy
    axis = str(accuracy.dims[0])
    groups = group_dims(accuracy.dims)
    if axis not in groups and axis in accuracy.coords:
        along = np.asarray(accuracy[axis])
        usable = (along > 0) & np.isfinite(along)
        if usable.sum() > 1:
            return plot_group_curves(accuracy.isel({axis: usable}), ax=ax, x=axis)
    last = accuracy.isel({dim: -1 for dim in accuracy.dims if dim not in groups})
    return plot_numbers(by_words(last), None, "accuracy in the group", ax=ax)


def by_entry(values: Any, axes: Mapping[str, list]) -> dict[str, np.ndarray]:
    """Values (*batch, entries) of a metric with one axis of its own by the words for each entry."""
    ((kind, entries),) = axes.items()
    return {f"{kind} {entry}": row for entry, row in zip(entries, np.moveaxis(np.asarray(values), -1, 0), strict=True)}


def by_words(accuracy: Any) -> dict[str, np.ndarray]:
    """Values (*batch, groups' dims) by the words for each group, without groups that have no points."""
    names = group_dims(accuracy.dims)
    known = [accuracy[name].values for name in names]
    columns = np.reshape(accuracy.values, (*accuracy.shape[: -len(names)], -1))
    words = [
        ", ".join(f"{name} {signed(entry, among)}" for name, entry, among in zip(names, group, known, strict=True))
        for group in itertools.product(*known)
    ]
    found = dict(zip(words, np.moveaxis(columns, -1, 0), strict=True))
    return {name: values for name, values in found.items() if not np.isnan(values).all()}
