"""Predicted shortcut bias: one entry, methods registered by name."""

from __future__ import annotations

import inspect
from typing import Any

from ntk_shortcuts.analysis.laziness import with_laziness
from ntk_shortcuts.compilation import make_room
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.methods import METHODS, known_methods
from ntk_shortcuts.methods.registry import require_specs
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.validation import require


def default_method(num_samples: int | None) -> str:
    """The method where none is named: the analytic average over data sets, or infinite data without num_samples."""
    return "population" if num_samples is None else "dataset_averaged"


def predict_bias(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    num_samples: int | None = None,
    method: str | None = None,
    *,
    key: Any = None,
    check_laziness: bool = True,
    **options: Any,
) -> Prediction:
    """Predict the shortcut bias of a network trained on two-feature data, without training it.

    Args:
        model: the data law.
        network: an infinitely wide `MLP`, or a stax network through
            `ntk_shortcuts.kernels.neural_tangents.from_stax`; an `MLP` of finite width with method="population_flow".
        training: `GradientFlow`, `GradientDescent` or `Ridge` (squared loss (1/(2N)) sum (f - y)^2, time = learning rate x
            steps). Array parameters give several answers in one pass.
        num_samples: N; None for infinite data.
        method: "dataset_averaged" (the analytic average over data sets of N samples; the default with num_samples),
            "population" (infinite data; the default without), "dataset" (one given data set; the default with one),
            "monte_carlo" (averaged over sampled data sets), "leading_order" (closed forms,
            infinite data), "population_flow" (networks of finite width, whose kernel moves; infinite data, or a data set of N
            samples each), and others: see `known_methods()`.
        key: `jax.random` key, for methods that sample.
        check_laziness: where an `MLP` of finite width is given to a frozen-kernel method, compare with a coarse flow of such
            networks (:func:`laziness_gap`; seconds, most of them compilation): diagnostic `laziness_gap`, and an
            `UntrustedPredictionWarning` above 0.1.
        **options: of the method; an unknown one is an error that lists those there are.

    Returns:
        A `Prediction`: bias, reliance, optimal_reliance, mean and std at the probes, diagnostics.

    Raises:
        ValueError: unknown method or option, or an argument out of range, before any work is done.

    Example:
        >>> model = GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0))
        >>> from ntk_shortcuts import MLP, GradientFlow
        >>> prediction = predict_bias(model, MLP(depth=1), GradientFlow(time=30.0), random_init=False)
        >>> round(prediction.bias, 2)
        1.13
    """
    require_specs(model, network, training)
    if not is_traced(model, network, training, options):
        make_room()
    method = default_method(num_samples) if method is None and "dataset" not in options else method or "dataset"
    require(method in METHODS, "method", f"one of {', '.join(known_methods())}", method)
    predictor = METHODS[method]
    accepted = [name for name, p in inspect.signature(predictor).parameters.items() if p.kind is p.KEYWORD_ONLY]
    if key is not None:
        options["key"] = key
    for name in options:
        require(name in accepted, "option", f'one of {", ".join(accepted)} for method="{method}"', name)
    if "dataset" in accepted:
        require("dataset" in options, "dataset", f'given for method="{method}"', None)
    if isinstance(network, MLP) and method != "population_flow":
        network.require_resolved(model)
    prediction = predictor(model, network, training, num_samples, **options)
    # A weighted loss is another problem than the one that the coarse flow solves.
    if check_laziness and method != "population_flow" and options.get("sample_weight") is None:
        return with_laziness(prediction, model, network, training, options.get("random_init", True))
    return prediction
