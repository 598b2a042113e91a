"""A number against the samples of a data set, with the power law by which it tends to its limit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.analysis.learning_curve import LearningCurve
from ntk_shortcuts.plotting.style import new_figure, series_style, signed
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Points of a fitted line, which a logarithmic axis needs two of.
_LINE = 2


def plot_learning_curve(
    curves: LearningCurve | Mapping[str, LearningCurve],
    measured: Mapping[int, tuple[Any, Any]] | None = None,
    distance: bool = False,
    label: str = "value",
    ax: Axes | None = None,
) -> Figure:
    """Values against N, each with its limit dotted; or their distances from it, where a power law is a line. Label D14.4.

    The legend has each exponent with its error, and the theory's beside.

    Args:
        curves: one, or several by name; of a curve with axes there is a line for each group or shortcut.
        measured: of one curve, values and standard errors by number of samples, shaped like the curve's limit: those of
            trained networks for instance.
        distance: draw |value - limit| with both axes logarithmic, and the fitted power laws.
        label: of the vertical axis.
        ax: matplotlib axes to draw in; by default those of a new figure.

    Raises:
        ValueError: no curve; measured values beside several curves, or of another shape.

    Example:
        >>> from ntk_shortcuts.analysis import spectral_learning_curve
        >>> i = np.arange(1.0, 2001.0)
        >>> curve = spectral_learning_curve(i**-1.5, i**-1.1, [50, 100, 200, 400])
        >>> figure = plot_learning_curve(curve, distance=True, label="test error")
        >>> figure.axes[0].get_xscale(), figure.axes[0].get_yscale()
        ('log', 'log')
    """
    named = {"": curves} if isinstance(curves, LearningCurve) else dict(curves)
    require(bool(named), "curves", "at least one", named)
    require(measured is None or len(named) == 1, "measured", "None beside several curves", measured)
    axes = new_figure((5.6, 3.8)).subplots() if ax is None else ax
    for number, (name, curve, entry) in enumerate(_lines(named)):
        colour, marker = series_style(number)
        at, limit = curve.num_samples, curve.limit[entry]
        values = curve.values[(slice(None), *entry)]
        if distance:
            values = np.abs(values - limit)
            axes.plot(*_power_law(at, values, curve.exponent[entry]), color=colour, linewidth=1.2)
        else:
            axes.axhline(limit, color=colour, linestyle=":", linewidth=1)
        style = {"marker": marker, "linestyle": "none" if distance else "-", "linewidth": 1.4}
        axes.plot(at, values, color=colour, markersize=4, label=_legend(name, curve, entry), **style)
        for count, (mean, error) in (measured or {}).items():
            mean, error = (np.asarray(part, float) for part in (mean, error))
            require(mean.shape == curve.limit.shape, "measured", f"of shape {curve.limit.shape}", mean)
            height = np.abs(mean[entry] - limit) if distance else mean[entry]
            axes.errorbar(count, height, error[entry], color=colour, marker=marker, markerfacecolor="white", capsize=2)
    axes.set(
        xscale="log", xlabel="training samples $N$", ylabel=f"distance of the {label} from its limit" if distance else label
    )
    if distance:
        axes.set_yscale("log")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small")
    # Of a subfigure the figure around it; get_figure has no `root` before matplotlib 3.10.
    figure: Any = axes.figure
    return figure.figure


def _lines(named: Mapping[str, LearningCurve]) -> Iterator[tuple[str, LearningCurve, tuple[int, ...]]]:
    """Every entry of every curve, with its words."""
    for name, curve in named.items():
        for entry in itertools.product(*[range(size) for size in curve.limit.shape]):
            axes = zip(curve.axes.items(), entry, strict=True)
            places = [f"{axis} {signed(at[i], np.asarray(at))}" for (axis, at), i in axes]
            yield ", ".join([name, *places] if name else places), curve, entry


def _legend(name: str, curve: LearningCurve, entry: tuple[int, ...]) -> str:
    exponent, error = curve.exponent[entry], curve.exponent_error[entry]
    if not np.isfinite(exponent):
        return name or "no power law resolved"
    beside = "" if curve.theory is None else f" (theory {curve.theory:.3g})"
    return f"{name}: " * bool(name) + f"exponent {exponent:.2f} ± {error:.2f}{beside}"


def _power_law(at: np.ndarray, values: np.ndarray, exponent: Any) -> tuple[np.ndarray, np.ndarray]:
    """The fitted line through the middle of what is positive."""
    kept = values > 0
    middle = np.mean(np.log(values[kept]) + exponent * np.log(at[kept])) if kept.any() else np.nan
    ends = np.geomspace(at[0], at[-1], _LINE)
    return ends, np.exp(middle) * ends**-exponent
