"""Accuracy of every group against training time or training samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import TIME_LABEL, add_legend, axes_for, line_width, root, series_style, signed, thin_line
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Labels, and whether the axis is logarithmic.
_AXES = {
    "time": (TIME_LABEL, True),
    "num_samples": ("training samples $N$", True),
    "agreement": ("agreement of attribute and label", False),
    "strength": ("ridge", True),
}


def plot_group_curves(predicted: Any, ensemble: Any = None, ax: Any = None, x: str = "time") -> Figure:
    """Accuracy of each group of test samples against time (log axis) or the number of training samples.

    Lines are predictions, solid where every attribute equals the label; the wide grey one follows the worst group. Points are
    means over trained networks, with standard errors.

    Args:
        predicted: a `Prediction` on a pool at several times; predictions by number, {50: ..., 100: ...}; or what `sweep`
            returned for a pool, with one value of every axis but `x` (`result.sel(agreement=0.9)`).
        ensemble: trained networks to set beside, what `train_ensemble(pool, ...)` returned; several in a list, for `x` other
            than "time" by number, {50: ..., 100: ...}.
        ax: matplotlib axes to draw in; by default those of a new figure.
        x: "time", "num_samples", "agreement" or "strength".

    Returns:
        The figure.

    Raises:
        ValueError: an unknown `x`, predictions without groups or without that axis, other axes with several values, values that
            a logarithmic axis cannot show.

    Example:
        >>> import jax
        >>> from ntk_shortcuts import MLP, GradientFlow, predict
        >>> from ntk_shortcuts.laws.pool import Pool
        >>> inputs, labels = jax.random.normal(jax.random.key(0), (80, 5)), [-1, 1] * 40
        >>> pool, test = Pool(inputs, labels, [-1] * 40 + [1] * 40).split(jax.random.key(1), 0.5)
        >>> p = predict(pool, MLP(1), GradientFlow([1.0, 10.0]), num_samples=20, test=test)
        >>> [text.get_text() for text in plot_group_curves(p).legends[0].get_texts()][:2]
        ['label −1, attribute −1', 'label −1, attribute +1']
    """
    require(x in _AXES, "x", f"one of {', '.join(_AXES)}", x)
    label, logarithmic = _AXES[x]
    curves = _curves(predicted, x, logarithmic)
    points = _points(ensemble, x)
    axes = axes_for(ax)[0, 0]
    at = curves[x].values
    thin_line(axes, 0.5)
    worst = curves.min([dim for dim in curves.dims if dim != x])
    halo = {"color": "0.5", "alpha": 0.35, "linewidth": line_width(5), "solid_capstyle": "round", "zorder": 0.5}
    axes.plot(at, worst.values, marker="o" if len(at) == 1 else None, markersize=12, label="worst group", **halo)
    for index, (name, agrees, group) in enumerate(_groups(curves)):
        colour, marker = series_style(index)
        line = curves.sel(group)
        if bool(np.isnan(line).all()):
            continue
        dashes = "-" if agrees else (0, (5, 2))
        single = marker if len(at) == 1 else None
        axes.plot(at, line.values, color=colour, linestyle=dashes, marker=single, label=name)
        for means, errors in points:
            style = {"color": colour, "marker": marker, "markerfacecolor": "white", "markersize": 5, "capsize": 2}
            where, mean, error = means[x].values, means.sel(group).values, errors.sel(group).values
            axes.errorbar(where, mean, error, linestyle="none", elinewidth=line_width(0.7), zorder=3, **style)
    if logarithmic:
        axes.set_xscale("log")
    if len(at) <= (4 if x == "time" else 8):
        # Numbers that were chosen, of which powers of ten say little.
        axes.set_xticks(at, [f"{value:g}" for value in at])
        axes.set_xticks([], minor=True)
    axes.set(xlabel=label, ylabel="accuracy in the group", ylim=(-0.03, 1.03))
    _legend(axes, ax, bool(points))
    return root(axes)


def group_dims(dims: Any) -> tuple[str, ...]:
    """Those that tell groups apart, which come last: the label and attributes, or the number of the cluster.

    Example:
        >>> group_dims(("time", "label", "background")), group_dims(("cluster",)), group_dims(("time",))
        (('label', 'background'), ('cluster',), ())
    """
    names = tuple(dims)  # of a data set of xarray's they are a mapping
    first = next((names.index(name) for name in ("label", "cluster") if name in names), len(names))
    return names[first:]


def _legend(axes: Axes, ax: Any, trained: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    # The grey line was drawn first, below the others.
    handles = [*handles[1:], handles[0]]
    if trained:
        style = {"marker": "o", "markerfacecolor": "white", "markersize": 5}
        handles.append(Line2D([], [], color="0.3", lw=0, label="trained networks\n± standard error", **style))
    add_legend(axes, ax, handles=handles)


def _groups(curves: xarray.DataArray) -> Iterator[tuple[str, bool, dict[Any, int]]]:
    """Of each group its words, whether every attribute equals the label, and where it lies."""
    names = group_dims(curves.dims)
    values = [curves[name].values for name in names]
    for group in itertools.product(*values):
        words = (f"{name} {signed(value, among)}" for name, value, among in zip(names, group, values, strict=True))
        yield ", ".join(words), all(value == group[0] for value in group[1:]), dict(zip(names, group, strict=True))


def _curves(predicted: Any, x: str, logarithmic: bool) -> xarray.DataArray:
    """Group accuracies (x, label, attributes), in the order of x."""
    if isinstance(predicted, Mapping) and not hasattr(predicted, "data_vars"):
        require(len(predicted) >= 1, "predicted", "a mapping with at least one prediction", predicted)
        found = _stacked({value: _group_accuracy(p) for value, p in predicted.items()}, x)
    else:
        found = _group_accuracy(predicted)
    allowed = f"with the axis {x}: of a rule or a sweep with several, or predictions by number, {{1.0: ..., 10.0: ...}}"
    require(x in found.dims, "predicted", allowed, f"axes {', '.join(map(str, found.dims))}")
    groups = group_dims(found.dims)
    others = [dim for dim in found.dims if dim != x and dim not in groups]
    several = {dim: found.sizes[dim] for dim in others if found.sizes[dim] > 1}
    require(not several, "predicted", f"with one value of every axis but {x}: select some with .sel", several)
    values = np.asarray(found[x])
    valid = not logarithmic or bool(np.all((values > 0) & np.isfinite(values)))
    require(valid, "predicted", f"of {x} positive and finite (the axis is logarithmic)", values)
    return found.squeeze(others, drop=True).transpose(x, *groups).sortby(x)


def _points(ensemble: Any, x: str) -> list[tuple[xarray.DataArray, xarray.DataArray]]:
    """Means and standard errors of each ensemble, (x, label, attributes)."""
    if ensemble is None:
        return []
    if isinstance(ensemble, Mapping):
        pairs = [{v: getattr(e, name) for v, e in ensemble.items()} for name in ("mean_group_accuracy", "standard_error")]
        return [(_stacked(pairs[0], x), _stacked(pairs[1], x))]
    found = []
    for trained in ensemble if isinstance(ensemble, list | tuple) else [ensemble]:
        known = all(hasattr(trained, name) for name in ("mean_group_accuracy", "standard_error", "times", "samples"))
        require(known, "ensemble", "of networks trained on a pool, by train_ensemble(pool, ...)", type(trained).__name__)
        at = {"time": trained.times, "num_samples": trained.samples.shape[-1]}
        require(x in at, "ensemble", f"a mapping from each {x} to its ensemble", type(ensemble).__name__)
        means, errors = trained.mean_group_accuracy, trained.standard_error
        if x not in means.dims:
            means, errors = (_stacked({float(at[x]): values}, x) for values in (means, errors))
        found.append((means, errors))
    return found


def _stacked(by_number: Mapping[Any, xarray.DataArray], x: str) -> xarray.DataArray:
    import xarray

    several = {value: found.dims for value, found in by_number.items() if group_dims(found.dims) != found.dims}
    require(not several, "predicted and ensemble", f"at one time each where they are by {x}", several)
    return xarray.concat(list(by_number.values()), xarray.IndexVariable(x, np.asarray(list(by_number), float)))


def _group_accuracy(predicted: Any) -> xarray.DataArray:
    # A data set of xarray's has its variables as attributes too.
    found = getattr(predicted, "group_accuracy", predicted)
    allowed = "a Prediction on a pool, predictions by number, or a sweep of a pool with group_accuracy"
    require(bool(group_dims(getattr(found, "dims", ()))), "predicted", allowed, type(predicted).__name__)
    return found
