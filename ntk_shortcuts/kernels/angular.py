"""Kernels of bias-free networks in the plane whose outputs grow like the input, or not at all: a polynomial in the angle."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev
from numpy.polynomial import polynomial as polynomials

from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.blocks import Block
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.recursion import AffineLayer, Kernels, Layers, RepeatedLayers, mlp_kernels
from ntk_shortcuts.numerics import angle, compiled, in_no_trace, is_traced, safe_sqrt, split_horner
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import AnyArray, Array, Float, Scalar

_COEFFICIENTS = 40
# More nodes than coefficients: the rounding of the recursion averages out.
_NODES = 256
_ARGUMENTS = np.pi * (np.arange(_NODES) + 0.5) / _NODES
_PLAIN = Block()


class AngularKernels(Record):
    r"""\(K(u,u')=|u||u'|\,h(\theta)\), with the profiles h of NNGP and NTK as Chebyshev series in \(x=1-2\theta/\pi\).

    Of layer-normalised networks, whose outputs do not depend on the input's length, \(K(u,u')=h(\theta)\).

    Between u and -u' the angle is \(\pi-\theta\) and x changes sign, so the odd terms of the series are the kernel's odd part
    (which acts on odd functions) and the even terms its even part. The profiles are analytic in the closed interval of
    angles, and the series converges geometrically: at depth 8 to 1e-11 with 20 terms. Labels D3.2 and D3.3.

    - `nngp`, `ntk`: Chebyshev coefficients, (40,) each.
    - `error`: sum of the last four coefficients' sizes over the profile at angle 0, an estimate of the relative error; or that
      of the activation's quadrature, if larger.
    - `degree`: 1, or 0 for outputs that do not depend on the length.
    """

    nngp: Float[AnyArray, "terms"]
    ntk: Float[AnyArray, "terms"]
    error: Float[Array, ""]
    degree: int = eqx.field(static=True, default=1)

    @classmethod
    def fit(
        cls, layers: Sequence[AffineLayer], activation: Activation, input_dim: int, block: Block = _PLAIN
    ) -> AngularKernels:
        """Project the exact recursion at Chebyshev nodes. For layers without biases, and homogeneous activations or
        normalised layers, only."""
        leaves, structure = jax.tree.flatten((tuple(layers), activation, block))
        if is_traced(leaves):
            return _fit(layers, activation, input_dim, block)
        return _cached_fit(structure, tuple(float(leaf) for leaf in leaves), input_dim)

    def sectors(self, u1: Float[Array, "n1 2"], u2: Float[Array, "n2 2"]) -> tuple[Kernels, Kernels]:
        """Odd and even parts, (K(u, u') -+ K(u, -u')) / 2, each (n1, n2). Label D3.3."""
        (norm1, angle1), (norm2, angle2) = _polar(u1, self.degree), _polar(u2, self.degree)
        turn = jnp.abs(angle1[:, None] - angle2[None, :])
        x = 1 - 2 * jnp.minimum(turn, 2 * np.pi - turn) / np.pi
        square = 2 * x**2 - 1  # T_2(x); T_{2j}(x) = T_j(T_2(x))
        norms = norm1[:, None] * norm2[None, :]
        odd = Kernels(*(norms * x * _odd_series(c[1::2], square) for c in (self.nngp, self.ntk)), quadrature_error=self.error)
        even = Kernels(*(norms * _even_series(c[0::2], square) for c in (self.nngp, self.ntk)), quadrature_error=self.error)
        return odd, even


@functools.lru_cache(maxsize=256)
def _cached_fit(structure: Any, leaves: tuple[float, ...], input_dim: int) -> AngularKernels:
    """Of one network, whatever law meets it."""
    layers, activation, block = jax.tree.unflatten(structure, [np.asarray(leaf) for leaf in leaves])
    with in_no_trace(), jax.enable_x64(True):
        return jax.tree.map(np.asarray, _fit(layers, activation, input_dim, block))


def _fit(layers: Sequence[AffineLayer], activation: Activation, input_dim: int, block: Block) -> AngularKernels:
    repeated = RepeatedLayers.of(layers, activation, block)
    return AngularKernels(*_fitted(repeated, activation, np.asarray(float(input_dim)), block), _degree(block))


@compiled
def _fitted(layers: Layers, activation: Activation, input_dim: Scalar, block: Block) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Coefficients of NNGP and NTK, and the error."""
    exact = _exact_profile(np.cos(_ARGUMENTS), layers, activation, input_dim, block)
    nngp, ntk = (jnp.asarray(_transform(), profile.dtype) @ profile for profile in (exact.nngp, exact.ntk))
    tail = jnp.maximum(*(jnp.sum(jnp.abs(c[-4:])) / jnp.abs(jnp.sum(c)) for c in (nngp, ntk)))
    # A series that has ended leaves the roundings of four coefficients.
    tail = jnp.where(tail < 8 * jnp.finfo(tail.dtype).eps, 0, tail)
    return nngp, ntk, jnp.maximum(tail, exact.quadrature_error)


def _transform() -> np.ndarray:
    """From values at the nodes to Chebyshev coefficients, (40, 256)."""
    degrees = np.arange(_COEFFICIENTS)
    return np.cos(np.outer(degrees, _ARGUMENTS)) * (2 - (degrees == 0))[:, None] / _NODES


@compiled
def _exact_profile(x: AnyArray, layers: Layers, activation: Activation, input_dim: Scalar, block: Block) -> Kernels:
    """Kernels between unit vectors at the angles theta = pi (1 - x)/2, (n,)."""
    theta = jnp.asarray(np.pi * (1 - x) / 2)
    ones = jnp.ones_like(theta)
    moments = PairMoments(ones, ones, jnp.cos(theta), jnp.sin(theta), 4 * jnp.sin(theta / 2) ** 2)
    return mlp_kernels(moments, layers, activation, input_dim, block)


class AngleSeries(Record):
    """The profiles as polynomials in x, the constant term first, as short as the dtype needs.

    `error` is the largest error relative to the exact recursion, measured in the dtype at 97 angles.
    """

    nngp: Float[Array, "terms"] | np.ndarray
    ntk: Float[Array, "terms"] | np.ndarray
    error: Float[Array, ""] | np.ndarray
    degree: int = eqx.field(static=True, default=1)

    def between(self, u1: Float[Array, "n1 2"], u2: Float[Array, "n2 2"]) -> tuple[jax.Array, jax.Array]:
        """NNGP and NTK between points of the plane, (n1, 2) and (n2, 2): one polar angle a point, none a pair."""
        (norm1, angle1), (norm2, angle2) = _polar(u1, self.degree), _polar(u2, self.degree)
        half_turns = jnp.abs(angle1[:, None] / np.pi - angle2[None, :] / np.pi)
        # 1 - theta/pi for the turn of at most two half turns between the points.
        return self._evaluate(jnp.abs(1 - half_turns), norm1[:, None] * norm2[None, :])

    def of_moments(self, moments: PairMoments) -> tuple[jax.Array, jax.Array]:
        """NNGP and NTK from inner products and areas."""
        norms = _gain(moments.variance1, self.degree) * _gain(moments.variance2, self.degree)
        return self._evaluate(1 - angle(moments.area, moments.covariance) / np.pi, norms)

    def _evaluate(self, supplement: jax.Array, norms: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = 2 * supplement - 1
        return norms * split_horner(x, self.nngp), norms * split_horner(x, self.ntk)


# Largest relative error accepted, in units of the machine precision: deeper networks and those whose kernel changes
# sign go through the exact recursion.
_TOLERANCE = {"float64": 50, "float32": 8}


def angle_series(
    layers: Sequence[AffineLayer], activation: Activation, input_dim: int, dtype: Any, block: Block = _PLAIN
) -> AngleSeries | None:
    """The series for layers without biases and a homogeneous activation; None where it is not accurate in this dtype.

    None too where a parameter of the network is traced: the number of terms depends on its value.
    """
    leaves, structure = jax.tree.flatten((tuple(layers), activation, block))
    if is_traced(leaves) or len(layers) < 2:
        return None
    return _cached_series(structure, tuple(float(leaf) for leaf in leaves), input_dim, jnp.dtype(dtype).name)


@functools.lru_cache(maxsize=256)
def _cached_series(structure: Any, leaves: tuple[float, ...], input_dim: int, dtype: str) -> AngleSeries | None:
    layers, activation, block = jax.tree.unflatten(structure, [np.asarray(leaf) for leaf in leaves])
    checks = np.cos(np.pi * (np.arange(97) + 0.37) / 97)
    with in_no_trace(), jax.enable_x64(True):
        repeated = RepeatedLayers.of(layers, activation, block)
        angles = np.concatenate([np.cos(_ARGUMENTS), checks])
        exact = _exact_profile(angles, repeated, activation, np.asarray(float(input_dim)), block)
        profiles = [np.asarray(profile) for profile in (exact.nngp, exact.ntk)]
    if not all(np.finfo(dtype).tiny <= np.max(np.abs(profile)) <= np.finfo(dtype).max for profile in profiles):
        return None  # out of range, which the exact recursion's caller says
    coefficients = [_transform() @ profile[:_NODES] for profile in profiles]
    for terms in range(8, _COEFFICIENTS + 1, 2):
        fitted = [chebyshev.cheb2poly(c[:terms]) for c in coefficients]
        pairs = zip(fitted, profiles, strict=True)
        error = max(_largest_error(series, checks, profile[_NODES:], dtype) for series, profile in pairs)
        if error <= _TOLERANCE.get(dtype, 0) * np.finfo(dtype).eps:
            return AngleSeries(*fitted, error=np.asarray(error), degree=_degree(block))
    return None


def _largest_error(polynomial: np.ndarray, x: np.ndarray, exact: np.ndarray, dtype: str) -> float:
    rounded, square = x.astype(dtype), x.astype(dtype) ** 2
    if np.max(np.abs(polynomial)) > np.finfo(dtype).max:
        return np.inf  # its values may be in range all the same
    even, odd = (polynomials.polyval(square, polynomial[start::2].astype(dtype)) for start in (0, 1))
    if np.min(exact) * np.max(exact) <= 0:
        return np.inf  # at a change of sign no relative error is bounded
    return float(np.max(np.abs((even + rounded * odd).astype(np.float64) / exact - 1)))


def _degree(block: Block) -> int:
    """Of the outputs in the input's length."""
    return 1 if block.normalization is None else 0


def _gain(squares: jax.Array, degree: int) -> jax.Array:
    """How outputs grow along a ray: like the norm, or not at all but at the origin, where they are 0."""
    return safe_sqrt(squares) if degree == 1 else jnp.where(squares > 0, jnp.ones_like(squares), 0)


def _polar(u: jax.Array, degree: int) -> tuple[jax.Array, jax.Array]:
    """Norm to the power of the degree and polar angle, with finite gradients at the origin."""
    origin = jnp.all(u == 0, axis=1)
    return _gain(jnp.sum(u**2, axis=1), degree), jnp.arctan2(u[:, 1], jnp.where(origin, 1, u[:, 0]))


def _even_series(coefficients: AnyArray, square: jax.Array) -> jax.Array:
    """sum_j c_j T_j(square) by Clenshaw's recurrence."""
    after, last = jnp.zeros_like(square), jnp.zeros_like(square)
    for coefficient in coefficients[:0:-1]:
        after, last = coefficient + 2 * square * after - last, after
    return coefficients[0] + square * after - last


def _odd_series(coefficients: AnyArray, square: jax.Array) -> jax.Array:
    """sum_j c_j T_{2j+1}(x) / x by Clenshaw's recurrence: T_{2j+1}(x)/x follows the recurrence of T with 1, 2 square - 1.

    Label D3.2.
    """
    after, last = jnp.zeros_like(square), jnp.zeros_like(square)
    for coefficient in coefficients[:0:-1]:
        after, last = coefficient + 2 * square * after - last, after
    return coefficients[0] + (2 * square - 1) * after - last
