"""Maps of the predicted bias over shortcut predictivity and availability, as labelled arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ntk_shortcuts.entry import default_method, predict_bias
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.methods import METHODS, known_methods, method_options
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.numerics import without_key_type
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray

VARIABLES = {
    "bias": "shortcut bias",
    "reliance": "reliance on the shortcut",
    "optimal_reliance": "reliance of the Bayes-optimal classifier",
}
# Error estimates that a reader of the map needs; a method reports those it has.
_ERRORS = {
    "bias_standard_error": "standard error of the bias over data sets",
    "discretization_error": "last change of the bias under refinement",
    "laziness_gap": "distance of the bias from that of a coarse flow",
}


def bias_map(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    shortcut_predictivities: Any,
    amplification_ratios: Any,
    *,
    num_samples: int | None = None,
    method: str | None = None,
    key: Any = None,
    progress: Callable[[int, int], Any] | None = None,
    **options: Any,
) -> xarray.Dataset:
    r"""Bias over shortcut predictivity and amplification ratio, like Figure 2 of Hermann et al. (2024).

    Args:
        model: gives all that the map does not vary: the core's predictivity and amplification, correlation,
            nesting, d.
        network: as in :func:`ntk_shortcuts.predict_bias`, and so are `num_samples`, `method` and `**options`.
        training: a training rule; several times (steps, strengths) at once make a third dimension of that name.
        key: for methods that sample; the same at every point of the map, so that sampling noise does not roughen it.
        shortcut_predictivities: \(\rho_s\), one-dimensional, each in [0.5, 1).
        amplification_ratios: \(\alpha_s/\alpha_c\), one-dimensional, each positive.
        progress: called as `progress(done, total)` after each point.

    Returns:
        An `xarray.Dataset` with dimensions ("shortcut_predictivity", "amplification_ratio"), variables
        `bias`, `reliance`, `optimal_reliance` and the method's error estimates; its attributes hold
        every resolved parameter and the versions. With several times, `bias` and `reliance` also have "time" last.

    Raises:
        ValueError: an axis or argument out of range, before any work is done.

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow
        >>> options = {"random_init": False, "tolerance": 0.1}
        >>> network, training = MLP(depth=1), GradientFlow(time=30.0)
        >>> result = bias_map(GenerativeModel(), network, training, [0.6, 0.8], [1.0, 4.0], **options)
        >>> dict(result.sizes)
        {'shortcut_predictivity': 2, 'amplification_ratio': 2}
    """
    # xarray takes half a second to import, which `import ntk_shortcuts` should not cost.
    import xarray

    require(isinstance(model, GenerativeModel), "model", "a GenerativeModel", model)
    require(
        isinstance(training, TrainingRule),
        "training",
        "a training rule such as GradientFlow(time=30.0)",
        training,
    )
    settings = [name for name, value in vars(training).items() if np.ndim(value)]
    require(len(settings) <= 1, "training", "a rule with at most one parameter that is an array", settings)
    predictivities = _axis("shortcut_predictivities", shortcut_predictivities, "in [0.5, 1)", lambda v: (v >= 0.5) & (v < 1))
    ratios = _axis("amplification_ratios", amplification_ratios, "positive and finite", lambda v: (v > 0) & (v < np.inf))
    method = default_method(num_samples) if method is None else method
    require(method in METHODS, "method", f"one of {', '.join(known_methods())}", method)
    require(
        "dataset" not in method_options(method),
        "method",
        "one that does not need a given data set, which has one model",
        method,
    )
    require(progress is None or callable(progress), "progress", "None or a function of (done, total)", progress)

    attributes = {
        **versions(),
        **run_parameters(model, network, training, num_samples, method, key=key, **options),
    }
    for name in ("predictivity", "amplification"):
        attributes[f"core_{name}"] = attributes.pop(name)[1]

    models = [model.with_shortcut(predictivity, ratio) for predictivity in predictivities for ratio in ratios]
    points = []
    for done, point in enumerate(models, start=1):
        points.append(predict_bias(point, network, training, num_samples, method, key=key, **options))
        if progress is not None:
            progress(done, len(models))

    dimensions = ("shortcut_predictivity", "amplification_ratio")

    def grid(values: list) -> tuple:
        array = np.asarray(values, np.float64)
        array = array.reshape(len(predictivities), len(ratios), *array.shape[1:])
        return (*dimensions, *settings)[: array.ndim], array

    variables = {}
    for name, long_name in VARIABLES.items():
        values = [getattr(point, name) for point in points]
        variables[name] = (*grid(values), {"long_name": long_name, "units": "1"})
    for name, long_name in _ERRORS.items():
        if name in points[0].diagnostics:
            values = [point.diagnostics[name] for point in points]
            variables[name] = (*grid(values), {"long_name": long_name, "units": "1"})
    coordinates = {
        "shortcut_predictivity": (
            "shortcut_predictivity",
            predictivities,
            {"long_name": "shortcut predictivity", "symbol": "rho_s", "units": "1"},
        ),
        "amplification_ratio": (
            "amplification_ratio",
            ratios,
            {"long_name": "amplification ratio", "symbol": "alpha_s / alpha_c", "units": "1"},
        ),
        **{
            name: (name, np.asarray(getattr(training, name)), {"long_name": name.replace("_", " "), "units": "1"})
            for name in settings
        },
    }
    return xarray.Dataset(variables, coordinates, {name: netcdf_value(value) for name, value in attributes.items()})


def run_parameters(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    num_samples: int | None,
    method: str,
    **options: Any,
) -> dict[str, Any]:
    """Every resolved parameter of a prediction, defaults included, as plain Python values."""
    parameters: dict[str, Any] = {"method": method}
    specs = [model, training]
    if isinstance(network, MLP):
        specs.insert(1, network)
    else:
        parameters["network"] = type(network).__name__
    for spec in specs:
        parameters.update(spec_parameters(spec))
    parameters["training"] = type(training).__name__
    parameters["num_samples"] = num_samples
    for name, default in method_options(method).items():
        value = options.get(name, default)
        # Arrays given as data (probes, data sets) are not parameters; keys are recorded as their words.
        if name == "key" and value is not None:
            value = np.asarray(without_key_type(value))
        if value is not None or name != "key":
            parameters[name] = plain_value(value)
    return parameters


def spec_parameters(spec: Any) -> dict[str, Any]:
    """The fields of a model, network or training rule as plain Python values."""
    return {field.name: plain_value(getattr(spec, field.name)) for field in dataclasses.fields(spec)}


def plain_value(value: Any) -> Any:
    """A number, string, list or None for JSON and for attributes; anything else by its name or shape."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list | np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        if array.size <= 64 and array.ndim <= 1 and array.dtype.kind in "biuf":
            return array.tolist()
        return f"array of shape {array.shape}"
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    return name if isinstance(name, str) else type(value).__name__


def netcdf_value(value: Any) -> Any:
    """A plain value as netCDF can store it: it knows neither None nor booleans."""
    if value is None:
        return "none"
    return int(value) if isinstance(value, bool) else value


def versions() -> dict[str, str]:
    """Of what the numbers depend on, for attributes and reports."""
    from ntk_shortcuts import __version__

    return {"ntk_shortcuts_version": __version__, "jax_version": jax.__version__}


def _axis(name: str, values: Any, allowed: str, test: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    try:
        axis = np.asarray(values)
    except (ValueError, TypeError):
        axis = np.asarray(None)
    fits = axis.dtype.kind in "iuf" and axis.ndim == 1 and axis.size >= 1
    require(fits, name, f"one-dimensional with at least one entry, each {allowed}", values)
    with np.errstate(invalid="ignore"):
        wrong = axis[~test(axis)]
    require(wrong.size == 0, name, allowed, wrong[:3])
    return axis.astype(np.float64)
