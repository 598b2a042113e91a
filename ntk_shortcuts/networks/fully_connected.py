"""Fully connected layers of a given width: their variances and learning rates, their parameters, what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.blocks import PLAIN, Block
from ntk_shortcuts.kernels.recursion import AffineLayer
from ntk_shortcuts.networks.base import FiniteNetwork, require_finite_network
from ntk_shortcuts.numerics import is_traced, real_leaf
from ntk_shortcuts.typing import AnyArray, Array, Float, Key, Num, Scalar
from ntk_shortcuts.validation import as_points, require, require_integer

PARAMETERIZATIONS = ("ntk", "standard", "mean_field")
INITIALIZATIONS = ("normal", "torch")

Parameters = tuple[tuple[jax.Array, jax.Array | None], ...]


class FullyConnected(FiniteNetwork):
    """Affine layers with one activation between, the last to a scalar, or blocks of these that are residual or normalised; of
    these :class:`ntk_shortcuts.MLP` is the spec."""

    sources: ClassVar[tuple[str, ...]] = ("jacot2018neural", "lee2019wide")

    if TYPE_CHECKING:
        depth: int
        width: int | None
        parameterization: str
        initialization: str
        activation: Activation
        weight_variance: Scalar
        bias_variance: Scalar
        residual: Scalar | None
        normalization: str | None
        richness: Scalar | None
        is_lazy_limit: bool

    @property
    def block(self) -> Block:
        """What stands between the layers; without layers to act on it is plain."""
        if self.residual is None and self.normalization is None:
            return PLAIN
        return Block(self.residual if self.depth > 1 else None, self.normalization if self.depth > 0 else None)

    def layers(self, input_dim: int) -> tuple[AffineLayer, ...]:
        """Variances and learning-rate factors of the depth + 1 affine layers, the readout last.

        Raises:
            ValueError: standard parameterisation of an infinitely wide network with hidden layers, whose kernel diverges; mean-
                field parameterisation of one at a positive richness, whose kernel moves.
        """
        return self.affine_layers(self._fan_ins(input_dim))

    @property
    def is_layered(self) -> bool:
        """Whether the network is affine layers with one activation between: its empirical kernels are then made layer by layer
        (:class:`~ntk_shortcuts.kernels.empirical.LayeredNetwork`)."""
        return self.block.is_plain

    def affine_layers(self, fan_ins: Sequence[int | float]) -> tuple[AffineLayer, ...]:
        """Variances and learning-rate factors of affine layers of these fan-ins, the readout last."""
        by_fan_in = {fan_in: self._layer(fan_in) for fan_in in set(fan_ins)}  # of the hidden layers all the same
        layers = [by_fan_in[fan_in] for fan_in in fan_ins]
        if self.parameterization != "mean_field" or self.is_lazy_limit:
            return tuple(layers)
        speed = self._speed(fan_ins[-1])
        *hidden, readout = (AffineLayer(layer.weight_variance, layer.bias_variance, speed, speed) for layer in layers)
        return *hidden, AffineLayer(readout.weight_variance / speed, readout.bias_variance / speed, speed, speed)

    def _speed(self, width: int | float) -> Any:
        r"""How many times faster than in the NTK parameterisation every weight of a mean-field network learns,
        \(\gamma^2n\)."""
        return self.richness**2 * width  # pyright: ignore[reportOptionalOperand]

    def scales(self, fan_ins: Sequence[int], dtype: Any) -> tuple[tuple[jax.Array, jax.Array], ...]:
        """What multiplies weights and biases of each layer in function: 1 in the standard parameterisation."""
        if self.parameterization == "standard":
            return tuple((jnp.ones((), dtype), jnp.ones((), dtype)) for _ in fan_ins)
        weight, bias = (jnp.asarray(variance, dtype) for variance in (self.weight_variance, self.bias_variance))
        scales = [(jnp.sqrt(weight / fan_in), jnp.sqrt(bias)) for fan_in in fan_ins]
        if self.parameterization == "ntk":
            return tuple(scales)
        # The readout is also divided by the root, as the output is.
        root = jnp.sqrt(jnp.asarray(self._speed(fan_ins[-1]), dtype))
        return *((weight * root, bias * root) for weight, bias in scales[:-1]), scales[-1]

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
            self.width is not None or self.parameterization != "mean_field" or self.is_lazy_limit,
            "width",
            "an integer at a richness above 0, where the kernel of infinitely wide networks moves (richness=0 is the limit of "
            "a frozen one; ns.analysis.infinite_width_limit extrapolates in the width)",
            self.width,
        )
        require(
            self.width is not None or self.parameterization != "standard" or self.depth == 0,
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
        if self.parameterization == "mean_field":
            return normal / jnp.sqrt(jnp.asarray(self._speed(self.width or 1), dtype))
        return normal * jnp.sqrt(jnp.asarray(variance, dtype) / divisor)

    def on_plane(self, params: Parameters, basis: Float[AnyArray, "d k"]) -> Parameters:
        """Parameters of the reduced network: the first layer's weights projected, all others unchanged."""
        (weights, biases), *rest = params
        return ((jnp.asarray(basis, weights.dtype).T @ weights, biases), *rest)

    def plane_inputs(self, x: Float[AnyArray, "n d"], basis: Float[AnyArray, "d k"]) -> Float[AnyArray, "n k"]:
        r"""Inputs of the reduced network: \(Q^\top x\), times \(\sqrt{k/d}\) for its other fan-in but in the standard
        parameterisation."""
        coordinates = x @ basis
        return coordinates if self.parameterization == "standard" else coordinates * jnp.sqrt(basis.shape[1] / basis.shape[0])

    def apply(self, params: Parameters, x: Num[AnyArray, "n d"]) -> Float[Array, "n"]:
        """Outputs (n,) at inputs (n, d), in the parameters' dtype.

        Raises:
            ValueError: inputs of another dimension than the parameters'; NaN or infinite entries.
        """
        inputs = as_points("x", x, dimension=params[0][0].shape[0]).astype(params[0][0].dtype)
        scales = [None] * len(params)
        if self.parameterization != "standard":
            scales = self.scales([weights.shape[0] for weights, _ in params], inputs.dtype)
        block, (first, *rest) = self.block, zip(params, scales, strict=True)
        hidden = _affine(*first, inputs)
        for index, layer in enumerate(rest, 1):
            update = _affine(*layer, self.activation(block.seen(hidden)))
            hidden = update if index == len(rest) else block.joined(hidden, update)
        return hidden[:, 0]


def _affine(
    layer: tuple[jax.Array, jax.Array | None], scale: tuple[jax.Array, jax.Array] | None, inputs: jax.Array
) -> jax.Array:
    weights, biases = layer
    if scale is not None:
        weights, biases = weights * scale[0], None if biases is None else biases * scale[1]
    hidden = inputs @ weights
    return hidden if biases is None else hidden + biases[None, :]
