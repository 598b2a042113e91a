"""Bias over shortcut predictivity and amplification ratio, with the decision surface at one point beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.plotting.decision_surface import choose, draw_surface
from ntk_shortcuts.plotting.kinds import LabelledLatents, Predicted, TwoFeatures
from ntk_shortcuts.plotting.style import (
    BIAS_COLOURS,
    BIAS_LABEL,
    OUTPUT_LABEL,
    PREDICTIVITY_LABEL,
    RATIO_LABEL,
    RULE_WORDS,
    axes_for,
    cell_edges,
    line_width,
    root,
)
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = {"shortcut_predictivity", "amplification_ratio"}
"""The two axes of a map."""
_SYMBOLS = {"core_predictivity": r"$\rho_c$", "core_amplification": r"$\alpha_c$", "correlation": r"$\sigma$"}
_WORDS = {"depth": "depth", **RULE_WORDS}


class Inset(NamedTuple):
    """What the second panel of a map shows: a prediction, its model, and optionally training points.

    `index` and `training` choose and name one of several times, as in :func:`~ntk_shortcuts.plotting.plot_decision_surface`.
    """

    prediction: Predicted
    model: TwoFeatures
    dataset: LabelledLatents | None = None
    index: int = -1
    training: Any = None


def plot_bias_map(dataset: xarray.Dataset, inset: Inset | tuple | None = None, ax: Any = None) -> Figure:
    """Bias over shortcut predictivity and amplification ratio (log axis), like the paper's Figure 2.

    Args:
        dataset: from :func:`ntk_shortcuts.bias_map`, or of two such axes from :func:`ntk_shortcuts.sweep`. Of several times
            or depths choose one, `dataset.sel(time=30.0)`: the title names what was chosen.
        inset: `Inset(prediction, model, dataset)`, or such a tuple: a second panel with the decision surface
            there; the point is marked on the map.
        ax: axes to draw in, with an inset two or one whose place is divided; by default those of a new figure.

    Raises:
        ValueError: a data set without `bias` over exactly those two dimensions; an inset that
            :func:`~ntk_shortcuts.plotting.plot_decision_surface` refuses.
    """
    found = dataset["bias"].dims if "bias" in getattr(dataset, "data_vars", {}) else None
    require(
        found is not None and set(found) == AXES,
        "dataset",
        f"from bias_map, with bias over {' and '.join(sorted(AXES))} alone (of several times choose one: .sel(time=...))",
        type(dataset).__name__ if found is None else found,
    )
    bias = dataset["bias"].transpose("shortcut_predictivity", "amplification_ratio").sortby(sorted(AXES))
    predictivities = np.asarray(bias["shortcut_predictivity"])
    ratios = np.asarray(bias["amplification_ratio"])
    values = np.asarray(bias)

    drawn = axes_for(ax, 1, 1 if inset is None else 2, None if inset is None else (11.0, 4.8))[0]
    axes, figure = drawn[0], root(drawn[0])
    finite = np.abs(values[np.isfinite(values)])
    limit = max(float(finite.max(initial=0.0)), 1e-3)
    edges = np.exp(cell_edges(np.log(ratios))), cell_edges(predictivities)
    mesh = axes.pcolormesh(*edges, values, cmap=BIAS_COLOURS, vmin=-limit, vmax=limit, rasterized=True)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if min(values.shape) >= 2 and np.isfinite(values).all() and np.ptp(values) > 1e-6:
        _contours(axes, ratios, predictivities, values, limit)
    axes.set(xlabel=RATIO_LABEL, ylabel=PREDICTIVITY_LABEL)
    axes.set_title(_description(dataset), fontsize="small")
    figure.colorbar(mesh, ax=axes, label=BIAS_LABEL)
    if inset is not None:
        _draw_inset(axes, drawn[1], inset if isinstance(inset, Inset) else Inset(*inset))
    return figure


def _draw_inset(axes: Axes, panel: Axes, inset: Inset) -> None:
    """Mark the inset's point on the map, and draw its decision surface."""
    alpha = np.asarray(inset.model.amplification)
    point = (float(alpha[0] / alpha[1]), float(inset.model.predictivity[0]))
    axes.plot(*point, marker="*", markersize=17, color="black", markeredgecolor="white", linestyle="none")
    shown = choose(inset.prediction, inset.index, inset.training)
    surface = draw_surface(panel, inset.prediction.probes, shown.mean, inset.model, inset.dataset)
    where = rf"At the star: $\rho_s={point[1]:g}$, $\alpha_s/\alpha_c={point[0]:g}$, bias {shown.bias:.2f}"
    panel.set_title("\n".join([where, *shown.setting]), fontsize="small")
    root(panel).colorbar(surface, ax=panel, label=OUTPUT_LABEL, extend="both")


def _contours(axes: Axes, ratios: np.ndarray, predictivities: np.ndarray, values: np.ndarray, limit: float) -> None:
    from matplotlib.ticker import MaxNLocator

    levels = MaxNLocator(nbins=9, symmetric=True).tick_values(-limit, limit)
    levels = levels[(levels > values.min()) & (levels < values.max())]
    if not levels.size:
        return
    widths = [line_width(1.3 if abs(level) < 1e-12 else 0.5) for level in levels]
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
