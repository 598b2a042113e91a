"""Accuracy of every group of a pool over training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Span

from ntk_shortcuts.explorer.curve import Curve
from ntk_shortcuts.explorer.setting import RULES
from ntk_shortcuts.explorer.views.base import View, add_key, end_beyond, new_figure
from ntk_shortcuts.explorer.views.colours import FAINT, INK, series
from ntk_shortcuts.plotting.style import signed
from ntk_shortcuts.results.prediction import Prediction


class Groups(View):
    """A line for each group, dashed where an attribute differs from the label; the worst group wide and grey."""

    title = "Accuracy of every group"
    caption = "Dashed: groups in which an attribute differs from the label. Grey: the worst group. Vertical line: this setting."

    def __init__(self, groups: list[dict[str, int]], answers: Callable[[Any], Iterator[Curve]]):
        super().__init__(answers)
        self._names = [_words(group, groups) for group in groups]
        labels = RULES["gradient flow"].axis, "accuracy in the group"
        ranges = {"x_range": (0.1, 10), "y_range": (-0.02, 1.02)}
        self.figure = plot = new_figure("groups", *labels, x_axis_type="log", **ranges)
        self._lines = ColumnDataSource({name: [] for name in ("x", "worst", *self._names)})
        plot.line("x", "worst", source=self._lines, color="#d0d0d0", line_width=10, line_cap="round")
        key = [self._add_group(*named, index) for index, named in enumerate(zip(self._names, groups, strict=True))]
        add_key(plot, *key, ("━ worst group", FAINT))
        self._here = Span(dimension="height", location=1.0, line_color=INK, line_width=1.5)
        plot.add_layout(self._here)
        plot.add_layout(Span(dimension="width", location=0.5, line_color=FAINT, line_dash=[6, 4]))

    def _add_group(self, name: str, group: dict[str, int], index: int) -> tuple[str, str]:
        """A group's line and points; its line of the key."""
        colour, marker, sign = series(index)
        dash = "solid" if len(set(group.values())) == 1 else "dashed"
        self.figure.line("x", name, source=self._lines, color=colour, line_width=2.5, line_dash=dash)
        drawn = {"size": 7, "marker": marker, "line_color": colour, "fill_color": "white"}
        dots = self.figure.scatter("x", name, source=self._lines, **drawn)
        self.figure.add_tools(HoverTool(renderers=[dots], tooltips=[(name, f"@{{{name}}}{{0.000}}"), ("at", "@x")]))
        return f"{sign} {name}", colour

    def draw(self, answer: Curve) -> None:
        end_beyond(self.figure, answer.x)
        columns = dict(zip(self._names, answer.values.T, strict=True))
        self._lines.data = {"x": answer.x, "worst": np.nanmin(answer.values, axis=1), **columns}

    def mark(self, setting: Any, prediction: Prediction) -> None:
        rule = RULES[setting.rule]
        self.figure.xaxis.axis_label = rule.axis
        self._here.location = float(getattr(setting.training()(), rule.extent))


def _words(group: dict[str, int], groups: list[dict[str, int]]) -> str:
    """A group's label and attributes, as figures write them."""
    return ", ".join(f"{name} {signed(value, np.array([g[name] for g in groups]))}" for name, value in group.items())
