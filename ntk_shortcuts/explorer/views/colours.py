"""Colours and markers of the page, those of the package's figures: safe for colour-blind readers, and never one without the
other."""

from __future__ import annotations

from typing import NamedTuple

from bokeh.palettes import PuOr11, RdBu11, interp_palette

from ntk_shortcuts.plotting import style

INK, FAINT = "#1a1a1a", "#8a8a8a"

# From low to high as in those figures; Bokeh has the second the other way round.
BIAS = list(interp_palette(RdBu11, 255))
OUTPUT = list(interp_palette(PuOr11[::-1], 255))

# By matplotlib's names, as Bokeh has them and as a key writes them.
_MARKERS = {
    "o": ("circle", "●"),
    "s": ("square", "■"),
    "^": ("triangle", "▲"),
    "D": ("diamond", "◆"),
    "v": ("inverted_triangle", "▼"),
    "P": ("plus", "✚"),
}


class Series(NamedTuple):
    """How one of several series is drawn: `sign` stands for its marker where words do."""

    colour: str
    marker: str
    sign: str


def series(index: int) -> Series:
    """The index-th.

    Example:
        >>> series(0).marker, series(1).sign
        ('circle', '■')
    """
    colour, marker = style.series_style(index)
    return Series(colour, *_MARKERS[marker])


SHORTCUT, CORE = series(style.SHORTCUT), series(style.CORE)
