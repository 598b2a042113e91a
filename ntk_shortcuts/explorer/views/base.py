"""A view: a figure, what is computed for it, and how both follow the setting."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
from bokeh.models import SaveTool, Title
from bokeh.plotting import figure

from ntk_shortcuts.explorer.views.colours import FAINT
from ntk_shortcuts.results.prediction import Prediction

HEIGHT, _KEY_LINE = 300, 21


class View(abc.ABC):
    """A figure under a heading. What it shows comes in two ways: marks of the setting and its prediction, at once, and answers
    that take longer, coarse ones first.

    Args:
        answers: what else there is to compute for a setting, off the event loop.
    """

    title: ClassVar[str]
    caption: ClassVar[str]

    figure: Any

    def __init__(self, answers: Callable[[Any], Iterator[Any]] = lambda _: iter(())):
        self.answers = answers

    @abc.abstractmethod
    def mark(self, setting: Any, prediction: Prediction) -> None:
        """Show where the setting is."""

    def draw(self, answer: Any) -> None:  # noqa: B027  a view without answers has none to draw
        """Show an answer."""


def new_figure(name: str, x: str, y: str, **options: Any) -> Any:
    """An empty figure with labelled axes, drawn as SVG and saved as such under that name; `options` are Bokeh's."""
    plot = figure(
        x_axis_label=x,
        y_axis_label=y,
        output_backend="svg",
        tools=[],
        toolbar_location=None,
        sizing_mode="stretch_width",
        height=HEIGHT,
        min_width=250,
        min_border_right=12,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color="#c8c8c8",
        **options,
    )
    plot.add_tools(SaveTool(filename=name))
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "13px"
        axis.major_label_text_font_size = "12px"
        axis.axis_line_color = axis.major_tick_line_color = FAINT
        axis.minor_tick_line_color = None
    plot.grid.grid_line_color = "#ececec"
    return plot


def end_beyond(plot: Any, values: np.ndarray) -> None:
    """Have a logarithmic x axis end a little beyond positive values.

    Bokeh's own ranges of logarithmic axes complain of figures that are still empty.
    """
    low, high = float(np.min(values)), float(np.max(values))
    margin = max(1.1, (high / low) ** 0.04)
    plot.x_range.update(start=low / margin, end=high * margin)


def end_at_decades(plot: Any, values: np.ndarray) -> int:
    """Have a logarithmic x axis end at the decades around positive values, with ticks at decades; how many it shows."""
    first = int(np.floor(np.log10(np.min(values))))
    last = max(first + 1, int(np.ceil(np.log10(np.max(values)))))
    plot.x_range.update(start=10.0**first, end=10.0**last)
    plot.xaxis.ticker = [10.0**power for power in range(first, last + 1, 1 + (last - first) // 8)]
    return last - first


def save_tool(plot: Any) -> Any:
    """The tool that saves a figure."""
    return plot.select_one({"type": SaveTool})


def add_key(plot: Any, *lines: tuple[str, str]) -> None:
    """Put a key under the figure, which grows by it: lines of words and a sign, each in its colour.

    Bokeh's own legend, outside the axes, breaks the layout of figures that are drawn as SVG (seen with 3.9).
    """
    plot.height = HEIGHT + _KEY_LINE * len(lines)
    for words, colour in lines:
        style: dict[str, Any] = {"text_color": colour, "text_font_style": "normal", "text_font_size": "12px", "align": "center"}
        plot.add_layout(Title(text=words, **style), "below")
