"""Nonlinearities: pointwise functions and their duals. Importing an activation's module registers it by name."""

from ntk_shortcuts.kernels.activations import error_function, piecewise_linear, sine  # noqa: F401
from ntk_shortcuts.kernels.activations.base import Activation, Dual, known_activations, register, resolve_activation
from ntk_shortcuts.kernels.activations.hermite import Quadrature
from ntk_shortcuts.kernels.activations.piecewise_linear import LeakyReLU

__all__ = [
    "Activation",
    "Dual",
    "LeakyReLU",
    "Quadrature",
    "known_activations",
    "register",
    "resolve_activation",
]
