r"""Rules for expectations over a standard normal vector and over directions: products in few dimensions, Sobol points in more.

Products of one-dimensional rules converge fastest, and their number of nodes grows with the power K of the dimension; beyond
three dimensions scrambled Sobol points do better. Their seed is fixed, so that a prediction is a function of its arguments,
and the first \(2^k\) of one sequence serve as its coarser rules: the move from one to the next is the estimate of the error.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.special import ndtri

from ntk_shortcuts.typing import Float

PRODUCT_DIMENSIONS = 3
"""Up to which dimension rules are products."""

# Nodes of at most this part of the heaviest are left out: a box of Hermite nodes has many in its corners.
_NEGLIGIBLE = 1e-7


def _sobol(dimension: int, count: int, seed: int) -> np.ndarray:
    from scipy.stats import qmc

    # SciPy calls the argument rng from 1.15 on, and takes the name of older versions.
    options = {"scramble": True, "seed": seed}
    return qmc.Sobol(dimension, **options).random_base2(int(np.log2(count)))


@functools.lru_cache(maxsize=64)
def sobol_normal(dimension: int, count: int, seed: int = 0) -> Float[np.ndarray, "count dimension"]:
    """Scrambled Sobol points, transformed to a standard normal law; they count alike. `count` is a power of 2.

    Shifted and mapped a little, so that their mean is 0 and their covariance 1.

    Source: Owen (1998); Joe & Kuo's direction numbers, as SciPy has them.

    Example:
        >>> points = sobol_normal(5, 1024)
        >>> bool(abs(points.T @ points / 1024 - np.eye(5)).max() < 1e-12)
        True
    """
    uniform = _sobol(dimension, count, seed)
    # A scrambled coordinate may be 0 to the last bit, whose normal quantile is infinite.
    points = ndtri(np.clip(uniform, 2.0**-33, 1 - 2.0**-33))
    points = points - points.mean(axis=0)
    return np.linalg.solve(np.linalg.cholesky(points.T @ points / count), points.T).T


@functools.lru_cache(maxsize=64)
def sobol_box(dimension: int, count: int, seed: int = 1) -> Float[np.ndarray, "count dimension"]:
    """Scrambled Sobol points in [-1, 1]^K: `count` / 2 of them, then their mirror images in reverse order.

    Example:
        >>> points = sobol_box(4, 8)
        >>> bool(np.array_equal(points, -points[::-1]))
        True
    """
    half = 2 * _sobol(dimension, count // 2, seed) - 1
    return np.concatenate([half, -half[::-1]])


@functools.lru_cache(maxsize=64)
def hermite_product(dimension: int, order: int) -> tuple[Float[np.ndarray, "nodes dimension"], Float[np.ndarray, "nodes"]]:
    """Product of Gauss-Hermite rules, exact below degree 2 `order` in each coordinate but for the nodes left out.

    Returns:
        Points, and weights of sum 1; nodes of less than 1e-7 of the heaviest are left out.

    Example:
        >>> points, weights = hermite_product(3, 8)
        >>> len(points) < 8**3, bool(np.allclose(weights @ points**4, 3, rtol=1e-3))
        (True, True)
    """
    nodes, masses = np.polynomial.hermite_e.hermegauss(order)
    points = np.stack(np.meshgrid(*[nodes] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
    weights = functools.reduce(np.multiply.outer, [masses] * dimension).ravel()
    kept = weights > _NEGLIGIBLE * weights.max()
    return points[kept], weights[kept] / weights[kept].sum()


def normal_rule(
    dimension: int, order: int, count: int
) -> tuple[Float[np.ndarray, "nodes dimension"], Float[np.ndarray, "nodes"]]:
    """A rule for a standard normal vector: a product of Hermite rules of `order` up to three dimensions, `count` Sobol points
    beyond."""
    if dimension <= PRODUCT_DIMENSIONS:
        return hermite_product(dimension, order)
    points = sobol_normal(dimension, count)
    return points, np.full(len(points), 1 / len(points))


@functools.lru_cache(maxsize=64)
def half_sphere(dimension: int, angles: int) -> tuple[Float[np.ndarray, "nodes dimension"], Float[np.ndarray, "nodes"]]:
    """Directions in the plane or in space, one of each pair x, -x, for averages of even functions over the sphere.

    In the plane `angles` equally spaced ones of a half circle; in space `angles` of these times Gauss-Legendre in the height,
    half as many.

    Returns:
        Unit vectors, and weights of sum 1.

    Example:
        >>> points, weights = half_sphere(3, 12)
        >>> np.round(weights @ points**4, 12).tolist()  # 1/5
        [0.2, 0.2, 0.2]
    """
    azimuth = np.pi * (np.arange(angles) + 0.5) / angles
    if dimension == 2:
        return np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1), np.full(angles, 1 / angles)
    heights, masses = np.polynomial.legendre.leggauss((angles + 1) // 2)
    height, turn = (grid.ravel() for grid in np.meshgrid(heights, azimuth, indexing="ij"))
    across = np.sqrt(1 - height**2)
    points = np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)
    return points, np.repeat(masses / 2, angles) / angles
