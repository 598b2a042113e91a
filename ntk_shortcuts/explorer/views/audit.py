"""What the attributes of a pool offer a network: how well each tells the label, and when it is learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, LabelSet, Span

from ntk_shortcuts.explorer.views.base import View, new_figure
from ntk_shortcuts.explorer.views.colours import CORE, FAINT, INK, SHORTCUT
from ntk_shortcuts.results.prediction import Prediction


class AuditView(View):
    """Learning times, the earliest on top, with predictivities in words."""

    title = "Audit"
    caption = (
        "When this network has learnt half of the label, and of each attribute; the number is how often it tells the label. "
        "Orange squares are learnt before the label: shortcuts in waiting."
    )

    def __init__(self, answers: Callable[[Any], Any]):
        self._answers = answers
        axis = "half is learnt by (learning rate × steps)"
        self.figure = plot = new_figure("audit", axis, "", x_axis_type="log", y_range=FactorRange())
        self._found = ColumnDataSource({name: [] for name in ("name", "time", "told", "colour", "marker", "words")})
        style = {"size": 13, "marker": "marker", "color": "colour"}
        dots = plot.scatter("time", "name", source=self._found, **style)
        words = {"x_offset": 0, "y_offset": 9, "text_align": "center", "text_font_size": "12px", "text_color": INK}
        plot.add_layout(LabelSet(x="time", y="name", text="words", source=self._found, **words))
        tips = [("", "@name"), ("half is learnt by", "@time"), ("tells the label", "@told{0.000}")]
        plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
        self._label = Span(dimension="height", location=1.0, line_color=FAINT, line_dash=[6, 4])
        plot.add_layout(self._label)
        plot.ygrid.visible = False
        plot.yaxis.major_label_text_font_size = "13px"

    def mark(self, setting: Any, prediction: Prediction) -> None:
        """An audit is of infinite data at all times: no part of the training shows."""

    def answers(self, setting: Any) -> Iterator[Any]:
        yield self._answers(setting)

    def draw(self, answer: Any) -> None:
        names = [str(name) for name in answer["function"].values]
        times, told = (np.asarray(answer[name], float) for name in ("availability", "predictivity"))
        order = np.argsort(-np.where(np.isfinite(times), times, np.inf), kind="stable")
        label = times[names.index("label")]
        finite = times[np.isfinite(times)]
        latest = float(np.max(finite, initial=1.0))
        rows = {"name": [], "time": [], "told": [], "colour": [], "marker": [], "words": []}
        for place in order:
            never = "" if np.isfinite(times[place]) else ", never learnt to half"
            early = times[place] < label
            rows["name"].append(names[place])
            rows["time"].append(times[place] if not never else latest)
            rows["told"].append(told[place])
            rows["colour"].append(INK if names[place] == "label" else (SHORTCUT if early else CORE).colour)
            rows["marker"].append("diamond" if names[place] == "label" else (SHORTCUT if early else CORE).marker)
            rows["words"].append("" if names[place] == "label" else f"{told[place]:.2f}{never}")
        self.figure.y_range.factors = rows["name"]
        self._found.data = rows
        self._label.location = label
