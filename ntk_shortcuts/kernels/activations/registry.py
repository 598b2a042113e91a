"""Activations by name."""

from __future__ import annotations

from ntk_shortcuts.kernels.activations.base import Activation

_BY_NAME: dict[str, Activation] = {}


def register(activation: Activation) -> Activation:
    """Make an activation known by its name; a taken name raises ValueError."""
    if activation.name in _BY_NAME:
        raise ValueError(f"activation {activation.name!r} is already registered")
    _BY_NAME[activation.name] = activation
    return activation


def known_activations() -> list[str]:
    """The registered names."""
    return sorted(_BY_NAME)


def activation_named(name: str) -> Activation | None:
    """The activation registered by a name, if there is one."""
    return _BY_NAME.get(name)
