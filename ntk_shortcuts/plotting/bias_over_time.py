"""Bias against training time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import BIAS_LABEL, RATIO_LABEL, TIME_LABEL, new_figure
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_bias_over_time(times: Any, biases_by_ratio: Mapping[float, Any]) -> Figure:
    """Bias against training time (log axis), one line per amplification ratio.

    Args:
        times: (T,), positive and finite.
        biases_by_ratio: for each ratio alpha_s / alpha_c, the biases (T,).

    Raises:
        ValueError: times not positive, no ratio, or biases of another shape.
    """
    from matplotlib import colormaps

    times = np.asarray(times, np.float64)
    valid = times.ndim == 1 and times.size >= 1 and bool(np.all((times > 0) & np.isfinite(times)))
    require(valid, "times", "one-dimensional, positive and finite (the axis is logarithmic)", times)
    require(len(biases_by_ratio) >= 1, "biases_by_ratio", "a mapping with at least one ratio", biases_by_ratio)
    order = np.argsort(times)
    figure = new_figure((6.8, 4.4))
    axes = figure.subplots()
    axes.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    ratios = sorted(biases_by_ratio, reverse=True)
    # Cividis is ordered in lightness too, so lines tell apart in grey; its palest end is left out.
    shades = colormaps["cividis"](np.linspace(0.0, 0.85, len(ratios)))
    for index, (ratio, shade) in enumerate(zip(ratios, shades, strict=True)):
        biases = np.asarray(biases_by_ratio[ratio], np.float64)
        require(
            biases.shape == times.shape,
            "biases_by_ratio",
            f"values of shape {times.shape} for ratio {ratio:g}",
            biases,
        )
        axes.plot(
            times[order],
            biases[order],
            color=shade,
            marker="osD^vPX*"[index % 8],
            markersize=4,
            linewidth=1.8,
            label=f"{ratio:g}",
        )
    axes.set_xscale("log")
    axes.set(xlabel=TIME_LABEL, ylabel=BIAS_LABEL)
    axes.grid(alpha=0.25)
    figure.legend(title=RATIO_LABEL.replace(" ratio ", "\nratio "), loc="outside right upper", frameon=False)
    return figure
