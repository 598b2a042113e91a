"""An audit as a figure: when each function is learnt, and how well it tells the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import CORE, NEUTRAL, SHORTCUT, axes_for, line_width, root, series_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_audit(audit: Any, ax: Any = None) -> Figure:
    """Learning times on a logarithmic axis, earliest on top, the label's as a line across; predictivities beside them.

    Functions learnt before the label have the shortcut's colour. One that is never learnt to half, or does not vary, has words
    in place of a dot.

    Args:
        audit: of :func:`ntk_shortcuts.audit`.
        ax: axes to draw in; by default those of a new figure.
    """
    names = [str(name) for name in audit["function"].values]
    times, told = (np.asarray(audit[name], float) for name in ("availability", "predictivity"))
    order = np.argsort(np.where(np.isfinite(times), times, np.inf), kind="stable")
    limits = _decades(times)
    label = times[names.index("label")] if "label" in names else np.nan

    axes = axes_for(ax, size=(7.2, 1.5 + 0.42 * len(names)))[0, 0]
    for row, place in enumerate(order):
        name = names[place]
        _draw_time(axes, row, name, float(times[place]), float(label), limits[1])
        written = "" if name == "label" else f"{told[place]:.2f}"
        beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "annotation_clip": False}
        axes.annotate(written, (1.02, row), fontsize="small", **beside)
    if np.isfinite(label):
        axes.axvline(label, color=NEUTRAL, lw=line_width(0.5), ls="--", zorder=0)
    axes.annotate("predictivity", (1.02, 1.02), xycoords="axes fraction", fontsize="x-small", annotation_clip=False)
    axes.set(xscale="log", xlim=limits, xlabel=r"half is learnt by (learning rate $\times$ steps)")
    axes.set_yticks(range(len(names)), [names[place] for place in order])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    return root(axes)


def _decades(times: np.ndarray) -> tuple[float, float]:
    """Limits of the time axis: whole decades, since ticks of a part of one are crowded."""
    finite = times[np.isfinite(times) & (times > 0)]
    ends = np.log10([np.min(finite) / 1.2, np.max(finite) * 1.5]) if len(finite) else np.array([-1.0, 1.0])
    return 10.0 ** np.floor(ends[0]), 10.0 ** np.ceil(ends[1])


def _draw_time(axes: Axes, row: int, name: str, time: float, label: float, end: float) -> None:
    is_label = name == "label"
    colour = NEUTRAL if is_label else series_style(SHORTCUT if time < label else CORE)[0]
    if not np.isfinite(time):
        words = "never learnt to half" if np.isinf(time) else "does not vary"
        style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "ha": "right", "fontsize": "x-small"}
        axes.annotate(words, (end, row), (-4, 0), **style)
        return
    if np.isfinite(label):
        axes.hlines(row, min(time, label), max(time, label), colour, lw=line_width(1.3), alpha=0.4)
    axes.plot(time, row, "D" if is_label else "o", color=colour, ms=7)
    # The label's stands beside its line, the others above theirs.
    offset, side = ((7, 0), "left") if is_label else ((0, 7), "center")
    said: dict[str, Any] = {"textcoords": "offset points", "ha": side, "fontsize": "x-small", "color": colour}
    axes.annotate(f"{time:.3g}", (time, row), offset, **said)
