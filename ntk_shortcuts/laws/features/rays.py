"""Nodes of a Gaussian feature law: rays, merged for homogeneous kernels, and points for all others."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln

from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.gaussian import half_sphere, sobol_normal
from ntk_shortcuts.numerics import compiled, eigh_each, safe_divide
from ntk_shortcuts.typing import AnyArray

# Along a ray the density is that of a unit Gaussian around its nearest point to the mean, times r^(K-1). Beyond 9.5 standard
# deviations it holds 1e-15 of the largest; where every radius is a node of its own, 6 must do, 1e-7.
_MERGED_RANGE, _RANGE = 9.5, 6.0


# Rules (size, radii) from coarse to fine. Of rays the size is the number of angles, in space of an axis (half of its square is
# the number of rays); of points it is their number beyond the plane, where they are Sobol's and have no radii.
_RAYS = {
    "operator": (((64, 48), (128, 48), (256, 48), (512, 48)), ((20, 40), (28, 40), (40, 40), (56, 40))),
    "resolvents": (((24, 18), (36, 20), (54, 24), (80, 28), (120, 32)), ((12, 20), (16, 24), (20, 24), (26, 24))),
    "spectrum": (((64, 24), (128, 32), (256, 48)), ((16, 24), (24, 24), (32, 24))),
    "influence": (((72, 28),), ((16, 24),)),
}
_POINTS = {
    "operator": (((24, 10), (36, 14), (54, 18), (80, 24)), ((256, 1), (512, 1), (1024, 1), (2048, 1))),
    "resolvents": (((18, 8), (24, 10), (36, 14), (54, 18)), ((256, 1), (512, 1), (1024, 1))),
    "spectrum": (((18, 8), (24, 10), (36, 14), (54, 18)), ((256, 1), (512, 1), (1024, 1))),
    "influence": (((24, 10),), ((256, 1),)),
}


def ladder(dimension: int, purpose: str, merged: bool) -> tuple[tuple[int, int], ...]:
    """Rules (size, radii) for a purpose, from coarse to fine."""
    return (_RAYS if merged else _POINTS)[purpose][min(dimension, 3) - 2]


@compiled
def feature_nodes(law: Any, level: int, purpose: str, merged: bool) -> Nodes:
    """Rule number `level` for a purpose; merged along rays for kernels with Theta(r z, r' z') = r r' Theta(z, z')."""
    dimension = law.means.shape[0]
    size, radii = ladder(dimension, purpose, merged)[level]
    if not merged and dimension > 2:
        return drawn_points(law, size)
    nodes = _mapped_rays(law, size, radii, _MERGED_RANGE if merged else _RANGE)
    return nodes if merged else Nodes.of(nodes.everywhere, nodes.weights.ravel(), nodes.targets.ravel())


def drawn_points(law: Any, count: int) -> Nodes:
    """Sobol points around the mean of class +1: even integrands have the same integral under either class.

    Their first coordinate, the most even one, lies along the whitened mean, on which alone the target depends, the next along
    the features that are amplified most. Mean and covariance of the points are those of the law, and the target's regression
    on them has the law's direction. Label D14.6.
    """
    _, _, amplified = jnp.linalg.svd(jax.lax.stop_gradient(jnp.asarray(law.amplification)[:, None] * law.whitening))
    mean = jax.lax.stop_gradient(law.whitened_mean)
    turn = jnp.linalg.qr(jnp.concatenate([mean[:, None], amplified.T], axis=1))[0]
    normal = sobol_normal(len(mean), count)
    normal = _matched(normal, jnp.tanh((mean + normal @ turn.T) @ mean))
    points = law.means + normal @ turn.T @ law.whitening.T
    return Nodes.of(points, np.full(count, 1 / count), jnp.tanh(points @ law.bayes_direction))


def _matched(normal: AnyArray, target: jax.Array) -> jax.Array:
    r"""Points of mean 0 and covariance 1, moved a little: a target of the first coordinate is uncorrelated with all others.

    A correlation by chance tilts what is learnt towards features on which the target does not depend, and the bias feels it
    before anything else. Label D14.6.
    """
    first, others = normal[:, :1], normal[:, 1:]
    # The part of the target that its line misses; that line is uncorrelated with the others already.
    beyond = target - jnp.mean(target) - first[:, 0] * jnp.mean(first[:, 0] * target)
    others = others - jnp.outer(beyond, safe_divide(beyond @ others, jnp.sum(beyond**2)))
    factor = jnp.linalg.cholesky(others.T @ others / len(others))
    return jnp.concatenate([first, jax.scipy.linalg.solve_triangular(factor, others.T, lower=True).T], axis=1)


def _mapped_rays(law: Any, angles: int, radii: int, reach: float) -> Nodes:
    r"""A product rule on the sphere, mapped to where density and kernel want directions.

    The density is round in the whitened coordinates \(\xi=L^{-1}z\) up to the distance of the means; kernels of wide networks
    are round in the effective ones \(u=\alpha z\). Directions are equally spaced in between, half-way in the plane and a
    quarter of the way in space: \(x=Ms/|Ms|\) with surface element \(|\det M|/|Ms|^K\).
    """
    sphere, share = half_sphere(law.means.shape[0], angles)
    matrix = jax.lax.stop_gradient(_between(law))
    stretched = sphere @ matrix.T
    length = jnp.sqrt(jnp.sum(stretched**2, axis=1))
    dimension = sphere.shape[1]
    surface = np.log(2) + dimension / 2 * np.log(np.pi) - gammaln(dimension / 2)
    element = jnp.log(share) + surface + jnp.linalg.slogdet(matrix)[1] - dimension * jnp.log(length)
    return _along(law, stretched / length[:, None], element, radii, reach)


def _between(law: Any) -> jax.Array:
    """The map from equally spaced directions to those of the rule, in whitened coordinates."""
    mean = law.whitened_mean
    distance = jnp.sum(mean**2)
    # Root of 1 + m m^T, the law's second moment.
    spread = jnp.eye(len(mean)) + jnp.outer(mean, mean) * safe_divide(jnp.sqrt(1 + distance) - 1, distance)
    to_inputs = jnp.asarray(law.amplification)[:, None] * law.whitening @ spread
    values, vectors = (parts[0] for parts in eigh_each((to_inputs.T @ to_inputs)[None]))
    # The sphere's axis, where rules in space are densest, is the direction in which inputs vary most.
    return spread @ (vectors * jnp.maximum(values, 1e-12 * values[-1]) ** (-0.25 / (len(mean) - 1)))


def _along(law: Any, directions: AnyArray, log_element: jax.Array, radii: int, reach: float) -> Nodes:
    r"""Gauss-Legendre along rays in whitened directions: the density \(\tfrac12N(m,I)+\tfrac12N(-m,I)\) times \(r^{K-1}\).

    In logarithms with the square completed, \(|r\theta-m|^2=(r-\theta\cdot m)^2+|m-(\theta\cdot m)\theta|^2\): |m| grows
    without bound towards a singular correlation matrix.
    """
    mean, dimension = law.whitened_mean, directions.shape[1]
    along = directions @ mean
    across = jnp.sum((mean - along[:, None] * directions) ** 2, axis=1)
    gauss, gauss_weights = np.polynomial.legendre.leggauss(radii)
    inner = jnp.maximum(jnp.abs(along) - reach, 0)
    half = (jnp.abs(along) + reach - inner) / 2
    radius = inner[:, None] + half[:, None] * (1 + gauss)
    exponent = -((radius - jnp.abs(along)[:, None]) ** 2 + across[:, None]) / 2 + (dimension - 1) * jnp.log(radius)
    folded = jnp.log1p(jnp.exp(-2 * jnp.abs(radius * along[:, None]))) - np.log(2) - dimension / 2 * np.log(2 * np.pi)
    weights = half[:, None] * gauss_weights * jnp.exp(exponent + folded + log_element[:, None])
    return Nodes(directions @ law.whitening.T, radius, weights, jnp.tanh(radius * along[:, None]))
