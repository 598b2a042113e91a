"""Kernels of bias-free homogeneous networks in the plane: a polynomial in the angle."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.dual import Activation
from ntk_shortcuts.kernels.infinite import AffineLayer, Kernels, mlp_kernels
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import safe_sqrt
from ntk_shortcuts.typing import Array, Float

_COEFFICIENTS = 40


class AngularKernels(eqx.Module):
    r"""\(K(u,u')=|u||u'|\,h(\theta)\), with the profiles h of NNGP and NTK as Chebyshev series in \(x=1-2\theta/\pi\).

    Between u and -u' the angle is \(\pi-\theta\) and x changes sign, so the odd terms of the series are the kernel's odd part
    (which acts on odd functions) and the even terms its even part. The profiles are analytic in the closed interval of
    angles, and the series converges geometrically: at depth 8 to 1e-11 with 20 terms. Labels D3.2 and D3.3.

    - `nngp`, `ntk`: Chebyshev coefficients, (40,) each.
    - `error`: sum of the last four coefficients' sizes over the profile at angle 0, an estimate of the relative error.
    """

    nngp: Float[Array, "terms"]
    ntk: Float[Array, "terms"]
    error: Float[Array, ""]

    @classmethod
    def fit(cls, layers: Sequence[AffineLayer], activation: Activation, input_dim: int) -> AngularKernels:
        """Interpolate the exact recursion at Chebyshev nodes. For layers without biases and homogeneous activations only."""
        nodes = np.cos(np.pi * (np.arange(_COEFFICIENTS) + 0.5) / _COEFFICIENTS)
        theta = jnp.asarray(np.pi * (1 - nodes) / 2)
        ones = jnp.ones_like(theta)
        moments = PairMoments(ones, ones, jnp.cos(theta), jnp.sin(theta), 4 * jnp.sin(theta / 2) ** 2)
        exact = mlp_kernels(moments, layers, activation, input_dim)
        degrees = np.arange(_COEFFICIENTS)
        transform = np.cos(np.outer(degrees, np.arccos(nodes))) * (2 - (degrees == 0))[:, None] / _COEFFICIENTS
        nngp, ntk = transform @ exact.nngp, transform @ exact.ntk
        tail = [jnp.sum(jnp.abs(c[-4:])) / jnp.abs(jnp.sum(c)) for c in (nngp, ntk)]
        return cls(nngp, ntk, jnp.maximum(*tail))

    def sectors(self, u1: Float[Array, "n1 2"], u2: Float[Array, "n2 2"]) -> tuple[Kernels, Kernels]:
        """Odd and even parts, (K(u, u') -+ K(u, -u')) / 2, each (n1, n2). Label D3.3."""
        (norm1, angle1), (norm2, angle2) = _polar(u1), _polar(u2)
        turn = jnp.abs(angle1[:, None] - angle2[None, :])
        x = 1 - 2 * jnp.minimum(turn, 2 * np.pi - turn) / np.pi
        square = 2 * x**2 - 1  # T_2(x); T_{2j}(x) = T_j(T_2(x))
        norms = norm1[:, None] * norm2[None, :]
        odd = Kernels(*(norms * x * _odd_series(c[1::2], square) for c in (self.nngp, self.ntk)), self.error)
        even = Kernels(*(norms * _even_series(c[0::2], square) for c in (self.nngp, self.ntk)), self.error)
        return odd, even


def _polar(u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Norm and polar angle, with finite gradients at the origin."""
    origin = jnp.all(u == 0, axis=1)
    return safe_sqrt(jnp.sum(u**2, axis=1)), jnp.arctan2(u[:, 1], jnp.where(origin, 1, u[:, 0]))


def _even_series(coefficients: jax.Array, square: jax.Array) -> jax.Array:
    """sum_j c_j T_j(square) by Clenshaw's recurrence."""
    after, last = jnp.zeros_like(square), jnp.zeros_like(square)
    for coefficient in coefficients[:0:-1]:
        after, last = coefficient + 2 * square * after - last, after
    return coefficients[0] + square * after - last


def _odd_series(coefficients: jax.Array, square: jax.Array) -> jax.Array:
    """sum_j c_j T_{2j+1}(x) / x by Clenshaw's recurrence: T_{2j+1}(x)/x follows the recurrence of T with 1, 2 square - 1.

    Label D3.2.
    """
    after, last = jnp.zeros_like(square), jnp.zeros_like(square)
    for coefficient in coefficients[:0:-1]:
        after, last = coefficient + 2 * square * after - last, after
    return coefficients[0] + (2 * square - 1) * after - last
