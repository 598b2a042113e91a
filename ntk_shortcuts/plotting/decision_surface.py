"""Predicted output over the latent plane, with the boundary it makes and the Bayes-optimal one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.laws.two_features.model import Dataset, GenerativeModel
from ntk_shortcuts.plotting.style import CORE_LABEL, OUTPUT_COLOURS, OUTPUT_LABEL, SHORTCUT_LABEL, cell_edges, new_figure
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_POINTS = 150


def plot_decision_surface(prediction: Prediction, model: GenerativeModel, dataset: Dataset | None = None) -> Figure:
    """Predicted mean output over the latent plane, its decision boundary, and the Bayes-optimal one.

    Args:
        prediction: at the probes of a grid; of several times the last is shown.
        model: for the Bayes boundary and the class means.
        dataset: training points to show instead of the class means, if it has latents.

    Raises:
        ValueError: probes that are not a grid.
    """
    figure = new_figure((6.0, 4.8))
    axes = figure.subplots()
    surface = draw_surface(axes, prediction, model, dataset)
    axes.set_title(f"{prediction.method}: shortcut bias {shown_bias(prediction):.3f}", fontsize="small")
    figure.colorbar(surface, ax=axes, label=OUTPUT_LABEL, extend="both")
    return figure


def draw_surface(axes: Axes, prediction: Prediction, model: GenerativeModel, dataset: Dataset | None) -> Any:
    """Draw on axes that a figure of several panels made; returns the mesh, for a colour bar."""
    from matplotlib.lines import Line2D

    shortcut, core, mean = _on_grid(prediction)
    limit = min(1.0, float(np.max(np.abs(mean)))) or 1.0
    surface = axes.pcolormesh(
        cell_edges(shortcut), cell_edges(core), mean.T, cmap=OUTPUT_COLOURS, vmin=-limit, vmax=limit, rasterized=True
    )
    frame = ((shortcut[0], shortcut[-1]), (core[0], core[-1]))
    if np.min(mean) < 0 < np.max(mean):
        axes.contour(shortcut, core, mean.T, levels=[0.0], colors="black", linewidths=2.2)
    # The line w . z = 0 through the origin, long enough to leave the frame.
    normal = np.asarray(model.bayes_direction)
    if np.any(normal != 0):
        along = np.array([-normal[1], normal[0]]) / np.hypot(*normal) * np.hypot(shortcut[-1], core[-1]) * 2
        axes.plot([-along[0], along[0]], [-along[1], along[1]], color="black", linestyle="--", linewidth=1.6)
    handles = [
        Line2D([], [], color="black", linewidth=2.2, label="predicted boundary"),
        Line2D([], [], color="black", linestyle="--", linewidth=1.6, label="Bayes boundary"),
    ]
    show_points = dataset is not None and dataset.latents is not None
    # Black and white stand out from every colour of the surface; the shape tells the class as well.
    for label, colour, edge, shape in ((1, "white", "black", "o"), (-1, "black", "white", "^")):
        if show_points:
            points = np.asarray(dataset.latents)[np.asarray(dataset.labels) == label][: _MAX_POINTS // 2]
            style = {"markersize": 4.5, "markeredgewidth": 0.7}
            name = f"class {label:+d}"
        else:
            points = label * np.asarray(model.means)[None, :]
            style = {"markersize": 10, "markeredgewidth": 1.0}
            name = f"mean of class {label:+d}"
        (line,) = axes.plot(
            *points.T,
            marker=shape,
            color=colour,
            markeredgecolor=edge,
            linestyle="none",
            label=name,
            **style,
        )
        handles.append(line)
    axes.set(xlim=frame[0], ylim=frame[1], xlabel=SHORTCUT_LABEL, ylabel=CORE_LABEL)
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=2,
        fontsize="small",
        frameon=False,
    )
    return surface


def _on_grid(prediction: Prediction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes of the probe grid, and the mean over (shortcut, core)."""
    probes, mean = np.asarray(prediction.probes), np.asarray(prediction.mean)
    mean = mean if mean.ndim == 1 else mean[-1]
    # Opposite ends may differ in the last bit; rounding merges them.
    keys = np.round(probes, 9)
    shortcut, core = np.unique(keys[:, 0]), np.unique(keys[:, 1])
    full = len(shortcut) * len(core) == len(probes) and min(len(shortcut), len(core)) >= 2
    require(full, "prediction.probes", "a full grid, as model.probe_grid() is", probes)
    return shortcut, core, mean[np.lexsort((keys[:, 1], keys[:, 0]))].reshape(len(shortcut), len(core))


def shown_bias(prediction: Prediction) -> float:
    return float(np.asarray(prediction.bias).reshape(-1)[-1])
