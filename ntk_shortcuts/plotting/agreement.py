"""Trained against predicted bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntk_shortcuts.plotting.style import new_figure, series_style

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


def plot_agreement(panels: Sequence[Scatter]) -> Figure:
    """Trained against predicted bias, one panel for each prediction; colours are times, markers depths."""
    figure = new_figure((4.1 * len(panels), 4.4))
    ends = np.concatenate([values for panel in panels for values in (panel.predicted, panel.trained)])
    low, high = float(ends.min()) - 0.1, float(ends.max()) + 0.1
    times, depths = (sorted({v for panel in panels for v in getattr(panel, name)}) for name in ("times", "depths"))
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
        for i, time in enumerate(times):
            for j, depth in enumerate(depths):
                chosen = (panel.times == time) & (panel.depths == depth)
                points = (panel.predicted[chosen], panel.trained[chosen], panel.errors[chosen])
                style = {"color": series_style(i)[0], "marker": series_style(j)[1]}
                axes.errorbar(*points, linestyle="none", markersize=5, fillstyle="none", elinewidth=0.9, **style)
        axes.set(xlabel="predicted shortcut bias", xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set_title(panel.title, fontsize="small")
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("mean bias of the trained networks")
    from matplotlib.lines import Line2D

    colours = [Line2D([], [], color=series_style(i)[0], lw=3, label=f"t = {time:g}") for i, time in enumerate(times)]
    shapes = [
        Line2D([], [], color="black", marker=series_style(j)[1], fillstyle="none", lw=0, label=f"depth {depth}")
        for j, depth in enumerate(depths)
    ]
    handles = [*colours, *shapes]
    columns = min(len(handles), 3 * len(panels))
    figure.set_figheight(4.1 + 0.3 * -(-len(handles) // columns))  # room for every row of the legend
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)
    return figure
