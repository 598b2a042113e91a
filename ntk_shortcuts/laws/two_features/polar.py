"""Quadrature nodes of the data law, in polar coordinates that follow both the density and the kernel."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.numerics import compiled, safe_divide

# The radial density is that of a unit Gaussian around |mean|; beyond 8.5 standard deviations it holds 1e-16.
_RADIAL_RANGE = 8.5

# Class means farther from the origin than this, in standard deviations, are seen under an angle of their own.
_DISTANT = 3.0


# Rules (angles, radii) by purpose, for kernels whose rays are merged and for others, from coarse to fine.
_LADDERS: dict[str, tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]] = {
    # Angles are doubled until the bias moves by less than the tolerance. A general network also needs the radius resolved.
    "operator": (
        ((64, 48), (128, 48), (256, 48), (512, 48), (1024, 48)),
        ((24, 10), (36, 14), (54, 18), (80, 24)),
    ),
    "resolvents": (
        ((24, 18), (36, 20), (54, 24), (80, 28), (120, 32), (180, 36)),
        ((18, 8), (24, 10), (36, 14), (54, 18)),
    ),
    "spectrum": (((64, 24), (128, 32), (256, 48)), ((18, 8), (24, 10), (36, 14), (54, 18))),
    "influence": (((72, 28),), ((24, 10),)),
}
# The first two rules of a refinement nearly always do: of merged rays they have one shape, so that what is computed with them
# needs one compiled program.
_OF_ONE_SHAPE = ("operator", "resolvents")


def ladder(purpose: str, merged: bool) -> tuple[tuple[int, int], ...]:
    """Rules (angles, radii) for a purpose, from coarse to fine."""
    return _LADDERS[purpose][0 if merged else 1]


@compiled
def refined_nodes(model: Any, level: int, purpose: str, merged: bool, scale_free: bool = False) -> Nodes:
    """Rule number `level` for a purpose; rays are merged for kernels that are homogeneous or scale-free."""
    rules = ladder(purpose, merged)
    nodes = latent_rays(model, *rules[level], merged)
    if merged and scale_free:
        nodes = Nodes(nodes.points, jnp.ones_like(nodes.radius), nodes.weights, nodes.targets, nodes.radius)
    return nodes.padded(*rules[1]) if merged and level == 0 and purpose in _OF_ONE_SHAPE else nodes


def latent_rays(model: Any, angles: int, radii: int, homogeneous: bool) -> Nodes:
    r"""Periodic trapezoidal rule in a graded angle, times Gauss-Legendre in the radius.

    Kernels of wide networks have their kinks along rays of the effective coordinates u = alpha z, while the density is
    round in the whitened ones, \(\xi=L^{-1}z\). At large availability ratios either angle alone leaves the other unresolved, so
    the rule is equispaced in the sum of both: with a the ratio of the singular values of diag(alpha) L and
    b = (a-1)/(a+1), \(e^{2i\theta}=\lambda e^{i\varphi}-b,\ \lambda=b\cos\varphi+\sqrt{1-b^2\sin^2\varphi}\) is the
    whitened angle \(\theta\) at which that sum is \(\varphi\).

    Args:
        model: a `GenerativeModel`.
        angles, radii: nodes of each factor.
        homogeneous: (angles, radii) nodes, for kernels with Theta(r z, r' z') = r r' Theta(z, z'); otherwise every node is
            a ray of its own, (angles * radii, 1), of radius 1.
    """
    factor, mean = model.whitening, model.whitened_mean
    squeeze = _squeeze(mean)
    frame, ratio = _singular_frame(jnp.asarray(model.amplification)[:, None] * factor @ squeeze)
    theta, d_theta = _graded_angles(angles, ratio)
    directions = jnp.stack([jnp.cos(theta), jnp.sin(theta)], axis=-1) @ frame.T @ squeeze.T
    length = jnp.sqrt(jnp.sum(directions**2, axis=1))
    directions = directions / length[:, None]
    d_theta = d_theta * jnp.linalg.det(squeeze) / length**2
    along = directions @ mean

    gauss, gauss_weights = np.polynomial.legendre.leggauss(radii)
    inner = jnp.maximum(jnp.abs(along) - _RADIAL_RANGE, 0)
    outer = jnp.abs(along) + _RADIAL_RANGE
    half = (outer - inner) / 2
    radius = inner[:, None] + half[:, None] * (1 + gauss)[None, :]
    # (1/pi) r exp(-(r^2 + |m|^2)/2) cosh(r along): both components, folded; in logarithms, where cosh overflows, and with the
    # square completed: |m| grows like 1/sqrt(1 - |sigma|).
    product = jnp.abs(radius * along[:, None])
    across = directions[:, 0] * mean[1] - directions[:, 1] * mean[0]
    distance = (radius - jnp.abs(along)[:, None]) ** 2 + across[:, None] ** 2
    log_density = -distance / 2 + jnp.log1p(jnp.exp(-2 * product)) - np.log(2 * np.pi)
    weights = (d_theta * half)[:, None] * gauss_weights[None, :] * radius * jnp.exp(log_density)
    targets = jnp.tanh(radius * along[:, None])
    rays = directions @ factor.T
    if homogeneous:
        return Nodes(rays, radius, weights, targets)
    points = (radius[..., None] * rays[:, None, :]).reshape(-1, 2)
    return Nodes(points, jnp.ones_like(weights).reshape(-1, 1), weights.reshape(-1, 1), targets.reshape(-1, 1))


def _squeeze(mean: jax.Array) -> jax.Array:
    """The map that narrows the plane across distant class means, until they look as wide from the origin as at distance 3."""
    mean = jax.lax.stop_gradient(mean)
    distance = jnp.sqrt(jnp.sum(mean**2))
    along = jnp.outer(mean, mean) * safe_divide(jnp.ones_like(distance), distance**2)
    return along + (jnp.eye(2) - along) / jnp.maximum(1, distance / _DISTANT)


def _singular_frame(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Right singular frame (2, 2) of a 2 x 2 matrix, columns from large to small, and the ratio of the singular values.

    A finite frame and finite gradients also where the singular values coincide; the nodes are right for any frame.
    """
    gram = jax.lax.stop_gradient(matrix.T @ matrix)
    turn = jnp.arctan2(2 * gram[0, 1], gram[0, 0] - gram[1, 1]) / 2
    cosine, sine = jnp.cos(turn), jnp.sin(turn)
    frame = jnp.stack([jnp.stack([cosine, -sine]), jnp.stack([sine, cosine])])
    lengths = jnp.sqrt(jnp.sum((jax.lax.stop_gradient(matrix) @ frame) ** 2, axis=0))
    return frame, safe_divide(lengths[0], lengths[1])


def _graded_angles(count: int, ratio: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Whitened angles (count,) in a half circle and their quadrature weights (count,)."""
    phase = jnp.asarray(2 * np.pi * (np.arange(count) + 0.5) / count, ratio.dtype)
    b = (ratio - 1) / (ratio + 1)
    one_minus_square = 4 * ratio / (ratio + 1) ** 2
    root = jnp.sqrt(one_minus_square + (b * jnp.cos(phase)) ** 2)
    scale = b * jnp.cos(phase) + root
    double = jnp.arctan2(scale * jnp.sin(phase), scale * jnp.cos(phase) - b)
    theta = jnp.where(double < 0, double + 2 * np.pi, double) / 2
    # d(2 theta)/d phase = scale / root, from differentiating |scale e^{i phase} - b| = 1.
    return theta, scale / root * (np.pi / count)
