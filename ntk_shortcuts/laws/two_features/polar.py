"""Quadrature nodes of the data law, in polar coordinates that follow both the density and the kernel."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.numerics import safe_divide
from ntk_shortcuts.typing import Array, Float

# The radial density is that of a unit Gaussian around |mean|; beyond 8.5 standard deviations it holds 1e-16.
_RADIAL_RANGE = 8.5

# Class means farther from the origin than this, in standard deviations, are seen under an angle of their own.
_DISTANT = 3.0


class LatentRays(eqx.Module):
    r"""Nodes of the data law on rays, folded by its symmetry (z, y) -> (-z, -y): one of each pair z, -z.

    Node (g, j) lies at `radius[g, j] * directions[g]`, in a half-plane. For odd functions,
    \(\int ab\,p\,dz=\sum_{gj}w_{gj}\,a(z_{gj})\,b(z_{gj})\). A function with f(r z) = r f(z) is known from its values at the
    `directions`, and integrals of products of two of them need one node per ray, of weight `mass`.

    - `directions` (rays, 2); `radius`, `weights` (sum 1 up to the rule's error), `targets` (E[y | z]), each (rays, radii).
    """

    directions: Float[Array, "rays 2"]
    radius: Float[Array, "rays radii"]
    weights: Float[Array, "rays radii"]
    targets: Float[Array, "rays radii"]

    @property
    def mass(self) -> Float[Array, "rays"]:
        r"""\(\sum_jw_{gj}r_{gj}^2\)."""
        return jnp.sum(self.weights * self.radius**2, axis=1)

    @property
    def slope(self) -> Float[Array, "rays"]:
        r"""Targets as a function with f(r z) = r f(z): \(\sum_jw_{gj}r_{gj}f^*_{gj}\) over the mass; 0 on rays without mass."""
        return safe_divide(jnp.sum(self.weights * self.radius * self.targets, axis=1), self.mass)

    def padded(self, rays: int, radii: int) -> LatentRays:
        """The same rule with nodes of weight 0 added, up to (rays, radii): rules of one shape share a compiled program."""
        short, narrow = (size - present for size, present in zip((rays, radii), self.radius.shape, strict=True))
        directions = jnp.pad(self.directions, ((0, short), (0, 0)), mode="edge")
        radius = jnp.pad(self.radius, ((0, short), (0, narrow)), mode="edge")
        weights, targets = (jnp.pad(a, ((0, short), (0, narrow))) for a in (self.weights, self.targets))
        return LatentRays(directions, radius, weights, targets)


def latent_rays(model: GenerativeModel, angles: int, radii: int, homogeneous: bool) -> LatentRays:
    r"""Periodic trapezoidal rule in a graded angle, times Gauss-Legendre in the radius.

    Kernels of wide networks have their kinks along rays of the effective coordinates u = alpha z, while the density is
    round in the whitened ones, \(\xi=L^{-1}z\). At large availability ratios either angle alone leaves the other unresolved, so
    the rule is equispaced in the sum of both: with a the ratio of the singular values of diag(alpha) L and
    b = (a-1)/(a+1), \(e^{2i\theta}=\lambda e^{i\varphi}-b,\ \lambda=b\cos\varphi+\sqrt{1-b^2\sin^2\varphi}\) is the
    whitened angle \(\theta\) at which that sum is \(\varphi\).

    Args:
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
        return LatentRays(rays, radius, weights, targets)
    points = (radius[..., None] * rays[:, None, :]).reshape(-1, 2)
    return LatentRays(points, jnp.ones_like(weights).reshape(-1, 1), weights.reshape(-1, 1), targets.reshape(-1, 1))


@eqx.filter_jit
def refined_rays(model: GenerativeModel, rules: Sequence[tuple[int, int]], level: int, homogeneous: bool) -> LatentRays:
    """Rule number `level` of a refinement, (angles, radii) each.

    The first two rules nearly always do: for homogeneous kernels they have one shape, so that what is computed with them needs
    one compiled program.
    """
    rays = latent_rays(model, *rules[level], homogeneous)
    return rays.padded(*rules[:2][-1]) if homogeneous and level == 0 else rays


def mixture_nodes(
    model: GenerativeModel, order: int, negligible: float = 1e-5
) -> tuple[Float[Array, "nodes 2"], Float[Array, "nodes"]]:
    """Nodes of the data law over the whole plane: an order x order Hermite rule around each class mean.

    For few nodes and smooth functions of no parity, such as the outputs of a network in training.

    Args:
        order: nodes per axis and component.
        negligible: nodes of at most this weight (of a total of 1) are left out, and the rest rescaled to sum 1.

    Returns:
        Latents (nodes, 2), one of each pair z, -z in either half, and weights (nodes,).

    Example:
        >>> nodes, weights = mixture_nodes(GenerativeModel(), 8)
        >>> nodes.shape, bool(jnp.allclose(weights @ nodes**2, 1 + GenerativeModel().means ** 2, rtol=0.01))
        ((88, 2), True)
    """
    points, weights = np.polynomial.hermite_e.hermegauss(order)
    product = np.outer(weights, weights).ravel() / (2 * np.pi)
    kept = product / 2 > min(negligible, product.max() / 4)
    grid = np.stack(np.meshgrid(points, points, indexing="ij"), axis=-1).reshape(-1, 2)[kept]
    one_class = model.means[None, :] + grid @ model.whitening.T
    half = product[kept] / product[kept].sum() / 2
    return jnp.concatenate([one_class, -one_class]), jnp.asarray(np.concatenate([half, half]))


def density_nodes(
    model: GenerativeModel, along: int, across: int, negligible: float = 1e-5
) -> tuple[Float[Array, "nodes 2"], Float[Array, "nodes"], Float[Array, "nodes"]]:
    r"""Nodes of the data law over the whole plane: Gauss rules of the density itself, in whitened coordinates.

    There the law is \(\tfrac12N(m,I)+\tfrac12N(-m,I)\), a product: the mixture of two normals along m, on which E[y | z]
    depends alone, times a normal across. Each factor has its own Gauss rule. This takes fewer nodes than a rule
    around each class mean (`mixture_nodes`), and on the turned grid a network that sees one feature meets many values of it.

    Args:
        along, across: nodes of the factors.
        negligible: nodes of at most this weight (of a total of 1) are left out, and the rest rescaled to sum 1.

    Returns:
        Latents (nodes, 2), of each z also -z, weights (nodes,), and targets (nodes,): E[y | z] projected onto the polynomials
        of degree below `along`, whose sums with such polynomials are exact. E[y | z] itself, a tanh, is no polynomial.

    Source: Golub & Welsch (1969), with the recursion of Stieltjes for the mixture.

    Example:
        >>> nodes, weights, targets = density_nodes(GenerativeModel(), 10, 8)
        >>> nodes.shape, bool(jnp.allclose(weights @ nodes**2, 1 + GenerativeModel().means ** 2, rtol=0.01))
        ((56, 2), True)
    """
    factor, mean = (np.asarray(value, np.float64) for value in (model.whitening, model.whitened_mean))
    distance = np.linalg.norm(mean)
    # Without any mean all directions are alike.
    first = mean / distance if distance > 0 else np.array([1.0, 0.0])
    turn = np.stack([first, [-first[1], first[0]]])
    points, weights, targets = _mixture_rule(distance, along)
    others, other_weights = np.polynomial.hermite_e.hermegauss(across)
    product = np.outer(weights, other_weights / np.sqrt(2 * np.pi)).ravel()
    kept = product > min(negligible, product.max() / 2)
    grid = np.stack(np.meshgrid(points, others, indexing="ij"), axis=-1).reshape(-1, 2)[kept]
    targets = np.repeat(targets, across)[kept]
    return jnp.asarray(grid @ turn @ factor.T), jnp.asarray(product[kept] / product[kept].sum()), jnp.asarray(targets)


def _mixture_rule(distance: float, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss rule of the mixture of N(distance, 1) and N(-distance, 1), and tanh(distance x) projected onto its polynomials."""
    fine, weights = np.polynomial.hermite_e.hermegauss(count + 40)
    fine = np.concatenate([fine + distance, fine - distance])
    root = np.sqrt(np.concatenate([weights, weights]) / weights.sum() / 2)
    # Stieltjes' recursion for orthogonal polynomials on the fine points, times the root of their weights. The component that a
    # point was drawn around has the mean tanh(distance x) given the point.
    component = np.repeat([1.0, -1.0], count + 40)
    off, moments = np.zeros(count), np.zeros(count)
    last, polynomial = np.zeros_like(root), root / np.linalg.norm(root)
    for degree in range(count):
        moments[degree] = (component * root) @ polynomial
        after = fine * polynomial - (off[degree - 1] * last if degree else 0)
        last, polynomial = polynomial, after / np.linalg.norm(after)
        off[degree] = np.linalg.norm(after)
    # The diagonal is zero by symmetry. Eigenvectors hold the polynomials' values at the nodes, times the root of the weights.
    values, vectors = np.linalg.eigh(np.diag(off[:-1], 1) + np.diag(off[:-1], -1))
    return values, vectors[0] ** 2, moments @ vectors / vectors[0]


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
