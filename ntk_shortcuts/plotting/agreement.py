"""Trained against predicted bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.plotting.style import NEUTRAL, axes_for, line_width, root, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Scatter(NamedTuple):
    """One panel of :func:`plot_agreement`: predicted and trained biases (n,), errors of the latter, times and depths."""

    title: str
    predicted: np.ndarray
    trained: np.ndarray
    errors: np.ndarray
    times: np.ndarray
    depths: np.ndarray


def plot_agreement(panels: Sequence[Scatter], ax: Any = None, measure: str = "shortcut bias") -> Figure:
    """Trained against predicted bias, one panel for each prediction; colours are times, markers depths.

    Args:
        panels: the panels.
        ax: axes to draw in: one, whose place is divided, or as many as there are panels.
        measure: what is compared, where it is not the bias.
    """
    drawn = axes_for(ax, 1, len(panels), (4.1 * len(panels), 4.4))[0]
    ends = np.concatenate([values for panel in panels for values in (panel.predicted, panel.trained)])
    low, high = float(ends.min()) - 0.1, float(ends.max()) + 0.1
    times, depths = (sorted({v for panel in panels for v in getattr(panel, name)}) for name in ("times", "depths"))
    for axes, panel in zip(drawn, panels, strict=True):
        axes.plot([low, high], [low, high], color=NEUTRAL, linewidth=line_width(0.5), zorder=0)
        for i, time in enumerate(times):
            for j, depth in enumerate(depths):
                chosen = (panel.times == time) & (panel.depths == depth)
                points = (panel.predicted[chosen], panel.trained[chosen], panel.errors[chosen])
                style = {"color": series_style(i)[0], "marker": series_style(j)[1]}
                axes.errorbar(*points, linestyle="none", markersize=5, fillstyle="none", elinewidth=line_width(0.6), **style)
        axes.set(xlabel=f"predicted {measure}", xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set_title(panel.title, fontsize="small")
    drawn[0].set_ylabel(f"{measure}, mean of the trained networks")
    from matplotlib.lines import Line2D

    colours = [Line2D([], [], color=series_style(i)[0], lw=3, label=f"t = {time:g}") for i, time in enumerate(times)]
    shapes = [
        Line2D([], [], color=NEUTRAL, marker=series_style(j)[1], fillstyle="none", lw=0, label=f"depth {depth}")
        for j, depth in enumerate(depths)
    ]
    handles = [*colours, *shapes]
    columns = min(len(handles), 3 * len(panels)) if ax is None else 2
    if ax is None:
        figure, rows = root(drawn[0]), -(-len(handles) // columns)
        figure.set_figheight(figure.get_figheight() * (4.1 + 0.3 * rows) / 4.4)  # room for every row of the legend
    owner, place = (root(drawn[0]), "outside lower center") if ax is None else (drawn[-1], "best")
    owner.legend(handles=handles, loc=place, ncols=columns, fontsize="small", frameon=False)
    return root(drawn[0])
