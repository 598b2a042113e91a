"""Mitigations as a figure: the worst group over training time, and the best of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import NEUTRAL, RULE_WORDS, TIME_LABEL, axes_for, is_wide, line_width, root, series_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_mitigations(mitigations: Any, ax: Any = None) -> Figure:
    """Accuracies of the worst group along the rule's array, and on the right each mitigation's best, highest on top.

    A marker shows where training stops. Bands are one standard error over draws, where there are any; bars one over draws and
    test samples. The early-stopping line is that of no mitigation, and drawn once.

    Args:
        mitigations: of :func:`ntk_shortcuts.mitigations`.
        ax: axes to draw in: one, whose place is divided, or two; by default those of a new figure.
    """
    left, right = axes_for(ax, 1, 2, (11.0, 4.4), width_ratios=(1.5, 1))[0]
    _draw_curves(left, mitigations)
    _draw_best(right, mitigations)
    return root(left)


def _draw_curves(axes: Axes, mitigations: Any) -> None:
    names = _names(mitigations)
    axis = next(str(name) for name in mitigations["worst_group_accuracy"].dims if name != "mitigation")
    along = np.asarray(mitigations[axis], float)
    worst, errors = (np.asarray(mitigations[name], float) for name in ("worst_group_accuracy", "standard_error"))
    best, stop = (np.asarray(mitigations[name], float) for name in ("best", f"best_{axis}"))
    for place, name in enumerate(names):
        colour, marker = _style(place, name)
        if not (name == "early_stopping" and "none" in names):
            axes.plot(along, worst[place], color=colour)
            axes.fill_between(along, worst[place] - errors[place], worst[place] + errors[place], color=colour, alpha=0.15, lw=0)
        axes.plot(stop[place], best[place], marker, color=colour, ms=7, fillstyle="none")
    label = TIME_LABEL if axis == "time" else RULE_WORDS.get(axis, axis)
    axes.set(xscale="log" if is_wide(along) else "linear", xlabel=label, ylabel="accuracy of the worst group", ylim=(0, 1))


def _draw_best(axes: Axes, mitigations: Any) -> None:
    names = _names(mitigations)
    best = np.asarray(mitigations["best"], float)
    # Older tables have the first alone, and a group of one test sample has no second.
    known = [name for name in ("best_error", "best_error_test_samples") if name in mitigations]
    spread = np.sqrt(np.nansum([np.square(np.asarray(mitigations[name], float)) for name in known], axis=0))
    order = np.argsort(best, kind="stable")
    for row, place in enumerate(order):
        colour, marker = _style(int(place), names[place])
        axes.errorbar(best[place], row, xerr=spread[place], fmt=marker, color=colour, ms=7, fillstyle="none")
        above: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": "x-small"}
        axes.annotate(f"{best[place]:.3f}", (best[place], row), (0, 6), **above)
    if "none" in names:
        axes.axvline(best[names.index("none")], color=NEUTRAL, lw=line_width(0.5), ls="--", zorder=0)
    axes.set_yticks(range(len(names)), [names[place].replace("_", " ") for place in order])
    axes.set(xlabel="at the best (none: at the end)", xlim=(0, 1), ylim=(-0.6, len(names) - 0.4))


def _names(mitigations: Any) -> list[str]:
    return [str(name) for name in mitigations["mitigation"].values]


def _style(place: int, name: str) -> tuple[str, str]:
    return (NEUTRAL, "x") if name == "none" else series_style(place - 1 if place else 0)
