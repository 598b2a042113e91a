"""`ntk-shortcuts sweep`: the bias over a grid of any axes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.engine import sweep_engine
from ntk_shortcuts.cli.options import (
    FileOptions,
    JsonOption,
    LawOptions,
    MethodOptions,
    NetworkOptions,
    RuleOptions,
    takes_options,
)
from ntk_shortcuts.cli.printing import error_rows, print_json, print_table, report_written
from ntk_shortcuts.cli.progress import ProgressBar
from ntk_shortcuts.cli.records import save_netcdf


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
    """Predict the bias over a grid of any axes; --store keeps finished points, --output writes the result as netCDF.

    Axes: shortcut_predictivity, core_predictivity, amplification_ratio, shortcut_amplification, core_amplification,
    correlation, depth, activation, width, weight_variance, bias_variance, residual, normalization (layer or none), num_samples,
    time, learning_rate, steps, strength (of a ridge). A learning_rate or steps axis replaces the option of that name, a
    strength axis --ridge.
    """
    paths = files.paths((".nc",), "a sweep")
    axes = grid.axes()
    rule = rule.along(axes)
    rule.check()
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
    for path in paths:
        save_netcdf(result, path)
    report_written(paths)
    if output.json:
        parameters = {name: value for name, value in result.attrs.items() if name not in ("key", "fingerprint")}
        values = {name: result[name].values.tolist() for name in (*axes, *result.data_vars)}
        places = {"store": grid.store and str(grid.store), "outputs": [str(path) for path in paths]}
        print_json({**values, **parameters, "seed": method.seed, **places})
    else:
        print_table(_rows(result, axes, name))


def _rows(result: Any, axes: dict[str, list[Any]], method: str) -> dict[str, str]:
    bias = result["bias"]
    rows = {"points": " x ".join(f"{size} {name}" for name, size in bias.sizes.items())}
    if bool(bias.notnull().any()):
        largest = bias.isel(abs(bias).argmax(...))
        rows["bias, range"] = f"{float(bias.min()):+.4f} to {float(bias.max()):+.4f}"
        rows["largest |bias| at"] = ", ".join(f"{name} {largest[name].item()}" for name in axes)
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
