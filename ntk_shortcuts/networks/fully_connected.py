"""Fully connected layers of a given width: their variances and learning rates, their parameters, what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.recursion import AffineLayer
from ntk_shortcuts.networks.base import FiniteNetwork, require_finite_network
from ntk_shortcuts.numerics import is_traced, real_leaf
from ntk_shortcuts.typing import AnyArray, Array, Float, Key, Num, Scalar
from ntk_shortcuts.validation import as_points, require, require_integer

PARAMETERIZATIONS = ("ntk", "standard")
INITIALIZATIONS = ("normal", "torch")

Parameters = tuple[tuple[jax.Array, jax.Array | None], ...]


class FullyConnected(FiniteNetwork):
    """Affine layers with one activation between, the last to a scalar; of these :class:`ntk_shortcuts.MLP` is the spec."""

    if TYPE_CHECKING:
        depth: int
        width: int | None
        parameterization: str
        initialization: str
        activation: Activation
        weight_variance: Scalar
        bias_variance: Scalar

    def layers(self, input_dim: int) -> tuple[AffineLayer, ...]:
        """Variances and learning-rate factors of the depth + 1 affine layers, the readout last.

        Raises:
            ValueError: standard parameterisation of an infinitely wide network with hidden layers, whose kernel diverges.
        """
        return self.affine_layers(self._fan_ins(input_dim))

    @property
    def is_layered(self) -> bool:
        """Whether the network is affine layers with one activation between: its empirical kernels are then made layer by layer
        (:class:`~ntk_shortcuts.kernels.empirical.LayeredNetwork`)."""
        return True

    def affine_layers(self, fan_ins: Sequence[int | float]) -> tuple[AffineLayer, ...]:
        """Variances and learning-rate factors of affine layers of these fan-ins, the readout last."""
        by_fan_in = {fan_in: self._layer(fan_in) for fan_in in set(fan_ins)}  # of the hidden layers all the same
        return tuple(by_fan_in[fan_in] for fan_in in fan_ins)

    def scales(self, fan_ins: Sequence[int], dtype: Any) -> tuple[tuple[jax.Array, jax.Array], ...]:
        """What multiplies weights and biases of each layer in function: 1 in the standard parameterisation."""
        if self.parameterization == "standard":
            return tuple((jnp.ones((), dtype), jnp.ones((), dtype)) for _ in fan_ins)
        weight, bias = (jnp.asarray(variance, dtype) for variance in (self.weight_variance, self.bias_variance))
        return tuple((jnp.sqrt(weight / fan_in), jnp.sqrt(bias)) for fan_in in fan_ins)

    def _layer(self, fan_in: int | float) -> AffineLayer:
        weight, bias = self.weight_variance, self.bias_variance
        weight_rate, bias_rate = 1.0, 1.0
        if self.initialization == "torch":
            weight, bias = real_leaf(1 / 3), real_leaf(1 / (3 * fan_in))
        if self.parameterization == "standard":
            # Also where it is traced: zero bias variance means no biases, not untrained ones.
            positive = bias != 0
            weight_rate = fan_in / weight
            bias_rate = jnp.where(positive, 1 / jnp.where(positive, bias, 1.0), 0.0)
        return AffineLayer(weight, bias, weight_rate, bias_rate)

    def _fan_ins(self, input_dim: int) -> list[int]:
        require(
            self.width is not None or self.parameterization == "ntk" or self.depth == 0,
            "width",
            'an integer in the standard parameterisation, whose kernel grows with it (or use parameterization="ntk")',
            self.width,
        )
        hidden = 1 if self.width is None else self.width  # unused at infinite width: no rate depends on it
        return [input_dim, *[hidden] * self.depth]

    @property
    def is_finite(self) -> bool:
        """Whether it can be drawn: of finite width, or without hidden layers."""
        return self.width is not None or self.depth == 0

    @property
    def has_biases(self) -> bool:
        """Whether the network has biases: always with PyTorch's initialisation, else where bias_variance is not 0."""
        if self.initialization == "torch" or is_traced(self.bias_variance):
            return True
        return float(self.bias_variance) > 0

    def init(self, key: Key, input_dim: int, dtype: Any = None) -> Parameters:
        """Draw parameters: per layer, weights (fan_in, fan_out) and biases (fan_out,), or None without biases.

        Args:
            dtype: by default JAX's current default float.

        Raises:
            ValueError: width is None.
        """
        require_finite_network(self)
        require_integer("input_dim", input_dim, 1)
        dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
        fan_ins = self._fan_ins(input_dim)
        fan_outs = [*fan_ins[1:], 1]
        parameters = []
        for layer_key, fan_in, fan_out in zip(jax.random.split(key, len(fan_ins)), fan_ins, fan_outs, strict=True):
            weight_key, bias_key = jax.random.split(layer_key)
            parameters.append(
                (
                    self._draw(weight_key, (fan_in, fan_out), fan_in, self.weight_variance, fan_in, dtype),
                    self._draw(bias_key, (fan_out,), fan_in, self.bias_variance, 1, dtype) if self.has_biases else None,
                )
            )
        return tuple(parameters)

    def _draw(self, key: Key, shape: tuple, fan_in: int, variance: Scalar, divisor: int, dtype: Any) -> jax.Array:
        if self.initialization == "torch":
            bound = 1 / np.sqrt(fan_in)
            return jax.random.uniform(key, shape, dtype, -bound, bound)
        normal = jax.random.normal(key, shape, dtype)
        if self.parameterization == "ntk":
            return normal
        return normal * jnp.sqrt(jnp.asarray(variance, dtype) / divisor)

    def on_plane(self, params: Parameters, basis: Float[AnyArray, "d k"]) -> Parameters:
        """Parameters of the reduced network: the first layer's weights projected, all others unchanged."""
        (weights, biases), *rest = params
        return ((jnp.asarray(basis, weights.dtype).T @ weights, biases), *rest)

    def plane_inputs(self, x: Float[AnyArray, "n d"], basis: Float[AnyArray, "d k"]) -> Float[AnyArray, "n k"]:
        r"""Inputs of the reduced network: \(Q^\top x\), in the NTK parameterisation times \(\sqrt{k/d}\) for its other
        fan-in."""
        coordinates = x @ basis
        return coordinates * jnp.sqrt(basis.shape[1] / basis.shape[0]) if self.parameterization == "ntk" else coordinates

    def apply(self, params: Parameters, x: Num[AnyArray, "n d"]) -> Float[Array, "n"]:
        """Outputs (n,) at inputs (n, d), in the parameters' dtype.

        Raises:
            ValueError: inputs of another dimension than the parameters'; NaN or infinite entries.
        """
        hidden = as_points("x", x, dimension=params[0][0].shape[0]).astype(params[0][0].dtype)
        for index, (weights, biases) in enumerate(params):
            if index:
                hidden = self.activation(hidden)
            fan_in = weights.shape[0]
            if self.parameterization == "ntk":
                weights = weights * jnp.sqrt(jnp.asarray(self.weight_variance, weights.dtype) / fan_in)
            hidden = hidden @ weights
            if biases is not None:
                if self.parameterization == "ntk":
                    biases = biases * jnp.sqrt(jnp.asarray(self.bias_variance, biases.dtype))
                hidden = hidden + biases[None, :]
        return hidden[:, 0]
