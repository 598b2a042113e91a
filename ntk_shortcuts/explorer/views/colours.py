"""Colours of the page, those of the package's figures: safe for colour-blind readers, and never the only thing that tells."""

from __future__ import annotations

from bokeh.palettes import PuOr11, RdBu11, interp_palette

from ntk_shortcuts.plotting.style import BLUE, RED

SHORTCUT, CORE = RED, BLUE
INK, FAINT = "#1a1a1a", "#8a8a8a"

# From low to high as in those figures; Bokeh has the second the other way round.
BIAS = list(interp_palette(RdBu11, 255))
OUTPUT = list(interp_palette(PuOr11[::-1], 255))
