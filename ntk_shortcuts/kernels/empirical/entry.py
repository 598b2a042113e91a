"""NTK of a finite network, or of any JAX function, at its parameters; NNGP of a layered network at its hidden layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ntk_shortcuts.kernels.devices import by_rows
from ntk_shortcuts.kernels.empirical.blocks import DEFAULT_MEMORY
from ntk_shortcuts.kernels.empirical.checks import (
    checked_inputs,
    checked_layers,
    checked_memory,
    checked_tree,
    kernel_dtype,
    layer_rates,
)
from ntk_shortcuts.kernels.empirical.function import checked_outputs
from ntk_shortcuts.kernels.empirical.jacobian import jacobian_ntk
from ntk_shortcuts.kernels.empirical.layered import Applied, LayeredNetwork, LayerParameters, is_layered
from ntk_shortcuts.kernels.empirical.layerwise import layerwise_nngp, layerwise_ntk
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import require


def empirical_ntk(
    network: LayeredNetwork | Applied | Callable[[Any, jax.Array], jax.Array],
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

    in O(n1 n2 width) operations a layer instead of O(n1 n2 width^2). For any other JAX function, and for a residual or
    normalised MLP, it is the product of Jacobians, O(n1 n2 parameters).

    Args:
        network: an `MLP` (any :class:`~ntk_shortcuts.kernels.empirical.LayeredNetwork`), or a function
            apply_fn(params, x) -> (n,) or (n, k) of inputs (n, ...), or a network that has it as its `apply`. The output at a
            point must depend on that point alone (no batch normalisation in training mode): points are differentiated one by
            one. The function is compiled once for each function object, so pass the same one again.
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
        In the dtype of the parameters (of the outputs, for a function), float32 where that is half precision. With x2=None
        exactly symmetric. Inputs x1 that are spread over devices give rows that are (:mod:`ntk_shortcuts.kernels.devices`),
        symmetric to rounding.

    Raises:
        ValueError: naming the argument: parameters or rates that do not fit the network, inputs of another dimension or
            not finite, a function of one input instead of a batch, outputs of another shape or that change with the batch,
            memory that is not positive.

    Numerics: products of Gram matrices at full precision on every device. Where the activation has a kink, the derivative
    is JAX's. Traces, and differentiates in both modes; blocks are recomputed in reverse mode.

    Source: Jacot, Gabriel & Hongler (2018) for the kernel; Novak, Sohl-Dickstein & Schoenholz (2022), "Fast finite width
    neural tangent kernel", for the cost of the alternatives.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntk_shortcuts import MLP
        >>> network = MLP(depth=2, width=64)
        >>> params = network.init(jax.random.key(0), input_dim=3)
        >>> x = jnp.eye(3)
        >>> theta = empirical_ntk(network, params, x)
        >>> theta.shape
        (3, 3)
        >>> bool(jnp.allclose(theta, empirical_ntk(network.apply, params, x), rtol=1e-4))
        True
    """
    memory = checked_memory(memory)
    if is_layered(network):
        params, x1, x2 = checked_layers(network, params, x1, x2)
        rates = layer_rates(network, params, learning_rates)
        held = network, params, rates
        return by_rows(lambda held, a, b: layerwise_ntk(held[0], held[1], a, b, held[2], memory), held, x1, x2)
    function: Any = getattr(network, "apply", network)
    require(callable(function), "network", "an MLP or a JAX function apply_fn(params, x)", network)
    params, rates = checked_tree(params, learning_rates)
    x1, x2 = checked_inputs(x1, x2)
    outputs = checked_outputs(function, params, x1)
    fixed = (bool(trace), memory, outputs.shape[1:], kernel_dtype(outputs.dtype))
    return by_rows(lambda held, a, b: jacobian_ntk(function, held[0], a, b, held[1], *fixed), (params, rates), x1, x2)


def empirical_nngp(
    network: LayeredNetwork,
    params: LayerParameters,
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
        ValueError: naming the argument: as :func:`empirical_ntk`, and a network that is not an `MLP`, or is residual or
            normalised.

    Source: Lee et al. (2018), "Deep neural networks as Gaussian processes"; Novak et al. (2019), whose Monte Carlo
    estimate is the mean of this over networks.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntk_shortcuts import MLP
        >>> network = MLP(depth=1, width=4096)
        >>> x = jnp.asarray([[1.0, 0.0], [0.0, 2.0]])
        >>> estimate = empirical_nngp(network, network.init(jax.random.key(0), input_dim=2), x)
        >>> bool(jnp.max(jnp.abs(estimate - network.kernels(x).nngp)) < 0.2)
        True
    """
    require(is_layered(network), "network", "an MLP of affine layers and one activation, no more", network)
    memory = checked_memory(memory)
    params, x1, x2 = checked_layers(network, params, x1, x2)
    return by_rows(lambda held, a, b: layerwise_nngp(held[0], held[1], a, b, memory), (network, params), x1, x2)
