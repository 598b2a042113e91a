"""Outputs at test points, with their spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import add_legend, axes_for, ordered_colours, root, series_style, thin_line
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More points than these are drawn without bars.
_WITH_BARS = 60


def plot_outputs(mean: Any, std: Any = None, at: Any = None, ax: Any = None, names: list[str] | None = None) -> Figure:
    """Mean outputs at points with one standard deviation around them, one line for each row.

    Args:
        mean: (n,) or (T, n).
        std: of the shape of `mean`; None for none.
        at: (n,), where the points lie, which then are joined in that order; by default their numbers, and they are not.
        ax: axes to draw in; by default those of a new figure.
        names: of the rows, for a legend.

    Raises:
        ValueError: shapes that do not fit.
    """
    mean = np.atleast_2d(np.asarray(mean, float))
    require(mean.ndim == 2, "mean", "of shape (n,) or (T, n)", mean)
    spread = np.zeros_like(mean) if std is None else np.atleast_2d(np.asarray(std, float))
    require(spread.shape == mean.shape, "std", f"of the shape of mean, {mean.shape}", spread)
    places = np.arange(mean.shape[1]) if at is None else np.asarray(at, float)
    require(places.shape == mean.shape[1:], "at", f"of shape {mean.shape[1:]}", places)
    axes = axes_for(ax)[0, 0]
    thin_line(axes)
    order = np.argsort(places, kind="stable")
    colours = ordered_colours(len(mean)) if len(mean) > 1 else [series_style(0)[0]]
    for row, (values, around, colour) in enumerate(zip(mean[:, order], spread[:, order], colours, strict=True)):
        label = names[row] if names else None
        if at is not None:
            axes.plot(places[order], values, color=colour, label=label)
            axes.fill_between(places[order], values - around, values + around, color=colour, alpha=0.2, lw=0)
        elif len(values) <= _WITH_BARS and std is not None:
            axes.errorbar(places[order], values, around, fmt="o", color=colour, ms=4, label=label)
        else:
            axes.plot(places[order], values, "o", color=colour, ms=3, label=label)
    axes.set(xlabel="test point" if at is None else "input", ylabel="output")
    if names:
        add_legend(axes, ax)
    return root(axes)
