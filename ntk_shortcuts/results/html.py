"""Results in notebooks: a small table beside a small figure, in the colours of the page, light or dark."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

# Inches; and what matplotlib draws in black takes the colour of the page's text.
_SIZE = (3.6, 2.7)
_BLACK = re.compile(r"#000000\b")


def page(title: str, rows: Mapping[str, str], draw: Callable[[Any], Any]) -> str:
    """A table of names and values, and the figure that `draw(axes)` makes, as one piece of HTML without style sheets.

    Example:
        >>> found = page("Result", {"bias": "0.5"}, lambda axes: axes.plot([0, 1]))
        >>> "<th" in found and "<svg" in found and "currentColor" in found
        True
    """
    cells = "".join(
        f'<tr><th style="text-align:left;padding:0 1em 0 0;font-weight:normal">{html.escape(name.replace("_", " "))}</th>'
        f'<td style="text-align:right">{html.escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    table = f'<table style="margin:0;border-collapse:collapse">{cells}</table>'
    boxes = f"<div><strong>{html.escape(title)}</strong>{table}</div><div>{figure_svg(draw)}</div>"
    return f'<div style="display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start">{boxes}</div>'


def figure_svg(draw: Callable[[Any], Any]) -> str:
    """A small figure as SVG, on a transparent ground, its text and frame in the colour of the text around it."""
    # Imported here: most results are never shown so. No pyplot, whose state is global.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    draw(axes)
    for panel in figure.axes:
        _make_small(panel)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    # Without the XML declaration and the date, so that the same result gives the same text but for identifiers.
    # matplotlib's style sheet would hold for the whole page; what it says stands in the first element.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text[text.index("<svg") :], flags=re.S)
    return _BLACK.sub("currentColor", _filled(text))


def _filled(svg: str) -> str:
    """Text has no colour of its own in matplotlib's SVG, and is black by default: it takes that of the page."""
    return svg.replace("<svg ", '<svg fill="currentColor" stroke-linejoin="round" stroke-linecap="butt" ', 1)


def _make_small(axes: Any) -> None:
    """Fonts for a figure of half the usual size."""
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_fontsize("x-small")
    axes.tick_params(which="both", labelsize="xx-small")
    legend = axes.get_legend()
    if legend is not None:
        for text in legend.get_texts():
            text.set_fontsize("xx-small")
