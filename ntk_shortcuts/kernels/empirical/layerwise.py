"""Kernels of a layered network, layer by layer: no Jacobian is ever formed."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntk_shortcuts.kernels.empirical.blocks import blocked, gram, product
from ntk_shortcuts.kernels.empirical.layered import LayeredNetwork, LayerParameters, fan_ins
from ntk_shortcuts.numerics import compiled


class _Features(NamedTuple):
    """Inputs of every layer, (n, fan_in) each, and derivatives of the output by hidden pre-activations, (n, fan_out)."""

    inputs: tuple[jax.Array, ...]
    deltas: tuple[jax.Array, ...]


def _forward(network: LayeredNetwork, params: LayerParameters, x: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
    """Inputs of every layer and the derivative of the activation at every hidden pre-activation."""
    inputs, slopes = [x], []
    for (weights, biases), (weight_scale, bias_scale) in zip(params[:-1], _scales(network, params)[:-1], strict=True):
        pre = product(inputs[-1], weights) * weight_scale
        if biases is not None:
            pre = pre + (bias_scale * biases)[None, :]
        hidden, slope = jax.jvp(network.activation, (pre,), (jnp.ones_like(pre),))
        inputs.append(hidden)
        slopes.append(slope)
    return inputs, slopes


def _features(network: LayeredNetwork, params: LayerParameters, x: jax.Array) -> _Features:
    inputs, slopes = _forward(network, params, x)
    deltas: list[jax.Array] = []
    for (weights, _), (scale, _), slope in zip(
        reversed(params[1:]), reversed(_scales(network, params)[1:]), reversed(slopes), strict=True
    ):
        backward = product(deltas[0], weights.T) if deltas else weights.T
        deltas.insert(0, scale * backward * slope)
    return _Features(tuple(inputs), tuple(deltas))


def _scales(network: LayeredNetwork, params: LayerParameters) -> tuple[tuple[jax.Array, jax.Array], ...]:
    return network.scales(fan_ins(params), params[0][0].dtype)


@compiled
def layerwise_ntk(network: LayeredNetwork, params: LayerParameters, x1: Any, x2: Any, rates: Any, memory: int) -> jax.Array:
    """The tangent kernel, a sum over layers of <deltas> (weight factor <inputs> + bias factor)."""
    factors = []
    for (_, biases), (weight_scale, bias_scale), rate in zip(params, _scales(network, params), rates, strict=True):
        factors.append((rate[0] * weight_scale**2, None if biases is None else rate[1] * bias_scale**2))

    def contract(a: _Features, b: _Features) -> jax.Array:
        total = jnp.zeros((), x1.dtype)
        for layer, (weight, bias) in enumerate(factors):
            term = weight * gram(a.inputs[layer], b.inputs[layer])
            term = term if bias is None else term + bias
            total = total + (term * gram(a.deltas[layer], b.deltas[layer]) if layer < len(a.deltas) else term)
        return total

    # Two blocks; a layer's input, slope and delta; the input itself.
    numbers = 2 * (x1.shape[1] + 3 * sum(weights.shape[1] for weights, _ in params[:-1]))
    return blocked(lambda x: _features(network, params, x), contract, x1, x2, numbers, memory)


@compiled
def layerwise_nngp(network: LayeredNetwork, params: LayerParameters, x1: Any, x2: Any, memory: int) -> jax.Array:
    """The readout's term of it: <last hidden features> in the variances of the readout."""
    readout = network.affine_layers(fan_ins(params))[-1]
    weight = jnp.asarray(readout.weight_variance, x1.dtype) / params[-1][0].shape[0]
    bias = jnp.asarray(readout.bias_variance, x1.dtype)
    numbers = 2 * (x1.shape[1] + 2 * max([0, *(weights.shape[1] for weights, _ in params[:-1])]))
    return blocked(
        lambda x: _forward(network, params, x)[0][-1],
        lambda a, b: weight * gram(a, b) + bias,
        x1,
        x2,
        numbers,
        memory,
    )
