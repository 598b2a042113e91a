"""Kernels of wide networks."""

from ntk_shortcuts.kernels import empirical as empirical
from ntk_shortcuts.kernels import finite_width as finite_width
from ntk_shortcuts.kernels.activations import (
    Activation,
    Dual,
    LeakyReLU,
    Quadrature,
    known_activations,
    register,
    resolve_activation,
)
from ntk_shortcuts.kernels.angular import AngularKernels
from ntk_shortcuts.kernels.blocks import Block
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.recursion import AffineLayer, Kernels, mlp_kernels

__all__ = [
    "Activation",
    "AffineLayer",
    "AngularKernels",
    "Block",
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
