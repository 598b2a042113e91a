"""Trained networks as a figure: each of them, and their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.numbers import axis_label, number_label
from ntk_shortcuts.plotting.style import axes_for, is_wide, line_width, root, series_style, thin_line
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_networks(values: Any, errors: Any, along: tuple[str, Any] | None, name: str = "bias", ax: Any = None) -> Figure:
    """A number of trained networks: thin lines or small points are single ones, thick ones their mean with its standard error.

    Args:
        values: (*T, D, I), of I networks on each of D data sets.
        errors: (*T), the standard error of their mean; NaN where there is none.
        along: name of the axis T and its values (T,); None without one, and then data sets stand side by side.
        name: of the number.
        ax: axes to draw in; by default those of a new figure.

    Raises:
        ValueError: values of another shape.
    """
    values, errors = np.asarray(values, float), np.atleast_1d(np.asarray(errors, float))
    require(values.ndim == 2 + (along is not None), "values", "of shape (T, D, I), or (D, I) without an axis", values)
    axes = axes_for(ax)[0, 0]
    thin_line(axes)
    single, mean = series_style(5)[0], series_style(0)[0]
    if along is None:
        at = np.repeat(np.arange(1, 1 + values.shape[0]), values.shape[1])
        axes.plot(at, values.ravel(), ".", color=single)
        axes.axhline(values.mean(), color=mean)
        low, high = values.mean() - np.nan_to_num(errors[0]), values.mean() + np.nan_to_num(errors[0])
        axes.axhspan(low, high, color=mean, alpha=0.2, lw=0)
        axes.set(xlabel="data set", xticks=np.unique(at))
    else:
        label, at = axis_label(along[0]), np.asarray(along[1], float)
        axes.plot(at, values.reshape(len(at), -1), color=single, lw=line_width(0.4), alpha=0.6)
        axes.errorbar(at, values.mean(axis=(1, 2)), np.nan_to_num(errors), fmt="o-", ms=4, color=mean)
        axes.set(xlabel=label, xscale="log" if is_wide(at) else "linear")
    axes.set_ylabel(number_label(name))
    return root(axes)
