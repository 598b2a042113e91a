"""Eigenfunctions of the kernel: when each is learnt, and which feature it follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bokeh.models import BoxAnnotation, ColumnDataSource, HoverTool

from ntk_shortcuts.analysis.spectrum import KernelSpectrum
from ntk_shortcuts.explorer.views.base import View, add_key, end_at_decades, new_figure
from ntk_shortcuts.explorer.views.colours import CORE, INK, SHORTCUT
from ntk_shortcuts.results.prediction import Prediction

# Of a feature's square: what is less is not drawn. Nor is what this many times the first one's time does not teach: of such
# eigenvalues rounding decides.
_VISIBLE, _NEVER = 1e-4, 1e12


class Spectrum(View):
    """Shares of both features in the odd eigenfunctions, which carry the target, over their learning times."""

    title = "Spectrum"
    caption = (
        "Share of sign z_s, and of sign z_c, that lies along each odd eigenfunction (squared cosine), at the time 1/λ by which "
        "that is learnt. Shaded: learnt by the time chosen."
    )

    def __init__(self, answers: Callable[[Any], Iterator[KernelSpectrum]]):
        super().__init__(answers)
        axis = "learning time 1/λ (learning rate × steps)"
        ranges = {"x_range": (0.1, 10), "y_range": (0, 1)}
        self.figure = plot = new_figure("spectrum", axis, "share of the feature", x_axis_type="log", **ranges)
        self._learnt = BoxAnnotation(fill_color=INK, fill_alpha=0.07, line_color=None, right=1.0)
        plot.add_layout(self._learnt)
        tips = [
            ("learning time", "@time"),
            ("share of the shortcut", "@shortcut{0.000}"),
            ("share of the core", "@core{0.000}"),
        ]
        self._modes = ColumnDataSource({"time": [], "left": [], "right": [], "shortcut": [], "core": []})
        markers = []
        for place, share, series in (("left", "shortcut", SHORTCUT), ("right", "core", CORE)):
            plot.segment(place, 0, place, share, source=self._modes, color=series.colour, line_width=3, alpha=0.5)
            style = {"size": 9, "marker": series.marker, "color": series.colour}
            markers.append(plot.scatter(place, share, source=self._modes, **style))
        plot.add_tools(HoverTool(renderers=markers, tooltips=tips))
        words = ((SHORTCUT, "shortcut, sign z_s"), (CORE, "core, sign z_c"))
        add_key(plot, *((f"{series.sign} {name}", series.colour) for series, name in words))

    def draw(self, answer: KernelSpectrum) -> None:
        shortcut, core = (np.asarray(a) ** 2 for a in (answer.shortcut_alignments, answer.core_alignments))
        times = np.asarray(answer.learning_times)
        shown = np.asarray(answer.odd) & (np.maximum(shortcut, core) > _VISIBLE) & (times < _NEVER * np.min(times))
        times = times[shown]
        # Both shares of an eigenfunction side by side, a fiftieth of the width apart.
        apart = 10 ** (end_at_decades(self.figure, times) / 100)
        places = {"time": times, "left": times / apart, "right": times * apart}
        self._modes.data = {**places, "shortcut": shortcut[shown], "core": core[shown]}

    def mark(self, setting: Any, prediction: Prediction) -> None:
        # What a ridge learns half is an eigenvalue of its own size.
        extent = float(getattr(setting.training()(), setting.extent))
        self._learnt.right = extent if setting.extent == "time" else 1 / extent
