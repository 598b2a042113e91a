"""`ntk-shortcuts map`: the bias over shortcut predictivity and amplification ratio."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.answer import Answer
from ntk_shortcuts.cli.options import (
    FileOptions,
    JsonOption,
    LawOptions,
    MethodOptions,
    NetworkOptions,
    RuleOptions,
    takes_options,
)
from ntk_shortcuts.cli.printing import error_rows, print_table
from ntk_shortcuts.cli.records import resolved_parameters
from ntk_shortcuts.progress import ProgressBar

_Range = tuple[float, float, int]
_POINTS_SHOWN = 150


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

    def check(self) -> None:
        _check_range("predictivities", self.predictivities, "in [0.5, 1)", lambda v: 0.5 <= v < 1)
        _check_range("ratios", self.ratios, "positive and finite", lambda v: 0 < v < math.inf)

    def contain(self, model: Any) -> bool:
        """Whether the model's own point lies on the map, so that it can be marked there."""
        ratio = float(model.amplification[0]) / float(model.amplification[1])
        on_map = self.predictivities[0] <= float(model.predictivity[0]) <= self.predictivities[1]
        return on_map and self.ratios[0] <= ratio <= self.ratios[1]


@takes_options(amplification=(4.0, 1.0))
def map_command(
    axes: MapOptions,
    law: LawOptions,
    network: NetworkOptions,
    rule: RuleOptions,
    method: MethodOptions,
    output: JsonOption,
    files: FileOptions,
) -> None:
    """Map the bias over shortcut predictivity and amplification ratio.

    The core's values come from --predictivity and --amplification; the shortcut's mark the point whose
    decision surface is drawn beside the map; of several times a map each is drawn. Written to bias_map.png by default.
    """
    paths = files.paths(default="bias_map.png")
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
        lambda: print_table(_rows(result, name)),
    ).give(output, paths)


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


def _rows(result: Any, method: str) -> dict[str, str]:
    bias = result["bias"]
    largest = bias.isel(abs(bias).argmax(...))
    where = [float(largest[name]) for name in ("shortcut_predictivity", "amplification_ratio")]
    return {
        "points": f"{bias.sizes['shortcut_predictivity']} x {bias.sizes['amplification_ratio']}",
        "bias, range": f"{float(bias.min()):+.4f} to {float(bias.max()):+.4f}",
        "largest |bias| at": f"predictivity {where[0]:.3g}, ratio {where[1]:.3g}",
        "method": method,
        **error_rows({name: float(result[name].max()) for name in result.data_vars}),
    }


def _check_range(name: str, values: _Range, allowed: str, test: Callable[[float], bool]) -> None:
    low, high, count = values
    if not (test(low) and test(high) and low <= high):
        raise ValueError(f"{name} must be MIN MAX COUNT with MIN <= MAX, each {allowed}; got {low:g} {high:g}")
    if count < 1:
        raise ValueError(f"{name} must be MIN MAX COUNT with COUNT >= 1; got {count}")
