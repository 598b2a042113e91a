"""What the figures share: labels, colours, and the axes that are drawn in.

Whatever matplotlib has a parameter for is left to it: sizes of figures, colour cycle, line widths, grids and fonts are those of
`matplotlib.rcParams`. Without a cycle of one's own, series have colours that are safe for colour-blind readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREDICTIVITY_LABEL = r"shortcut predictivity $\rho_s$"
RATIO_LABEL = r"amplification ratio $\alpha_s/\alpha_c$"
BIAS_LABEL = "shortcut bias (0: Bayes optimal)"
TIME_LABEL = r"time = learning rate $\times$ steps"
SHORTCUT_LABEL, CORE_LABEL = "shortcut feature $z_s$", "core feature $z_c$"
OUTPUT_LABEL = "predicted mean output"

# Both are safe for colour-blind readers; two, so that bias and outputs are not taken for one another.
BIAS_COLOURS, OUTPUT_COLOURS = "RdBu_r", "PuOr"
# Of numbers without a middle, such as accuracies; safe too, and in grey as well.
SHARE_COLOURS = "cividis"
# Okabe and Ito's colours, safe for colour-blind readers; markers tell the same series apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")
# Which series of a figure is of the core, and which of the shortcut.
CORE, SHORTCUT = 0, 1
# What stands beside the series: the label, reference lines; readable on light and dark grounds alike.
NEUTRAL = "0.5"
# On coloured surfaces, whose middle is pale on any ground.
ON_SURFACE = "0.05"

# Parameters of training rules as figures name them.
RULE_WORDS = {"time": "time", "learning_rate": "learning rate", "steps": "steps", "strength": "ridge"}


def new_figure(size: tuple[float, float] | None = None) -> Figure:
    """An empty figure, without pyplot.

    Args:
        size: in inches where `figure.figsize` is matplotlib's own (6.4, 4.8); with another, as much larger or smaller as that
            is. None: of that size.
    """
    # Imported where it is used, here and in the figures: programs that only compute do not wait for matplotlib.
    from matplotlib import rcParams, rcParamsDefault
    from matplotlib.figure import Figure

    one, usual = (np.asarray(found["figure.figsize"], float) for found in (rcParams, rcParamsDefault))
    width, height = one if size is None else np.asarray(size) * one / usual
    return Figure(figsize=(width, height), layout="constrained")


def axes_for(
    ax: Any,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] | None = None,
    *,
    shared: dict[str, Any] | None = None,
    **ratios: Any,
) -> np.ndarray:
    """Axes (rows, columns) to draw in: those given, parts of the one given, or those of a new figure.

    Args:
        ax: None, one matplotlib axes, or as many as there are panels, in any shape and in their order. Of several panels in
            one axes its place is divided, and the axes itself is made empty.
        size: of a new figure, as in :func:`new_figure`.
        shared: `sharex` and `sharey` of panels that are made here.
        **ratios: `width_ratios` and `height_ratios` likewise.

    Raises:
        ValueError: something else than axes, another number of them, or one axes that has no place in a grid to divide.
    """
    if ax is None:
        return new_figure(size).subplots(rows, columns, squeeze=False, **(shared or {}), **ratios)
    from matplotlib.axes import Axes

    given = np.empty(1, object) if isinstance(ax, Axes) else np.asarray(ax, object).ravel()
    if isinstance(ax, Axes):
        given[0] = ax
    count = rows * columns
    allowed = "matplotlib axes: one" + (f", or {count} in order" if count > 1 else "")
    require(all(isinstance(axes, Axes) for axes in given), "ax", allowed, type(ax).__name__)
    require(given.size in (1, count), "ax", allowed, f"{given.size} of them")
    if given.size == count:
        return given.reshape(rows, columns)
    place = given[0].get_subplotspec()
    require(place is not None, "ax", f"{allowed}, made by subplots so that its place can be divided", "one without a place")
    given[0].set_axis_off()
    return place.subgridspec(rows, columns, **ratios).subplots(squeeze=False, **(shared or {}))


def root(axes: Axes) -> Figure:
    """The figure of axes; of a subfigure the one around it."""
    figure: Any = axes.figure
    return figure.figure  # get_figure has no `root` before matplotlib 3.10


def add_legend(axes: Axes, ax: Any, **options: Any) -> None:
    """The legend of one panel: outside in a figure of its own, where ax is None; else within the axes given.

    Args:
        **options: of matplotlib's legend.
    """
    options = {"frameon": False, "fontsize": "small", "handles": axes.get_legend_handles_labels()[0], **options}
    if ax is None:
        root(axes).legend(loc="outside right upper", **options)
    else:
        axes.legend(loc="best", **options)


def line_width(part: float = 1.0) -> float:
    """A part of the line width that is set."""
    from matplotlib import rcParams

    return part * float(rcParams["lines.linewidth"])


def thin_line(axes: Axes, at: float = 0.0) -> None:
    """A thin line across, behind everything."""
    axes.axhline(at, color=NEUTRAL, linewidth=line_width(0.5), zorder=0)


def series_style(index: int) -> tuple[str, str]:
    """Colour and marker of the index-th series; with the colours of this module 36 pairs differ."""
    colours = _cycle()
    turn = index // len(colours)
    return colours[index % len(colours)], _MARKERS[(index + turn) % len(_MARKERS)]


def ordered_colours(count: int) -> list[Any]:
    """Colours of series that have an order: of one's own cycle, or shades of cividis, whose lightness is ordered too, without
    its ends."""
    from matplotlib import colormaps

    own = _own_cycle()
    return [own[i % len(own)] for i in range(count)] if own else list(colormaps["cividis"](np.linspace(0.1, 0.85, count)))


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


def is_wide(values: np.ndarray) -> bool:
    """Whether positive values, sorted or not, are better shown on a logarithmic axis: they span more than a factor 20."""
    finite = bool(np.all((values > 0) & np.isfinite(values)))
    return finite and float(np.max(values)) > 20 * float(np.min(values))


def _cycle() -> tuple[str, ...]:
    return _own_cycle() or _COLOURS


def _own_cycle() -> tuple[str, ...]:
    """The colours of the cycle that is set, where it is not matplotlib's own; else none."""
    from matplotlib import rcParams, rcParamsDefault

    chosen = rcParams["axes.prop_cycle"]
    own = chosen != rcParamsDefault["axes.prop_cycle"] and "color" in chosen.keys
    return tuple(chosen.by_key()["color"]) if own else ()
