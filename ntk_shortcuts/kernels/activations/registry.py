"""Activations by name, and the functions that they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ntk_shortcuts.kernels.activations.base import Activation

_BY_NAME: dict[str, Activation] = {}
_BY_FUNCTION: dict[Callable[..., Any], Activation] = {}


def register(activation: Activation, *functions: Callable[..., Any]) -> Activation:
    """Make an activation known by its name; a taken name raises ValueError.

    Args:
        functions: the activation in the libraries of JAX, which stand for it: `jax.nn.relu` is "relu".
    """
    if activation.name in _BY_NAME:
        raise ValueError(f"activation {activation.name!r} is already registered")
    _BY_NAME[activation.name] = activation
    _BY_FUNCTION.update(dict.fromkeys(functions, activation))
    return activation


def known_activations() -> list[str]:
    """The registered names."""
    return sorted(_BY_NAME)


def activation_named(name: str) -> Activation | None:
    """The activation registered by a name, if there is one."""
    return _BY_NAME.get(name)


def activation_of(function: Callable[..., Any]) -> Activation | None:
    """The activation that a function was registered as, if it was."""
    return _BY_FUNCTION.get(function)
