"""NNGP and NTK of infinitely wide fully connected networks: a recursion over dual activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.activations.piecewise_linear import Linear
from ntk_shortcuts.kernels.blocks import Block
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.tiles import mirrored, take, tiled, tiled_symmetric
from ntk_shortcuts.numerics import compiled, is_traced
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import AnyArray, Scalar


class Kernels(Record):
    r"""NNGP kernel \(K^L\) and neural tangent kernel \(\Theta^L\), each (n1, n2).

    `quadrature_error` is the relative error of approximations: 0 for closed forms; for activations by quadrature a bound, the
    Hermite mass dropped, summed over layers; for a polynomial in the angle an estimate
    (:class:`~ntk_shortcuts.kernels.angular.AngularKernels`).
    """

    nngp: jax.Array
    ntk: jax.Array
    quadrature_error: AnyArray | float = 0.0


class AffineLayer(Record):
    r"""One affine layer: variances \(\sigma_w^2, \sigma_b^2\) and the learning-rate factors of its weights and biases.

    A weight is N(0, weight_variance / fan_in) in function; its gradient's contribution to the NTK is multiplied by
    `weight_rate` (1 in the NTK parameterisation, fan_in / weight_variance in the standard one). Label D3.1.
    """

    weight_variance: Scalar
    bias_variance: Scalar
    weight_rate: Scalar = 1.0
    bias_rate: Scalar = 1.0


class RepeatedLayers(Record):
    """Affine layers of which those between the first and the last are `count` alike, an array: one program for all depths.

    Reverse-mode differentiation needs a depth that is known, and so a sequence of layers.
    """

    first: AffineLayer
    hidden: AffineLayer
    count: jax.Array
    last: AffineLayer

    @classmethod
    def of(cls, layers: Layers, activation: Activation, block: Block, points: Any = None) -> Layers:
        """The same layers, those between the first and the last alike, in this form where it gains something.

        As they are: layers of a linear network, which take no recursion; and where they or the points are traced, which may be
        for derivatives.
        """
        linear = isinstance(activation, Linear) and block.normalization is None
        if isinstance(layers, RepeatedLayers) or len(layers) < 2 or linear or is_traced(layers, activation, block, points):
            return layers
        return cls(layers[0], layers[1], jnp.asarray(len(layers) - 2), layers[-1])


Layers = Sequence[AffineLayer] | RepeatedLayers

_PLAIN = Block()


@compiled
def mlp_kernels(
    moments: PairMoments, layers: Layers, activation: Activation, input_dim: Scalar, block: Block = _PLAIN
) -> Kernels:
    r"""The recursion, for layers \(l = 0..L\):

    \[\begin{aligned}&K^0=\sigma_w^2\langle x,x'\rangle/d+\sigma_b^2,\quad \Theta^0=K^0,\\
      &K^l=\sigma_w^2E[\phi\phi]+\sigma_b^2,\quad \dot K^l=\sigma_w^2E[\phi'\phi'],\quad
      \Theta^l=K^l+\dot K^l\,\Theta^{l-1}\end{aligned}\]

    Args:
        moments: inner products of the inputs, not divided by d.
        layers: the L + 1 affine layers, the readout last; of a linear activation as a sequence.
        activation: between the layers.
        input_dim: d.
        block: of residual or normalised networks (:class:`~ntk_shortcuts.kernels.blocks.Block`), which acts between the layers;
            by default the recursion above.

    Numerics: covariance, area and distance go through every layer together (see
    :class:`~ntk_shortcuts.kernels.moments.PairMoments`). Relative error at depth 5: below 1e-10 in float64, below 2e-6
    in float32 for points in the plane. Source: Jacot, Gabriel & Hongler (2018); Lee et al. (2019), appendix E.
    Labels D2.7, D3.1, D3.4, D3.5 and D3.6.
    """
    dtype = moments.covariance.dtype

    def scalar(value: Scalar) -> jax.Array:
        return jnp.asarray(value, dtype)

    repeated = isinstance(layers, RepeatedLayers)
    if not repeated and isinstance(activation, Linear) and block.normalization is None:
        lines = [map(scalar, line) for line in linear_profiles(layers, input_dim, block)]
        return Kernels(
            *(slope * moments.covariance + intercept for slope, intercept in lines), quadrature_error=jnp.zeros((), dtype)
        )
    first, *rest = (layers.first, layers.hidden, layers.last) if repeated else layers
    weight, bias = scalar(first.weight_variance) / scalar(input_dim), scalar(first.bias_variance)
    pre = moments.affine(weight, bias)
    tangent = weight * scalar(first.weight_rate) * moments.covariance + bias * scalar(first.bias_rate)
    error = jnp.zeros((), dtype)
    if not rest:
        return Kernels(nngp=pre.covariance, ntk=tangent, quadrature_error=error)

    def affine(state: tuple, layer: AffineLayer) -> tuple:
        pre, tangent, error = state
        pre, tangent = block.seen_moments(pre, tangent)
        dual = activation.dual(pre)
        weight, bias = layer.weight_variance, layer.bias_variance
        direct = weight * layer.weight_rate * dual.moments.covariance + bias * layer.bias_rate
        tangent = direct + weight * dual.derivative * tangent
        return dual.moments.affine(weight, bias), tangent, error + jnp.asarray(dual.quadrature_error, dtype)

    def add_layer(state: tuple, layer: AffineLayer) -> tuple[tuple, None]:
        *update, error = affine(state, layer)
        return (*block.joined_moments(state[:2], tuple(update)), error), None

    # A scan, not a Python loop: XLA's fusion of an unrolled recursion takes time exponential in the depth. The last layer
    # stands outside: of its moments only the covariance is needed.
    *hidden, last = [jax.tree.map(scalar, layer) for layer in rest]
    state = (pre, tangent, error)
    if hidden:
        # A dual may answer a row of variances with a table; a loop's state keeps its shape.
        after, _ = jax.eval_shape(add_layer, state, hidden[0])
        state = jax.tree.map(lambda part, shaped: jnp.broadcast_to(part, shaped.shape), state, after)
    if repeated:
        state = lax.fori_loop(0, layers.count, lambda _, state: add_layer(state, hidden[0])[0], state)
    elif hidden:
        state, _ = lax.scan(add_layer, state, jax.tree.map(lambda *leaves: jnp.stack(leaves), *hidden))
    pre, tangent, error = affine(state, last)
    return Kernels(nngp=pre.covariance, ntk=tangent, quadrature_error=error)


def linear_profiles(
    layers: Sequence[AffineLayer], input_dim: Scalar, block: Block = _PLAIN
) -> tuple[tuple[Scalar, Scalar], tuple[Scalar, Scalar]]:
    """Slopes and intercepts of NNGP and NTK in the inputs' covariance: without nonlinearity both are affine in it."""
    first, *rest = layers
    slope, intercept = first.weight_variance / input_dim, first.bias_variance
    tangent_slope, tangent_intercept = slope * first.weight_rate, intercept * first.bias_rate
    for index, layer in enumerate(rest, 1):
        weight, bias = layer.weight_variance, layer.bias_variance
        before = slope, intercept, tangent_slope, tangent_intercept
        tangent_slope = weight * (layer.weight_rate * slope + tangent_slope)
        tangent_intercept = weight * (layer.weight_rate * intercept + tangent_intercept) + bias * layer.bias_rate
        slope, intercept = weight * slope, weight * intercept + bias
        if index < len(rest):
            update = slope, intercept, tangent_slope, tangent_intercept
            slope, intercept, tangent_slope, tangent_intercept = map(block.joined_number, before, update)
    return (slope, intercept), (tangent_slope, tangent_intercept)


def blockwise(
    block: Callable[[Any, Any], tuple[jax.Array, jax.Array]],
    sides: tuple[int, int],
    points1: Any,
    points2: Any | None,
    dtype: Any,
) -> tuple[jax.Array, jax.Array]:
    """NNGP and NTK filled block by block, so that nothing but the two results is as large as they are.

    Args:
        block: from blocks of points to the two kernels between them.
        sides: of a block, at most.
        points1: pytree of arrays with points along the first axis.
        points2: the same, or None for points1: only the upper half is computed, then mirrored.
    """

    def fenced(start: Any, a: Any, b: Any) -> tuple[jax.Array, jax.Array]:
        # XLA would fuse the arithmetic of a block into its update of the result, which takes one core and no vector
        # instructions. It fuses nothing across a condition, and this one, always true, it cannot see through.
        zeros = jnp.zeros((jax.tree.leaves(a)[0].shape[0], jax.tree.leaves(b)[0].shape[0]), dtype)
        return lax.cond(start >= 0, block, lambda a, b: (zeros, zeros), a, b)

    entry = jax.ShapeDtypeStruct((), dtype)
    count1 = jax.tree.leaves(points1)[0].shape[0]
    if points2 is None:
        side = _even_side(count1, min(sides))

        def own(i: Any) -> tuple[jax.Array, jax.Array]:
            part = take(points1, i, side)
            nngp, ntk = fenced(i, part, part)
            return mirrored(nngp), mirrored(ntk)

        return tiled_symmetric(
            count1, side, lambda i, j: fenced(i, take(points1, i, side), take(points1, j, side)), own, (entry, entry)
        )
    count2 = jax.tree.leaves(points2)[0].shape[0]
    side1, side2 = _even_side(count1, sides[0]), _even_side(count2, sides[1])
    return tiled(
        (count1, count2),
        (side1, side2),
        lambda i, j: fenced(i, take(points1, i, side1), take(points2, j, side2)),
        (entry, entry),
    )


def _even_side(count: int, largest: int) -> int:
    """The side of as few equal tiles as fit, so that the last one hardly overlaps."""
    return -(-count // -(-count // largest))
