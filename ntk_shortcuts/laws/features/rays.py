"""Nodes of a Gaussian feature law: rays, merged for homogeneous kernels, and points for all others."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln

from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.gaussian import PRODUCT_DIMENSIONS, half_sphere, sobol_normal
from ntk_shortcuts.numerics import compiled, eigh_each, safe_divide
from ntk_shortcuts.typing import AnyArray

# Along a ray the density is that of a unit Gaussian around its nearest point to the mean, times r^(K-1). Beyond 9.5 standard
# deviations it holds 1e-15 of the largest (K = 2), 1e-10 (K = 10); where every radius is a node of its own, 6 must do, 1e-7.
_MERGED_RANGE, _RANGE = 9.5, 6.0


# Rules (size, radii) from coarse to fine by purpose, merged along rays and not, and the number of features: sizes are angles in
# the plane, angles in space (half of their square is the number of rays), and Sobol points in more dimensions, where points
# that are not merged have no radii of their own.
_LADDERS: dict[tuple[str, bool], tuple[tuple[tuple[int, int], ...], ...]] = {
    ("operator", True): (
        ((64, 48), (128, 48), (256, 48), (512, 48)),
        ((20, 40), (28, 40), (40, 40), (56, 40)),
        ((256, 40), (512, 40), (1024, 40), (2048, 40)),
    ),
    ("operator", False): (
        ((24, 10), (36, 14), (54, 18), (80, 24)),
        ((10, 8), (12, 10), (14, 12), (16, 14)),
        ((256, 1), (512, 1), (1024, 1), (2048, 1)),
    ),
    ("resolvents", True): (
        ((24, 18), (36, 20), (54, 24), (80, 28), (120, 32)),
        ((12, 20), (16, 24), (20, 24), (26, 24)),
        ((256, 24), (512, 24), (1024, 24)),
    ),
    ("resolvents", False): (
        ((18, 8), (24, 10), (36, 14), (54, 18)),
        ((8, 8), (10, 10), (12, 11)),
        ((256, 1), (512, 1), (1024, 1)),
    ),
    ("spectrum", True): (
        ((64, 24), (128, 32), (256, 48)),
        ((16, 24), (24, 24), (32, 24)),
        ((256, 24), (512, 24), (1024, 24)),
    ),
    ("spectrum", False): (
        ((18, 8), (24, 10), (36, 14), (54, 18)),
        ((8, 8), (10, 10), (12, 11)),
        ((256, 1), (512, 1), (1024, 1)),
    ),
    ("influence", True): (((72, 28),), ((16, 24),), ((256, 24),)),
    ("influence", False): (((24, 10),), ((10, 10),), ((256, 1),)),
}


def ladder(dimension: int, purpose: str, merged: bool) -> tuple[tuple[int, int], ...]:
    """Rules (size, radii) for a purpose, from coarse to fine."""
    return _LADDERS[purpose, merged][min(dimension, PRODUCT_DIMENSIONS + 1) - 2]


@compiled
def feature_nodes(law: Any, level: int, purpose: str, merged: bool) -> Nodes:
    """Rule number `level` for a purpose; merged along rays for kernels with Theta(r z, r' z') = r r' Theta(z, z')."""
    dimension = law.means.shape[0]
    size, radii = ladder(dimension, purpose, merged)[level]
    if dimension > PRODUCT_DIMENSIONS:
        return _drawn_rays(law, size, radii) if merged else _drawn_points(law, size)
    nodes = _mapped_rays(law, size, radii, _MERGED_RANGE if merged else _RANGE)
    return nodes if merged else Nodes.of(nodes.everywhere, nodes.weights.ravel(), nodes.targets.ravel())


def _drawn_points(law: Any, count: int) -> Nodes:
    """Sobol points around the mean of class +1: even integrands have the same integral under either class."""
    points = law.means + sobol_normal(law.means.shape[0], count) @ law.whitening.T
    return Nodes.of(points, np.full(count, 1 / count), jnp.tanh(points @ law.bayes_direction))


def _mapped_rays(law: Any, angles: int, radii: int, reach: float) -> Nodes:
    r"""A product rule on the sphere, mapped to where density and kernel want directions.

    The density is round in the whitened coordinates \(\xi=L^{-1}z\) up to the distance of the means; kernels of wide networks
    are round in the effective ones \(u=\alpha z\). Directions are equally spaced half-way between, in the geometric mean of the
    two maps: \(x=Ms/|Ms|\) with surface element \(|\det M|/|Ms|^K\).
    """
    sphere, share = half_sphere(law.means.shape[0], angles)
    matrix = jax.lax.stop_gradient(_halfway(law))
    stretched = sphere @ matrix.T
    length = jnp.sqrt(jnp.sum(stretched**2, axis=1))
    dimension = sphere.shape[1]
    surface = np.log(2) + dimension / 2 * np.log(np.pi) - gammaln(dimension / 2)
    element = jnp.log(share) + surface + jnp.linalg.slogdet(matrix)[1] - dimension * jnp.log(length)
    return _along(law, stretched / length[:, None], element, radii, reach)


def _halfway(law: Any) -> jax.Array:
    """The map from equally spaced directions to those of the rule, in whitened coordinates."""
    mean = law.whitened_mean
    distance = jnp.sum(mean**2)
    # Root of 1 + m m^T, the law's second moment.
    spread = jnp.eye(len(mean)) + jnp.outer(mean, mean) * safe_divide(jnp.sqrt(1 + distance) - 1, distance)
    to_inputs = jnp.asarray(law.amplification)[:, None] * law.whitening @ spread
    values, vectors = (parts[0] for parts in eigh_each((to_inputs.T @ to_inputs)[None]))
    return spread @ (vectors * jnp.maximum(values, 1e-12 * values[-1]) ** -0.25) @ vectors.T


def _drawn_rays(law: Any, count: int, radii: int) -> Nodes:
    """Directions of Sobol points of the law itself, which weigh alike; along each the radius is integrated out."""
    normal = sobol_normal(law.means.shape[0], count)
    drawn = law.whitened_mean + normal
    directions = drawn / jnp.sqrt(jnp.sum(drawn**2, axis=1))[:, None]
    nodes = _along(law, directions, jnp.zeros(count), radii, _MERGED_RANGE)
    share = nodes.weights / jnp.sum(nodes.weights, axis=1, keepdims=True) / count
    return Nodes(nodes.points, nodes.radius, share, nodes.targets)


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
