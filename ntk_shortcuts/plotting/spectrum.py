"""Learning times of a kernel's eigenfunctions, and what they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import (
    CORE,
    NEUTRAL,
    OUTPUT_COLOURS,
    SHORTCUT,
    add_legend,
    axes_for,
    line_width,
    root,
    series_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# By name the shares, a marker and a colour.
_Series = dict[str, tuple[np.ndarray, str, str]]


def plot_spectrum(spectrum: Any, ax: Any = None) -> Figure:
    """Learning times of eigenfunctions, and which share of each function they carry.

    The share is the square of the overlap with the normalised function: sign z_s, sign z_c and the target E[y | z] of a law,
    the label and the attributes of samples. All shares of one function add up to 1, or less where it is not all learnable. Of
    a law they are those of the odd eigenfunctions, and the four that are learnt first are drawn over the plane.

    Args:
        spectrum: of :func:`ntk_shortcuts.kernel_spectrum`, of a law or of samples.
        ax: axes to draw the shares in, without eigenfunctions; by default those of a new figure.
    """
    samples = getattr(spectrum, "attribute_alignments", None)
    if ax is not None or samples is not None:
        axes = axes_for(ax, size=(7.2, 4.4))[0, 0]
    else:
        axes, planes = axes_for(None, 1, 2, (11.0, 4.6), width_ratios=(1.2, 1))[0]
        _draw_eigenfunctions(axes_for(planes, 2, 2, shared={"sharex": True, "sharey": True}), spectrum)
        axes.set_title("odd eigenfunctions, which carry the target")
    times, series = _of_law(spectrum) if samples is None else _of_samples(spectrum)
    _draw_shares(axes, times, series)
    return root(axes)


def _of_law(spectrum: Any) -> tuple[np.ndarray, _Series]:
    odd = np.asarray(spectrum.odd)
    power = 1 - float(spectrum.label_noise)
    shortcut, core, target = (
        np.asarray(values)[odd] ** 2
        for values in (spectrum.shortcut_alignments, spectrum.core_alignments, spectrum.target_coefficients)
    )
    series = {
        r"shortcut, sign $z_s$": (shortcut, "s", series_style(SHORTCUT)[0]),
        r"core, sign $z_c$": (core, "o", series_style(CORE)[0]),
        r"target, $E[y\mid z]$": (target / power if power > 0 else target, "^", NEUTRAL),
    }
    return np.asarray(spectrum.learning_times)[odd], series


def _of_samples(spectrum: Any) -> tuple[np.ndarray, _Series]:
    styled = {name: (values, *series_style(i)) for i, (name, values) in enumerate(spectrum.attribute_alignments.items())}
    series = {"label": (np.asarray(spectrum.label_alignments) ** 2, "^", NEUTRAL)}
    series |= {name: (np.asarray(values) ** 2, marker, colour) for name, (values, colour, marker) in styled.items()}
    return spectrum.learning_times, series


def _draw_shares(axes: Axes, times: np.ndarray, series: _Series) -> None:
    for label, (shares, marker, colour) in series.items():
        axes.vlines(times, 0, shares, colour, lw=line_width(0.5), alpha=0.5)
        axes.plot(times, shares, marker, color=colour, label=label, fillstyle="none", ms=7)
    learning = r"learning time $1/\lambda_i$ (learning rate $\times$ steps)"
    axes.set(xscale="log", xlabel=learning, ylabel="share that eigenfunction $i$ carries", ylim=(0, None))
    add_legend(axes, axes)


def _draw_eigenfunctions(panels: np.ndarray, spectrum: Any) -> None:
    probes, odd = np.asarray(spectrum.probes), np.flatnonzero(np.asarray(spectrum.odd))
    for place, panel in enumerate(panels.flat):
        if place >= len(odd):
            panel.set_axis_off()
            continue
        values = np.asarray(spectrum.eigenfunctions[odd[place]])
        limit = np.max(np.abs(values))
        panel.tricontourf(probes[:, 0], probes[:, 1], values, levels=np.linspace(-limit, limit, 15), cmap=OUTPUT_COLOURS)
        panel.set_title(rf"$1/\lambda={float(spectrum.learning_times[odd[place]]):.3g}$", fontsize="small")
        panel.set_aspect("equal")
        panel.tick_params(labelsize="x-small")
    for panel in panels[-1]:
        panel.set_xlabel("$z_s$", fontsize="small")
    for panel in panels[:, 0]:
        panel.set_ylabel("$z_c$", fontsize="small")
