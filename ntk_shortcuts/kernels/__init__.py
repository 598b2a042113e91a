"""Kernels of wide networks. Importing an activation's module registers it by name."""

from ntk_shortcuts.kernels import error_function, piecewise_linear, sine  # noqa: F401
from ntk_shortcuts.kernels.angular import AngularKernels
from ntk_shortcuts.kernels.dual import Activation, Dual, known_activations, register, resolve_activation
from ntk_shortcuts.kernels.hermite import Quadrature
from ntk_shortcuts.kernels.infinite import AffineLayer, Kernels, mlp_kernels
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.piecewise_linear import LeakyReLU

__all__ = [
    "Activation",
    "AffineLayer",
    "AngularKernels",
    "Dual",
    "Kernels",
    "LeakyReLU",
    "PairMoments",
    "Quadrature",
    "known_activations",
    "mlp_kernels",
    "register",
    "resolve_activation",
]
