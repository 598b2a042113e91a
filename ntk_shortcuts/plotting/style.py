"""What the figures share: labels, colours, and how a figure is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREDICTIVITY_LABEL = r"shortcut predictivity $\rho_s$"
RATIO_LABEL = r"amplification ratio $\alpha_s/\alpha_c$"
BIAS_LABEL = "shortcut bias (0: Bayes optimal)"
TIME_LABEL = r"time = learning rate $\times$ steps"
SHORTCUT_LABEL, CORE_LABEL = "shortcut feature $z_s$", "core feature $z_c$"
OUTPUT_LABEL = "predicted mean output"

# Both are safe for colour-blind readers; two, so that bias and outputs are not taken for one another.
BIAS_COLOURS, OUTPUT_COLOURS = "RdBu_r", "PuOr"
# Near the ends of the first, for lines.
RED, BLUE = "#b2182b", "#2166ac"
# Okabe and Ito's colours, safe for colour-blind readers; markers tell the same series apart.
_SERIES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"))

# Parameters of training rules as figures name them.
RULE_WORDS = {"time": "time", "learning_rate": "learning rate", "steps": "steps", "strength": "ridge"}


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure, size in inches, without pyplot."""
    # Imported where it is used, here and in the figures: programs that only compute do not wait for matplotlib.
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=150, layout="constrained")


def series_style(index: int) -> tuple[str, str]:
    """Colour and marker of the index-th series; 36 pairs differ."""
    turn = index // len(_SERIES)
    return _SERIES[index % len(_SERIES)][0], _SERIES[(index + turn) % len(_SERIES)][1]


def signed(value: Any, among: np.ndarray) -> str:
    """A label or an attribute's value as figures write it: with its sign where all are -1 or +1."""
    signs = {-1: "\N{MINUS SIGN}1", 1: "+1"}
    return signs.get(int(value), str(int(value))) if set(np.unique(among)) <= signs.keys() else str(int(value))


def cell_edges(centres: np.ndarray) -> np.ndarray:
    """Borders of cells around sorted centres; a single centre gets a cell of width 0.1."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.05, 0.05])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[centres[0] - (middle[0] - centres[0])], middle, [2 * centres[-1] - middle[-1]]])
