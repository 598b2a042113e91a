"""A sweep over two axes as a map, of any law: a panel for each shortcut or group where the number has them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.group_curves import group_dims
from ntk_shortcuts.plotting.numbers import axis_label, number_label
from ntk_shortcuts.plotting.style import BIAS_COLOURS, SHARE_COLOURS, axes_for, cell_edges, is_wide, root, signed
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

# What is drawn where nothing is asked for, the first that is there; else the first variable.
_FIRST = ("bias", "worst_group_accuracy", "accuracy")
# Up to so many values of an axis are named each; of more matplotlib chooses.
_TICKS = 8


def plot_map(result: xarray.Dataset, variable: str | None = None, ax: Any = None) -> Figure:
    """One number of a sweep over two axes, a colour for each point: the first axis upwards, the second to the right.

    Biases of several shortcuts and accuracies of groups have a panel each, with one scale of colours. Biases are white where
    they are 0.

    Args:
        result: of :func:`ntk_shortcuts.sweep` over two axes of numbers; of further axes choose by `.sel(time=30.0)`.
        variable: its name; by default `bias`, of laws with groups `worst_group_accuracy`.
        ax: axes to draw in, one, whose place is divided, or as many as there are panels; by default those of a new figure.

    Raises:
        ValueError: a variable that is not there, or that has not two axes of numbers.
    """
    chosen = chosen_variable(result, variable)
    values = result[chosen].squeeze(drop=True)
    own = further_dims(values.dims)
    axes = [str(name) for name in values.dims if name not in own]
    ordered = len(axes) == 2 and all(values[name].dtype.kind in "iuf" for name in axes)
    require(ordered, "result", "over two axes of several numbers (of others choose one value, by .sel)", axes)
    places = [dict(zip(own, place, strict=True)) for place in itertools.product(*(values[name].values for name in own))]
    panels = [values.sel(place) for place in places]
    shown = [(place, panel) for place, panel in zip(places, panels, strict=True) if bool(panel.notnull().any())]
    drawn = axes_for(ax, 1, len(shown), None if len(shown) == 1 else (3.4 * len(shown) + 1.0, 3.8))[0]
    colours = _colours(chosen, np.asarray(values))
    for panel, (place, found) in zip(drawn, shown, strict=True):
        mesh = _draw(panel, found.sortby(axes), colours)
        words = (f"{name} {signed(value, values[name].values)}" for name, value in place.items())
        panel.set_title(", ".join(words), fontsize="small")
    root(drawn[0]).colorbar(mesh, ax=list(drawn), label=number_label(chosen))
    return root(drawn[0])


def chosen_variable(result: xarray.Dataset, variable: str | None) -> str:
    """The variable asked for, or the one that is asked for most."""
    names = list(map(str, result.data_vars))
    require(bool(names), "result", "with at least one variable", "none")
    chosen = next((name for name in _FIRST if name in names), names[0]) if variable is None else variable
    require(chosen in names, "variable", f"one of {', '.join(names)}", chosen)
    return chosen


def further_dims(dims: Any) -> tuple[str, ...]:
    """Dimensions of a sweep's variable that are no axes of the sweep: shortcuts, or what tells groups apart."""
    return (*(name for name in dims if name == "shortcut"), *group_dims(dims))


def _draw(axes: Axes, values: xarray.DataArray, colours: dict[str, Any]) -> QuadMesh:
    """Cells over the last dimension to the right and the first upwards, logarithmic where values are far apart."""
    first, second = values.dims
    at = [np.asarray(values[name], float) for name in (second, first)]
    logarithmic = [_is_logarithmic(found) for found in at]
    edges = [np.exp(cell_edges(np.log(v))) if log else cell_edges(v) for v, log in zip(at, logarithmic, strict=True)]
    mesh = axes.pcolormesh(*edges, np.asarray(values), rasterized=True, **colours)
    labels = [axis_label(str(name), values[name].attrs.get("long_name")) for name in (second, first)]
    scales = ["log" if log else "linear" for log in logarithmic]
    axes.set(xlabel=labels[0], ylabel=labels[1], xscale=scales[0], yscale=scales[1])
    for found, side in zip(at, (axes.xaxis, axes.yaxis), strict=True):
        if len(found) <= _TICKS:
            side.set_ticks(found, [f"{value:.3g}" for value in found])
            side.set_ticks([], minor=True)
    return mesh


def _is_logarithmic(at: np.ndarray) -> bool:
    """Values far apart, or evenly spaced in the logarithm alone."""
    if at.min() <= 0 or len(at) < 3:
        return False
    return is_wide(at) or bool(np.ptp(np.diff(np.log(at))) < 1e-9 < np.ptp(np.diff(at)))


def _colours(name: str, numbers: np.ndarray) -> dict[str, Any]:
    """White at 0 for numbers of either sign; for accuracies from dark to light, over what there is."""
    finite = numbers[np.isfinite(numbers)]
    if "accuracy" in name and finite.size:
        return {"cmap": SHARE_COLOURS, "vmin": float(finite.min()), "vmax": float(finite.max())}
    limit = max(float(np.abs(finite).max(initial=0.0)), 1e-3)
    return {"cmap": BIAS_COLOURS, "vmin": -limit, "vmax": limit}
