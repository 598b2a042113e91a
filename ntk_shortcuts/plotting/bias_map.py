"""Bias over shortcut predictivity and amplification ratio, with the decision surface at one point beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.laws.two_features.model import Dataset, GenerativeModel
from ntk_shortcuts.plotting.decision_surface import draw_surface, shown_bias
from ntk_shortcuts.plotting.style import (
    BIAS_COLOURS,
    BIAS_LABEL,
    OUTPUT_LABEL,
    PREDICTIVITY_LABEL,
    RATIO_LABEL,
    cell_edges,
    new_figure,
)
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Inset(NamedTuple):
    """What the second panel of a map shows: a prediction, its model, and optionally training points."""

    prediction: Prediction
    model: GenerativeModel
    dataset: Dataset | None = None


def plot_bias_map(dataset: xarray.Dataset, inset: Inset | tuple | None = None) -> Figure:
    """Bias over shortcut predictivity and amplification ratio (log axis), like the paper's Figure 2.

    Args:
        dataset: from :func:`ntk_shortcuts.bias_map`.
        inset: `Inset(prediction, model, dataset)`, or such a tuple: a second panel with the decision surface
            there; the point is marked on the map.

    Raises:
        ValueError: a data set without `bias` over exactly those two dimensions.
    """
    dimensions = {"shortcut_predictivity", "amplification_ratio"}
    fits = "bias" in getattr(dataset, "data_vars", {}) and set(dataset["bias"].dims) == dimensions
    require(
        fits,
        "dataset",
        f"from bias_map, with bias over {' and '.join(sorted(dimensions))}",
        type(dataset).__name__,
    )
    bias = dataset["bias"].transpose("shortcut_predictivity", "amplification_ratio").sortby(sorted(dimensions))
    predictivities = np.asarray(bias["shortcut_predictivity"])
    ratios = np.asarray(bias["amplification_ratio"])
    values = np.asarray(bias)

    figure = new_figure((6.4, 4.8) if inset is None else (11.0, 4.8))
    panels = figure.subplots(1, 1 if inset is None else 2, squeeze=False)[0]
    axes = panels[0]
    finite = np.abs(values[np.isfinite(values)])
    limit = max(float(finite.max(initial=0.0)), 1e-3)
    mesh = axes.pcolormesh(
        np.exp(cell_edges(np.log(ratios))),
        cell_edges(predictivities),
        values,
        cmap=BIAS_COLOURS,
        vmin=-limit,
        vmax=limit,
        rasterized=True,
    )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if min(values.shape) >= 2 and np.isfinite(values).all() and np.ptp(values) > 1e-6:
        _contours(axes, ratios, predictivities, values, limit)
    axes.set(xlabel=RATIO_LABEL, ylabel=PREDICTIVITY_LABEL)
    axes.set_title(_description(dataset.attrs), fontsize="small")
    figure.colorbar(mesh, ax=axes, label=BIAS_LABEL)
    if inset is not None:
        inset = Inset(*inset)
        alpha = np.asarray(inset.model.amplification)
        point = (float(alpha[0] / alpha[1]), float(inset.model.predictivity[0]))
        axes.plot(*point, marker="*", markersize=17, color="black", markeredgecolor="white", linestyle="none")
        surface = draw_surface(panels[1], inset.prediction, inset.model, inset.dataset)
        panels[1].set_title(
            rf"At the star: $\rho_s={point[1]:g}$, $\alpha_s/\alpha_c={point[0]:g}$, "
            f"bias {shown_bias(inset.prediction):.2f}",
            fontsize="small",
        )
        figure.colorbar(surface, ax=panels[1], label=OUTPUT_LABEL, extend="both")
    return figure


def _contours(axes: Axes, ratios: np.ndarray, predictivities: np.ndarray, values: np.ndarray, limit: float) -> None:
    from matplotlib.ticker import MaxNLocator

    levels = MaxNLocator(nbins=9, symmetric=True).tick_values(-limit, limit)
    levels = levels[(levels > values.min()) & (levels < values.max())]
    if not levels.size:
        return
    widths = [2.0 if abs(level) < 1e-12 else 0.8 for level in levels]
    # Dark lines on the saturated ends vanish, light ones on the pale middle do.
    colours = ["white" if abs(level) > 0.65 * limit else "black" for level in levels]
    lines = axes.contour(ratios, predictivities, values, levels=levels, colors=colours, linewidths=widths, linestyles="solid")
    axes.clabel(lines, fontsize="small", fmt="%g")


def _description(attributes: Mapping[str, Any]) -> str:
    """What the map holds fixed, as far as its attributes say."""
    symbols = {
        "core_predictivity": r"$\rho_c$",
        "core_amplification": r"$\alpha_c$",
        "correlation": r"$\sigma$",
    }
    fixed = [f"{symbol} = {float(attributes[name]):g}" for name, symbol in symbols.items() if name in attributes]
    words = {
        "depth": "depth",
        "time": "time",
        "learning_rate": "learning rate",
        "steps": "steps",
        "strength": "ridge",
    }
    run = [f"{word} {float(attributes[name]):g}" for name, word in words.items() if name in attributes]
    if isinstance(attributes.get("activation"), str):
        run.insert(1, attributes["activation"])
    if attributes.get("num_samples", "none") != "none":
        run.append(f"N = {int(attributes['num_samples'])}")
    run.extend([attributes["method"]] if "method" in attributes else [])
    return "\n".join(", ".join(part) for part in (fixed, run) if part)
