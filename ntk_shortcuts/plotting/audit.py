"""An audit as a figure: when each function is learnt, and how well it tells the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import BLUE, RED, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_audit(audit: Any) -> Figure:
    """Learning times on a logarithmic axis, earliest on top, the label's as a line across; predictivities beside them.

    Red: learnt before the label. A function that is never learnt to half, or does not vary, has words in place of a dot.

    Args:
        audit: of :func:`ntk_shortcuts.audit`.
    """
    names = [str(name) for name in audit["function"].values]
    times, told = (np.asarray(audit[name], float) for name in ("availability", "predictivity"))
    order = np.argsort(np.where(np.isfinite(times), times, np.inf), kind="stable")
    finite = times[np.isfinite(times) & (times > 0)]
    # Whole decades: ticks of a part of one are crowded.
    decades = np.log10([np.min(finite) / 1.2, np.max(finite) * 1.5]) if len(finite) else np.array([-1.0, 1.0])
    low, high = 10.0 ** np.floor(decades[0]), 10.0 ** np.ceil(decades[1])
    label = times[names.index("label")] if "label" in names else np.nan

    figure = new_figure((7.2, 1.5 + 0.42 * len(names)))
    axes = figure.add_subplot()
    for row, place in enumerate(order):
        name, time = names[place], times[place]
        colour = "0.25" if name == "label" else RED if time < label else BLUE
        if np.isfinite(time):
            if np.isfinite(label):
                axes.hlines(row, min(time, label), max(time, label), colour, lw=2, alpha=0.4)
            axes.plot(time, row, "D" if name == "label" else "o", color=colour, ms=7)
            # The label's stands beside its line, the others above theirs.
            offset, side = ((7, 0), "left") if name == "label" else ((0, 7), "center")
            said = {"textcoords": "offset points", "ha": side, "fontsize": 8, "color": colour}
            axes.annotate(f"{time:.3g}", (time, row), offset, **said)
        else:
            words = "never learnt to half" if np.isinf(time) else "does not vary"
            axes.annotate(words, (high, row), (-4, 0), textcoords="offset points", va="center", ha="right", fontsize=8)
        written = "" if name == "label" else f"{told[place]:.2f}"
        axes.annotate(written, (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=9, annotation_clip=False)
    if np.isfinite(label):
        axes.axvline(label, color="0.25", lw=0.8, ls="--", zorder=0)
    axes.annotate("predictivity", (1.02, 1.02), xycoords="axes fraction", fontsize=8, annotation_clip=False)
    axes.set(xscale="log", xlim=(low, high), xlabel=r"half is learnt by (learning rate $\times$ steps)")
    axes.set_yticks(range(len(names)), [names[place] for place in order])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    return figure
