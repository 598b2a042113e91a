"""Bias over shortcut predictivity and amplification ratio, with the decision surface at one point beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.plotting.decision_surface import choose, draw_surface
from ntk_shortcuts.plotting.style import (
    BIAS_COLOURS,
    BIAS_LABEL,
    OUTPUT_LABEL,
    PREDICTIVITY_LABEL,
    RATIO_LABEL,
    RULE_WORDS,
    cell_edges,
    new_figure,
)
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SYMBOLS = {"core_predictivity": r"$\rho_c$", "core_amplification": r"$\alpha_c$", "correlation": r"$\sigma$"}
_WORDS = {"depth": "depth", **RULE_WORDS}


class Inset(NamedTuple):
    """What the second panel of a map shows: a prediction, its model, and optionally training points.

    `index` and `training` choose and name one of several times, as in :func:`~ntk_shortcuts.plotting.plot_decision_surface`.
    """

    prediction: Prediction
    model: GenerativeModel
    dataset: Dataset | None = None
    index: int = -1
    training: TrainingRule | None = None


def plot_bias_map(dataset: xarray.Dataset, inset: Inset | tuple | None = None) -> Figure:
    """Bias over shortcut predictivity and amplification ratio (log axis), like the paper's Figure 2.

    Args:
        dataset: from :func:`ntk_shortcuts.bias_map`, or of two such axes from :func:`ntk_shortcuts.sweep`. Of several times
            or depths choose one, `dataset.sel(time=30.0)`: the title names what was chosen.
        inset: `Inset(prediction, model, dataset)`, or such a tuple: a second panel with the decision surface
            there; the point is marked on the map.

    Raises:
        ValueError: a data set without `bias` over exactly those two dimensions; an inset that
            :func:`~ntk_shortcuts.plotting.plot_decision_surface` refuses.
    """
    dimensions = {"shortcut_predictivity", "amplification_ratio"}
    found = dataset["bias"].dims if "bias" in getattr(dataset, "data_vars", {}) else None
    require(
        found is not None and set(found) == dimensions,
        "dataset",
        f"from bias_map, with bias over {' and '.join(sorted(dimensions))} alone (of several times choose one: .sel(time=...))",
        type(dataset).__name__ if found is None else found,
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
    axes.set_title(_description(dataset), fontsize="small")
    figure.colorbar(mesh, ax=axes, label=BIAS_LABEL)
    if inset is not None:
        inset = inset if isinstance(inset, Inset) else Inset(*inset)
        alpha = np.asarray(inset.model.amplification)
        point = (float(alpha[0] / alpha[1]), float(inset.model.predictivity[0]))
        axes.plot(*point, marker="*", markersize=17, color="black", markeredgecolor="white", linestyle="none")
        shown = choose(inset.prediction, inset.index, inset.training)
        surface = draw_surface(panels[1], inset.prediction.probes, shown.mean, inset.model, inset.dataset)
        where = rf"At the star: $\rho_s={point[1]:g}$, $\alpha_s/\alpha_c={point[0]:g}$, bias {shown.bias:.2f}"
        panels[1].set_title("\n".join([where, *shown.setting]), fontsize="small")
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


def _description(dataset: xarray.Dataset) -> str:
    """What the map holds fixed, as far as it says.

    A coordinate of one value is what was chosen of several, by `sel` or `isel`; the attributes have only what never varied.
    """
    chosen = {str(name): values.item() for name, values in dataset.coords.items() if values.ndim == 0}
    said = {**dataset.attrs, **chosen}
    fixed = [f"{symbol} = {_number(said[name])}" for name, symbol in _SYMBOLS.items() if name in said]
    run = [f"{word} {_number(said[name])}" for name, word in _WORDS.items() if name in said]
    if isinstance(said.get("activation"), str):
        run.insert(1, said["activation"])
    if said.get("num_samples", "none") != "none":
        run.append(f"N = {_number(said['num_samples'])}")
    run.extend([said["method"]] if "method" in said else [])
    named = {*_SYMBOLS, *_WORDS, "activation", "num_samples", "method"}
    run.extend(f"{name.replace('_', ' ')} {_number(value)}" for name, value in chosen.items() if name not in named)
    return "\n".join(", ".join(part) for part in (fixed, run) if part)


def _number(value: Any) -> str:
    """A number as text. Several are what an axis had whose chosen value is lost (`drop=True`)."""
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return value if isinstance(value, str) else "not stated"
