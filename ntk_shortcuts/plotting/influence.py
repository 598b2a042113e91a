"""Effect of one training point over the latent plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntk_shortcuts.analysis.influence import Influence
from ntk_shortcuts.plotting.style import BIAS_COLOURS, CORE_LABEL, SHORTCUT_LABEL, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_influence(result: Influence) -> Figure:
    """Effect of one training point on the bias over the latent plane, for each label and on average."""
    figure = new_figure((11.0, 3.9))
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    limit = max(float(np.max(np.abs(values))) for values in (result.positive, result.negative))
    titles = {"labelled +1": result.positive, "labelled -1": result.negative, "averaged over labels": result.expected}
    latents = np.asarray(result.latents)
    for panel, (title, values) in zip(panels, titles.items(), strict=True):
        bound = max(float(np.max(np.abs(values))), 1e-12) if title.startswith("averaged") else limit
        drawn = panel.tricontourf(*latents.T, np.asarray(values), levels=np.linspace(-bound, bound, 21), cmap=BIAS_COLOURS)
        panel.tricontour(*latents.T, np.asarray(result.density), levels=4, colors="black", linewidths=0.5, alpha=0.5)
        panel.set(title=title, xlabel=SHORTCUT_LABEL)
        ticks = np.linspace(-bound, bound, 5)
        figure.colorbar(drawn, ax=panel, ticks=ticks, format="%.2g", label="change of the bias by one training point")
    panels[0].set_ylabel(CORE_LABEL)
    return figure
