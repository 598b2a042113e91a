"""How long the shortcut lasts, against the core's amplification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import NEUTRAL, axes_for, root, series_style
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_release_times(records: Sequence[Mapping[str, Any]], ax: Any = None) -> Figure:
    """Time of release against the core's amplification, one panel a depth: networks of finite width, and the frozen kernel.

    Args:
        records: with `depth`, `width`, `core` (alpha_c), and the times `release` and `frozen_release` (None: later).
        ax: axes to draw in: one, whose place is divided, or one for each depth; by default those of a new figure.

    Raises:
        ValueError: no record.
    """
    require(len(records) >= 1, "records", "at least one", records)
    depths, widths = (sorted({r[name] for r in records}) for name in ("depth", "width"))
    drawn = axes_for(ax, 1, len(depths), (9.0, 3.6), shared={"sharey": True})[0]
    for axes, depth in zip(drawn, depths, strict=True):
        for index, width in enumerate(widths):
            colour, marker = series_style(index)
            for name, line in (("release", "-"), ("frozen_release", ":")):
                found = sorted((r["core"], r[name]) for r in records if (r["depth"], r["width"]) == (depth, width) and r[name])
                points = np.array(found).reshape(-1, 2).T
                label = f"width {width}" if name == "release" else None
                axes.plot(*points, line, color=colour, marker=marker, markersize=5, label=label)
        axes.set(xscale="log", yscale="log", xlabel=r"core amplification $\alpha_c$", title=f"depth {depth}")
    drawn[0].set_ylabel("time of release")
    drawn[0].plot([], [], ":", color=NEUTRAL, label="frozen kernel")
    drawn[0].legend(frameon=False, fontsize="small")
    return root(drawn[0])
