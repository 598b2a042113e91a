"""Nodes of the data law against its moments in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.laws.two_features.polar import latent_rays

# Class means up to 10^6 standard deviations from the origin, at availability ratios that leave their angle unresolved.
DISTANT = [
    ((0.85, 0.9), 0.9999),
    ((0.85, 0.9), 1 - 1e-6),
    ((0.6, 0.95), 1 - 1e-9),
    ((0.85, 0.9), 1 - 1e-12),
    ((0.5, 1 - 1e-12), 0),
]


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("ratio", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize(("rho", "sigma"), DISTANT)
def test_moments_of_distant_classes(rho, sigma, ratio):
    model = ns.GenerativeModel(rho, (ratio, 1.0), sigma)
    rays = latent_rays(model, 64, 48, True)
    np.testing.assert_allclose(jnp.sum(rays.weights), 1, atol=1e-8)
    # In whitened coordinates, where neither direction hides behind the other: E[xi xi'] = 1 + m m', E[y xi] = m.
    distance = float(jnp.linalg.norm(model.whitened_mean))
    along = model.whitened_mean / distance
    angle = jnp.linalg.solve(model.whitening, rays.points.T).T @ jnp.stack([along, along[::-1] * jnp.array([-1, 1])]).T
    second = jnp.einsum("g,gi,gj->ij", rays.mass, angle, angle)
    # Directions are known to rounding, which whitening magnifies.
    rounding = 1e-8 + 10 * np.finfo(np.float64).eps / (1 - abs(sigma))
    np.testing.assert_allclose(second[0, 0], 1 + distance**2, rtol=rounding)
    np.testing.assert_allclose(second[1, 1], 1, rtol=rounding * distance**2)


def test_whitened_mean_of_equal_predictivities():
    """mu sqrt((1 - sigma) / (1 + sigma)) across, which a difference of both means would lose."""
    model = ns.GenerativeModel((0.85, 0.85), correlation=1 - 1e-12)
    gap = 1 - float(model.correlation)
    np.testing.assert_allclose(model.whitened_mean, model.means * np.array([1, np.sqrt(gap / (2 - gap))]), rtol=1e-14)
    moderate = ns.GenerativeModel((0.7, 0.9), correlation=0.4)
    np.testing.assert_allclose(moderate.whitening @ moderate.whitened_mean, moderate.means, rtol=1e-14)
