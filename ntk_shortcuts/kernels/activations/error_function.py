"""The error function: closed form of Williams (1997)."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.activations.base import ELEMENTWISE_BLOCK, Activation, Dual
from ntk_shortcuts.kernels.activations.registry import register
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import arctan2, safe_divide, safe_sqrt


class Erf(Activation):
    r"""phi(x) = erf(x).

    \[E\phi(a)\phi(b)=\tfrac2\pi\arcsin\frac{2q_{12}}{\sqrt{(1+2q_{11})(1+2q_{22})}},\qquad
      E\phi'(a)\phi'(b)=\frac4{\pi S},\quad S^2=1+2q_{11}+2q_{22}+4(q_{11}q_{22}-q_{12}^2).\]

    Numerics: the arcsine is taken as atan2(2 q12, S), and S from the area, so that large variances at small
    angles lose nothing. Source: Williams (1997). Label D2.4.
    """

    sources: ClassVar[tuple[str, ...]] = ("williams1997computing",)

    @property
    def name(self) -> str:
        return "erf"

    @property
    def block_sides(self) -> tuple[int, int]:
        return ELEMENTWISE_BLOCK

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.scipy.special.erf(x)

    def dual(self, moments: PairMoments) -> Dual:
        q11, q22, q12 = moments.variance1, moments.variance2, moments.covariance
        # S over sqrt((1 + 2 q11)(1 + 2 q22)): no product of variances overflows, and what is of one point is taken once.
        scale1, scale2 = jnp.sqrt(1 + 2 * q11), jnp.sqrt(1 + 2 * q22)
        free1, free2 = 1 / (1 + 2 * q11), 1 / (1 + 2 * q22)
        sines = moments.area * (2 / scale1) * (1 / scale2)
        root = scale1 * scale2 * jnp.sqrt(free1 + 2 * q11 * free1 * free2 + sines**2)
        inverse = 1 / root
        # erf is odd: a pair of negative covariance is (a, -b), so that antiparallel points keep what parallel ones do.
        negative = q12 < 0
        size = jnp.where(negative, -q12, q12)
        distance = jnp.where(negative, _distance_to_opposite(moments), moments.distance)
        shared = distance * inverse, (2 * moments.area * inverse) ** 2
        angle12 = arctan2(2 * size, root)
        gap1 = _angle_gap(q11, q11 - q22, size, distance, *shared, inverse)
        gap2 = _angle_gap(q22, q22 - q11, size, distance, *shared, inverse)
        # With angle1 = angle12 + gap1 and angle2 = angle12 + gap2:
        determinant = angle12 * (gap1 + gap2) + gap1 * gap2
        scale = 2 / np.pi
        post = PairMoments(
            variance1=scale * arctan2(2 * q11, jnp.sqrt(1 + 4 * q11)),
            variance2=scale * arctan2(2 * q22, jnp.sqrt(1 + 4 * q22)),
            covariance=scale * jnp.where(negative, -angle12, angle12),
            area=scale * safe_sqrt(determinant),
            distance=scale * (jnp.maximum(gap1 + gap2, 0) + jnp.where(negative, 4 * angle12, 0)),
        )
        return Dual(post, 4 / np.pi * inverse)


def _distance_to_opposite(moments: PairMoments) -> jax.Array:
    """E(a + b)^2 where the covariance is negative, from the area, without cancellation."""
    norm1, norm2 = safe_sqrt(moments.variance1), safe_sqrt(moments.variance2)
    size = norm1 * norm2 + jnp.abs(moments.covariance)
    return (norm1 - norm2) ** 2 + 2 * moments.area * safe_divide(moments.area, size)


def _angle_gap(
    q: jax.Array,
    excess: jax.Array,
    q12: jax.Array,
    distance: jax.Array,
    scaled_distance: jax.Array,
    squared_sine: jax.Array,
    inverse: jax.Array,
) -> jax.Array:
    """arcsin(2q/(1+2q)) - arcsin(2 q12 / ...) for q12 >= 0, from differences that do not cancel for nearly equal points.

    Args:
        q: variance of one point, `excess` over the other's.
        scaled_distance: distance / S; squared_sine: (2 area / S)^2; inverse: 1 / S.

    Label D2.4.
    """
    root_q, inverse_q = jnp.sqrt(1 + 4 * q), safe_divide(jnp.ones_like(q), q)
    difference = (distance + excess) / 2  # q - q12
    # All divided by S, so that no product of variances overflows.
    ratio, scaled = q12 * inverse_q, q12 * inverse
    stable = (difference * inverse) * ((1 + ratio) * inverse + 4 * scaled) + q * (2 * scaled_distance * inverse + squared_sine)
    return arctan2(2 * stable, (1 + ratio * (root_q * inverse)) * (root_q + 4 * q * scaled))


register(Erf(), jax.scipy.special.erf, jax.lax.erf)
