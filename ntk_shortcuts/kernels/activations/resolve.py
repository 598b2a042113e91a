"""From what a user writes for an activation, a name or a function, to the activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax

from ntk_shortcuts.kernels.activations import error_function, piecewise_linear, sine  # noqa: F401  registered by import
from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.activations.hermite import Quadrature
from ntk_shortcuts.kernels.activations.registry import activation_named, known_activations

ActivationLike: TypeAlias = str | Activation | Callable[[jax.Array], jax.Array]


def resolve_activation(activation: ActivationLike) -> Activation:
    """The :class:`Activation` for a registered name, an Activation, or a JAX function of one variable.

    Raises:
        ValueError: an unknown name; the known ones are listed.

    Example:
        >>> resolve_activation("relu").name
        'relu'
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        found = activation_named(activation)
        if found is None:
            raise ValueError(f"activation must be one of {', '.join(known_activations())}, or a callable; got {activation!r}")
        return found
    if callable(activation):
        return Quadrature(activation)
    raise ValueError(f"activation must be a name, an Activation or a callable; got {activation!r}")
