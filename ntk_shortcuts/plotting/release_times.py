"""How long the shortcut lasts, against the core's amplification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import new_figure, series_style
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_release_times(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Time of release against the core's amplification, one panel a depth: networks of finite width, and the frozen kernel.

    Args:
        records: with `depth`, `width`, `core` (alpha_c), and the times `release` and `frozen_release` (None: later).

    Raises:
        ValueError: no record.
    """
    require(len(records) >= 1, "records", "at least one", records)
    figure = new_figure((9.0, 3.6))
    depths, widths = (sorted({r[name] for r in records}) for name in ("depth", "width"))
    for axes, depth in zip(figure.subplots(1, len(depths), sharey=True, squeeze=False)[0], depths, strict=True):
        for index, width in enumerate(widths):
            colour, marker = series_style(index)
            for name, line in (("release", "-"), ("frozen_release", ":")):
                found = sorted((r["core"], r[name]) for r in records if (r["depth"], r["width"]) == (depth, width) and r[name])
                points = np.array(found).reshape(-1, 2).T
                label = f"width {width}" if name == "release" else None
                axes.plot(*points, line, color=colour, marker=marker, markersize=5, label=label)
        axes.set(xscale="log", yscale="log", xlabel=r"core amplification $\alpha_c$", title=f"depth {depth}")
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("time of release")
    figure.axes[0].plot([], [], ":", color="black", label="frozen kernel")
    figure.axes[0].legend(frameon=False, fontsize="small")
    return figure
