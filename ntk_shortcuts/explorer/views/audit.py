"""What the attributes of a pool offer a network: how well each tells the label, and when it is learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LabelSet, Span

from ntk_shortcuts.explorer.views.base import View, end_at_decades, new_figure
from ntk_shortcuts.explorer.views.colours import CORE, FAINT, INK, SHORTCUT
from ntk_shortcuts.results.prediction import Prediction


class AuditView(View):
    """Learning times, the earliest on top, with predictivities in words."""

    title = "Audit"
    caption = (
        "When this network has learnt half of the label, and of each attribute; the number is how often it tells the label. "
        "Orange squares are learnt before the label: shortcuts in waiting."
    )

    def __init__(self, answers: Callable[[Any], Iterator[Any]]):
        super().__init__(answers)
        axis = "half is learnt by (learning rate × steps)"
        ranges = {"x_range": (0.1, 10), "y_range": []}
        self.figure = plot = new_figure("audit", axis, "", x_axis_type="log", **ranges)
        self._found = ColumnDataSource({name: [] for name in ("name", "time", "told", "colour", "marker", "words", "align")})
        style = {"size": 13, "marker": "marker", "color": "colour"}
        dots = plot.scatter("time", "name", source=self._found, **style)
        words = {"x_offset": 0, "y_offset": 9, "text_align": "align", "text_font_size": "12px", "text_color": INK}
        plot.add_layout(LabelSet(x="time", y="name", text="words", source=self._found, **words))
        tips = [("", "@name"), ("half is learnt by", "@time"), ("tells the label", "@told{0.000}")]
        plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
        self._label = Span(dimension="height", location=1.0, line_color=FAINT, line_dash=[6, 4])
        plot.add_layout(self._label)
        plot.ygrid.visible = False
        plot.yaxis.major_label_text_font_size = "13px"

    def mark(self, setting: Any, prediction: Prediction) -> None:
        """An audit is of infinite data at all times: no part of the training shows."""

    def draw(self, answer: Any) -> None:
        names = [str(name) for name in answer["function"].values]
        times, told = (np.asarray(answer[name], float) for name in ("availability", "predictivity"))
        label, finite = times[names.index("label")], times[np.isfinite(times)]
        end = float(np.max(finite, initial=0.1))
        order = np.argsort(-np.where(np.isfinite(times), times, np.inf), kind="stable")
        rows = [_row(names[place], float(times[place]), float(told[place]), label, end) for place in order]
        end_at_decades(self.figure, np.array([*finite, end]))
        self.figure.y_range.factors = [row["name"] for row in rows]
        self._found.data = {column: [row[column] for row in rows] for column in rows[0]}
        self._label.update(location=label if np.isfinite(label) else end, visible=bool(np.isfinite(label)))


def _row(name: str, time: float, told: float, label: float, end: float) -> dict[str, Any]:
    """How a function is drawn: those that are never learnt stand at the end."""
    series = SHORTCUT if time < label else CORE
    known = np.isfinite(time)
    words = f"{told:.2f}" if known else "never learnt to half" if np.isinf(time) else "does not vary"
    drawn = {"name": name, "time": time if known else end, "told": told, "align": "center" if known else "right"}
    if name == "label":
        return {**drawn, "colour": INK, "marker": "diamond", "words": ""}
    return {**drawn, "colour": series.colour, "marker": series.marker, "words": words}
