"""A network in training against what its own kernels predict, and how far they move."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import (
    BIAS_LABEL,
    NEUTRAL,
    TIME_LABEL,
    axes_for,
    ordered_colours,
    root,
    series_style,
    thin_line,
)
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_telescope(results: Mapping[str, Any], frozen: Mapping[str, Any] | None = None, ax: Any = None) -> Figure:
    """Bias over training time, trained and telescoped, above the movement of the kernel; one column per network.

    Args:
        results: from :func:`ntk_shortcuts.analysis.telescope`, by title.
        frozen: by the same titles, predictions of the infinitely wide network at the times after 0.
        ax: axes to draw in: one, whose place is divided, or two for each network; by default those of a new figure.

    Raises:
        ValueError: no result, or a prediction at other times.
    """
    require(len(results) >= 1, "results", "a mapping with at least one Telescope", results)
    size, shared = (5.2 * len(results) + 1.0, 5.8), {"sharex": "col", "sharey": "row"}
    grid = axes_for(ax, 2, len(results), size, shared=shared, height_ratios=(3, 2))
    for (upper, lower), (title, result) in zip(grid.T, results.items(), strict=True):
        _draw_biases(upper, result, None if frozen is None else frozen.get(title))
        upper.set(xscale="log", title=title)
        _draw_kernel(lower, result)
    grid[0, 0].set_ylabel(BIAS_LABEL)
    grid[1, 0].set_ylabel(r"kernel $\Theta_t$")
    for axes in grid[:, -1]:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="small")
    return root(grid[0, 0])


def _draw_biases(axes: Axes, result: Any, frozen: Any) -> None:
    times = result.times[1:]
    thin_line(axes)
    shades, markers = ordered_colours(len(result.segments))[::-1], itertools.cycle("sD^vPX*")
    for segments, biases, shade, marker in zip(result.segments, result.telescoped_bias, shades, markers, strict=False):
        label = "own kernel, frozen" if segments == 1 else f"telescoped, {segments} segments"
        axes.plot(times, biases[1:], marker=marker, markersize=3, color=shade, label=label)
    if frozen is not None:
        biases = np.asarray(frozen.bias)
        require(biases.shape == times.shape, "frozen", f"at {len(times)} times, those of the result", biases)
        axes.plot(times, biases, ":", color=series_style(1)[0], label="infinite width, frozen")
    axes.plot(times, result.trained_bias[1:], "o", color=NEUTRAL, markersize=4, label="trained", fillstyle="none")


def _draw_kernel(axes: Axes, result: Any) -> None:
    drawn = {
        "relative change": (result.kernel_change, "-"),
        "alignment with initial kernel": (result.kernel_alignment, "--"),
        "alignment with target": (result.target_alignment, "-."),
    }
    for index, (label, (values, style)) in enumerate(drawn.items()):
        axes.plot(result.times[1:], values[1:], style, color=series_style(index)[0], label=label)
    thin_line(axes, 1.0)
    axes.set(xlabel=TIME_LABEL, yscale="log")
