"""Gaps between prediction and training, over width or time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.plotting.style import axes_for, line_width, root, series_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# As many places on the horizontal axis are named one by one.
_NAMED = 8


class Gaps(NamedTuple):
    """Gaps (n,) with their errors, 0 where noise hides them; a fitted (scale, exponent) or None; whether to join the points."""

    label: str
    at: np.ndarray
    gaps: np.ndarray
    errors: np.ndarray
    fit: tuple[float, float] | None = None
    joined: bool = False


def plot_gaps(panels: Mapping[str, Sequence[Gaps]], xlabel: str, base: int = 10, ax: Any = None) -> Figure:
    """Gaps between prediction and training on logarithmic axes, one panel for each title, with fitted power laws.

    A gap at or below 0, which noise hides, is drawn as what it may be at most: a hollow triangle at one standard error, or,
    where that is 0 too, at the foot of the axis. The legend stands below the data.

    Args:
        panels: the lines of each, by title.
        xlabel: of the horizontal axis.
        base: of its ticks.
        ax: axes to draw in: one, whose place is divided, or as many as there are panels; by default those of a new figure.
    """
    lines = max((len(series) for series in panels.values()), default=0)
    drawn = axes_for(ax, 1, len(panels), (5.6 * len(panels), 4.0 + 0.24 * lines))[0]
    for axes, (title, series) in zip(drawn, panels.items(), strict=True):
        axes.set_xscale("log", base=base)
        axes.set(yscale="log", xlabel=xlabel)
        for index, line in enumerate(series):
            _draw_line(axes, line, *series_style(index))
        _name_places(axes, np.unique(np.concatenate([line.at for line in series])))
        axes.set_title(title, fontsize="small")
        _draw_hidden(axes, series)
        axes.legend(fontsize="small", frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    drawn[0].set_ylabel("gap between training and prediction")
    return root(drawn[0])


def _draw_line(axes: Axes, line: Gaps, colour: str, marker: str) -> None:
    seen = np.asarray(line.gaps) > 0
    at, gaps, errors = (np.asarray(values)[seen] for values in (line.at, line.gaps, line.errors))
    # A bar that would reach 0 stops short of it.
    bars = np.stack([np.minimum(errors, 0.9 * gaps), errors])
    style = {"color": colour, "marker": marker, "fillstyle": "none", "elinewidth": line_width(0.6)}
    axes.errorbar(at, gaps, bars, linestyle="-" if line.joined else "none", label=line.label, **style)
    if line.fit:
        scale, exponent = line.fit
        ends = np.array([min(line.at), max(line.at)], float)
        axes.plot(ends, scale * ends**exponent, color=colour)


def _draw_hidden(axes: Axes, series: Sequence[Gaps]) -> None:
    """What noise hides, at the foot of the axis as it is after the rest is drawn."""
    foot = axes.get_ylim()[0]
    label: str | None = "at or below 0: one standard error above"
    for index, line in enumerate(series):
        hidden = ~(np.asarray(line.gaps) > 0)
        if not hidden.any():
            continue
        most = np.maximum(np.asarray(line.errors, float)[hidden], foot)
        style = {"color": series_style(index)[0], "linestyle": "none", "fillstyle": "none", "clip_on": False}
        axes.plot(np.asarray(line.at)[hidden], most, marker=7, label=label, **style)
        label = None


def _name_places(axes: Axes, places: np.ndarray) -> None:
    """Ticks at the places themselves where they are few: powers of the base may lie between two of them, or none."""
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if len(places) <= _NAMED:
        axes.set_xticks(places)
        axes.set_xticks([], minor=True)
