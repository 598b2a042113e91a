"""Predicted and trained decision surfaces side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.plotting.kinds import TwoFeatures
from ntk_shortcuts.plotting.style import CORE_LABEL, ON_SURFACE, OUTPUT_COLOURS, SHORTCUT_LABEL, axes_for, line_width, root

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Surfaces(NamedTuple):
    """One row of :func:`plot_surfaces`: outputs (probes,) on the probe grid of a model."""

    title: str
    model: TwoFeatures
    predicted: np.ndarray
    trained: np.ndarray


def plot_surfaces(rows: Sequence[Surfaces], ax: Any = None) -> Figure:
    """Predicted and trained mean output side by side, with their decision boundaries and the Bayes-optimal one.

    Args:
        rows: of two panels each.
        ax: axes to draw in: one, whose place is divided, or two for each row; by default those of a new figure.
    """
    panels = axes_for(ax, len(rows), 2, (7.6, 3.5 * len(rows)))
    for row, pair in zip(rows, panels, strict=True):
        limit = min(1.0, float(np.max(np.abs([row.predicted, row.trained])))) or 1.0
        for axes, name in zip(pair, ("predicted", "trained"), strict=True):
            probes, values = np.asarray(row.model.probe_grid()), np.asarray(getattr(row, name))
            size = int(np.sqrt(len(probes)))
            grid = [array.reshape(size, size) for array in (probes[:, 0], probes[:, 1], values)]
            mesh = axes.pcolormesh(*grid, cmap=OUTPUT_COLOURS, vmin=-limit, vmax=limit, rasterized=True)
            axes.contour(*grid, levels=[0.0], colors=ON_SURFACE, linewidths=line_width(1.3))
            normal = np.asarray(row.model.bayes_direction)
            along = np.array([-normal[1], normal[0]]) * 10
            axes.plot([-along[0], along[0]], [-along[1], along[1]], color=ON_SURFACE, linestyle="--", linewidth=line_width(0.9))
            axes.set(xlim=probes[[0, -1], 0], ylim=probes[[0, -1], 1], xlabel=SHORTCUT_LABEL)
            axes.set_title(f"{name}: {row.title}", fontsize="x-small")
        pair[0].set_ylabel(CORE_LABEL)
        root(pair[0]).colorbar(mesh, ax=list(pair), label="mean output", extend="both")
    return root(panels[0, 0])
