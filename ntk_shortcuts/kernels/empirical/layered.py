"""What a network must say of itself for its kernels to be made layer by layer.

A network hands its layers over, so that kernels know no networks: one that is not layered (residual, normalised, or a bare
function) has the product of its Jacobians instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import jax

from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.recursion import AffineLayer

LayerParameters: TypeAlias = tuple[tuple[jax.Array, jax.Array | None], ...]
"""Weights (fan_in, fan_out), and biases (fan_out,) or None, of each layer; the last has one output."""


@runtime_checkable
class Applied(Protocol):
    """A network with its function as a method."""

    def apply(self, params: Any, x: jax.Array) -> jax.Array:
        """Outputs at inputs (n, ...)."""
        ...


@runtime_checkable
class LayeredNetwork(Protocol):
    """Affine layers with one pointwise activation between them, and nothing else."""

    @property
    def is_layered(self) -> bool:
        """True; a network that may have other layers too says False where it has."""
        ...

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        ...

    @property
    def activation(self) -> Activation:
        """Between the layers."""
        ...

    def affine_layers(self, fan_ins: Sequence[int | float]) -> tuple[AffineLayer, ...]:
        """Variances and learning-rate factors of affine layers of these fan-ins, the readout last."""
        ...

    def scales(self, fan_ins: Sequence[int], dtype: Any) -> tuple[tuple[jax.Array, jax.Array], ...]:
        """What multiplies weights and biases of each layer in function."""
        ...


def is_layered(network: Any) -> TypeGuard[LayeredNetwork]:
    """Whether a network, or a function, is a :class:`LayeredNetwork`."""
    return getattr(network, "is_layered", False)


def fan_ins(params: LayerParameters) -> tuple[int, ...]:
    """The fan-ins of the parameters, whatever width the network's spec has."""
    return tuple(weights.shape[0] for weights, _ in params)
