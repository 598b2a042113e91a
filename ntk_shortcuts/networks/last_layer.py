"""A network of which only the last layer is trained."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.networks.base import KernelFacts, Network, as_network


class LastLayer(Network):
    r"""A wide network whose last layer alone is trained: the NTK of its outputs is their covariance at initialisation.

    With features \(\phi\) of the layer before, \(f=w\cdot\phi\): \(\Theta=\phi\cdot\phi'=K\), the NNGP kernel. The features are
    those of random layers; layers that have been trained have others.

    Args:
        network: an infinitely wide network, or anything with `kernels(x1, x2)`. A bias of the last layer is trained along.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> found = LastLayer(MLP(depth=2)).kernels([[1.0, 2.0], [0.5, -1.0]])
        >>> bool((found.ntk == found.nngp).all())
        True
    """

    sources: ClassVar[tuple[str, ...]] = ("lee2018deep",)

    network: Network

    def __init__(self, network: Any):
        self.network = as_network(network)

    @property
    def facts(self) -> KernelFacts:
        return self.network.facts

    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        found = self.network.kernels(x1, x2)
        nngp = jnp.asarray(found.nngp)
        return Kernels(nngp, nngp, found.quadrature_error)

    def on_images(self, shape: tuple[int, ...]) -> LastLayer:
        return LastLayer(self.network.on_images(shape))
