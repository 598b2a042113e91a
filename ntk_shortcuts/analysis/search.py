"""Inverse questions: at which availability, time or sample size the bias crosses a level, and where it is largest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import at, axes_of
from ntk_shortcuts.entry import predict_bias
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.laws.two_features.optimum import optimal_reliance_limit
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.training.gradient_flow import GradientFlow
from ntk_shortcuts.training.rules import require_rule
from ntk_shortcuts.validation import require, require_integer, require_values

PARAMETERS = ("amplification_ratio", "shortcut_predictivity", "correlation", "time", "num_samples")
_LOGARITHMIC = ("amplification_ratio", "time", "num_samples")
_BRACKETS = {
    "amplification_ratio": (0.05, 20.0),
    "shortcut_predictivity": (0.51, 0.95),
    "correlation": (-0.5, 0.9),
    "time": (0.1, 1e4),
    "num_samples": (20.0, 1e6),
}
_SCAN = 9


class Crossing(NamedTuple):
    """`value` of the parameter at which the bias is `bias`; `bracket` of a sign change; `evaluations` of the predictor."""

    value: float
    bias: float
    bracket: tuple[float, float]
    evaluations: int


class Extreme(NamedTuple):
    """`parameters` at which the `bias` is largest, its `gradient` in them, and the optimiser's `message`.

    The gradient is that of the bias on an infinitely fine probe grid, which is smooth.
    """

    parameters: dict[str, float]
    bias: float
    gradient: dict[str, float]
    message: str


def critical_ratio(
    model: DataLaw,
    network: Any,
    training: GradientFlow,
    num_samples: int | None = None,
    level: float = 0.1,
    parameter: str = "amplification_ratio",
    bracket: tuple[float, float] | None = None,
    read: str | Callable[[Prediction], float] = "bias",
    **options: Any,
) -> Crossing:
    """Where the predicted bias crosses a level, as one parameter of the setting varies (Brent's method, scipy).

    The first four arguments and the options are those of :func:`ntk_shortcuts.predict_bias`.

    Args:
        level: of the bias.
        parameter: "amplification_ratio" (alpha_s / alpha_c), "time" of gradient flow, "num_samples",
            "shortcut_predictivity" or "correlation"; of any law one of its axes (`ntk_shortcuts.axes.axes_of(law)`), such as
            "amplification_1" of several features.
        bracket: range searched, scanned for the first change of sign; needed for parameters that have none by default.
        read: which number of the prediction: its name, "worst_group_accuracy" for instance, or a function of the prediction,
            `lambda p: p.bias.sel(shortcut=1)` of several shortcuts.
        **options: of the prediction method.

    Raises:
        ValueError: unknown parameter, a bracket that is missing or out of order, no single number to read, or a bias on one
            side of the level in all of it.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> crossing = critical_ratio(GenerativeModel(), MLP(1), GradientFlow(30.0), level=0.5, bracket=(1.0, 4.0))
        >>> abs(crossing.bias - 0.5) < 1e-3
        True
    """
    from scipy import optimize  # what comes with it takes as long to import as this package

    LawKernel(model, network)
    known = [*(name for name in PARAMETERS if name in axes_of(model)), "time", "num_samples"]
    known += [name for name in axes_of(model) if name not in known]
    require(parameter in known, "parameter", f"one of {', '.join(known)}", parameter)
    require_values("level", level, (), "a finite number", np.isfinite)
    require(bracket is not None or parameter in _BRACKETS, "bracket", f"given for {parameter}", bracket)
    low, high = _BRACKETS[parameter] if bracket is None else _range("bracket", bracket, "")
    require_rule(training)
    _require_time(training, (parameter,))
    require(parameter != "num_samples" or num_samples is not None, "num_samples", "given to vary it", num_samples)
    logarithmic = parameter in _LOGARITHMIC
    require(not logarithmic or low > 0, "bracket", f"positive for {parameter}", bracket)
    evaluations = 0
    found: dict[float, float] = {}

    def excess(position: float) -> float:
        nonlocal evaluations
        if position not in found:
            evaluations += 1
            value = float(np.exp(position)) if logarithmic else position
            prediction, _ = _predict(model, network, training, num_samples, {parameter: value}, options)
            found[position] = _number(prediction, read) - level
        return found[position]

    ends = np.log([low, high]) if logarithmic else np.array([low, high])
    grid = np.linspace(ends[0], ends[1], _SCAN)
    for left, right in itertools.pairwise(grid):
        if excess(left) * excess(right) <= 0:
            break
    else:
        values = [found[point] + level for point in grid]
        raise ValueError(
            f"level must be crossed between {parameter} = {low:g} and {high:g}, where the bias lies in "
            f"[{min(values):.3g}, {max(values):.3g}]; got {level:g}"
        )
    position = cast(float, optimize.brentq(excess, left, right, xtol=1e-5))
    back = (lambda x: float(np.exp(x))) if logarithmic else float
    return Crossing(back(position), excess(position) + level, (back(left), back(right)), evaluations)


def most_biased(
    model: GenerativeModel,
    network: Any,
    training: GradientFlow,
    num_samples: int | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    starts: int = 8,
    **options: Any,
) -> Extreme:
    """The setting of largest predicted bias inside bounds: L-BFGS-B (scipy) with derivatives through the prediction.

    The first four arguments and the options are those of :func:`ntk_shortcuts.predict_bias`; they fix what is not varied.

    Args:
        bounds: range of each parameter that varies, names as in :func:`critical_ratio` ("num_samples" excepted); by default
            the amplification ratio in [1/8, 8] and the shortcut's predictivity in [0.55, 0.9].
        starts: points of a Sobol sequence from the best of which it climbs.
        **options: of the prediction method.

    Raises:
        ValueError: unknown names or bounds out of order.
    """
    from scipy import optimize
    from scipy.stats import qmc

    bounds = {"amplification_ratio": (0.125, 8.0), "shortcut_predictivity": (0.55, 0.9)} if bounds is None else dict(bounds)
    allowed = [name for name in PARAMETERS if name != "num_samples"]
    for name, pair in bounds.items():
        require(name in allowed, "bounds", f"of {', '.join(allowed)}", name)
        low, _ = _range("bounds", pair, f", for {name}")
        require(name not in _LOGARITHMIC or low > 0, "bounds", f"positive for {name}", pair)
    require(bool(bounds), "bounds", "of at least one parameter", bounds)
    LawKernel(model, network)
    require_rule(training)
    _require_time(training, tuple(bounds))
    require_integer("starts", starts, 1)
    names = list(bounds)
    ends = np.array([np.log(bounds[n]) if n in _LOGARITHMIC else bounds[n] for n in names], float)

    def smooth_bias(positions: jax.Array) -> jax.Array:
        values = {n: jnp.exp(x) if n in _LOGARITHMIC else x for n, x in zip(names, positions, strict=True)}
        found, changed = _predict(model, network, training, num_samples, values, options)
        return found.reliance - optimal_reliance_limit(changed)

    with jax.enable_x64(True):
        value = jax.jit(smooth_bias)
        value_and_slope = jax.jit(jax.value_and_grad(smooth_bias))
        sobol = qmc.Sobol(len(names), seed=0)  # pyright: ignore[reportCallIssue]  SciPy's decorator hides the parameter
        points = qmc.scale(sobol.random(starts), ends[:, 0], ends[:, 1])
        best = max(points, key=lambda point: float(value(jnp.asarray(point))))

        def negative(position: np.ndarray) -> tuple[float, np.ndarray]:
            height, slope = value_and_slope(jnp.asarray(position))
            return -float(height), -np.asarray(slope, float)

        found = optimize.minimize(negative, best, jac=True, method="L-BFGS-B", bounds=ends)
    where = {n: float(np.exp(x) if n in _LOGARITHMIC else x) for n, x in zip(names, found.x, strict=True)}
    chain = np.array([1 / where[n] if n in _LOGARITHMIC else 1.0 for n in names])
    gradient = dict(zip(names, (-found.jac * chain).tolist(), strict=True))
    highest, _ = _predict(model, network, training, num_samples, where, options)
    return Extreme(where, float(highest.bias), gradient, str(found.message))


def _number(prediction: Prediction, read: str | Callable[[Prediction], float]) -> float:
    value = getattr(prediction, read) if isinstance(read, str) else read(prediction)
    require(np.ndim(value) == 0, "read", "a single number, lambda p: p.bias.sel(shortcut=1) for instance", np.shape(value))
    return float(value)


def _range(name: str, pair: Any, place: str) -> tuple[float, float]:
    allowed = f"two finite numbers, low < high{place}"
    require_values(name, pair, (2,), allowed, lambda v: np.isfinite(v) & (v[0] < v[1]))
    return float(pair[0]), float(pair[1])


def _require_time(training: Any, parameters: tuple[str, ...]) -> None:
    require(training.batch_shape == (), "training", "a rule with scalar parameters", training)
    if "time" in parameters:
        require(isinstance(training, GradientFlow), "training", "GradientFlow to vary its time", training)


def _predict(
    model: Any, network: Any, training: Any, num_samples: int | None, values: Mapping[str, Any], options: Any
) -> tuple[Prediction, Any]:
    """The prediction with some parameters replaced, traced or not, and its law."""
    changed = at(model, {name: value for name, value in values.items() if name not in ("time", "num_samples")})
    training = GradientFlow(values["time"]) if "time" in values else training
    count = round(values["num_samples"]) if "num_samples" in values else num_samples
    return predict_bias(changed, network, training, count, **options), changed
