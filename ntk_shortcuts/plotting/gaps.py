"""Gaps between prediction and training, over width or time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntk_shortcuts.plotting.style import new_figure, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Gaps(NamedTuple):
    """Gaps (n,) with their errors, 0 where noise hides them; a fitted (scale, exponent) or None; whether to join the points."""

    label: str
    at: np.ndarray
    gaps: np.ndarray
    errors: np.ndarray
    fit: tuple[float, float] | None = None
    joined: bool = False


def plot_gaps(panels: Mapping[str, Sequence[Gaps]], xlabel: str, base: int = 10) -> Figure:
    """Gaps between prediction and training on logarithmic axes, one panel for each title, with fitted power laws.

    Points at or below 0 are not drawn. `base` is that of the ticks of the horizontal axis.
    """
    figure = new_figure((5.6 * len(panels), 4.4))
    for axes, (title, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for index, line in enumerate(series):
            colour, marker = series_style(index)
            seen = np.asarray(line.gaps) > 0
            at, gaps, errors = (np.asarray(values)[seen] for values in (line.at, line.gaps, line.errors))
            # A bar that would reach 0 stops short of it.
            bars = np.stack([np.minimum(errors, 0.9 * gaps), errors])
            style = {"color": colour, "marker": marker, "fillstyle": "none", "elinewidth": 0.9}
            axes.errorbar(at, gaps, bars, linestyle="-" if line.joined else "none", label=line.label, **style)
            if line.fit:
                scale, exponent = line.fit
                ends = np.array([min(line.at), max(line.at)], float)
                axes.plot(ends, scale * ends**exponent, color=colour, linewidth=1.2)
        axes.set_xscale("log", base=base)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set(yscale="log", xlabel=xlabel)
        axes.set_title(title, fontsize="small")
        axes.grid(alpha=0.25)
        axes.legend(fontsize="small", frameon=False)
    figure.axes[0].set_ylabel("gap between training and prediction")
    return figure
