"""Command line: `ntk-shortcuts predict`, `map`, `spectrum`, `sweep`, `validate` and `derive`.

Results go to standard output, everything else to standard error. Exit status: 0, or 2 with one line for bad
arguments.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
SUFFIXES = (*FIGURE_SUFFIXES, ".nc")
_DEFAULT_TIME = 30.0
_POINTS_SHOWN = 150

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Predict the shortcut bias of neural networks analytically, without training them.",
)
# typer re-exports BadParameter, but not its base for everything that is wrong with a command line. Newer
# versions carry their own copy of click, so importing click's would miss it.
_UsageProblem = typer.BadParameter.__mro__[2]

Predictivity = Annotated[tuple[float, float], typer.Option(metavar="S C", help="rho of shortcut and core, in [0.5, 1).")]
Amplification = Annotated[tuple[float, float], typer.Option(metavar="S C", help="alpha of shortcut and core.")]
Correlation = Annotated[float, typer.Option(help="sigma of the features within a class.")]
Nesting = Annotated[tuple[int, int], typer.Option(metavar="S C", help="tanh layers that hide each feature.")]
InputDim = Annotated[int, typer.Option(help="Input dimension d.")]
Depth = Annotated[int, typer.Option(help="Hidden layers; 0 is a linear model.")]
ActivationName = Annotated[str, typer.Option(help="relu, linear, erf, tanh, gelu, ...")]
Width = Annotated[int | None, typer.Option(help="Of hidden layers; infinite by default.")]
WeightVariance = Annotated[float, typer.Option(help="sigma_w^2.")]
BiasVariance = Annotated[float, typer.Option(help="sigma_b^2; 0: no biases.")]
Parameterization = Annotated[str, typer.Option(help="ntk or standard.")]
Initialization = Annotated[str, typer.Option(help="normal or torch.")]
Time = Annotated[float | None, typer.Option(help="Gradient flow for this time (default rule, 30); inf allowed.")]
LearningRate = Annotated[float | None, typer.Option(help="Gradient descent, with --steps.")]
Steps = Annotated[float | None, typer.Option(help="Gradient descent, with --learning-rate.")]
RidgeStrength = Annotated[float | None, typer.Option("--ridge", help="Kernel ridge regression of this strength.")]
Method = Annotated[
    str | None,
    typer.Option(
        help="dataset_averaged (default with --num-samples), population (default without), dataset (one sampled from "
        "--seed), monte_carlo, population-flow (of finite --width), ..."
    ),
]
NumSamples = Annotated[int | None, typer.Option(help="Training samples N; infinite by default.")]
NumDatasets = Annotated[int | None, typer.Option(help="Data sets that monte_carlo averages.")]
Seed = Annotated[int, typer.Option(help="Random seed, for methods that sample.")]
RandomInit = Annotated[
    bool, typer.Option("--random-init/--no-random-init", help="Include the random output at initialisation.")
]
Loss = Annotated[str | None, typer.Option(help="squared or logistic, for population_flow.")]
NumInits = Annotated[int | None, typer.Option(help="Initialisations that population_flow averages.")]
BatchSize = Annotated[int | None, typer.Option(help="Minibatches of population_flow, with --learning-rate and --steps.")]
Tolerance = Annotated[float | None, typer.Option(help="Largest change of the bias under refinement.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]
Output = Annotated[list[Path] | None, typer.Option(metavar="FILE", help=f"Write {', '.join(SUFFIXES)}; may be repeated.")]
Range = tuple[float, float, int]


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Example:
        >>> main(["--version"])
        ntk-shortcuts ...
        0
    """
    command = typer.main.get_command(app)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            status = command.main(
                args=sys.argv[1:] if argv is None else list(argv),
                prog_name="ntk-shortcuts",
                standalone_mode=False,
            )
        except _UsageProblem as problem:  # pyright: ignore[reportGeneralTypeIssues]  typer names no common base
            return _fail(problem.format_message())
        except ValueError as problem:
            return _fail(str(problem))
        except OSError as problem:
            return _fail(str(problem), status=1)
        except (KeyboardInterrupt, typer.Abort):
            return _fail("interrupted", status=130)
    # Commands return None, --help and --version their status.
    return status if isinstance(status, int) else 0


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from ntk_shortcuts import __version__

        print(f"ntk-shortcuts {__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        names = "predict, map, spectrum, sweep, validate, derive"
        raise ValueError(f"command must be one of {names} (see ntk-shortcuts --help); got none")


@app.command()
def predict(
    predictivity: Predictivity = (0.85, 0.90),
    amplification: Amplification = (1.0, 1.0),
    correlation: Correlation = 0.6,
    nesting: Nesting = (0, 0),
    input_dim: InputDim = 100,
    depth: Depth = 1,
    activation: ActivationName = "relu",
    width: Width = None,
    weight_variance: WeightVariance = 2.0,
    bias_variance: BiasVariance = 0.0,
    parameterization: Parameterization = "ntk",
    initialization: Initialization = "normal",
    time: Time = None,
    learning_rate: LearningRate = None,
    steps: Steps = None,
    ridge: RidgeStrength = None,
    method: Method = None,
    num_samples: NumSamples = None,
    num_datasets: NumDatasets = None,
    num_inits: NumInits = None,
    batch_size: BatchSize = None,
    loss: Loss = None,
    seed: Seed = 0,
    random_init: RandomInit = True,
    tolerance: Tolerance = None,
    json_output: Json = False,
    output: Output = None,
) -> None:
    """Predict the bias of one network on one model of the data; --output draws its decision surface."""
    outputs = _checked_outputs(output or [])
    _check_rule(time, learning_rate, steps, ridge)
    from ntk_shortcuts import MLP, GenerativeModel, predict_bias

    model = GenerativeModel(predictivity, amplification, correlation, nesting, input_dim)
    network = MLP(depth, activation, width, weight_variance, bias_variance, parameterization, initialization)
    training = _training_rule(time, learning_rate, steps, ridge)
    method = _resolved(method, num_samples)
    given = dict(num_datasets=num_datasets, num_inits=num_inits, loss=loss, batch_size=batch_size, tolerance=tolerance)
    options = _method_options(model, method, num_samples, seed, random_init, given)
    result = predict_bias(model, network, training, num_samples, method, **options)
    parameters = _parameters(model, network, training, num_samples, method, seed, options)
    for path in outputs:
        if path.suffix == ".nc":
            _save_netcdf(_prediction_dataset(result, parameters), path)
        else:
            from ntk_shortcuts.plotting import plot_decision_surface

            plot_decision_surface(result, model, options.get("dataset")).savefig(path)
    _report_written(outputs)

    summary = {name: getattr(result, name) for name in ("bias", "reliance", "optimal_reliance")}
    if result.bias_std is not None:
        summary["bias_std"] = result.bias_std
    if json_output:
        _print_json({**summary, **parameters, "diagnostics": result.diagnostics})
        return
    rows = {
        "shortcut bias": f"{result.bias:+.4f}",
        **({} if result.bias_std is None else {"spread over initialisations": f"{result.bias_std:.4f}"}),
        "reliance": f"{result.reliance:+.4f}",
        "optimal reliance": f"{result.optimal_reliance:+.4f}",
        "method": result.method,
        **_error_rows(result.diagnostics),
    }
    _print_table(rows)


@app.command(name="map")
def map_command(
    predictivities: Annotated[Range, typer.Option(metavar="MIN MAX COUNT", help="Shortcut predictivities, evenly spaced.")] = (
        0.55,
        0.9,
        15,
    ),
    ratios: Annotated[
        Range,
        typer.Option(metavar="MIN MAX COUNT", help="Ratios alpha_s / alpha_c, evenly spaced in the logarithm."),
    ] = (0.125, 8.0, 15),
    predictivity: Predictivity = (0.85, 0.90),
    amplification: Amplification = (4.0, 1.0),
    correlation: Correlation = 0.6,
    nesting: Nesting = (0, 0),
    input_dim: InputDim = 100,
    depth: Depth = 1,
    activation: ActivationName = "relu",
    width: Width = None,
    weight_variance: WeightVariance = 2.0,
    bias_variance: BiasVariance = 0.0,
    parameterization: Parameterization = "ntk",
    initialization: Initialization = "normal",
    time: Time = None,
    learning_rate: LearningRate = None,
    steps: Steps = None,
    ridge: RidgeStrength = None,
    method: Method = None,
    num_samples: NumSamples = None,
    num_datasets: NumDatasets = None,
    num_inits: NumInits = None,
    batch_size: BatchSize = None,
    loss: Loss = None,
    seed: Seed = 0,
    random_init: RandomInit = True,
    tolerance: Tolerance = None,
    json_output: Json = False,
    output: Output = None,
) -> None:
    """Map the bias over shortcut predictivity and amplification ratio.

    The core's values come from --predictivity and --amplification; the shortcut's mark the point whose
    decision surface is drawn beside the map. Written to bias_map.png by default.
    """
    outputs = _checked_outputs(output or [Path("bias_map.png")])
    _check_rule(time, learning_rate, steps, ridge)
    _check_range("predictivities", predictivities, "in [0.5, 1)", lambda v: 0.5 <= v < 1)
    _check_range("ratios", ratios, "positive and finite", lambda v: 0 < v < math.inf)
    if method == "dataset":
        raise ValueError('method must be one that averages over data sets for a map; got "dataset"')
    import numpy as np

    from ntk_shortcuts import MLP, GenerativeModel, bias_map, predict_bias

    model = GenerativeModel(predictivity, amplification, correlation, nesting, input_dim)
    network = MLP(depth, activation, width, weight_variance, bias_variance, parameterization, initialization)
    training = _training_rule(time, learning_rate, steps, ridge)
    method = _resolved(method, num_samples)
    given = dict(num_datasets=num_datasets, num_inits=num_inits, loss=loss, batch_size=batch_size, tolerance=tolerance)
    options = _method_options(model, method, num_samples, seed, random_init, given)
    with _ProgressBar("predicting") as progress:
        result = bias_map(
            model,
            network,
            training,
            np.linspace(*predictivities),
            np.geomspace(*ratios),
            num_samples=num_samples,
            method=method,
            progress=progress,
            **options,
        )
    inset = None
    if any(path.suffix in FIGURE_SUFFIXES for path in outputs):
        import jax

        from ntk_shortcuts.plotting import Inset, plot_bias_map

        prediction = predict_bias(model, network, training, num_samples, method, **options)
        inset = Inset(prediction, model, model.sample(jax.random.key(seed), _POINTS_SHOWN))
    for path in outputs:
        if path.suffix == ".nc":
            _save_netcdf(result, path)
        else:
            plot_bias_map(result, inset if _inside(model, predictivities, ratios) else None).savefig(path)
    _report_written(outputs)

    parameters = _parameters(model, network, training, num_samples, method, seed, options)
    if json_output:
        axes = {name: result[name].values.tolist() for name in ("shortcut_predictivity", "amplification_ratio")}
        values = {name: result[name].values.tolist() for name in result.data_vars}
        _print_json({**axes, **values, **parameters, "outputs": [str(path) for path in outputs]})
        return
    bias = result["bias"]
    largest = bias.isel(abs(bias).argmax(...))
    where = [float(largest[name]) for name in ("shortcut_predictivity", "amplification_ratio")]
    rows = {
        "points": f"{bias.sizes['shortcut_predictivity']} x {bias.sizes['amplification_ratio']}",
        "bias, range": f"{float(bias.min()):+.4f} to {float(bias.max()):+.4f}",
        "largest |bias| at": f"predictivity {where[0]:.3g}, ratio {where[1]:.3g}",
        "method": method,
        **_error_rows({name: float(result[name].max()) for name in result.data_vars}),
    }
    _print_table(rows)


@app.command()
def spectrum(
    predictivity: Predictivity = (0.85, 0.90),
    amplification: Amplification = (1.0, 1.0),
    correlation: Correlation = 0.6,
    nesting: Nesting = (0, 0),
    input_dim: InputDim = 100,
    depth: Depth = 1,
    activation: ActivationName = "relu",
    width: Width = None,
    weight_variance: WeightVariance = 2.0,
    bias_variance: BiasVariance = 0.0,
    parameterization: Parameterization = "ntk",
    initialization: Initialization = "normal",
    modes: Annotated[int, typer.Option(help="Eigenfunctions, of both parities together; at most 32.")] = 12,
    json_output: Json = False,
    output: Output = None,
) -> None:
    """Eigenfunctions of the NTK under the data law: what is learnt, when, and which feature it follows."""
    outputs = _checked_outputs(output or [])
    for path in outputs:
        if path.suffix not in FIGURE_SUFFIXES:
            raise ValueError(f"output must end in one of {', '.join(FIGURE_SUFFIXES)} for a spectrum; got {str(path)!r}")
    from ntk_shortcuts import MLP, GenerativeModel, __version__, kernel_spectrum
    from ntk_shortcuts.experiments.sweeps.maps import spec_parameters

    model = GenerativeModel(predictivity, amplification, correlation, nesting, input_dim)
    network = MLP(depth, activation, width, weight_variance, bias_variance, parameterization, initialization)
    result = kernel_spectrum(model, network, modes)
    for path in outputs:
        from ntk_shortcuts.plotting import plot_spectrum

        plot_spectrum(result).savefig(path)
    _report_written(outputs)
    columns = {
        "eigenvalues": result.eigenvalues,
        "learning_times": result.learning_times,
        "odd": result.odd,
        "target_coefficients": result.target_coefficients,
        "shortcut_alignments": result.shortcut_alignments,
        "core_alignments": result.core_alignments,
    }
    if json_output:
        totals = {"trace": float(result.trace), "label_noise": float(result.label_noise)}
        parameters = {**spec_parameters(model), **spec_parameters(network), "modes": modes}
        lists = {name: values.tolist() for name, values in columns.items()}
        _print_json({**lists, **totals, **parameters, "diagnostics": result.diagnostics, "ntk_shortcuts_version": __version__})
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("learning time", "parity", "target", "shortcut", "core", box=box.SIMPLE)
    for time, odd, *overlaps in zip(*list(columns.values())[1:], strict=True):
        table.add_row(f"{float(time):.4g}", "odd" if odd else "even", *(f"{float(v):+.3f}" for v in overlaps))
    Console().print(table)


@app.command(name="sweep")
def sweep_command(
    axis: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=V,V,...", help="Values of one axis, such as depth=1,2,3 or time=3,30; repeat for a grid."),
    ] = None,
    store: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Zarr store, written as points finish; run again to resume.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that compute points; in this one by default.")] = None,
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Of a running Dask scheduler.")] = None,
    predictivity: Predictivity = (0.85, 0.90),
    amplification: Amplification = (1.0, 1.0),
    correlation: Correlation = 0.6,
    nesting: Nesting = (0, 0),
    input_dim: InputDim = 100,
    depth: Depth = 1,
    activation: ActivationName = "relu",
    width: Width = None,
    weight_variance: WeightVariance = 2.0,
    bias_variance: BiasVariance = 0.0,
    parameterization: Parameterization = "ntk",
    initialization: Initialization = "normal",
    time: Time = None,
    learning_rate: LearningRate = None,
    steps: Steps = None,
    ridge: RidgeStrength = None,
    method: Method = None,
    num_samples: NumSamples = None,
    num_datasets: NumDatasets = None,
    num_inits: NumInits = None,
    batch_size: BatchSize = None,
    loss: Loss = None,
    seed: Seed = 0,
    random_init: RandomInit = True,
    tolerance: Tolerance = None,
    json_output: Json = False,
    output: Output = None,
) -> None:
    """Predict the bias over a grid of any axes; --store keeps finished points, --output writes the result as netCDF.

    Axes: shortcut_predictivity, core_predictivity, amplification_ratio, shortcut_amplification, core_amplification,
    correlation, depth, activation, width, weight_variance, bias_variance, num_samples, time, learning_rate, steps, strength
    (of a ridge). A learning_rate or steps axis replaces the option of that name, a strength axis --ridge.
    """
    outputs = _checked_outputs(output or [])
    for path in outputs:
        if path.suffix != ".nc":
            raise ValueError(f"output must end in .nc for a sweep; got {str(path)!r}")
    axes = _parsed_axes(axis or [])
    # An axis of another rule than gradient flow chooses that rule; its first value stands in for the option.
    learning_rate = axes["learning_rate"][0] if "learning_rate" in axes and learning_rate is None else learning_rate
    steps = axes["steps"][0] if "steps" in axes and steps is None else steps
    ridge = axes["strength"][0] if "strength" in axes and ridge is None else ridge
    _check_rule(time, learning_rate, steps, ridge)
    from ntk_shortcuts import MLP, GenerativeModel
    from ntk_shortcuts.experiments.sweeps.sweep import sweep

    model = GenerativeModel(predictivity, amplification, correlation, nesting, input_dim)
    network = MLP(depth, activation, width, weight_variance, bias_variance, parameterization, initialization)
    training = _training_rule(time, learning_rate, steps, ridge)
    method = _resolved(method, 1 if "num_samples" in axes else num_samples)
    if method == "dataset":
        raise ValueError('method must be one that averages over data sets for a sweep; got "dataset"')
    given = dict(num_datasets=num_datasets, num_inits=num_inits, loss=loss, batch_size=batch_size, tolerance=tolerance)
    options = _method_options(model, method, num_samples, seed, random_init, given)
    try:
        with _sweep_engine(workers, scheduler) as engine, _ProgressBar("predicting") as progress:
            options |= {"engine": engine, "store": store, "progress": progress}
            result = sweep(axes, model, network, training, num_samples, method, **options)
    except ImportError as error:
        raise ValueError(str(error)) from error
    for path in outputs:
        _save_netcdf(result, path)
    _report_written(outputs)

    if json_output:
        parameters = {name: value for name, value in result.attrs.items() if name not in ("key", "fingerprint")}
        values = {name: result[name].values.tolist() for name in (*axes, *result.data_vars)}
        places = {"store": store and str(store), "outputs": [str(path) for path in outputs]}
        _print_json({**values, **parameters, "seed": seed, **places})
        return
    bias = result["bias"]
    rows = {"points": " x ".join(f"{size} {name}" for name, size in bias.sizes.items())}
    if bool(bias.notnull().any()):
        largest = bias.isel(abs(bias).argmax(...))
        rows["bias, range"] = f"{float(bias.min()):+.4f} to {float(bias.max()):+.4f}"
        rows["largest |bias| at"] = ", ".join(f"{name} {largest[name].item()}" for name in axes)
    rows["method"] = method
    _print_table({**rows, **_error_rows({name: float(result[name].max()) for name in result.data_vars})})


@app.command()
def derive(
    labels: Annotated[list[str] | None, typer.Argument(metavar="[LABEL]...", help="Such as D1.1, or D1 for a group.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All labels; prints one row for each.")] = False,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Made if missing.")] = Path("derived"),
    gallery: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="With --all: of the gallery's figures. [default: OUTPUT/gallery]")
    ] = None,
    json_output: Json = False,
) -> None:
    """Derive formulas symbolically, check them against the code, and draw them; without a label, list what there is.

    Writes LABEL.md and LABEL.png into the output folder; --all draws the figures of the gallery as well. Exit status 1 if a
    check fails.
    """
    from ntk_shortcuts import derivation as derivations

    if everything and labels:
        raise ValueError(f"label must not be given with --all; got {' '.join(labels)}")
    if gallery is not None and not everything:
        raise ValueError(f"gallery must be given with --all; got {str(gallery)!r}")
    gallery = gallery or output / "gallery"
    for name, folder in (("output", output), ("gallery", gallery)):
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{name} must be a folder; got {str(folder)!r}")
    if not (everything or labels):
        titles = {label: entry.title for label, entry in derivations.load_derivations().items()}
        if json_output:
            _print_json({"derivations": titles})
        else:
            _print_table(titles)
        return
    chosen = derivations.select(labels) if labels else list(derivations.load_derivations().values())
    drawings = derivations.gallery() if everything else []
    output.mkdir(parents=True, exist_ok=True)
    done = []
    with _ProgressBar("deriving") as progress:
        for number, entry in enumerate(chosen, 1):
            done.append(derivations.derive(entry, output))
            progress(number, len(chosen) + len(drawings))
        for number, draw in enumerate(drawings, len(chosen) + 1):
            gallery.mkdir(parents=True, exist_ok=True)
            for name, figure in draw().items():
                derivations.save_figure(figure, gallery / f"{name}.png", pixels=1100)
            progress(number, len(chosen) + len(drawings))
    if json_output:
        _print_json({"derivations": [result.summary() for result in done], "outputs": str(output)})
    elif everything:
        page = derivations.index_markdown(done)
        (output / "index.md").write_text(page)
        print(page, end="")
    else:
        print("\n".join(result.page for result in done), end="")
    _report_written([output])
    failed = [f"{result.derivation.label} ({check.name})" for result in done for check in result.checks if not check.passed]
    if failed:
        print(f"error: checks failed: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def validate(
    preset: Annotated[
        str, typer.Option(help="quick (minutes), standard, paper, or accelerator: how many networks, and how wide.")
    ] = "quick",
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder of records and report; run again to resume.")] = Path(
        "validation"
    ),
    seed: Annotated[int, typer.Option(help="Random seed of data sets and initialisations.")] = 0,
    json_output: Json = False,
) -> None:
    """Train networks and compare their bias with the predictions.

    Writes DIR/records.jsonl, a line for each finished configuration, and DIR/report.md with its figures.
    """
    if output.exists() and not output.is_dir():
        raise ValueError(f"output must be a folder; got {str(output)!r}")
    from ntk_shortcuts.experiments import comparison

    configurations = comparison.preset(preset)
    with _ProgressBar("configurations") as progress:
        records = comparison.run(configurations, output / "records.jsonl", seed, progress)
    paths = comparison.write_report(records, output, f"Theory against training: preset {preset}")
    _report_written(paths)

    summary = comparison.summarize(records)
    if json_output:
        shown = [{name: value for name, value in record.items() if name != "surface"} for record in records]
        files = [str(path) for path in (output / "records.jsonl", *paths)]
        _print_json({"preset": preset, "seed": seed, **summary, "records": shown, "outputs": files})
        return
    rows = {"configurations": str(summary["configurations"]), "networks": str(summary["networks"])}
    labels = {
        "own_init": "own initial output",
        "expected": "expected",
        "averaged": "averaged",
    }
    for name, label in labels.items():
        found = summary["agreement"][name]
        z = "" if found["largest_z"] is None else f", largest z {found['largest_z']:+.1f}"
        rows[label] = f"mean error {found['mean_absolute_error']:.4f}, worst {found['worst']:+.3f}{z}"
    ratio = summary["time_ratio"]
    rows["training / predicting"] = f"{ratio['expected']:.3g} (expected), {ratio['averaged']:.3g} (averaged), in seconds"
    _print_table(rows)


class _ProgressBar:
    """Progress on standard error, from the first finished point on: a bad argument prints one line."""

    def __init__(self, description: str):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task(description, total=None)
        self._started = False

    def __call__(self, done: int, total: int) -> None:
        if not self._started:
            self._bar.start()
            self._started = True
        self._bar.update(self._task, completed=done, total=total)

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._started:
            self._bar.stop()


def _checked_outputs(outputs: list[Path]) -> list[Path]:
    """Suffixes and folders, before any work is done."""
    for path in outputs:
        if path.suffix not in SUFFIXES:
            raise ValueError(f"output must end in one of {', '.join(SUFFIXES)}; got {str(path)!r}")
        if not path.parent.is_dir():
            raise ValueError(f"output must lie in a folder that exists; got {str(path)!r}")
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ValueError(f"output must be a file that can be written; got {str(path)!r}")
    return outputs


@contextlib.contextmanager
def _sweep_engine(workers: int | None, scheduler: str | None) -> Iterator[Any]:
    """What computes the points of a sweep: this process, local ones of one thread each, or those of a Dask scheduler."""
    if workers is not None and scheduler is not None:
        raise ValueError("workers must not be given with --scheduler, which has its own")
    if workers is None and scheduler is None:
        yield "local"
        return
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be an integer >= 1; got {workers}")
    from ntk_shortcuts.experiments.sweeps.table import optional_module

    connect = optional_module("distributed").Client
    if workers is not None:
        with connect(n_workers=workers, threads_per_worker=1, dashboard_address=None) as client:
            yield client
        return
    try:
        client = connect(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"scheduler must be the address of a running one, such as tcp://host:8786; got {scheduler!r}"
        ) from error
    with client:
        yield client


def _parsed_axes(given: list[str]) -> dict[str, list]:
    """Axes from NAME=V,V,...: integers where all values are, else numbers, else words."""
    if not given:
        raise ValueError("axis must be given at least once, as --axis NAME=VALUE,VALUE,...; got none")
    axes: dict[str, list] = {}
    for text in given:
        name, separator, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not (separator and name and values.strip()):
            raise ValueError(f"axis must be NAME=VALUE,VALUE,...; got {text!r}")
        if name in axes:
            raise ValueError(f"axis must be given once for each name; got {name} twice")
        words: list = [word.strip() for word in values.split(",")]
        for kind in (int, float):
            try:
                words = [kind(word) for word in words]
                break
            except ValueError:
                continue
        axes[name] = words
    return axes


def _check_rule(time: float | None, learning_rate: float | None, steps: float | None, ridge: float | None) -> None:
    descent = learning_rate is not None or steps is not None
    chosen = [
        name
        for name, given in (
            ("--time", time is not None),
            ("--learning-rate/--steps", descent),
            ("--ridge", ridge is not None),
        )
        if given
    ]
    if len(chosen) > 1:
        raise ValueError(
            f"training rule must be one of --time, --learning-rate with --steps, --ridge; got {' and '.join(chosen)}"
        )
    if descent and (learning_rate is None or steps is None):
        missing, given = ("learning-rate", "steps") if learning_rate is None else ("steps", "learning-rate")
        raise ValueError(f"{missing} must be given with --{given}; got none")


def _training_rule(time: float | None, learning_rate: float | None, steps: float | None, ridge: float | None) -> Any:
    from ntk_shortcuts import GradientDescent, GradientFlow, Ridge

    if ridge is not None:
        return Ridge(ridge)
    if learning_rate is not None:
        return GradientDescent(learning_rate, steps)
    return GradientFlow(_DEFAULT_TIME if time is None else time)


def _resolved(method: str | None, num_samples: int | None) -> str:
    """A method's registered name: dashes read as underscores, none given as the default."""
    from ntk_shortcuts.entry import default_method

    return default_method(num_samples) if method is None else method.replace("-", "_")


def _method_options(
    model: Any,
    method: str,
    num_samples: int | None,
    seed: int,
    random_init: bool,
    given: dict[str, Any],
) -> dict[str, Any]:
    """Options to hand on: what was given (None: was not), and the key or the data set where the method takes one."""
    import jax

    from ntk_shortcuts.methods import METHODS, method_options
    from ntk_shortcuts.validation import require_integer

    require_integer("seed", seed, 0)
    accepted = method_options(method) if method in METHODS else {}
    given = {
        **given,
        # True is the default; a method without the option refuses False.
        "random_init": None if random_init else False,
        "key": jax.random.key(seed) if "key" in accepted else None,
    }
    options = {name: value for name, value in given.items() if value is not None}
    if "dataset" in accepted:
        if num_samples is None:
            raise ValueError(f'num_samples must be given for method="{method}", whose data set is sampled; got None')
        options["dataset"] = model.sample(jax.random.key(seed), num_samples)
    return options


def _parameters(
    model: Any, network: Any, training: Any, num_samples: int | None, method: str, seed: int, options: dict
) -> dict[str, Any]:
    from ntk_shortcuts.experiments.sweeps.maps import run_parameters, versions

    parameters = run_parameters(model, network, training, num_samples, method, **options)
    # The command line has a seed where Python has a key or a data set, and always the default probes.
    for name in ("key", "dataset", "probes", "probe_inputs", "initial_outputs"):
        parameters.pop(name, None)
    return {**parameters, "seed": seed, **versions()}


def _prediction_dataset(result: Any, parameters: dict[str, Any]) -> Any:
    import numpy as np
    import xarray

    from ntk_shortcuts.experiments.sweeps.maps import netcdf_value

    variables = {
        "bias": ((), result.bias, {"long_name": "shortcut bias", "units": "1"}),
        "reliance": ((), result.reliance, {"long_name": "reliance on the shortcut", "units": "1"}),
        "optimal_reliance": (
            (),
            float(result.optimal_reliance),
            {"long_name": "reliance of the Bayes-optimal classifier", "units": "1"},
        ),
        "mean": ("probe", np.asarray(result.mean), {"long_name": "mean predicted output", "units": "1"}),
        "std": (
            "probe",
            np.asarray(result.std),
            {"long_name": "standard deviation of the output", "units": "1"},
        ),
    }
    probes = np.asarray(result.probes)
    coordinates = {
        "shortcut_feature": ("probe", probes[:, 0], {"long_name": "shortcut feature z_s", "units": "1"}),
        "core_feature": ("probe", probes[:, 1], {"long_name": "core feature z_c", "units": "1"}),
    }
    diagnostics = {f"diagnostic_{name}": value for name, value in result.diagnostics.items()}
    attributes = {name: netcdf_value(value) for name, value in {**parameters, **diagnostics}.items()}
    return xarray.Dataset(variables, coordinates, attributes)


def _save_netcdf(dataset: Any, path: Path) -> None:
    dataset.to_netcdf(path, engine="h5netcdf")


def _check_range(name: str, values: Range, allowed: str, test: Any) -> None:
    low, high, count = values
    if not (test(low) and test(high) and low <= high):
        raise ValueError(f"{name} must be MIN MAX COUNT with MIN <= MAX, each {allowed}; got {low:g} {high:g}")
    if count < 1:
        raise ValueError(f"{name} must be MIN MAX COUNT with COUNT >= 1; got {count}")


def _inside(model: Any, predictivities: Range, ratios: Range) -> bool:
    """Whether the model's own point lies on the map, so that it can be marked there."""
    ratio = float(model.amplification[0]) / float(model.amplification[1])
    on_map = predictivities[0] <= float(model.predictivity[0]) <= predictivities[1]
    return on_map and ratios[0] <= ratio <= ratios[1]


def _error_rows(diagnostics: dict[str, float]) -> dict[str, str]:
    names = {
        "bias_standard_error": "standard error",
        "discretization_error": "refinement error",
        "laziness_gap": "laziness gap",
    }
    return {label: f"{diagnostics[name]:.1e}" for name, label in names.items() if name in diagnostics}


def _print_table(rows: dict[str, str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(_strict(values), indent=2, allow_nan=False))


def _strict(value: Any) -> Any:
    """JSON has no NaN and no infinity: null, and "inf" or "-inf"."""
    if isinstance(value, dict):
        return {name: _strict(entry) for name, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_strict(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _strict(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _report_written(paths: list[Path]) -> None:
    for path in paths:
        print(f"wrote {path}", file=sys.stderr)


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _fail(message: str, status: int = 2) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
