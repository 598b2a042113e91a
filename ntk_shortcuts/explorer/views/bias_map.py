"""The bias over predictivity and availability of the shortcut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, HoverTool, LinearColorMapper

from ntk_shortcuts.explorer.law import Map
from ntk_shortcuts.explorer.views.base import View, new_figure
from ntk_shortcuts.explorer.views.colours import BIAS, INK
from ntk_shortcuts.explorer.views.lines import columns_of, zero_lines
from ntk_shortcuts.results.prediction import Prediction


class BiasMap(View):
    """A map of the bias, row after row, with a star where the setting is."""

    title = "Bias over predictivity and availability"
    caption = "Colour: bias; red: the network relies on the shortcut more than is optimal. Line: bias 0. Star: this setting."

    def __init__(self, answers: Callable[[Any], Iterator[Map]]):
        super().__init__(answers)
        labels = "availability: amplification ratio α_s/α_c", "shortcut predictivity ρ_s"
        ranges = {"x_range": (0.125, 8), "y_range": (0.5, 0.98)}
        self.figure = plot = new_figure("map", *labels, x_axis_type="log", **ranges)
        plot.xaxis.ticker = [0.125, 0.25, 0.5, 1, 2, 4, 8]
        plot.xaxis.major_label_overrides = {0.125: "⅛", 0.25: "¼", 0.5: "½", 1: "1", 2: "2", 4: "4", 8: "8"}
        plot.grid.visible = False
        self._colours = LinearColorMapper(palette=BIAS, low=-1, high=1, nan_color="#f2f2f2")
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._zero = ColumnDataSource({"xs": [], "ys": []})
        self._here = ColumnDataSource({"x": [], "y": []})
        image = plot.image("image", "x", "y", "dw", "dh", color_mapper=self._colours, source=self._image)
        tips = [("ρ_s", "$y{0.00}"), ("α_s/α_c", "$x{0.00}"), ("bias", "@image{+0.000}")]
        plot.add_tools(HoverTool(renderers=[image], tooltips=tips))
        plot.multi_line("xs", "ys", source=self._zero, color=INK, line_width=2)
        star = {"size": 18, "marker": "star", "fill_color": INK, "line_color": "white"}
        plot.scatter("x", "y", source=self._here, **star)
        plot.add_layout(ColorBar(color_mapper=self._colours, width=10), "right")

    def draw(self, answer: Map) -> None:
        known = np.flatnonzero(np.isfinite(answer.biases).all(axis=1))
        nearest = known[np.abs(np.arange(len(answer.biases))[:, None] - known).argmin(axis=1)]
        biases = answer.biases[nearest]
        self._colours.high = max(0.1, float(np.max(np.abs(biases))))
        self._colours.low = -self._colours.high
        ratios, rows = answer.ratios, answer.predictivities
        # Cells of one size on the screen, around their centres.
        turn, step = np.sqrt(ratios[1] / ratios[0]), (rows[1] - rows[0]) / 2
        left, right, low, high = ratios[0] / turn, ratios[-1] * turn, rows[0] - step, rows[-1] + step
        self._image.data = {"image": [biases], "x": [left], "y": [low], "dw": [right - left], "dh": [high - low]}
        lines = zero_lines(np.log(ratios), rows, biases) if len(known) == len(rows) else []
        self._zero.data = columns_of([np.stack([np.exp(line[:, 0]), line[:, 1]], axis=1) for line in lines])

    def mark(self, setting: Any, prediction: Prediction) -> None:
        self._here.data = {"x": [setting.amplification_ratio], "y": [setting.shortcut_predictivity]}
