"""The error function: closed form of Williams (1997)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.dual import Activation, Dual, register
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import arctan2, safe_divide, safe_sqrt


class Erf(Activation):
    r"""phi(x) = erf(x).

    \[E\phi(a)\phi(b)=\tfrac2\pi\arcsin\frac{2q_{12}}{\sqrt{(1+2q_{11})(1+2q_{22})}},\qquad
      E\phi'(a)\phi'(b)=\frac4{\pi S},\quad S^2=1+2q_{11}+2q_{22}+4(q_{11}q_{22}-q_{12}^2).\]

    Numerics: the arcsine is taken as atan2(2 q12, S), and S from the area, so that large variances at small
    angles lose nothing. Source: Williams (1997). Label D2.4.
    """

    @property
    def name(self) -> str:
        return "erf"

    @property
    def is_blockwise(self) -> bool:
        return True

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.scipy.special.erf(x)

    def dual(self, moments: PairMoments) -> Dual:
        q11, q22, q12 = moments.variance1, moments.variance2, moments.covariance
        root = jnp.sqrt(1 + 2 * (q11 + q22) + 4 * moments.area**2)
        angle12 = arctan2(2 * q12, root)
        gap1 = _angle_gap(q11, q11 - q22, moments, root)
        gap2 = _angle_gap(q22, q22 - q11, moments, root)
        # With angle1 = angle12 + gap1 and angle2 = angle12 + gap2:
        determinant = angle12 * (gap1 + gap2) + gap1 * gap2
        scale = 2 / np.pi
        post = PairMoments(
            variance1=scale * arctan2(2 * q11, jnp.sqrt(1 + 4 * q11)),
            variance2=scale * arctan2(2 * q22, jnp.sqrt(1 + 4 * q22)),
            covariance=scale * angle12,
            area=scale * safe_sqrt(determinant),
            distance=scale * jnp.maximum(gap1 + gap2, 0),
        )
        return Dual(post, 4 / np.pi / root)


def _angle_gap(q: jax.Array, excess: jax.Array, moments: PairMoments, root: jax.Array) -> jax.Array:
    """arcsin(2q/(1+2q)) - arcsin(2 q12 / ...), from differences that do not cancel for nearly equal points.

    Label D2.4.
    """
    q12 = moments.covariance
    root_q = jnp.sqrt(1 + 4 * q)
    difference = (moments.distance + excess) / 2  # q - q12
    stable = difference * (q + q12 + 4 * q * q12) + q**2 * (2 * moments.distance + 4 * moments.area**2)
    sine = jnp.where(
        q12 > 0,
        safe_divide(stable, q * root + jnp.maximum(q12, 0) * root_q),
        q * root - q12 * root_q,
    )
    return arctan2(2 * sine, root_q * root + 4 * q * q12)


register(Erf())
