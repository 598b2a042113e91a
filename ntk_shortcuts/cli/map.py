"""`ntk-shortcuts map`: the bias over shortcut predictivity and amplification ratio, or any number over any two axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.answer import Answer
from ntk_shortcuts.cli.engine import many_small_problems
from ntk_shortcuts.cli.options import (
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
from ntk_shortcuts.cli.printing import grid_rows, print_table
from ntk_shortcuts.cli.records import resolved_parameters
from ntk_shortcuts.cli.sweep import grid_values
from ntk_shortcuts.progress import ProgressBar

_Range = tuple[float, float, int]
_POINTS_SHOWN = 150
_AMPLIFICATION = (4.0, 1.0)


@dataclass(frozen=True)
class MapOptions:
    """The axes of the map."""

    predictivities: Annotated[_Range, typer.Option(metavar="MIN MAX COUNT", help="Shortcut predictivities, evenly spaced.")] = (
        0.55,
        0.9,
        15,
    )
    ratios: Annotated[
        _Range, typer.Option(metavar="MIN MAX COUNT", help="Ratios alpha_s / alpha_c, evenly spaced in the logarithm.")
    ] = (0.125, 8.0, 15)
    x: Annotated[
        str | None,
        typer.Option(
            metavar=METAVAR, help="Another axis to the right, as in sweep: depth=1,2,3 or rate=0:0.4:5 (MIN:MAX:COUNT)."
        ),
    ] = None
    y: Annotated[str | None, typer.Option(metavar=METAVAR, help="Another axis upwards.")] = None
    show: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What is drawn over --x and --y; bias or worst_group_accuracy by default."),
    ] = None

    def named(self, law: Any) -> dict[str, list[Any]] | None:
        """The two axes by name, the one upwards first; None where neither is given and no file says the law."""
        given = {"x": self.x, "y": self.y}
        if law is None and not any(given.values()):
            if self.show is not None:
                raise ValueError(f"show must be given with --x and --y; got {self.show!r}")
            return None
        for name, value in given.items():
            if value is None:
                raise ValueError(
                    f"{name} must be given with {'--law' if law else '--x and --y'}, as --{name} NAME=MIN:MAX:COUNT; got None"
                )
        (x, across), (y, upwards) = (next(iter(parsed_axes(name, [str(value)]).items())) for name, value in given.items())
        if x == y:
            raise ValueError(f"y must be another axis than x; got {y} twice")
        return {y: upwards, x: across}

    def check(self) -> None:
        _check_range("predictivities", self.predictivities, "in [0.5, 1)", lambda v: 0.5 <= v < 1)
        _check_range("ratios", self.ratios, "positive and finite", lambda v: 0 < v < math.inf)

    def contain(self, model: Any) -> bool:
        """Whether the model's own point lies on the map, so that it can be marked there."""
        ratio = float(model.amplification[0]) / float(model.amplification[1])
        on_map = self.predictivities[0] <= float(model.predictivity[0]) <= self.predictivities[1]
        return on_map and self.ratios[0] <= ratio <= self.ratios[1]


@takes_options(amplification=_AMPLIFICATION)
def map_command(
    axes: MapOptions,
    law: LawOptions,
    described: LawFileOptions,
    network: NetworkOptions,
    rule: RuleOptions,
    method: MethodOptions,
    output: JsonOption,
    files: FileOptions,
) -> None:
    """Map the bias over shortcut predictivity and amplification ratio, or over any two axes, --x and --y.

    The core's values come from --predictivity and --amplification; the shortcut's mark the point whose
    decision surface is drawn beside the map; of several times a map each is drawn. Written to bias_map.png by default.
    --law takes the law from a file; of several shortcuts a map each is drawn, of groups by default the worst one's accuracy.
    """
    many_small_problems()
    paths = files.paths(default="bias_map.png")
    named = axes.named(described.law)
    if named is not None:
        model = described.instead_of(law, amplification=_AMPLIFICATION)
        _map_of(named, axes.show, model, network, rule.along(named), method, paths).give(output, paths)
        return
    rule.check()
    axes.check()
    method.refuse_one_data_set("a map")
    import numpy as np

    from ntk_shortcuts import bias_map

    model, mlp, training, name = law.model(), network.network(), rule.training(), method.name()
    options = method.options(name, model)
    question = {"num_samples": method.num_samples, "method": name, **options}
    with ProgressBar("predicting") as progress:
        lines = np.linspace(*axes.predictivities), np.geomspace(*axes.ratios)
        result = bias_map(model, mlp, training, *lines, progress=progress, **question)
    parameters = resolved_parameters(model, mlp, training, method.num_samples, name, method.seed, options)
    lists = {str(name): result[name].values.tolist() for name in (*result.coords, *result.data_vars)}
    Answer(
        {**lists, **parameters, "outputs": [str(path) for path in paths]},
        result.to_xarray,
        lambda: _figure(result, axes, model, mlp, training, method.seed, question),
        lambda: print_table({**grid_rows(result, "bias"), "method": name}),
    ).give(output, paths)


def _map_of(
    axes: dict[str, list[Any]],
    variable: str | None,
    model: Any,
    network: NetworkOptions,
    rule: RuleOptions,
    method: MethodOptions,
    paths: list[Path],
) -> Answer:
    """The map of a sweep over two axes."""
    rule.check()
    method.refuse_one_data_set("a map")
    for name, several in rule.several().items():
        raise ValueError(f"{name} must be one number for a map over --x and --y, or one of these axes; got {several}")
    from ntk_shortcuts.experiments.sweeps.sweep import sweep
    from ntk_shortcuts.plotting.map import chosen_variable, plot_map

    name = method.name(samples_vary="num_samples" in axes)
    options = method.options(name, model)
    with ProgressBar("predicting") as progress:
        mlp, training = network.network(), rule.training()
        result = sweep(axes, model, mlp, training, method.num_samples, name, progress=progress, **options)
    chosen = chosen_variable(result, variable)
    return Answer(
        {**grid_values(result), "seed": method.seed, "outputs": [str(path) for path in paths]},
        result.to_xarray,
        lambda: plot_map(result, chosen),
        lambda: print_table({**grid_rows(result, chosen), "method": name}),
    )


def _figure(result: Any, axes: MapOptions, model: Any, network: Any, training: Any, seed: int, question: dict) -> Any:
    """The map, with the decision surface of the model's own point beside it; of several settings of the rule a map for each."""
    import jax

    from ntk_shortcuts import predict_bias
    from ntk_shortcuts.plotting import Inset, plot_bias_map
    from ntk_shortcuts.plotting.style import new_figure

    for setting in result["bias"].dims[2:]:
        figure = new_figure((6.4 * result.sizes[setting], 4.8))
        for place, panel in enumerate(figure.subplots(1, result.sizes[setting], squeeze=False)[0]):
            plot_bias_map(result.isel({setting: place}), ax=panel)
        return figure
    if not axes.contain(model):
        return plot_bias_map(result, None)
    prediction = predict_bias(model, network, training, **question)
    return plot_bias_map(result, Inset(prediction, model, model.sample(jax.random.key(seed), _POINTS_SHOWN)))


def _check_range(name: str, values: _Range, allowed: str, test: Callable[[float], bool]) -> None:
    low, high, count = values
    if not (test(low) and test(high) and low <= high):
        raise ValueError(f"{name} must be MIN MAX COUNT with MIN <= MAX, each {allowed}; got {low:g} {high:g}")
    if count < 1:
        raise ValueError(f"{name} must be MIN MAX COUNT with COUNT >= 1; got {count}")
