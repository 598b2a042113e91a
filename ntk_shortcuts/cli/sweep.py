"""`ntk-shortcuts sweep`: the bias over a grid of any axes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.answer import Answer, frame
from ntk_shortcuts.cli.engine import sweep_engine
from ntk_shortcuts.cli.options import (
    DATA_SUFFIXES,
    SUFFIXES,
    FileOptions,
    JsonOption,
    LawOptions,
    MethodOptions,
    NetworkOptions,
    RuleOptions,
    takes_options,
)
from ntk_shortcuts.cli.printing import error_rows, print_columns, print_table
from ntk_shortcuts.progress import ProgressBar


@dataclass(frozen=True)
class SweepOptions:
    """The axes of the grid, where its points are kept, and what computes them."""

    axis: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=V,V,...", help="Values of one axis, such as depth=1,2,3 or time=3,30; repeat for a grid."),
    ] = None
    store: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Zarr store, written as points finish; run again to resume.")
    ] = None
    workers: Annotated[int | None, typer.Option(help="Processes that compute points; in this one by default.")] = None
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Of a running Dask scheduler.")] = None

    def axes(self) -> dict[str, list[Any]]:
        """Axes from NAME=V,V,...: integers where all values are, else numbers, else words."""
        if not self.axis:
            raise ValueError("axis must be given at least once, as --axis NAME=VALUE,VALUE,...; got none")
        axes: dict[str, list[Any]] = {}
        for text in self.axis:
            name, separator, values = text.partition("=")
            name = name.strip().replace("-", "_")
            if not (separator and name and values.strip()):
                raise ValueError(f"axis must be NAME=VALUE,VALUE,...; got {text!r}")
            if name in axes:
                raise ValueError(f"axis must be given once for each name; got {name} twice")
            axes[name] = _values(values)
        return axes


@takes_options()
def sweep_command(
    grid: SweepOptions,
    law: LawOptions,
    network: NetworkOptions,
    rule: RuleOptions,
    method: MethodOptions,
    output: JsonOption,
    files: FileOptions,
) -> None:
    """Predict the bias over a grid of any axes; --store keeps finished points, --output writes the result or draws it.

    Axes: shortcut_predictivity, core_predictivity, amplification_ratio, shortcut_amplification, core_amplification,
    correlation, depth, activation, width, weight_variance, bias_variance, residual, normalization (layer or none), num_samples,
    time, learning_rate, steps, strength (of a ridge). A learning_rate or steps axis replaces the option of that name, a
    strength axis --ridge; several times given by --time are an axis too. A figure has at most two axes of several values.
    """
    axes = grid.axes()
    rule = rule.along(axes)
    rule.check()
    several = [name for name, values in {**axes, **rule.several()}.items() if len(values) > 1]
    drawn = len(several) <= 2
    paths = files.paths(SUFFIXES if drawn else DATA_SUFFIXES, "" if drawn else f"the {len(several)} axes {', '.join(several)}")
    method.refuse_one_data_set("a sweep")
    from ntk_shortcuts.experiments.sweeps.sweep import sweep

    model, mlp, training = law.model(), network.network(), rule.training()
    name = method.name(samples_vary="num_samples" in axes)
    options = method.options(name, model)
    try:
        with sweep_engine(grid.workers, grid.scheduler) as engine, ProgressBar("predicting") as progress:
            options |= {"engine": engine, "store": grid.store, "progress": progress}
            result = sweep(axes, model, mlp, training, method.num_samples, name, **options)
    except ImportError as error:
        raise ValueError(str(error)) from error
    parameters = {name: value for name, value in result.attrs.items() if name not in ("key", "fingerprint")}
    found = {str(name): result[name].values.tolist() for name in (*result.dims, *result.data_vars)}
    places = {"store": grid.store and str(grid.store), "outputs": [str(path) for path in paths]}
    values = {**found, **parameters, "seed": method.seed, **places}
    Answer(values, result.to_xarray, result.plot, lambda: _show(result, name)).give(output, paths)


def _show(result: Any, method: str) -> None:
    """A row for each point, and on a terminal what there is to say of all."""
    shown = result[[name for name in ("bias", "reliance", "optimal_reliance") if name in result]]
    points = frame(shown)
    titles = [str(name) for name in points.columns]
    numbers = [name in shown.data_vars for name in titles]
    rows = [
        [f"{value:+.4f}" if is_number else str(value) for value, is_number in zip(row, numbers, strict=True)]
        for row in points.itertuples(index=False)
    ]
    print_columns([title.replace("_", " ") for title in titles], rows)
    if sys.stdout.isatty():
        print_table(_rows(result, method))


def _rows(result: Any, method: str) -> dict[str, str]:
    bias = result["bias"]
    rows = {"points": " x ".join(f"{size} {name}" for name, size in bias.sizes.items())}
    if bool(bias.notnull().any()):
        largest = bias.isel(abs(bias).argmax(...))
        rows["bias, range"] = f"{float(bias.min()):+.4f} to {float(bias.max()):+.4f}"
        rows["largest |bias| at"] = ", ".join(f"{name} {largest[name].item()}" for name in bias.dims)
    rows["method"] = method
    return {**rows, **error_rows({name: float(result[name].max()) for name in result.data_vars})}


def _values(text: str) -> list[Any]:
    words = [word.strip() for word in text.split(",")]
    for kind in (int, float):
        try:
            return [kind(word) for word in words]
        except ValueError:
            continue
    return words
