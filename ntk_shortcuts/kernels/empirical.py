"""Kernels of one finite network at its own parameters: NTK of an MLP or of any JAX function, NNGP of an MLP."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntk_shortcuts.kernels.devices import by_rows
from ntk_shortcuts.kernels.recursion import AffineLayer
from ntk_shortcuts.kernels.tiles import take, tiled, tiled_symmetric, transpose
from ntk_shortcuts.networks.mlp import MLP, Parameters
from ntk_shortcuts.numerics import safe_divide
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import as_points, require, require_finite, require_values

DEFAULT_MEMORY = 2**30
"""Bytes of working memory, 1 GiB."""

# Side of the tiles of a Gram product: large enough for full speed, small enough that the mirrored half is saved.
_TILE = 512


def empirical_ntk(
    network: MLP | Callable[[Any, jax.Array], jax.Array],
    params: Any,
    x1: Float[Array, "n1 ..."],
    x2: Float[Array, "n2 ..."] | None = None,
    *,
    learning_rates: Any = None,
    trace: bool = False,
    memory: float = DEFAULT_MEMORY,
) -> jax.Array:
    r"""Neural tangent kernel of a finite network at its parameters \(\theta\),

    \[\Theta(x,x')=\sum_p\eta_p\,\frac{\partial f(x)}{\partial\theta_p}\frac{\partial f(x')}{\partial\theta_p}.\]

    For an :class:`~ntk_shortcuts.MLP` the sum over the parameters of layer l factorises: with \(h^{l-1}\) its input,
    \(\delta^l=\partial f/\partial z^l\) by backward recursion, \(s_l^2=\sigma_w^2/n_{l-1}\) and \(b_l^2=\sigma_b^2\) in
    the NTK parameterisation (both 1 in the standard one),

    \[\Theta(x,x')=\sum_{l=0}^{L}\langle\delta^l,\delta'^l\rangle
      \left(\eta^w_ls_l^2\langle h^{l-1},h'^{l-1}\rangle+\eta^b_lb_l^2\right),\]

    in O(n1 n2 width) operations a layer instead of O(n1 n2 width^2). For any other JAX function it is the product of
    Jacobians, O(n1 n2 parameters).

    Args:
        network: an `MLP`, or a function apply_fn(params, x) -> (n,) or (n, k) of inputs (n, ...). The output at a point
            must depend on that point alone (no batch normalisation in training mode): points are differentiated one
            by one. The function is compiled once for each function object, so pass the same one again.
        params: of the `MLP`, as :meth:`MLP.init` draws them; of a function, any pytree, an equinox module for one:
            its real floating-point arrays are differentiated, all else (integers, Python numbers, functions) is held.
        x1: inputs (n1, d). A function may take inputs of any shape (n, ...).
        x2: inputs (n2, d); None means x1, and only the upper half is computed, then mirrored.
        learning_rates: the factors \(\eta\ge0\). None: 1 for every parameter, the plain sum of products of derivatives,
            whose infinite-width limit :meth:`MLP.kernels` is in either parameterisation. A number for all parameters;
            for an `MLP` also one entry per layer, the readout last, a number or a pair (weights, biases), or "ntk":
            \(\sigma_w^2/n_{l-1}\) and \(\sigma_b^2\) in the standard parameterisation (with PyTorch's initialisation
            1/(3 fan_in) for both), 1 in the other. With these a standard network trains as the network
            of the same function in the NTK parameterisation. For a function: a pytree prefix of `params`.
        trace: for k outputs, their trace \(\sum_c\Theta_{cc}\) (divide by k for neural-tangents' mean) instead of all
            pairs.
        memory: bytes of working memory beside inputs, parameters and the result. For an `MLP` it holds the hidden
            layers of two blocks of points; for a function the Jacobians, (outputs x parameters) numbers a point, of two
            blocks, of one point each at least (what the function itself needs is not counted).

    Returns:
        (n1, n2); for a function with outputs (n, k) all pairs of them, (n1, n2, k, k), or (n1, n2) with trace=True.
        In the dtype of the parameters (of the outputs, for a function). With x2=None exactly symmetric. Inputs x1 that are
        spread over devices give rows that are (:mod:`ntk_shortcuts.kernels.devices`), symmetric to rounding.

    Raises:
        ValueError: naming the argument: parameters or rates that do not fit the network, inputs of another dimension or
            not finite, outputs of another shape, memory that is not positive.

    Numerics: products of Gram matrices at full precision on every device. Where the activation has a kink, the derivative
    is JAX's. Traces, and differentiates in both modes; blocks are recomputed in reverse mode.

    Source: Jacot, Gabriel & Hongler (2018) for the kernel; Novak, Sohl-Dickstein & Schoenholz (2022), "Fast finite width
    neural tangent kernel", for the cost of the alternatives.

    Example:
        >>> network = MLP(depth=2, width=64)
        >>> params = network.init(jax.random.key(0), input_dim=3)
        >>> x = jnp.eye(3)
        >>> theta = empirical_ntk(network, params, x)
        >>> theta.shape
        (3, 3)
        >>> bool(jnp.allclose(theta, empirical_ntk(network.apply, params, x), rtol=1e-4))
        True
    """
    memory = _checked_memory(memory)
    if isinstance(network, MLP):
        params, x1, x2 = _checked_mlp(network, params, x1, x2)
        rates = _layer_rates(network, params, learning_rates)
        return by_rows(lambda held, a, b: _mlp_ntk(*held[:2], a, b, held[2], memory), (network, params, rates), x1, x2)
    require(callable(network), "network", "an MLP or a JAX function apply_fn(params, x)", network)
    params, rates = _checked_tree(params, learning_rates)
    x1, x2 = _checked_inputs(x1, x2)
    outputs = _checked_outputs(network, params, x1, x2)
    fixed = (bool(trace), memory, outputs.shape[1:], outputs.dtype)
    return by_rows(lambda held, a, b: _function_ntk(network, held[0], a, b, held[1], *fixed), (params, rates), x1, x2)


def empirical_nngp(
    network: MLP,
    params: Parameters,
    x1: Float[Array, "n1 d"],
    x2: Float[Array, "n2 d"] | None = None,
    *,
    memory: float = DEFAULT_MEMORY,
) -> Float[Array, "n1 n2"]:
    r"""Covariance of the output over the readout's initialisation, the hidden layers being those of `params`:

    \[\hat K(x,x')=\mathrm{Cov}\left[f(x),f(x')\mid h\right]
      =\frac{\sigma_w^2}{n}\sum_{j=1}^{n}h^{L-1}_j(x)\,h^{L-1}_j(x')+\sigma_b^2,\]

    \(h^{L-1}\) the n last hidden features (depth 0: the d inputs) and \(\sigma_w^2/n,\sigma_b^2\) the variances of a
    readout weight and bias in function; with PyTorch's initialisation both are 1/(3n). The readout in `params` is not
    used.

    Its limit at infinite width is `network.kernels(x1, x2).nngp`. With normal initialisation and one hidden layer it is
    unbiased, a mean over n independent units with covariance (1/n) Cov of one unit's term; at depth 0 it is equal to the
    limit. Deeper networks have a bias of order 1/n, since hidden pre-activations are Gaussian only given the layer before.
    At any depth its expectation over the hidden layers is the exact covariance of the output at initialisation. In the NTK
    parameterisation it is also the readout's term of :func:`empirical_ntk`.

    Args:
        network: the `MLP` that the parameters belong to.
        params: as in :func:`empirical_ntk`, like all that follow.
        x1: inputs (n1, d).
        x2: inputs (n2, d); None means x1.
        memory: bytes of working memory.

    Raises:
        ValueError: naming the argument: as :func:`empirical_ntk`, and a network that is not an `MLP`.

    Source: Lee et al. (2018), "Deep neural networks as Gaussian processes"; Novak et al. (2019), whose Monte Carlo
    estimate is the mean of this over networks.

    Example:
        >>> network = MLP(depth=1, width=4096)
        >>> x = jnp.asarray([[1.0, 0.0], [0.0, 2.0]])
        >>> estimate = empirical_nngp(network, network.init(jax.random.key(0), input_dim=2), x)
        >>> bool(jnp.max(jnp.abs(estimate - network.kernels(x).nngp)) < 0.2)
        True
    """
    require(isinstance(network, MLP), "network", "an MLP", network)
    memory = _checked_memory(memory)
    params, x1, x2 = _checked_mlp(network, params, x1, x2)
    return by_rows(lambda held, a, b: _mlp_nngp(*held, a, b, memory), (network, params), x1, x2)


class _Features(NamedTuple):
    """Inputs of every layer, (n, fan_in) each, and derivatives of the output by hidden pre-activations, (n, fan_out)."""

    inputs: tuple[jax.Array, ...]
    deltas: tuple[jax.Array, ...]


def _forward(network: MLP, params: Parameters, x: jax.Array) -> tuple[list[jax.Array], list[jax.Array]]:
    """Inputs of every layer and the derivative of the activation at every hidden pre-activation."""
    inputs, slopes = [x], []
    for weights, biases in params[:-1]:
        weight_scale, bias_scale = _scales(network, weights)
        pre = _product(inputs[-1], weights) * weight_scale
        if biases is not None:
            pre = pre + (bias_scale * biases)[None, :]
        hidden, slope = jax.jvp(network.activation, (pre,), (jnp.ones_like(pre),))
        inputs.append(hidden)
        slopes.append(slope)
    return inputs, slopes


def _features(network: MLP, params: Parameters, x: jax.Array) -> _Features:
    inputs, slopes = _forward(network, params, x)
    deltas: list[jax.Array] = []
    for (weights, _), slope in zip(reversed(params[1:]), reversed(slopes), strict=True):
        scale, _ = _scales(network, weights)
        backward = _product(deltas[0], weights.T) if deltas else weights.T
        deltas.insert(0, scale * backward * slope)
    return _Features(tuple(inputs), tuple(deltas))


def _scales(network: MLP, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What multiplies weights and biases in function."""
    dtype = weights.dtype  # the variances are float64 where JAX has it
    if network.parameterization == "standard":
        return jnp.ones((), dtype), jnp.ones((), dtype)
    return jnp.sqrt(_real(network.weight_variance, dtype) / weights.shape[0]), jnp.sqrt(_real(network.bias_variance, dtype))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    # Some accelerators round the factors of a float32 product to ten bits unless told not to.
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _gram(a: jax.Array, b: jax.Array) -> jax.Array:
    """<a_i, b_j> along the last axis."""
    return lax.dot_general(a, b, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)


@eqx.filter_jit
def _mlp_ntk(network: MLP, params: Parameters, x1: Any, x2: Any, rates: Any, memory: int) -> jax.Array:
    factors = []
    for (weights, biases), rate in zip(params, rates, strict=True):
        weight_scale, bias_scale = _scales(network, weights)
        factors.append((rate[0] * weight_scale**2, None if biases is None else rate[1] * bias_scale**2))

    def contract(a: _Features, b: _Features) -> jax.Array:
        total = jnp.zeros((), x1.dtype)
        for layer, (weight, bias) in enumerate(factors):
            term = weight * _gram(a.inputs[layer], b.inputs[layer])
            term = term if bias is None else term + bias
            total = total + (term * _gram(a.deltas[layer], b.deltas[layer]) if layer < len(a.deltas) else term)
        return total

    # Two blocks; a layer's input, slope and delta; the input itself.
    numbers = 2 * (x1.shape[1] + 3 * sum(weights.shape[1] for weights, _ in params[:-1]))
    return _blocked(lambda x: _features(network, params, x), contract, x1, x2, numbers, memory)


@eqx.filter_jit
def _mlp_nngp(network: MLP, params: Parameters, x1: Any, x2: Any, memory: int) -> jax.Array:
    readout = _affine_layers(network, params)[-1]
    weight = _real(readout.weight_variance, x1.dtype) / params[-1][0].shape[0]
    bias = _real(readout.bias_variance, x1.dtype)
    numbers = 2 * (x1.shape[1] + 2 * max([0, *(weights.shape[1] for weights, _ in params[:-1])]))
    return _blocked(
        lambda x: _forward(network, params, x)[0][-1],
        lambda a, b: weight * _gram(a, b) + bias,
        x1,
        x2,
        numbers,
        memory,
    )


def _blocked(
    features: Callable, contract: Callable, x1: jax.Array, x2: jax.Array | None, numbers: int, memory: int
) -> jax.Array:
    """contract(features(x1), features(x2)), with features of two blocks of points at a time.

    Args:
        numbers: that two blocks hold for each point of one.
    """
    entry = jax.ShapeDtypeStruct((), x1.dtype)
    size = x1.dtype.itemsize
    tile = max(1, min(_TILE, math.isqrt(memory // (8 * size))))  # four arrays of a tile's size: half of the memory
    most = max(x1.shape[0], 0 if x2 is None else x2.shape[0])
    block = max(1, memory // (2 * size * numbers))
    if block < most:  # then blocks of the result exist beside it
        block = max(1, min(block, math.isqrt(memory // (4 * size))))

    def between(a: Any, b: Any, count1: int, count2: int) -> jax.Array:
        side1, side2 = min(tile, count1), min(tile, count2)
        return tiled((count1, count2), (side1, side2), lambda i, j: contract(take(a, i, side1), take(b, j, side2)), entry)

    def within(a: Any, count: int) -> jax.Array:
        side = min(tile, count)

        def own(i: Any) -> jax.Array:
            part = take(a, i, side)
            square = contract(part, part)
            return (square + transpose(square)) / 2  # a product of a matrix with its transpose may round unevenly

        return tiled_symmetric(count, side, lambda i, j: contract(take(a, i, side), take(a, j, side)), own, entry)

    count1 = x1.shape[0]
    side1 = min(block, count1)
    if x2 is None:
        return tiled_symmetric(
            count1,
            side1,
            lambda i, j: between(features(take(x1, i, side1)), features(take(x1, j, side1)), side1, side1),
            lambda i: within(features(take(x1, i, side1)), side1),
            entry,
        )
    count2 = x2.shape[0]
    side2 = min(block, count2)
    return tiled(
        (count1, count2),
        (side1, side2),
        lambda i, j: between(features(take(x1, i, side1)), features(take(x2, j, side2)), side1, side2),
        entry,
    )


@eqx.filter_jit
def _function_ntk(
    function: Callable,
    params: Any,
    x1: jax.Array,
    x2: jax.Array | None,
    rates: list[jax.Array],
    trace: bool,
    memory: int,
    outputs: tuple[int, ...],
    dtype: Any,
) -> jax.Array:
    trained, held = eqx.partition(params, _is_real_array)
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trained)]
    channels = math.prod(outputs)
    point = channels * sum(sizes)
    # All points of a symmetric kernel are one block if they fit; else the tiles are made from two.
    whole = x2 is None and x1.shape[0] * point <= memory
    block = x1.shape[0] if whole else max(1, memory // (2 * point))
    summed = trace and len(outputs) == 1
    entry = jax.ShapeDtypeStruct(() if summed else outputs * 2, dtype)

    def jacobian(x: jax.Array) -> list[jax.Array]:
        """Derivatives by each array of parameters, (n, k, size); k = 1 without an axis of outputs."""

        def at(point: jax.Array) -> Any:
            return jax.jacrev(lambda free: function(eqx.combine(free, held), point[None])[0])(trained)

        leaves = jax.tree.leaves(jax.vmap(at)(x))
        return [leaf.reshape(x.shape[0], channels, -1) for leaf in leaves]

    def contract(a: list[jax.Array], b: list[jax.Array]) -> jax.Array:
        total = jnp.zeros((), dtype)
        for rate, left, right in zip(rates, a, b, strict=True):
            (count1, _, size), count2 = left.shape, right.shape[0]
            if summed:
                gram = _gram(left.reshape(count1, -1), right.reshape(count2, -1))
            else:
                gram = _gram(left.reshape(-1, size), right.reshape(-1, size)).reshape(count1, channels, count2, channels)
                gram = gram.transpose(0, 2, 1, 3).reshape(count1, count2, *entry.shape)
            total = total + (rate * gram).astype(dtype)
        return total

    def own(i: Any) -> jax.Array:
        part = jacobian(take(x1, i, side1))
        square = contract(part, part)
        return (square + transpose(square)) / 2

    side1 = min(block, x1.shape[0])
    if x2 is None:
        return tiled_symmetric(
            x1.shape[0],
            side1,
            lambda i, j: contract(jacobian(take(x1, i, side1)), jacobian(take(x1, j, side1))),
            own,
            entry,
        )
    side2 = min(block, x2.shape[0])
    return tiled(
        (x1.shape[0], x2.shape[0]),
        (side1, side2),
        lambda i, j: contract(jacobian(take(x1, i, side1)), jacobian(take(x2, j, side2))),
        entry,
    )


def _is_real_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.floating)


def _affine_layers(network: MLP, params: Parameters) -> list[AffineLayer]:
    """Variances and rates at the fan-ins of the parameters, whatever width the spec has."""
    linear = MLP(
        0,
        network.activation,
        None,
        network.weight_variance,
        network.bias_variance,
        network.parameterization,
        network.initialization,
    )
    return [linear.layers(weights.shape[0])[0] for weights, _ in params]


def _layer_rates(network: MLP, params: Parameters, rates: Any) -> Any:
    """Factors of the weights and biases of each layer, (layers, 2)."""
    allowed = 'None, "ntk", a number, or a number or a pair (weights, biases) for each of the depth + 1 layers, all >= 0'
    dtype = params[0][0].dtype
    if rates is None:
        return np.ones((len(params), 2), dtype)
    if isinstance(rates, str):
        require(rates == "ntk", "learning_rates", allowed, rates)
        # A layer's own rates are those of its parameters relative to the NTK parameterisation.
        pairs = [(layer.weight_rate, layer.bias_rate) for layer in _affine_layers(network, params)]
        return jnp.stack([jnp.stack([safe_divide(jnp.ones((), dtype), _real(r, dtype)) for r in pair]) for pair in pairs])
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
        rows.append(jnp.stack([_real(rate, dtype) for rate in pair]))
    return jnp.stack(rows)


def _is_rate(values: np.ndarray) -> np.ndarray:
    return (values >= 0) & (values < np.inf)


def _real(value: Any, dtype: Any) -> jax.Array:
    return jnp.asarray(value, dtype)


def _checked_memory(memory: float) -> int:
    require_values("memory", memory, (), "a positive finite number of bytes", lambda v: (v >= 1) & (v < np.inf))
    return int(memory)


def _checked_mlp(network: MLP, params: Any, x1: Any, x2: Any) -> tuple[Parameters, jax.Array, jax.Array | None]:
    """Parameters as a tuple of pairs of arrays, and inputs in their dtype."""
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
    dimension, dtype = layers[0][0].shape[0], next(iter(dtypes))
    x1 = jnp.asarray(as_points("x1", x1, dimension=dimension), dtype)
    x2 = None if x2 is None else jnp.asarray(as_points("x2", x2, dimension=dimension), dtype)
    return tuple(layers), x1, x2


def _array(value: Any) -> jax.Array:
    return value if isinstance(value, jax.Array) else jnp.asarray(value)


def _checked_inputs(x1: Any, x2: Any) -> tuple[jax.Array, jax.Array | None]:
    checked = []
    for name, x in (("x1", x1), ("x2", x2)):
        if x is None and name == "x2":
            checked.append(None)
            continue
        x = x if isinstance(x, jax.Array) else np.asarray(x)
        require(x.ndim >= 1 and x.shape[0] >= 1 and x.dtype.kind in "iufb", name, "a real array (n, ...) with n >= 1", x)
        require_finite(name, x)
        checked.append(jnp.asarray(x))
    x1, x2 = checked
    if x2 is not None:
        require(x2.shape[1:] == x1.shape[1:], "x2", f"of shape (n2, {', '.join(map(str, x1.shape[1:]))}), as x1", x2)
        require(x2.dtype == x1.dtype, "x2", f"of dtype {x1.dtype}, as x1", x2.dtype.name)
    return x1, x2


def _checked_tree(params: Any, rates: Any) -> tuple[Any, list[jax.Array]]:
    """The parameters, and a rate for each real array of them."""
    leaves = jax.tree.leaves(params)
    is_complex = any(eqx.is_inexact_array(leaf) and not _is_real_array(leaf) for leaf in leaves)
    require(not is_complex, "params", "real", "a complex array")
    trained = eqx.filter(params, _is_real_array)
    require(bool(jax.tree.leaves(trained)), "params", "a pytree with at least one floating-point array", type(params).__name__)
    prefix = 1.0 if rates is None else rates
    allowed = "None or a pytree prefix of params, numbers >= 0"
    for rate in jax.tree.leaves(prefix):
        require_values("learning_rates", rate, (), allowed, _is_rate)
    try:
        spread = jax.tree.map(lambda rate, part: jax.tree.map(lambda leaf: _real(rate, leaf.dtype), part), prefix, trained)
    except ValueError as error:
        raise ValueError(f"learning_rates must be {allowed}; got another structure ({error})") from error
    return params, jax.tree.leaves(spread)


def _checked_outputs(function: Callable, params: Any, x1: jax.Array, x2: jax.Array | None) -> jax.ShapeDtypeStruct:
    """Shape and dtype of the outputs at x1."""
    shape = "a function whose outputs are a real floating-point array (n,) or (n, k) with k >= 1 at inputs (n, ...)"
    outputs = eqx.filter_eval_shape(function, params, x1[:1])
    is_array = isinstance(outputs, jax.ShapeDtypeStruct)
    require(is_array, "network", shape, outputs)
    fits = len(outputs.shape) in (1, 2) and outputs.shape[0] == 1 and math.prod(outputs.shape) >= 1
    fits = fits and jnp.issubdtype(outputs.dtype, jnp.floating)
    require(fits, "network", shape, f"outputs {outputs.dtype}{list(outputs.shape)} at one input of shape {x1.shape[1:]}")
    return outputs
