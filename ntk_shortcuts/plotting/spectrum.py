"""Learning times of a kernel's eigenfunctions, and what they follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ntk_shortcuts.analysis.samples.spectrum import SampleSpectrum
from ntk_shortcuts.analysis.spectrum import KernelSpectrum
from ntk_shortcuts.plotting.style import BLUE, OUTPUT_COLOURS, RED, new_figure, series_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_spectrum(spectrum: KernelSpectrum | SampleSpectrum) -> Figure:
    """Learning times of the odd eigenfunctions with their alignments, and the four that are learnt first over the plane.

    On samples there is no plane, and no parity: learning times and alignments are all.
    """
    if isinstance(spectrum, SampleSpectrum):
        return _on_samples(spectrum)
    figure = new_figure((11.0, 4.6))
    grid = figure.add_gridspec(2, 4, width_ratios=(1.2, 1.2, 1, 1))
    axes = figure.add_subplot(grid[:, :2])
    odd = np.asarray(spectrum.odd)
    times = np.asarray(spectrum.learning_times)[odd]
    series = {
        r"shortcut, sign $z_s$": (np.asarray(spectrum.shortcut_alignments)[odd], "o", RED),
        r"core, sign $z_c$": (np.asarray(spectrum.core_alignments)[odd], "s", BLUE),
        r"target, $c_i$": (np.asarray(spectrum.target_coefficients)[odd], "^", "black"),
    }
    _draw_overlaps(axes, times, series)
    axes.set_title("odd eigenfunctions, which carry the target")
    probes = np.asarray(spectrum.probes)
    for place, mode in enumerate(np.flatnonzero(odd)[:4]):
        panel = figure.add_subplot(grid[place // 2, 2 + place % 2])
        values = np.asarray(spectrum.eigenfunctions[mode])
        limit = np.max(np.abs(values))
        panel.tricontourf(probes[:, 0], probes[:, 1], values, levels=np.linspace(-limit, limit, 15), cmap=OUTPUT_COLOURS)
        panel.set_title(rf"$1/\lambda={float(spectrum.learning_times[mode]):.3g}$", fontsize=9)
        panel.set_aspect("equal")
        panel.tick_params(labelsize=7)
        if place >= 2:
            panel.set_xlabel("$z_s$", fontsize=8)
        if place % 2 == 0:
            panel.set_ylabel("$z_c$", fontsize=8)
    return figure


def _on_samples(spectrum: SampleSpectrum) -> Figure:
    figure = new_figure((7.2, 4.4))
    named = {"label": spectrum.label_alignments, **spectrum.attribute_alignments}
    styles = [("black", "^"), *(series_style(i) for i in range(len(named) - 1))]
    series = {name: (values, marker, colour) for (name, values), (colour, marker) in zip(named.items(), styles, strict=True)}
    _draw_overlaps(figure.add_subplot(), spectrum.learning_times, series)
    return figure


def _draw_overlaps(axes: Axes, times: np.ndarray, series: Mapping[str, tuple[np.ndarray, str, str]]) -> None:
    """Sizes of overlaps against learning times; by name the values, a marker and a colour."""
    for label, (values, marker, colour) in series.items():
        axes.vlines(times, 0, np.abs(values), colour, lw=0.8, alpha=0.5)
        axes.plot(times, np.abs(values), marker, color=colour, label=label, fillstyle="none", ms=7)
    axes.set(
        xscale="log",
        xlabel=r"learning time $1/\lambda_i$ (learning rate $\times$ steps)",
        ylabel="size of the overlap with eigenfunction $i$",
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
