"""Second moments of pairs of Gaussians, with the two companions that a covariance alone cannot hold."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import dtypes

from ntk_shortcuts.numerics import (
    difference_of_products,
    safe_divide,
    safe_hypot,
    safe_sqrt,
    squared_chords,
    unit_vectors,
)
from ntk_shortcuts.spec import Record


class PairMoments(Record):
    r"""Second moments of pairs (a, b), all pairs of two sets of points or one pair per point.

    With \(q_{11}=E a^2,\ q_{22}=E b^2,\ q_{12}=E ab\):

    - `variance1` \(q_{11}\), shape (n1, 1); `variance2` \(q_{22}\), shape (1, n2);
    - `covariance` \(q_{12}\), shape (n1, n2);
    - `area` \(\sqrt{q_{11}q_{22}-q_{12}^2}\): the sine of the angle times both norms, shape (n1, n2);
    - `distance` \(q_{11}+q_{22}-2q_{12}=E(a-b)^2\), shape (n1, n2).

    The last two follow from the first three in exact arithmetic only: at an angle of 1e-6 the covariance of
    two unit vectors differs from 1 by 5e-13, which float32 cannot hold. Carried along, they keep every
    kernel accurate at all angles. The arrays may also all have shape (n,), one pair per entry.
    """

    variance1: jax.Array
    variance2: jax.Array
    covariance: jax.Array
    area: jax.Array
    distance: jax.Array

    @classmethod
    def from_inputs(cls, x1: jax.Array, x2: jax.Array) -> PairMoments:
        """Moments of inputs (n1, d) and (n2, d): the inner products, not divided by d.

        In the plane the area is a cross product. In higher dimension it comes from the chords between unit vectors
        (:func:`~ntk_shortcuts.numerics.squared_chords`), in float64 where that is enabled, float32 inputs too.
        """
        if x1.shape[-1] == 2:
            return cls.from_plane(x1, x2)
        dtype = x1.dtype
        x1, x2 = (x.astype(dtypes.canonicalize_dtype(jnp.float64)) for x in (x1, x2))
        norm1, unit1 = unit_vectors(x1)
        norm2, unit2 = unit_vectors(x2)
        norm2 = norm2.T
        product = norm1 * norm2
        covariance = jnp.matmul(x1, x2.T, precision=jax.lax.Precision.HIGHEST)
        # Kahan's half-angle pair: 2 sin(theta/2) and 2 cos(theta/2). Once they are known nothing cancels any more.
        parts = (product, *squared_chords(unit1, unit2, safe_divide(covariance, product), dtype), norm1 - norm2)
        product, chord, antichord, difference = (part.astype(dtype) for part in parts)
        return cls(
            variance1=(norm1**2).astype(dtype),
            variance2=(norm2**2).astype(dtype),
            covariance=covariance.astype(dtype),
            area=product * safe_sqrt(chord) * safe_sqrt(antichord) / 2,
            distance=difference**2 + product * chord,
        )

    @classmethod
    def from_plane(cls, u1: jax.Array, u2: jax.Array) -> PairMoments:
        """Moments of points in the plane, (n1, 2) and (n2, 2), from dot and cross products."""
        return cls.from_scaled_plane(u1, u2, jnp.ones(2, u1.dtype))

    @classmethod
    def from_scaled_plane(cls, z1: jax.Array, z2: jax.Array, scale: jax.Array) -> PairMoments:
        """Moments of u = scale * z, with the cross product taken of z itself.

        Rounding scale * z would turn two antiparallel latents by an angle of the machine precision.
        """
        # Coordinate by coordinate: a sum over an axis of two entries would keep XLA from vector instructions.
        square = scale**2
        (x1, y1), (x2, y2) = ((z1[:, :1], z1[:, 1:]), (z2[:, 0][None, :], z2[:, 1][None, :]))
        return cls(
            variance1=square[0] * x1**2 + square[1] * y1**2,
            variance2=square[0] * x2**2 + square[1] * y2**2,
            covariance=square[0] * (x1 * x2) + square[1] * (y1 * y2),
            area=scale[0] * scale[1] * jnp.abs(difference_of_products(*jnp.broadcast_arrays(x1, y2, y1, x2))),
            distance=square[0] * (x1 - x2) ** 2 + square[1] * (y1 - y2) ** 2,
        )

    @classmethod
    def from_gram(cls, g12: jax.Array, g11_diag: jax.Array, g22_diag: jax.Array) -> PairMoments:
        """Moments from inner products alone: (n1, n2), (n1,), (n2,).

        Angles below the square root of the machine precision are lost here; use inputs where they matter.
        """
        variance1, variance2 = g11_diag[:, None], g22_diag[None, :]
        norm1, norm2 = safe_sqrt(variance1), safe_sqrt(variance2)
        product = norm1 * norm2
        gap = jnp.maximum(product - g12, 0)
        return cls(
            variance1=variance1,
            variance2=variance2,
            covariance=g12,
            area=safe_sqrt(gap) * safe_sqrt(product + g12),
            distance=(norm1 - norm2) ** 2 + 2 * gap,
        )

    @classmethod
    def diagonal(cls, variance: jax.Array) -> PairMoments:
        """Each point with itself: variances (n,), one pair per entry."""
        zero = jnp.zeros_like(variance)
        return cls(variance, variance, variance, zero, zero)

    def normalized(self) -> PairMoments:
        """Moments of a and b over their standard deviations; what has none stays 0. Label D3.6."""
        norm1, norm2 = safe_sqrt(self.variance1), safe_sqrt(self.variance2)
        product = norm1 * norm2
        unit1, unit2 = (jnp.where(norm > 0, jnp.ones_like(norm), 0) for norm in (norm1, norm2))
        return PairMoments(
            variance1=unit1,
            variance2=unit2,
            covariance=safe_divide(self.covariance, product),
            area=safe_divide(self.area, product),
            distance=(unit1 - unit2) ** 2 + 2 * safe_divide(self._gaps(product)[0], product),
        )

    def plus(self, other: PairMoments) -> PairMoments:
        r"""Moments of a + a', b + b' for independent pairs (a, b) and (a', b').

        With norms \(p_i,p_i'\) and gaps \(g_\mp=p_1p_2\mp q_{12}\), the determinant of the sum is
        \(\mathrm{area}^2+\mathrm{area}'^2+(p_1p_2'-p_2p_1')^2+g_-g_+'+g_+g_-'\): nonnegative terms, so that nothing cancels.
        Label D3.5.
        """
        (norm1, norm2), (more1, more2) = (
            (safe_sqrt(moments.variance1), safe_sqrt(moments.variance2)) for moments in (self, other)
        )
        (gap, antigap), (more_gap, more_antigap) = self._gaps(norm1 * norm2), other._gaps(more1 * more2)
        across = safe_hypot(jnp.abs(norm1 * more2 - norm2 * more1), safe_sqrt(gap * more_antigap + antigap * more_gap))
        return PairMoments(
            variance1=self.variance1 + other.variance1,
            variance2=self.variance2 + other.variance2,
            covariance=self.covariance + other.covariance,
            area=safe_hypot(safe_hypot(self.area, other.area), across),
            distance=self.distance + other.distance,
        )

    def _gaps(self, product: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Product of the norms less and plus the covariance: the smaller one from the area, in which nothing cancels."""
        close = self.covariance > 0
        whole = product + jnp.where(close, self.covariance, -self.covariance)
        small = self.area * safe_divide(self.area, whole)
        return jnp.where(close, small, whole), jnp.where(close, whole, small)

    def affine(self, weight: Any, bias: Any) -> PairMoments:
        r"""Moments after a random affine layer: \(q \mapsto \sigma_w^2 q + \sigma_b^2\) for each moment.

        \(q_{11}'q_{22}'-q_{12}'^2=\sigma_w^4\,\mathrm{area}^2+\sigma_w^2\sigma_b^2\,\mathrm{distance}\): a sum of
        nonnegative terms, so that nothing cancels.
        """
        spread = safe_sqrt(weight * bias) * safe_sqrt(self.distance)
        return PairMoments(
            variance1=weight * self.variance1 + bias,
            variance2=weight * self.variance2 + bias,
            covariance=weight * self.covariance + bias,
            area=safe_hypot(weight * self.area, spread),
            distance=weight * self.distance,
        )
