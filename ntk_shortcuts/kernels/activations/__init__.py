"""Nonlinearities: pointwise functions and their duals. Importing an activation's module registers it by name."""

from ntk_shortcuts.kernels.activations import error_function, piecewise_linear, sine  # noqa: F401
from ntk_shortcuts.kernels.activations.base import Activation, Dual
from ntk_shortcuts.kernels.activations.hermite import Quadrature
from ntk_shortcuts.kernels.activations.piecewise_linear import LeakyReLU
from ntk_shortcuts.kernels.activations.registry import known_activations, register
from ntk_shortcuts.kernels.activations.resolve import ActivationLike, UnresolvedActivationWarning, resolve_activation

__all__ = [
    "Activation",
    "ActivationLike",
    "Dual",
    "LeakyReLU",
    "Quadrature",
    "UnresolvedActivationWarning",
    "known_activations",
    "register",
    "resolve_activation",
]
