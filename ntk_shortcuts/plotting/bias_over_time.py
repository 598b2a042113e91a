"""Bias against training time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import (
    BIAS_LABEL,
    RATIO_LABEL,
    TIME_LABEL,
    add_legend,
    axes_for,
    ordered_colours,
    root,
    thin_line,
)
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_bias_over_time(times: Any, biases_by_ratio: Mapping[float, Any], ax: Any = None) -> Figure:
    """Bias against training time (log axis), one line per amplification ratio.

    Args:
        times: (T,), positive and finite.
        biases_by_ratio: for each ratio alpha_s / alpha_c, the biases (T,).
        ax: axes to draw in; by default those of a new figure.

    Raises:
        ValueError: times not positive, no ratio, or biases of another shape.
    """
    times = np.asarray(times, np.float64)
    valid = times.ndim == 1 and times.size >= 1 and bool(np.all((times > 0) & np.isfinite(times)))
    require(valid, "times", "one-dimensional, positive and finite (the axis is logarithmic)", times)
    require(len(biases_by_ratio) >= 1, "biases_by_ratio", "a mapping with at least one ratio", biases_by_ratio)
    order = np.argsort(times)
    axes = axes_for(ax)[0, 0]
    thin_line(axes)
    ratios = sorted(biases_by_ratio, reverse=True)
    for index, (ratio, shade) in enumerate(zip(ratios, ordered_colours(len(ratios)), strict=True)):
        biases = np.asarray(biases_by_ratio[ratio], np.float64)
        require(
            biases.shape == times.shape,
            "biases_by_ratio",
            f"values of shape {times.shape} for ratio {ratio:g}",
            biases,
        )
        axes.plot(times[order], biases[order], color=shade, marker="osD^vPX*"[index % 8], markersize=4, label=f"{ratio:g}")
    axes.set_xscale("log")
    axes.set(xlabel=TIME_LABEL, ylabel=BIAS_LABEL)
    lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    add_legend(axes, ax, handles=lines, title=RATIO_LABEL.replace(" ratio ", "\nratio "))
    return root(axes)
