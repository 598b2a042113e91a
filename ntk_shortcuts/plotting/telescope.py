"""A network in training against what its own kernels predict, and how far they move."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ntk_shortcuts.analysis.telescope import Telescope
from ntk_shortcuts.plotting.style import BIAS_LABEL, BLUE, RED, TIME_LABEL, new_figure
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_telescope(results: Mapping[str, Telescope], frozen: Mapping[str, Prediction] | None = None) -> Figure:
    """Bias over training time, trained and telescoped, above the movement of the kernel; one column per network.

    Args:
        results: from :func:`ntk_shortcuts.analysis.telescope`, by title.
        frozen: by the same titles, predictions of the infinitely wide network at the times after 0.

    Raises:
        ValueError: no result, or a prediction at other times.
    """
    from matplotlib import colormaps

    require(len(results) >= 1, "results", "a mapping with at least one Telescope", results)
    figure = new_figure((5.2 * len(results) + 1.0, 5.8))
    grid = figure.subplots(2, len(results), sharex="col", sharey="row", squeeze=False, height_ratios=(3, 2))
    for (upper, lower), (title, result) in zip(grid.T, results.items(), strict=True):
        times = result.times[1:]
        upper.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
        shades = colormaps["cividis"](np.linspace(0.9, 0.25, len(result.segments)))
        markers = itertools.cycle("sD^vPX*")
        for segments, biases, shade, marker in zip(result.segments, result.telescoped_bias, shades, markers, strict=False):
            label = "own kernel, frozen" if segments == 1 else f"telescoped, {segments} segments"
            upper.plot(times, biases[1:], marker=marker, markersize=3, color=shade, linewidth=1.4, label=label)
        if frozen is not None and title in frozen:
            biases = np.asarray(frozen[title].bias)
            require(biases.shape == times.shape, "frozen", f"at {len(times)} times, those of the result", biases)
            upper.plot(times, biases, ":", color=RED, linewidth=1.7, label="infinite width, frozen")
        upper.plot(times, result.trained_bias[1:], "o", color="black", markersize=4, label="trained", fillstyle="none")
        upper.set(xscale="log", title=title)
        for values, label, colour, style in (
            (result.kernel_change, "relative change", RED, "-"),
            (result.kernel_alignment, "alignment with initial kernel", BLUE, "--"),
            (result.target_alignment, "alignment with target", "black", "-."),
        ):
            lower.plot(times, values[1:], style, color=colour, label=label)
        lower.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
        lower.set(xlabel=TIME_LABEL, yscale="log")
        for panel in (upper, lower):
            panel.grid(alpha=0.25)
    grid[0, 0].set_ylabel(BIAS_LABEL)
    grid[1, 0].set_ylabel(r"kernel $\Theta_t$")
    for axes in grid[:, -1]:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="small")
    return figure
