"""Prediction methods by name: a new predictor is one file and one `register_method`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ntk_shortcuts.nodes.parity import require_kernels
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.validation import require

Predictor = TypeVar("Predictor", bound=Callable[..., Any])

METHODS: dict[str, Callable[..., Any]] = {}


def register_method(name: str) -> Callable[[Predictor], Predictor]:
    """Decorator that makes `predictor(model, network, training, num_samples, **options)` known by a name."""

    def decorate(predictor: Predictor) -> Predictor:
        if name in METHODS:
            raise ValueError(f"method {name!r} is already registered")
        METHODS[name] = predictor
        return predictor

    return decorate


def require_specs(model: Any, network: Any, training: Any) -> None:
    """Refuse a model, network or training rule that is none."""
    require_kernels(model, network)
    require(isinstance(training, TrainingRule), "training", "a training rule such as GradientFlow(time=30.0)", training)


def known_methods() -> list[str]:
    """The registered method names."""
    return sorted(METHODS)
