"""The result of a sweep as a figure: along one axis, or over two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.bias_map import AXES as MAP_AXES
from ntk_shortcuts.plotting.bias_map import plot_bias_map
from ntk_shortcuts.plotting.map import chosen_variable, plot_map
from ntk_shortcuts.plotting.numbers import axis_label, number_label, plot_numbers
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

# As many values of a second axis have a line each.
_LINES = 6


def plot_sweep(result: xarray.Dataset, variable: str | None = None, ax: Any = None) -> Figure:
    """One variable of a sweep: against its axis; of two axes one line for each value of the shorter one, or, where both are
    long, a map.

    Args:
        result: of :func:`ntk_shortcuts.sweep` or :func:`ntk_shortcuts.bias_map`, with at most two axes of several values:
            choose by `.sel(time=30.0)`.
        variable: its name; by default `bias`, of a pool `worst_group_accuracy`.
        ax: axes to draw in; by default those of a new figure.

    Raises:
        ValueError: a variable that is not there, or has more axes.
    """
    chosen = chosen_variable(result, variable)
    values = result[chosen].squeeze(drop=True)
    several = {str(name): size for name, size in values.sizes.items()}
    require(len(several) <= 2, "result", "with at most two axes of several values: choose by .sel", several)
    if set(several) == MAP_AXES and chosen == "bias" and min(several.values()) > 2:
        return plot_bias_map(result.squeeze(drop=True), ax=ax)
    if len(several) == 2 and min(several.values()) > _LINES and all(_is_ordered(values[name]) for name in several):
        return plot_map(result, chosen, ax)
    if not several:
        return plot_numbers({chosen: float(values)}, None, number_label(chosen), ax=ax)
    # A line for each value of the shorter axis, or of the one without an order.
    by_size = sorted(several, key=lambda name: (not _is_ordered(values[name]), -several[name]))
    main, others = by_size[0], by_size[1:]
    lines = {chosen: values}
    if others:
        beside = values[others[0]]
        lines = {f"{beside.name} {_word(at)}".replace("_", " "): values.sel({others[0]: at}) for at in beside.values}
    numbers = {name: np.asarray(line) for name, line in lines.items()}
    return plot_numbers(numbers, (_label(values[main]), values[main].values), number_label(chosen), ax=ax)


def _is_ordered(axis: Any) -> bool:
    return axis.dtype.kind in "iuf"


def _label(axis: Any) -> str:
    return axis_label(str(axis.name), axis.attrs.get("long_name"))


def _word(entry: Any) -> str:
    return f"{entry:g}" if isinstance(entry, float | int | np.number) else str(entry)
