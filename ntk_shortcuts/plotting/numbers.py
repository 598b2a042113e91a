"""Numbers against one axis, or a few of them one below the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import (
    BIAS_LABEL,
    NEUTRAL,
    RULE_WORDS,
    TIME_LABEL,
    add_legend,
    axes_for,
    is_wide,
    line_width,
    root,
    series_style,
    thin_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_numbers(
    numbers: Mapping[str, Any],
    along: tuple[str, Any] | None,
    label: str,
    errors: Mapping[str, Any] | None = None,
    ax: Any = None,
) -> Figure:
    """Numbers by name: lines along an axis, or points one below the other.

    Args:
        numbers: by name, each (T,), or a number where there is no axis.
        along: the axis' label and its values (T,), numbers or words; logarithmic where they are positive and span more than a
            factor 20. None: no axis.
        label: what the numbers are.
        errors: by the same names, standard errors or deviations of the same shapes.
        ax: axes to draw in; by default those of a new figure.
    """
    axes = axes_for(ax, size=None if along else (6.4, 1.6 + 0.4 * len(numbers)))[0, 0]
    around = {name: np.asarray(values) for name, values in (errors or {}).items()}
    if along is None:
        _draw_points(axes, numbers, around, label)
        return root(axes)
    at = np.asarray(along[1])
    ordered = at.dtype.kind in "iuf"
    order = np.argsort(at, kind="stable") if ordered else np.arange(at.size)
    thin_line(axes)
    for index, (name, values) in enumerate(numbers.items()):
        colour, marker = series_style(index)
        bars = around[name][order] if name in around else None
        line = "-" if ordered else "none"
        axes.errorbar(at[order], np.asarray(values)[order], bars, ls=line, marker=marker, ms=4, color=colour, label=name)
    axes.set(xlabel=along[0], ylabel=label, xscale="log" if ordered and is_wide(at) else "linear")
    if len(numbers) > 1:
        add_legend(axes, ax)
    return root(axes)


def axis_label(name: str, long_name: str | None = None) -> str:
    """What the axis of a parameter is called."""
    return TIME_LABEL if name == "time" else long_name or RULE_WORDS.get(name, name.replace("_", " "))


def number_label(name: str) -> str:
    """What the axis of a number of that name is called."""
    return BIAS_LABEL if name == "bias" else name.replace("_", " ")


def _draw_points(axes: Axes, numbers: Mapping[str, Any], around: Mapping[str, np.ndarray], label: str) -> None:
    for row, (name, value) in enumerate(numbers.items()):
        colour, marker = series_style(row)
        axes.errorbar(float(value), row, xerr=float(around[name]) if name in around else None, fmt=marker, color=colour)
    axes.axvline(0.0, color=NEUTRAL, lw=line_width(0.5), zorder=0)
    axes.set_yticks(range(len(numbers)), list(numbers))
    axes.set(xlabel=label, ylim=(len(numbers) - 0.4, -0.6))
