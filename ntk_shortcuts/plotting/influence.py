"""Effect of one training point over the latent plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import (
    BIAS_COLOURS,
    CORE_LABEL,
    ON_SURFACE,
    SHORTCUT_LABEL,
    axes_for,
    line_width,
    root,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_influence(result: Any, ax: Any = None) -> Figure:
    """Effect of one training point on the bias over the latent plane, for each label and on average.

    Args:
        result: of :func:`ntk_shortcuts.analysis.influence`.
        ax: axes to draw in: one, whose place is divided, or three; by default those of a new figure.
    """
    panels = axes_for(ax, 1, 3, (11.0, 3.9), shared={"sharex": True, "sharey": True})[0]
    limit = max(float(np.max(np.abs(values))) for values in (result.positive, result.negative))
    titles = {"labelled +1": result.positive, "labelled -1": result.negative, "averaged over labels": result.expected}
    latents = np.asarray(result.latents)
    for panel, (title, values) in zip(panels, titles.items(), strict=True):
        bound = max(float(np.max(np.abs(values))), 1e-12) if title.startswith("averaged") else limit
        drawn = panel.tricontourf(*latents.T, np.asarray(values), levels=np.linspace(-bound, bound, 21), cmap=BIAS_COLOURS)
        thin = {"colors": ON_SURFACE, "linewidths": line_width(0.35), "alpha": 0.5}
        panel.tricontour(*latents.T, np.asarray(result.density), levels=4, **thin)
        panel.set(title=title, xlabel=SHORTCUT_LABEL)
        ticks = np.linspace(-bound, bound, 5)
        root(panel).colorbar(drawn, ax=panel, ticks=ticks, format="%.2g", label="change of the bias by one training point")
    panels[0].set_ylabel(CORE_LABEL)
    return root(panels[0])
