"""Predicted output over the latent plane, with the boundary it makes and the Bayes-optimal one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.plotting.kinds import LabelledLatents, Predicted, TwoFeatures
from ntk_shortcuts.plotting.style import (
    CORE_LABEL,
    ON_SURFACE,
    OUTPUT_COLOURS,
    OUTPUT_LABEL,
    RULE_WORDS,
    SHORTCUT_LABEL,
    axes_for,
    cell_edges,
    line_width,
    root,
)
from ntk_shortcuts.spec import Spec
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_POINTS = 150


def plot_decision_surface(
    prediction: Predicted,
    model: TwoFeatures,
    dataset: LabelledLatents | None = None,
    *,
    index: int = -1,
    training: Any = None,
    ax: Any = None,
) -> Figure:
    """Predicted mean output over the latent plane, its decision boundary, and the Bayes-optimal one.

    Args:
        prediction: at the probes of a grid.
        model: for the Bayes boundary and the class means.
        dataset: training points to show instead of the class means, if it has latents; the legend says how many of how many.
        index: which of several times (steps, strengths) of the training rule to show, as in a list; the title names it.
        training: the rule of the prediction, for the title to name its time instead of the place in the list.
        ax: axes to draw in; by default those of a new figure.

    Raises:
        ValueError: probes that are not a grid, an index out of range, or a rule of another number of times.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow, predict_bias
        >>> model, training = GenerativeModel(), GradientFlow(time=[3.0, 30.0])
        >>> prediction = predict_bias(model, MLP(depth=0), training, random_init=False)
        >>> plot_decision_surface(prediction, model, index=0, training=training).axes[0].get_title()
        'population: shortcut bias 0.338, time 3 (1 of 2)'
    """
    axes = axes_for(ax)[0, 0]
    shown = choose(prediction, index, training)
    surface = draw_surface(axes, prediction.probes, shown.mean, model, dataset)
    axes.set_title(", ".join([f"{prediction.method}: shortcut bias {shown.bias:.3f}", *shown.setting]), fontsize="small")
    root(axes).colorbar(surface, ax=axes, label=OUTPUT_LABEL, extend="both")
    return root(axes)


class Shown(NamedTuple):
    """One of a prediction's times: mean (probes,), bias, and its name for a title, in a list that is empty if it is alone."""

    mean: np.ndarray
    bias: float
    setting: list[str]


def choose(prediction: Predicted, index: int, training: Any) -> Shown:
    """The index-th of a prediction's times, with a name, so that no figure shows one of several without saying which."""
    mean, biases = np.asarray(prediction.mean), np.asarray(prediction.bias)
    require(mean.ndim <= 2, "prediction", "of one model, its mean of shape (probes,) or (T, probes)", mean)
    count = 1 if mean.ndim == 1 else len(mean)
    allowed = f"an integer from {-count} to {count - 1} (the prediction has {count})"
    place = require_integer("index", index, -count, allowed)
    require(place < count, "index", allowed, index)
    place %= count
    setting = [] if count == 1 else [f"setting {place + 1} of {count} of the training rule"]
    if training is not None:
        setting = [_rule_name(training, place, mean.shape[:-1]) + (f" ({place + 1} of {count})" if count > 1 else "")]
    return Shown(mean.reshape(count, -1)[place], float(biases.reshape(-1)[place]), setting)


def _rule_name(training: Any, place: int, shape: tuple[int, ...]) -> str:
    require(isinstance(training, Spec), "training", "None or the training rule of the prediction", training)
    numbers = {name: value for name, value in vars(training).items() if np.asarray(value).dtype.kind in "iuf"}
    found = np.broadcast_shapes(*map(np.shape, numbers.values()))
    require(found == shape, "training", f"the rule of the prediction, its parameters of shape {shape}", training)
    # A momentum of 0 is none.
    told = {name: value for name, value in numbers.items() if np.any(value)} or numbers
    values = {RULE_WORDS.get(name, name): np.broadcast_to(value, shape).reshape(-1)[place] for name, value in told.items()}
    return ", ".join(f"{word} {value:g}" for word, value in values.items()) or type(training).__name__


def draw_surface(axes: Axes, probes: Any, mean: np.ndarray, model: TwoFeatures, dataset: LabelledLatents | None) -> Any:
    """Draw on axes that a figure of several panels made; returns the mesh, for a colour bar."""
    from matplotlib.lines import Line2D

    shortcut, core, mean = _on_grid(np.asarray(probes), mean)
    limit = min(1.0, float(np.max(np.abs(mean)))) or 1.0
    edges = cell_edges(shortcut), cell_edges(core)
    surface = axes.pcolormesh(*edges, mean.T, cmap=OUTPUT_COLOURS, vmin=-limit, vmax=limit, rasterized=True)
    predicted = {"color": ON_SURFACE, "linewidth": line_width(1.5)}
    bayes = {"color": ON_SURFACE, "linewidth": line_width(), "linestyle": "--"}
    if np.min(mean) < 0 < np.max(mean):
        axes.contour(shortcut, core, mean.T, levels=[0.0], colors=ON_SURFACE, linewidths=predicted["linewidth"])
    # The line w . z = 0 through the origin, long enough to leave the frame.
    normal = np.asarray(model.bayes_direction)
    if np.any(normal != 0):
        along = np.array([-normal[1], normal[0]]) / np.hypot(*normal) * np.hypot(shortcut[-1], core[-1]) * 2
        axes.plot([-along[0], along[0]], [-along[1], along[1]], **bayes)
    lines = [Line2D([], [], label=f"{name} boundary", **style) for name, style in (("predicted", predicted), ("Bayes", bayes))]
    handles = [*lines, *(_draw_class(axes, label, model, dataset) for label in (1, -1))]
    frame = {"xlim": (shortcut[0], shortcut[-1]), "ylim": (core[0], core[-1])}
    axes.set(**frame, xlabel=SHORTCUT_LABEL, ylabel=CORE_LABEL)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": 2}
    axes.legend(handles=handles, fontsize="small", frameon=False, **below)
    return surface


def _draw_class(axes: Axes, label: int, model: TwoFeatures, dataset: LabelledLatents | None) -> Any:
    """Training points of one class, or its mean; returns what stands for them in a legend."""
    # Black and white stand out from every colour of the surface; the shape tells the class as well.
    colour, edge, shape = ("white", ON_SURFACE, "o") if label == 1 else (ON_SURFACE, "white", "^")
    if dataset is not None and dataset.latents is not None:
        of_class = np.asarray(dataset.latents)[np.asarray(dataset.labels) == label]
        points = of_class[: _MAX_POINTS // 2]
        size, edge_width = 4.5, 0.7
        name = f"class {label:+d}" + (f", {len(points)} of {len(of_class)}" if len(points) < len(of_class) else "")
    else:
        points = label * np.asarray(model.means)[None, :]
        size, edge_width, name = 10, 1.0, f"mean of class {label:+d}"
    style = {"marker": shape, "color": colour, "markeredgecolor": edge, "markersize": size, "markeredgewidth": edge_width}
    return axes.plot(*points.T, linestyle="none", label=name, **style)[0]


def is_grid(probes: Any) -> bool:
    """Whether points (n, 2) are all combinations of at least two values of either entry."""
    keys = np.round(np.asarray(probes, float), 9)  # opposite ends may differ in the last bit
    if keys.ndim != 2 or keys.shape[1] != 2:
        return False
    shortcut, core = np.unique(keys[:, 0]), np.unique(keys[:, 1])
    return len(shortcut) * len(core) == len(keys) and min(len(shortcut), len(core)) >= 2


def _on_grid(probes: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes of the probe grid, and the mean over (shortcut, core)."""
    require(is_grid(probes), "prediction.probes", "a full grid, as model.probe_grid() is", probes)
    keys = np.round(probes, 9)
    shortcut, core = np.unique(keys[:, 0]), np.unique(keys[:, 1])
    return shortcut, core, mean[np.lexsort((keys[:, 1], keys[:, 0]))].reshape(len(shortcut), len(core))
