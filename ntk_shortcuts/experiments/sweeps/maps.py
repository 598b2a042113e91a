"""Maps of the predicted bias over shortcut predictivity and availability, as labelled arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.axes import axes_of
from ntk_shortcuts.entry import default_method
from ntk_shortcuts.experiments.sweeps.grid import Point, checked_values
from ntk_shortcuts.experiments.sweeps.identity import run_attributes
from ntk_shortcuts.experiments.sweeps.sweep import sweep
from ntk_shortcuts.experiments.sweeps.table import VARIABLES
from ntk_shortcuts.methods import Method
from ntk_shortcuts.training.rules import TrainingRule, require_rule
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from ntk_shortcuts.experiments.sweeps.result import SweepResult

_AXES = {
    "shortcut_predictivity": {"long_name": "shortcut predictivity", "symbol": "rho_s", "units": "1"},
    "amplification_ratio": {"long_name": "amplification ratio", "symbol": "alpha_s / alpha_c", "units": "1"},
}
# Error estimates that a reader of the map needs; a method reports those it has.
_ERRORS = {
    "bias_standard_error": "standard error of the bias over data sets",
    "discretization_error": "last change of the bias under refinement",
    "laziness_gap": "distance of the bias from that of a coarse flow",
}


def bias_map(
    model: Any,
    network: Any,
    training: TrainingRule,
    shortcut_predictivities: Any,
    amplification_ratios: Any,
    *,
    num_samples: int | None = None,
    method: str | Method | None = None,
    key: Any = None,
    progress: Callable[[int, int], Any] | None = None,
    **options: Any,
) -> SweepResult:
    r"""Bias over shortcut predictivity and amplification ratio, like Figure 2 of Hermann et al. (2024).

    Args:
        model: gives all that the map does not vary: the core's predictivity and amplification, correlation,
            nesting, d.
        network: as in :func:`ntk_shortcuts.predict_bias`, and so are `num_samples`, `method` and `**options`.
        training: a training rule; several times (steps, strengths) at once make a third dimension of that name.
        key: for methods that sample; the same at every point of the map, so that sampling noise does not roughen it.
        shortcut_predictivities: \(\rho_s\), one-dimensional, each in [0.5, 1), without repeated values.
        amplification_ratios: \(\alpha_s/\alpha_c\), one-dimensional, each positive, without repeated values.
        progress: called as `progress(done, total)` after each point.
        **options: of the method, and `engine` and `store` of :func:`ntk_shortcuts.sweep`.

    Returns:
        An `xarray.Dataset` with dimensions ("shortcut_predictivity", "amplification_ratio"), variables
        `bias`, `reliance`, `optimal_reliance` and the method's error estimates; its attributes hold
        every resolved parameter and the versions. With several times, `bias` and `reliance` also have "time" last.

    Raises:
        ValueError: an axis or argument out of range, before any work is done.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow
        >>> options = {"random_init": False, "tolerance": 0.1}
        >>> network, training = MLP(depth=1), GradientFlow(time=30.0)
        >>> result = bias_map(GenerativeModel(), network, training, [0.6, 0.8], [1.0, 4.0], **options)
        >>> dict(result.sizes)
        {'shortcut_predictivity': 2, 'amplification_ratio': 2}
    """
    require(
        _AXES.keys() <= axes_of(model).keys(),
        "model",
        f"a GenerativeModel, or another law with the axes {' and '.join(_AXES)}",
        model,
    )
    require_rule(training)
    predictivities = checked_values("shortcut_predictivities", shortcut_predictivities)
    wrong = predictivities[(predictivities < 0.5) | (predictivities >= 1)]
    require(wrong.size == 0, "shortcut_predictivities", "in [0.5, 1)", wrong[:3])
    ratios = checked_values("amplification_ratios", amplification_ratios)
    wrong = ratios[(ratios <= 0) | (ratios == np.inf)]
    require(wrong.size == 0, "amplification_ratios", "positive and finite", wrong[:3])
    method = default_method(num_samples) if method is None else method
    axes = dict(zip(_AXES, (predictivities, ratios), strict=True))
    result = sweep(axes, model, network, training, num_samples, method, progress=progress, key=key, **options)

    labels = {**VARIABLES, **_ERRORS}
    result = result[[name for name in labels if name in result]]
    for name in result.data_vars:
        result[name].attrs["long_name"] = labels[str(name)]
    for name in result.coords:
        result[name].attrs = _AXES.get(str(name), {"long_name": str(name).replace("_", " "), "units": "1"})
    options = {name: value for name, value in options.items() if name not in ("engine", "store")}
    attributes = run_attributes(Point(model, network, training, num_samples), method, None, {**options, "key": key})
    # The axes vary the shortcut's.
    result.attrs = {name: value for name, value in attributes.items() if not name.startswith("shortcut_")}
    return result
