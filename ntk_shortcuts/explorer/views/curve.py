"""A number along an axis: over training, and over training samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool

from ntk_shortcuts.explorer.curve import Curve
from ntk_shortcuts.explorer.setting import RULES
from ntk_shortcuts.explorer.views.base import View, add_key, end_beyond, new_figure
from ntk_shortcuts.explorer.views.colours import CORE, FAINT, SHORTCUT
from ntk_shortcuts.results.prediction import Prediction

_BIAS = "shortcut bias"
# Where infinitely many samples stand.
_INFINITE = 10_000


class CurveView(View):
    """The bias along an axis, with a mark where the setting is."""

    def __init__(self, name: str, axis: str, answers: Callable[[Any], Iterator[Curve]]):
        super().__init__(answers)
        self.figure = plot = new_figure(name, axis, _BIAS, x_axis_type="log", x_range=(0.1, 10))
        self._curve = ColumnDataSource({"x": [], "y": [], "fill": []})
        # Known before anything else, so that the empty figure has something to range over.
        self._zero = ColumnDataSource({"x": [0.1, 10], "y": [0, 0]})
        self._here = ColumnDataSource({"x": [], "y": []})
        plot.line("x", "y", source=self._zero, color=FAINT, line_width=1.5, line_dash=[6, 4])
        plot.line("x", "y", source=self._curve, color=CORE.colour, line_width=2)
        dots = plot.scatter("x", "y", source=self._curve, size=5, line_color=CORE.colour, fill_color="fill")
        here = {"size": 13, "marker": "diamond", "fill_color": SHORTCUT.colour, "line_color": "white"}
        plot.scatter("x", "y", source=self._here, **here)
        plot.add_tools(HoverTool(renderers=[dots], tooltips=[(axis.partition(" =")[0], "@x"), (_BIAS, "@y{+0.000}")]))
        add_key(plot, ("━ predicted bias   ╌ 0: Bayes optimal", CORE.colour), ("◆ this setting", SHORTCUT.colour))

    def draw(self, answer: Curve) -> None:
        end_beyond(self.figure, answer.x)
        fill = np.where(answer.trusted, CORE.colour, "white").tolist()
        self._curve.data = {"x": answer.x, "y": answer.values, "fill": fill}
        self._zero.data = {"x": answer.x[[0, -1]], "y": np.zeros(2)}

    def place(self, x: float, bias: float) -> None:
        """Mark a point of the axis."""
        self._here.data = {"x": [x], "y": [bias]}


class OverTraining(CurveView):
    """The bias over the time, or over the ridge."""

    title = "Bias against training"
    caption = (
        "Early training follows what is available, late training what predicts. Open circles: see the notes of their setting."
    )

    def mark(self, setting: Any, prediction: Prediction) -> None:
        rule = RULES[setting.rule]
        self.figure.xaxis.axis_label = rule.axis
        self.place(float(getattr(setting.training()(), rule.extent)), prediction.bias)


class OverSamples(CurveView):
    """The bias over the training samples; infinitely many stand at the end of the axis."""

    title = "Learning curve"
    caption = "The average over data sets of N samples each; at the end of the axis, infinite data."

    def __init__(self, name: str, axis: str, answers: Callable[[Any], Iterator[Curve]]):
        super().__init__(name, axis, answers)
        self.figure.xaxis.ticker = [10, 100, 1000, _INFINITE]
        self.figure.xaxis.major_label_overrides = {_INFINITE: "∞"}

    def draw(self, answer: Curve) -> None:
        super().draw(answer._replace(x=np.minimum(answer.x, _INFINITE)))

    def mark(self, setting: Any, prediction: Prediction) -> None:
        self.place(setting.num_samples or _INFINITE, prediction.bias)
