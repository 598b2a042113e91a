"""Kernels of one finite network at its own parameters: NTK of an MLP or of any JAX function, NNGP of an MLP."""

from ntk_shortcuts.kernels.empirical.blocks import DEFAULT_MEMORY
from ntk_shortcuts.kernels.empirical.entry import empirical_nngp, empirical_ntk
from ntk_shortcuts.kernels.empirical.layered import LayeredNetwork

__all__ = ["DEFAULT_MEMORY", "LayeredNetwork", "empirical_nngp", "empirical_ntk"]
