"""The sine: elementary closed form."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from ntk_shortcuts.kernels.activations.base import ELEMENTWISE_BLOCK, Activation, Dual
from ntk_shortcuts.kernels.activations.registry import register
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import safe_sqrt


class Sine(Activation):
    r"""phi(x) = sin(x).

    \(E\sin a\sin b=\tfrac12(e^{-D/2}-e^{-S/2})\) and \(E\cos a\cos b=\tfrac12(e^{-D/2}+e^{-S/2})\) with
    \(D=E(a-b)^2,\ S=E(a+b)^2\): the characteristic function of the Gaussians a - b and a + b.
    Label D2.5.
    """

    sources: ClassVar[tuple[str, ...]] = ("daniely2016toward",)

    @property
    def name(self) -> str:
        return "sin"

    @property
    def block_sides(self) -> tuple[int, int]:
        return ELEMENTWISE_BLOCK

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.sin(x)

    def dual(self, moments: PairMoments) -> Dual:
        q11, q22, q12 = moments.variance1, moments.variance2, moments.covariance
        # e^{-D/2} - e^{-S/2} = e^{-m/2} (1 - e^{-2|q12|}) sign(q12), m = min(D, S), keeps relative accuracy at q12 = 0.
        closest = jnp.where(q12 > 0, moments.distance, moments.distance + 4 * q12)
        half_decay = jnp.exp(-jnp.maximum(closest, 0) / 2) / 2
        covariance = -half_decay * jnp.sign(q12) * jnp.expm1(-2 * jnp.abs(q12))
        derivative = half_decay * (1 + jnp.exp(-2 * jnp.abs(q12)))
        variance1, variance2 = -jnp.expm1(-2 * q11) / 2, -jnp.expm1(-2 * q22) / 2
        # E(sin a - sin b)^2 by the same exponentials: no smallness is lost where D is small.
        spread = (
            -jnp.expm1(-moments.distance / 2)
            - (jnp.exp(-2 * q11) + jnp.exp(-2 * q22) - 2 * jnp.exp(-(q11 + q22 + q12 * 2) / 2)) / 2
        )
        return Dual(
            PairMoments(
                variance1=variance1,
                variance2=variance2,
                covariance=covariance,
                area=safe_sqrt(variance1 * variance2 - covariance**2),
                distance=jnp.maximum(spread, 0),
            ),
            derivative,
        )


register(Sine(), jnp.sin, jax.lax.sin)
