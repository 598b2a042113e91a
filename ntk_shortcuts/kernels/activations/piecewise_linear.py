"""Linear, ReLU and leaky ReLU: closed forms of Cho & Saul (2009)."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.activations.base import ELEMENTWISE_BLOCK, Activation, Dual
from ntk_shortcuts.kernels.activations.registry import register
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import angle_of_half_tangent, real_leaf, safe_sqrt
from ntk_shortcuts.typing import Scalar


class PiecewiseLinear(Activation):
    """A straight line on either side of 0: phi(r x) = r phi(x) for every r > 0."""

    sources: ClassVar[tuple[str, ...]] = ("cho2009kernel",)

    @property
    def is_homogeneous(self) -> bool:
        return True


class Linear(PiecewiseLinear):
    """phi(x) = x: the identity on moments. Label D2.1."""

    @property
    def name(self) -> str:
        return "linear"

    def __call__(self, x: jax.Array) -> jax.Array:
        return x

    def dual(self, moments: PairMoments) -> Dual:
        return Dual(moments, jnp.ones_like(moments.covariance))


class LeakyReLU(PiecewiseLinear):
    r"""phi(x) = max(x, 0) + slope min(x, 0); slope 0 is ReLU.

    With angle \(\theta\), \(\kappa=(\sin\theta+(\pi-\theta)\cos\theta)/\pi\) and \(A=1-\mathrm{slope}\),

    \[E\phi(a)\phi(b)=\tfrac{A^2}{2}\sqrt{q_{11}q_{22}}\,\kappa+\mathrm{slope}\,q_{12},\qquad
      E\phi'(a)\phi'(b)=A^2\frac{\pi-\theta}{2\pi}+\mathrm{slope}.\]

    Numerics: \(\kappa\) near \(\theta=\pi\) and \(1-\kappa\) near 0 have forms of their own, so that no angle is
    lost. At zero variance \(\theta=\pi/2\). Source: Cho & Saul (2009), orders 0 and 1. Label D2.3.
    """

    slope: Scalar

    def __init__(self, slope: Scalar = 0.01):
        self.slope = real_leaf(slope)

    @property
    def name(self) -> str:
        return "leaky_relu"

    @property
    def block_sides(self) -> tuple[int, int]:
        return ELEMENTWISE_BLOCK

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.where(x > 0, x, jnp.asarray(self.slope, x.dtype) * x)

    def dual(self, moments: PairMoments) -> Dual:
        q12 = moments.covariance
        slope = jnp.asarray(self.slope, q12.dtype)
        return _piecewise_linear_dual(moments, slope)


class ReLU(PiecewiseLinear):
    """phi(x) = max(x, 0); see :class:`LeakyReLU` with slope 0. Label D2.2."""

    @property
    def name(self) -> str:
        return "relu"

    @property
    def block_sides(self) -> tuple[int, int]:
        return ELEMENTWISE_BLOCK

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(x)

    def dual(self, moments: PairMoments) -> Dual:
        return _piecewise_linear_dual(moments, None)


def _piecewise_linear_dual(moments: PairMoments, slope: jax.Array | None) -> Dual:
    """Moments after a piecewise linear activation; slope None is 0. Labels D2.2 and D2.3."""
    norm1, norm2 = safe_sqrt(moments.variance1), safe_sqrt(moments.variance2)
    product = norm1 * norm2
    # theta or its supplement, whichever is below pi/2, by the tangent of its half, sin / (1 + cos): everything else is
    # rational in it, or a polynomial.
    close = moments.covariance > 0
    whole = product + jnp.where(close, moments.covariance, -moments.covariance)
    half_tangent = jnp.where(whole > 0, moments.area / jnp.where(whole > 0, whole, 1), 1)
    # Above 1 only where a squared norm underflows and the area does not.
    half_tangent = jnp.where(half_tangent > 2, 1, half_tangent)
    acute, lag = angle_of_half_tangent(half_tangent)
    sine = 2 * half_tangent / (1 + half_tangent**2)
    versine = half_tangent * sine
    # With f(x) = sin x - x cos x, pi kappa = f(pi - theta) = f(theta) + pi cos theta.
    part = lag / np.pi
    kappa = part + jnp.where(close, 1 - versine, 0)
    one_minus_kappa = jnp.where(close, versine, 1) - part
    derivative = jnp.where(close, np.pi - acute, acute) / (2 * np.pi)
    covariance = (product * part + jnp.where(close, moments.covariance, 0)) / 2
    # det = q11 q22 [gain^2 (1 - kappa^2)/4 + slope^2 sin^2 + gain slope (1 - kappa cos)], term by term stable.
    squared_sine = one_minus_kappa * (1 + kappa) / 4
    distance = (norm1 - norm2) ** 2 / 2 + product * one_minus_kappa
    half: jax.Array | float = 0.5
    if slope is not None:
        gain = (1 - slope) ** 2
        one_minus_cosine = jnp.where(close, versine, 2 - versine)
        half = (1 + slope**2) / 2
        derivative = gain * derivative + slope
        covariance = gain * covariance + slope * moments.covariance
        squared_sine = gain**2 * squared_sine + slope**2 * sine**2 + gain * slope * (one_minus_kappa + kappa * one_minus_cosine)
        distance = gain * distance + slope * moments.distance
    post = PairMoments(
        variance1=half * moments.variance1,
        variance2=half * moments.variance2,
        covariance=covariance,
        area=product * safe_sqrt(squared_sine),
        distance=distance,
    )
    return Dual(post, derivative)


register(Linear(), jax.nn.identity)
register(ReLU(), jax.nn.relu)
register(LeakyReLU(), jax.nn.leaky_relu)
