"""Mitigations as a figure: the worst group over training time, and the best of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import RULE_WORDS, TIME_LABEL, new_figure, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_mitigations(mitigations: Any) -> Figure:
    """Accuracies of the worst group along the rule's array, and on the right each mitigation's best, highest on top.

    A marker shows where training stops. Bands and bars are one standard error, where there is one. The early-stopping line is
    that of no mitigation, and drawn once.

    Args:
        mitigations: of :func:`ntk_shortcuts.mitigations`.
    """
    names = [str(name) for name in mitigations["mitigation"].values]
    axis = next(str(name) for name in mitigations["worst_group_accuracy"].dims if name != "mitigation")
    along = np.asarray(mitigations[axis], float)
    worst, errors = (np.asarray(mitigations[name], float) for name in ("worst_group_accuracy", "standard_error"))
    best, spread, stop = (np.asarray(mitigations[name], float) for name in ("best", "best_error", f"best_{axis}"))
    words = [name.replace("_", " ") for name in names]

    figure = new_figure((11.0, 4.4))
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    for place, name in enumerate(names):
        colour, marker = _style(place, name)
        if not (name == "early_stopping" and "none" in names):
            left.plot(along, worst[place], color=colour, lw=1.4)
            left.fill_between(along, worst[place] - errors[place], worst[place] + errors[place], color=colour, alpha=0.15, lw=0)
        left.plot(stop[place], best[place], marker, color=colour, ms=7, fillstyle="none", label=words[place])
    positive = np.all(along > 0) and along[-1] / along[0] > 20
    left.set(
        xscale="log" if positive else "linear",
        xlabel=TIME_LABEL if axis == "time" else RULE_WORDS.get(axis, axis),
        ylabel="accuracy of the worst group",
    )
    left.set_ylim(0, 1)
    left.grid(alpha=0.25)

    order = np.argsort(best, kind="stable")
    for row, place in enumerate(order):
        colour, marker = _style(int(place), names[place])
        right.errorbar(best[place], row, xerr=spread[place], fmt=marker, color=colour, ms=7, fillstyle="none")
        right.annotate(f"{best[place]:.3f}", (best[place], row), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    if "none" in names:
        right.axvline(best[names.index("none")], color="0.25", lw=0.8, ls="--", zorder=0)
    right.set_yticks(range(len(names)), [words[place] for place in order])
    right.set(xlabel="at the best (none: at the end)", xlim=(0, 1), ylim=(-0.6, len(names) - 0.4))
    right.grid(axis="x", alpha=0.25)
    return figure


def _style(place: int, name: str) -> tuple[str, str]:
    return ("0.25", "x") if name == "none" else series_style(place - 1 if place else 0)
