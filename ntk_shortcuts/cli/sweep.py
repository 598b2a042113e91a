"""`ntk-shortcuts sweep`: the bias over a grid of any axes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.answer import Answer, frame
from ntk_shortcuts.cli.engine import many_small_problems, sweep_engine
from ntk_shortcuts.cli.options import (
    DATA_SUFFIXES,
    SUFFIXES,
    FileOptions,
    JsonOption,
    LawFileOptions,
    LawOptions,
    MethodOptions,
    NetworkOptions,
    RuleOptions,
    takes_options,
)
from ntk_shortcuts.cli.options.axes import METAVAR, parsed_axes
from ntk_shortcuts.cli.printing import grid_rows, print_columns, print_table
from ntk_shortcuts.progress import ProgressBar

# Numbers of which a table has a column, those that there are.
_SHOWN = ("bias", "reliance", "optimal_reliance", "worst_group_accuracy", "accuracy")


@dataclass(frozen=True)
class SweepOptions:
    """The axes of the grid, where its points are kept, and what computes them."""

    axis: Annotated[
        list[str] | None,
        typer.Option(
            metavar=METAVAR, help="One axis, as depth=1,2,3 or correlation=0:0.6:4 (MIN:MAX:COUNT); repeat for a grid."
        ),
    ] = None
    store: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Zarr store, written as points finish; run again to resume.")
    ] = None
    workers: Annotated[int | None, typer.Option(help="Processes that compute points; in this one by default.")] = None
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Of a running Dask scheduler.")] = None

    def axes(self) -> dict[str, list[Any]]:
        """Axes by name: :func:`ntk_shortcuts.cli.options.axes.parsed_axes`."""
        if not self.axis:
            raise ValueError("axis must be given at least once, as --axis NAME=VALUE,VALUE,...; got none")
        return parsed_axes("axis", self.axis)


@takes_options()
def sweep_command(
    grid: SweepOptions,
    law: LawOptions,
    described: LawFileOptions,
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
    strength axis --ridge; several times given by --time are an axis too. With --law axes are those of that law: of clusters
    agreement, proportions_0, amplification_0, ...; rate of [noise], positive of [imbalance]. A figure has at most two axes of
    several values.
    """
    many_small_problems()
    axes = grid.axes()
    rule = rule.along(axes)
    rule.check()
    several = [name for name, values in {**axes, **rule.several()}.items() if len(values) > 1]
    drawn = len(several) <= 2
    paths = files.paths(SUFFIXES if drawn else DATA_SUFFIXES, "" if drawn else f"the {len(several)} axes {', '.join(several)}")
    method.refuse_one_data_set("a sweep")
    from ntk_shortcuts.experiments.sweeps.sweep import sweep

    model, mlp, training = described.instead_of(law), network.network(), rule.training()
    name = method.name(samples_vary="num_samples" in axes)
    options = method.options(name, model)
    try:
        with sweep_engine(grid.workers, grid.scheduler) as engine, ProgressBar("predicting") as progress:
            options |= {"engine": engine, "store": grid.store, "progress": progress}
            result = sweep(axes, model, mlp, training, method.num_samples, name, **options)
    except ImportError as error:
        raise ValueError(str(error)) from error
    places = {"store": grid.store and str(grid.store), "outputs": [str(path) for path in paths]}
    values = {**grid_values(result), "seed": method.seed, **places}
    Answer(values, result.to_xarray, result.plot, lambda: _show(result, name)).give(output, paths)


def grid_values(result: Any) -> dict[str, Any]:
    """What JSON has of a grid: axes, numbers at all points, and every fixed parameter."""
    parameters = {name: value for name, value in result.attrs.items() if name not in ("key", "fingerprint")}
    return {**{str(name): result[name].values.tolist() for name in (*result.dims, *result.data_vars)}, **parameters}


def _show(result: Any, method: str) -> None:
    """A row for each point, and on a terminal what there is to say of all."""
    shown = result[[name for name in _SHOWN if name in result]]
    points = frame(shown)
    titles = [str(name) for name in points.columns]
    forms = [("" if "accuracy" in name else "+") + ".4f" if name in shown.data_vars else None for name in titles]
    rows = [
        [str(value) if form is None else format(value, form) for value, form in zip(row, forms, strict=True)]
        for row in points.itertuples(index=False)
    ]
    print_columns([title.replace("_", " ") for title in titles], rows)
    if sys.stdout.isatty():
        print_table({**grid_rows(result, next(iter(shown.data_vars))), "method": method})
