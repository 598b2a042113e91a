"""Figures of results. Nothing is computed here: predictions and maps go in, matplotlib Figures come out.

They are made without pyplot: no global state, no display needed. Save one with `figure.savefig("file.png")`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.analysis.influence import Influence
from ntk_shortcuts.analysis.spectrum import KernelSpectrum
from ntk_shortcuts.analysis.telescope import Telescope
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREDICTIVITY_LABEL = r"shortcut predictivity $\rho_s$"
RATIO_LABEL = r"amplification ratio $\alpha_s/\alpha_c$"
BIAS_LABEL = "shortcut bias (0: Bayes optimal)"
TIME_LABEL = r"time = learning rate $\times$ steps"
# Both are safe for colour-blind readers; two, so that bias and outputs are not taken for one another.
_BIAS_COLOURS, _OUTPUT_COLOURS = "RdBu_r", "PuOr"
_MAX_POINTS = 150


class Inset(NamedTuple):
    """What the second panel of a map shows: a prediction, its model, and optionally training points."""

    prediction: Prediction
    model: GenerativeModel
    dataset: Dataset | None = None


def plot_bias_map(dataset: xarray.Dataset, inset: Inset | tuple | None = None) -> Figure:
    """Bias over shortcut predictivity and amplification ratio (log axis), like the paper's Figure 2.

    Args:
        dataset: from :func:`ntk_shortcuts.bias_map`.
        inset: `Inset(prediction, model, dataset)`, or such a tuple: a second panel with the decision surface
            there; the point is marked on the map.

    Raises:
        ValueError: a data set without `bias` over exactly those two dimensions.
    """
    dimensions = {"shortcut_predictivity", "amplification_ratio"}
    fits = "bias" in getattr(dataset, "data_vars", {}) and set(dataset["bias"].dims) == dimensions
    require(
        fits,
        "dataset",
        f"from bias_map, with bias over {' and '.join(sorted(dimensions))}",
        type(dataset).__name__,
    )
    bias = dataset["bias"].transpose("shortcut_predictivity", "amplification_ratio").sortby(sorted(dimensions))
    predictivities = np.asarray(bias["shortcut_predictivity"])
    ratios = np.asarray(bias["amplification_ratio"])
    values = np.asarray(bias)

    figure = _figure((6.4, 4.8) if inset is None else (11.0, 4.8))
    panels = figure.subplots(1, 1 if inset is None else 2, squeeze=False)[0]
    axes = panels[0]
    finite = np.abs(values[np.isfinite(values)])
    limit = max(float(finite.max(initial=0.0)), 1e-3)
    mesh = axes.pcolormesh(
        np.exp(_edges(np.log(ratios))),
        _edges(predictivities),
        values,
        cmap=_BIAS_COLOURS,
        vmin=-limit,
        vmax=limit,
        rasterized=True,
    )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if min(values.shape) >= 2 and np.isfinite(values).all() and np.ptp(values) > 1e-6:
        _contours(axes, ratios, predictivities, values, limit)
    axes.set(xlabel=RATIO_LABEL, ylabel=PREDICTIVITY_LABEL)
    axes.set_title(_description(dataset.attrs), fontsize="small")
    figure.colorbar(mesh, ax=axes, label=BIAS_LABEL)
    if inset is not None:
        inset = Inset(*inset)
        alpha = np.asarray(inset.model.amplification)
        point = (float(alpha[0] / alpha[1]), float(inset.model.predictivity[0]))
        axes.plot(*point, marker="*", markersize=17, color="black", markeredgecolor="white", linestyle="none")
        surface = _draw_surface(panels[1], inset.prediction, inset.model, inset.dataset)
        panels[1].set_title(
            rf"At the star: $\rho_s={point[1]:g}$, $\alpha_s/\alpha_c={point[0]:g}$, "
            f"bias {_bias(inset.prediction):.2f}",
            fontsize="small",
        )
        figure.colorbar(surface, ax=panels[1], label="predicted mean output", extend="both")
    return figure


def plot_bias_over_time(times: Any, biases_by_ratio: Mapping[float, Any]) -> Figure:
    """Bias against training time (log axis), one line per amplification ratio.

    Args:
        times: (T,), positive and finite.
        biases_by_ratio: for each ratio alpha_s / alpha_c, the biases (T,).

    Raises:
        ValueError: times not positive, no ratio, or biases of another shape.
    """
    from matplotlib import colormaps

    times = np.asarray(times, np.float64)
    valid = times.ndim == 1 and times.size >= 1 and bool(np.all((times > 0) & np.isfinite(times)))
    require(valid, "times", "one-dimensional, positive and finite (the axis is logarithmic)", times)
    require(len(biases_by_ratio) >= 1, "biases_by_ratio", "a mapping with at least one ratio", biases_by_ratio)
    order = np.argsort(times)
    figure = _figure((6.8, 4.4))
    axes = figure.subplots()
    axes.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    ratios = sorted(biases_by_ratio, reverse=True)
    # Cividis is ordered in lightness too, so lines tell apart in grey; its palest end is left out.
    shades = colormaps["cividis"](np.linspace(0.0, 0.85, len(ratios)))
    for index, (ratio, shade) in enumerate(zip(ratios, shades, strict=True)):
        biases = np.asarray(biases_by_ratio[ratio], np.float64)
        require(
            biases.shape == times.shape,
            "biases_by_ratio",
            f"values of shape {times.shape} for ratio {ratio:g}",
            biases,
        )
        axes.plot(
            times[order],
            biases[order],
            color=shade,
            marker="osD^vPX*"[index % 8],
            markersize=4,
            linewidth=1.8,
            label=f"{ratio:g}",
        )
    axes.set_xscale("log")
    axes.set(xlabel=TIME_LABEL, ylabel=BIAS_LABEL)
    axes.grid(alpha=0.25)
    figure.legend(title=RATIO_LABEL.replace(" ratio ", "\nratio "), loc="outside right upper", frameon=False)
    return figure


def plot_decision_surface(prediction: Prediction, model: GenerativeModel, dataset: Dataset | None = None) -> Figure:
    """Predicted mean output over the latent plane, its decision boundary, and the Bayes-optimal one.

    Args:
        prediction: at the probes of a grid; of several times the last is shown.
        model: for the Bayes boundary and the class means.
        dataset: training points to show instead of the class means, if it has latents.

    Raises:
        ValueError: probes that are not a grid.
    """
    figure = _figure((6.0, 4.8))
    axes = figure.subplots()
    surface = _draw_surface(axes, prediction, model, dataset)
    axes.set_title(f"{prediction.method}: shortcut bias {_bias(prediction):.3f}", fontsize="small")
    figure.colorbar(surface, ax=axes, label="predicted mean output", extend="both")
    return figure


def _draw_surface(axes: Axes, prediction: Prediction, model: GenerativeModel, dataset: Dataset | None) -> Any:
    from matplotlib.lines import Line2D

    shortcut, core, mean = _on_grid(prediction)
    limit = min(1.0, float(np.max(np.abs(mean)))) or 1.0
    surface = axes.pcolormesh(
        _edges(shortcut), _edges(core), mean.T, cmap=_OUTPUT_COLOURS, vmin=-limit, vmax=limit, rasterized=True
    )
    frame = ((shortcut[0], shortcut[-1]), (core[0], core[-1]))
    if np.min(mean) < 0 < np.max(mean):
        axes.contour(shortcut, core, mean.T, levels=[0.0], colors="black", linewidths=2.2)
    # The line w . z = 0 through the origin, long enough to leave the frame.
    normal = np.asarray(model.bayes_direction)
    if np.any(normal != 0):
        along = np.array([-normal[1], normal[0]]) / np.hypot(*normal) * np.hypot(shortcut[-1], core[-1]) * 2
        axes.plot([-along[0], along[0]], [-along[1], along[1]], color="black", linestyle="--", linewidth=1.6)
    handles = [
        Line2D([], [], color="black", linewidth=2.2, label="predicted boundary"),
        Line2D([], [], color="black", linestyle="--", linewidth=1.6, label="Bayes boundary"),
    ]
    show_points = dataset is not None and dataset.latents is not None
    # Black and white stand out from every colour of the surface; the shape tells the class as well.
    for label, colour, edge, shape in ((1, "white", "black", "o"), (-1, "black", "white", "^")):
        if show_points:
            points = np.asarray(dataset.latents)[np.asarray(dataset.labels) == label][: _MAX_POINTS // 2]
            style = {"markersize": 4.5, "markeredgewidth": 0.7}
            name = f"class {label:+d}"
        else:
            points = label * np.asarray(model.means)[None, :]
            style = {"markersize": 10, "markeredgewidth": 1.0}
            name = f"mean of class {label:+d}"
        (line,) = axes.plot(
            *points.T,
            marker=shape,
            color=colour,
            markeredgecolor=edge,
            linestyle="none",
            label=name,
            **style,
        )
        handles.append(line)
    axes.set(xlim=frame[0], ylim=frame[1], xlabel="shortcut feature $z_s$", ylabel="core feature $z_c$")
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=2,
        fontsize="small",
        frameon=False,
    )
    return surface


def _contours(axes: Axes, ratios: np.ndarray, predictivities: np.ndarray, values: np.ndarray, limit: float) -> None:
    from matplotlib.ticker import MaxNLocator

    levels = MaxNLocator(nbins=9, symmetric=True).tick_values(-limit, limit)
    levels = levels[(levels > values.min()) & (levels < values.max())]
    if not levels.size:
        return
    widths = [2.0 if abs(level) < 1e-12 else 0.8 for level in levels]
    # Dark lines on the saturated ends vanish, light ones on the pale middle do.
    colours = ["white" if abs(level) > 0.65 * limit else "black" for level in levels]
    lines = axes.contour(ratios, predictivities, values, levels=levels, colors=colours, linewidths=widths, linestyles="solid")
    axes.clabel(lines, fontsize="small", fmt="%g")


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=150, layout="constrained")


def _edges(centres: np.ndarray) -> np.ndarray:
    """Borders of cells around sorted centres; a single centre gets a cell of width 0.1."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.05, 0.05])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[centres[0] - (middle[0] - centres[0])], middle, [2 * centres[-1] - middle[-1]]])


def _on_grid(prediction: Prediction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes of the probe grid, and the mean over (shortcut, core)."""
    probes, mean = np.asarray(prediction.probes), np.asarray(prediction.mean)
    mean = mean if mean.ndim == 1 else mean[-1]
    # Opposite ends may differ in the last bit; rounding merges them.
    keys = np.round(probes, 9)
    shortcut, core = np.unique(keys[:, 0]), np.unique(keys[:, 1])
    full = len(shortcut) * len(core) == len(probes) and min(len(shortcut), len(core)) >= 2
    require(full, "prediction.probes", "a full grid, as model.probe_grid() is", probes)
    return shortcut, core, mean[np.lexsort((keys[:, 1], keys[:, 0]))].reshape(len(shortcut), len(core))


def _bias(prediction: Prediction) -> float:
    return float(np.asarray(prediction.bias).reshape(-1)[-1])


def _description(attributes: Mapping[str, Any]) -> str:
    """What the map holds fixed, as far as its attributes say."""
    symbols = {
        "core_predictivity": r"$\rho_c$",
        "core_amplification": r"$\alpha_c$",
        "correlation": r"$\sigma$",
    }
    fixed = [f"{symbol} = {float(attributes[name]):g}" for name, symbol in symbols.items() if name in attributes]
    words = {
        "depth": "depth",
        "time": "time",
        "learning_rate": "learning rate",
        "steps": "steps",
        "strength": "ridge",
    }
    run = [f"{word} {float(attributes[name]):g}" for name, word in words.items() if name in attributes]
    if isinstance(attributes.get("activation"), str):
        run.insert(1, attributes["activation"])
    if attributes.get("num_samples", "none") != "none":
        run.append(f"N = {int(attributes['num_samples'])}")
    run.extend([attributes["method"]] if "method" in attributes else [])
    return "\n".join(", ".join(part) for part in (fixed, run) if part)


def plot_spectrum(spectrum: KernelSpectrum) -> Figure:
    """Learning times of the odd eigenfunctions with their alignments, and the four that are learnt first over the plane."""
    figure = _figure((11.0, 4.6))
    grid = figure.add_gridspec(2, 4, width_ratios=(1.2, 1.2, 1, 1))
    axes = figure.add_subplot(grid[:, :2])
    odd = np.asarray(spectrum.odd)
    times = np.asarray(spectrum.learning_times)[odd]
    series = {
        r"shortcut, sign $z_s$": (np.asarray(spectrum.shortcut_alignments)[odd], "o", "#b2182b"),
        r"core, sign $z_c$": (np.asarray(spectrum.core_alignments)[odd], "s", "#2166ac"),
        r"target, $c_i$": (np.asarray(spectrum.target_coefficients)[odd], "^", "black"),
    }
    for label, (values, marker, colour) in series.items():
        axes.vlines(times, 0, np.abs(values), colour, lw=0.8, alpha=0.5)
        axes.plot(times, np.abs(values), marker, color=colour, label=label, fillstyle="none", ms=7)
    axes.set(
        xscale="log",
        xlabel=r"learning time $1/\lambda_i$ (learning rate $\times$ steps)",
        ylabel="size of the overlap with eigenfunction $i$",
        ylim=(0, None),
        title="odd eigenfunctions, which carry the target",
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    probes = np.asarray(spectrum.probes)
    for place, mode in enumerate(np.flatnonzero(odd)[:4]):
        panel = figure.add_subplot(grid[place // 2, 2 + place % 2])
        values = np.asarray(spectrum.eigenfunctions[mode])
        limit = np.max(np.abs(values))
        panel.tricontourf(*probes.T, values, levels=np.linspace(-limit, limit, 15), cmap=_OUTPUT_COLOURS)
        panel.set_title(rf"$1/\lambda={float(spectrum.learning_times[mode]):.3g}$", fontsize=9)
        panel.set_aspect("equal")
        panel.tick_params(labelsize=7)
        if place >= 2:
            panel.set_xlabel("$z_s$", fontsize=8)
        if place % 2 == 0:
            panel.set_ylabel("$z_c$", fontsize=8)
    return figure


def plot_influence(result: Influence) -> Figure:
    """Effect of one training point on the bias over the latent plane, for each label and on average."""
    figure = _figure((11.0, 3.9))
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    limit = max(float(np.max(np.abs(values))) for values in (result.positive, result.negative))
    titles = {"labelled +1": result.positive, "labelled -1": result.negative, "averaged over labels": result.expected}
    latents = np.asarray(result.latents)
    for panel, (title, values) in zip(panels, titles.items(), strict=True):
        bound = max(float(np.max(np.abs(values))), 1e-12) if title.startswith("averaged") else limit
        drawn = panel.tricontourf(*latents.T, np.asarray(values), levels=np.linspace(-bound, bound, 21), cmap=_BIAS_COLOURS)
        panel.tricontour(*latents.T, np.asarray(result.density), levels=4, colors="black", linewidths=0.5, alpha=0.5)
        panel.set(title=title, xlabel="shortcut feature $z_s$")
        ticks = np.linspace(-bound, bound, 5)
        figure.colorbar(drawn, ax=panel, ticks=ticks, format="%.2g", label="change of the bias by one training point")
    panels[0].set_ylabel("core feature $z_c$")
    return figure


# Okabe and Ito's colours, safe for colour-blind readers; markers tell the same series apart.
_SERIES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"))


class Scatter(NamedTuple):
    """One panel of :func:`plot_agreement`: predicted and trained biases (n,), errors of the latter, times and depths."""

    title: str
    predicted: np.ndarray
    trained: np.ndarray
    errors: np.ndarray
    times: np.ndarray
    depths: np.ndarray


def plot_agreement(panels: Sequence[Scatter]) -> Figure:
    """Trained against predicted bias, one panel for each prediction; colours are times, markers depths."""
    figure = _figure((4.1 * len(panels), 4.4))
    ends = np.concatenate([values for panel in panels for values in (panel.predicted, panel.trained)])
    low, high = float(ends.min()) - 0.1, float(ends.max()) + 0.1
    times, depths = (sorted({v for panel in panels for v in getattr(panel, name)}) for name in ("times", "depths"))
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
        for i, time in enumerate(times):
            for j, depth in enumerate(depths):
                chosen = (panel.times == time) & (panel.depths == depth)
                points = (panel.predicted[chosen], panel.trained[chosen], panel.errors[chosen])
                style = {"color": _SERIES[i % 6][0], "marker": _SERIES[j % 6][1]}
                axes.errorbar(*points, linestyle="none", markersize=5, fillstyle="none", elinewidth=0.9, **style)
        axes.set(xlabel="predicted shortcut bias", xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set_title(panel.title, fontsize="small")
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("mean bias of the trained networks")
    from matplotlib.lines import Line2D

    colours = [Line2D([], [], color=_SERIES[i % 6][0], lw=3, label=f"t = {time:g}") for i, time in enumerate(times)]
    shapes = [
        Line2D([], [], color="black", marker=_SERIES[j % 6][1], fillstyle="none", lw=0, label=f"depth {depth}")
        for j, depth in enumerate(depths)
    ]
    handles = [*colours, *shapes]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize="small", frameon=False)
    return figure


class Gaps(NamedTuple):
    """Gaps (n,) with their errors, 0 where noise hides them; a fitted (scale, exponent) or None; whether to join the points."""

    label: str
    at: np.ndarray
    gaps: np.ndarray
    errors: np.ndarray
    fit: tuple[float, float] | None = None
    joined: bool = False


def plot_gaps(panels: Mapping[str, Sequence[Gaps]], xlabel: str, base: int = 10) -> Figure:
    """Gaps between prediction and training on logarithmic axes, one panel for each title, with fitted power laws.

    Points at or below 0 are not drawn. `base` is that of the ticks of the horizontal axis.
    """
    figure = _figure((5.6 * len(panels), 4.4))
    for axes, (title, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for (colour, marker), line in zip(_SERIES, series, strict=False):
            seen = np.asarray(line.gaps) > 0
            at, gaps, errors = (np.asarray(values)[seen] for values in (line.at, line.gaps, line.errors))
            # A bar that would reach 0 stops short of it.
            bars = np.stack([np.minimum(errors, 0.9 * gaps), errors])
            style = {"color": colour, "marker": marker, "fillstyle": "none", "elinewidth": 0.9}
            axes.errorbar(at, gaps, bars, linestyle="-" if line.joined else "none", label=line.label, **style)
            if line.fit:
                scale, exponent = line.fit
                ends = np.array([min(line.at), max(line.at)], float)
                axes.plot(ends, scale * ends**exponent, color=colour, linewidth=1.2)
        axes.set_xscale("log", base=base)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set(yscale="log", xlabel=xlabel)
        axes.set_title(title, fontsize="small")
        axes.grid(alpha=0.25)
        axes.legend(fontsize="small", frameon=False)
    figure.axes[0].set_ylabel("gap between training and prediction")
    return figure


class Surfaces(NamedTuple):
    """One row of :func:`plot_surfaces`: outputs (probes,) on the probe grid of a model."""

    title: str
    model: GenerativeModel
    predicted: np.ndarray
    trained: np.ndarray


def plot_surfaces(rows: Sequence[Surfaces]) -> Figure:
    """Predicted and trained mean output side by side, with their decision boundaries and the Bayes-optimal one."""
    figure = _figure((7.6, 3.5 * len(rows)))
    panels = figure.subplots(len(rows), 2, squeeze=False)
    for row, pair in zip(rows, panels, strict=True):
        limit = min(1.0, float(np.max(np.abs([row.predicted, row.trained])))) or 1.0
        for axes, name in zip(pair, ("predicted", "trained"), strict=True):
            probes, values = np.asarray(row.model.probe_grid()), np.asarray(getattr(row, name))
            size = int(np.sqrt(len(probes)))
            grid = [array.reshape(size, size) for array in (probes[:, 0], probes[:, 1], values)]
            mesh = axes.pcolormesh(*grid, cmap=_OUTPUT_COLOURS, vmin=-limit, vmax=limit, rasterized=True)
            axes.contour(*grid, levels=[0.0], colors="black", linewidths=2.0)
            normal = np.asarray(row.model.bayes_direction)
            along = np.array([-normal[1], normal[0]]) * 10
            axes.plot([-along[0], along[0]], [-along[1], along[1]], color="black", linestyle="--", linewidth=1.3)
            axes.set(xlim=probes[[0, -1], 0], ylim=probes[[0, -1], 1], xlabel="shortcut feature $z_s$")
            axes.set_title(f"{name}: {row.title}", fontsize="x-small")
        pair[0].set_ylabel("core feature $z_c$")
        figure.colorbar(mesh, ax=list(pair), label="mean output", extend="both")
    return figure


def plot_telescope(results: Mapping[str, Telescope], frozen: Mapping[str, Prediction] | None = None) -> Figure:
    """Bias over training time, trained and telescoped, above the movement of the kernel; one column per network.

    Args:
        results: from :func:`ntk_shortcuts.telescope`, by title.
        frozen: by the same titles, predictions of the infinitely wide network at the times after 0.

    Raises:
        ValueError: no result, or a prediction at other times.
    """
    from matplotlib import colormaps

    require(len(results) >= 1, "results", "a mapping with at least one Telescope", results)
    figure = _figure((5.2 * len(results) + 1.0, 5.8))
    grid = figure.subplots(2, len(results), sharex="col", sharey="row", squeeze=False, height_ratios=(3, 2))
    for (upper, lower), (title, result) in zip(grid.T, results.items(), strict=True):
        times = result.times[1:]
        upper.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
        shades = colormaps["cividis"](np.linspace(0.9, 0.25, len(result.segments)))
        markers = itertools.cycle("sD^vPX*")
        for segments, biases, shade, marker in zip(result.segments, result.telescoped_bias, shades, markers, strict=False):
            label = "own kernel, frozen" if segments == 1 else f"telescoped, {segments} segments"
            upper.plot(times, biases[1:], marker=marker, markersize=3, color=shade, linewidth=1.4, label=label)
        if frozen is not None and title in frozen:
            biases = np.asarray(frozen[title].bias)
            require(biases.shape == times.shape, "frozen", f"at {len(times)} times, those of the result", biases)
            upper.plot(times, biases, ":", color="#b2182b", linewidth=1.7, label="infinite width, frozen")
        upper.plot(times, result.trained_bias[1:], "o", color="black", markersize=4, label="trained", fillstyle="none")
        upper.set(xscale="log", title=title)
        for values, label, colour, style in (
            (result.kernel_change, "relative change", "#b2182b", "-"),
            (result.kernel_alignment, "alignment with initial kernel", "#2166ac", "--"),
            (result.target_alignment, "alignment with target", "black", "-."),
        ):
            lower.plot(times, values[1:], style, color=colour, label=label)
        lower.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
        lower.set(xlabel=TIME_LABEL, yscale="log")
        for panel in (upper, lower):
            panel.grid(alpha=0.25)
    grid[0, 0].set_ylabel(BIAS_LABEL)
    grid[1, 0].set_ylabel(r"kernel $\Theta_t$")
    for axes in grid[:, -1]:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="small")
    return figure


def plot_release_times(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Time of release against the core's amplification, one panel a depth: networks of finite width, and the frozen kernel.

    Args:
        records: with `depth`, `width`, `core` (alpha_c), and the times `release` and `frozen_release` (None: later).

    Raises:
        ValueError: no record.
    """
    require(len(records) >= 1, "records", "at least one", records)
    figure = _figure((9.0, 3.6))
    depths, widths = (sorted({r[name] for r in records}) for name in ("depth", "width"))
    for axes, depth in zip(figure.subplots(1, len(depths), sharey=True, squeeze=False)[0], depths, strict=True):
        for (colour, marker), width in zip(_SERIES, widths, strict=False):
            for name, line in (("release", "-"), ("frozen_release", ":")):
                found = sorted((r["core"], r[name]) for r in records if (r["depth"], r["width"]) == (depth, width) and r[name])
                points = np.array(found).reshape(-1, 2).T
                label = f"width {width}" if name == "release" else None
                axes.plot(*points, line, color=colour, marker=marker, markersize=5, label=label)
        axes.set(xscale="log", yscale="log", xlabel=r"core amplification $\alpha_c$", title=f"depth {depth}")
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("time of release")
    figure.axes[0].plot([], [], ":", color="black", label="frozen kernel")
    figure.axes[0].legend(frameon=False, fontsize="small")
    return figure
