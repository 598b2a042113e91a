"""Checks of what an empirical kernel is asked for: parameters, inputs and learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.empirical.layered import LayeredNetwork, LayerParameters, fan_ins
from ntk_shortcuts.numerics import safe_divide
from ntk_shortcuts.validation import as_points, require, require_finite, require_values


def checked_memory(memory: float) -> int:
    """Whole bytes."""
    require_values("memory", memory, (), "a positive finite number of bytes", lambda v: (v >= 1) & (v < np.inf))
    return int(memory)


def checked_layers(
    network: LayeredNetwork, params: Any, x1: Any, x2: Any
) -> tuple[LayerParameters, jax.Array, jax.Array | None]:
    """Parameters as a tuple of pairs of arrays, at least float32, and inputs in their dtype."""
    form = f"(weights, biases or None) for each of the {network.depth + 1} layers, as MLP.init returns them"
    is_sequence = isinstance(params, tuple | list) and len(params) == network.depth + 1
    require(is_sequence, "params", form, params if not isinstance(params, tuple | list) else f"{len(params)} layers")
    layers, fan_in = [], None
    for index, layer in enumerate(params):
        require(isinstance(layer, tuple | list) and len(layer) == 2, "params", form, layer)
        weights, biases = _array(layer[0]), None if layer[1] is None else _array(layer[1])
        fan_out = 1 if index == network.depth else "fan_out"
        fits = weights.ndim == 2 and (fan_in is None or weights.shape[0] == fan_in)
        fits = fits and (index < network.depth or weights.shape[1] == 1)
        shape = f"({'d' if fan_in is None else fan_in}, {fan_out})"
        require(fits, "params", f"weights of shape {shape} in layer {index}", weights)
        fan_in = weights.shape[1]
        fits = biases is None or biases.shape == (fan_in,)
        require(fits, "params", f"biases of shape ({fan_in},) in layer {index}", biases)
        layers.append((weights, biases))
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(layers)}
    fits = len(dtypes) == 1 and jnp.issubdtype(next(iter(dtypes)), jnp.floating)
    require(fits, "params", "arrays of one real floating-point dtype", ", ".join(sorted(map(str, dtypes))))
    dimension, dtype = layers[0][0].shape[0], kernel_dtype(next(iter(dtypes)))
    layers = jax.tree.map(lambda leaf: leaf.astype(dtype), layers)
    x1 = jnp.asarray(as_points("x1", x1, dimension=dimension), dtype)
    x2 = None if x2 is None else jnp.asarray(as_points("x2", x2, dimension=dimension), dtype)
    return tuple(layers), x1, x2


def kernel_dtype(dtype: Any) -> Any:
    """The dtype of kernels of parameters or outputs of a dtype: sums of many products are not for half precision."""
    return jnp.dtype(dtype if dtype in (np.float32, np.float64) else np.float32)


def _array(value: Any) -> jax.Array:
    return value if isinstance(value, jax.Array) else jnp.asarray(value)


def checked_inputs(x1: Any, x2: Any) -> tuple[jax.Array, jax.Array | None]:
    """Inputs of a function, of one shape and dtype."""
    checked = []
    for name, x in (("x1", x1), ("x2", x2)):
        if x is None and name == "x2":
            checked.append(None)
            continue
        x = x if isinstance(x, jax.Array) else np.asarray(x)
        is_real = x.dtype.kind in "iufb" or jnp.issubdtype(x.dtype, jnp.floating)
        require(x.ndim >= 1 and x.shape[0] >= 1 and is_real, name, "a real array (n, ...) with n >= 1", x)
        require_finite(name, x)
        checked.append(jnp.asarray(x))
    x1, x2 = checked
    if x2 is not None:
        require(x2.shape[1:] == x1.shape[1:], "x2", f"of shape (n2, {', '.join(map(str, x1.shape[1:]))}), as x1", x2)
        require(x2.dtype == x1.dtype, "x2", f"of dtype {x1.dtype}, as x1", x2.dtype.name)
    return x1, x2


def is_real_array(leaf: Any) -> bool:
    """Whether a leaf is an array of parameters that are differentiated."""
    return isinstance(leaf, jax.Array | np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.floating)


def checked_tree(params: Any, rates: Any) -> tuple[Any, list[jax.Array]]:
    """The parameters, and a rate for each real array of them."""
    leaves = jax.tree.leaves(params)
    is_complex = any(eqx.is_inexact_array(leaf) and not is_real_array(leaf) for leaf in leaves)
    require(not is_complex, "params", "real", "a complex array")
    trained = eqx.filter(params, is_real_array)
    require(bool(jax.tree.leaves(trained)), "params", "a pytree with at least one floating-point array", type(params).__name__)
    prefix = 1.0 if rates is None else rates
    allowed = "None or a pytree prefix of params, numbers >= 0"
    for rate in jax.tree.leaves(prefix):
        require_values("learning_rates", rate, (), allowed, _is_rate)
    try:
        spread = jax.tree.map(
            lambda rate, part: jax.tree.map(lambda leaf: jnp.asarray(rate, kernel_dtype(leaf.dtype)), part), prefix, trained
        )
    except ValueError as error:
        raise ValueError(f"learning_rates must be {allowed}; got another structure ({error})") from error
    return params, jax.tree.leaves(spread)


def layer_rates(network: LayeredNetwork, params: LayerParameters, rates: Any) -> Any:
    """Factors of the weights and biases of each layer, (layers, 2)."""
    allowed = 'None, "ntk", a number, or a number or a pair (weights, biases) for each of the depth + 1 layers, all >= 0'
    dtype = params[0][0].dtype
    if rates is None:
        return np.ones((len(params), 2), dtype)
    if isinstance(rates, str):
        require(rates == "ntk", "learning_rates", allowed, rates)
        # A layer's own rates are those of its parameters relative to the NTK parameterisation.
        pairs = [(layer.weight_rate, layer.bias_rate) for layer in network.affine_layers(fan_ins(params))]
        return jnp.stack([jnp.stack([safe_divide(jnp.ones((), dtype), jnp.asarray(r, dtype)) for r in pair]) for pair in pairs])
    if not isinstance(rates, Sequence) and jnp.ndim(rates) == 0:
        rates = [rates] * len(params)
    require(isinstance(rates, Sequence) or jnp.ndim(rates) > 0, "learning_rates", allowed, rates)
    require(len(rates) == len(params), "learning_rates", allowed, rates)
    rows = []
    for entry in rates:
        is_pair = isinstance(entry, Sequence) or jnp.ndim(entry) > 0
        require(not is_pair or (not isinstance(entry, str) and len(entry) == 2), "learning_rates", allowed, entry)
        pair = tuple(entry) if is_pair else (entry, entry)
        for rate in pair:
            require_values("learning_rates", rate, (), allowed, _is_rate)
        rows.append(jnp.stack([jnp.asarray(rate, dtype) for rate in pair]))
    return jnp.stack(rows)


def _is_rate(values: np.ndarray) -> np.ndarray | np.bool_:
    return (values >= 0) & (values < np.inf)
