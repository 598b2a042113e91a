"""Nodes of the two-feature law over the whole plane, for networks in training, whose outputs have no parity."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.typing import Array, Float


def mixture_nodes(model: Any, order: int, negligible: float = 1e-5) -> tuple[Float[Array, "nodes 2"], Float[Array, "nodes"]]:
    """Nodes of the data law over the whole plane: an order x order Hermite rule around each class mean.

    For few nodes and smooth functions of no parity, such as the outputs of a network in training.

    Args:
        model: a `GenerativeModel`.
        order: nodes per axis and component.
        negligible: nodes of at most this weight (of a total of 1) are left out, and the rest rescaled to sum 1.

    Returns:
        Latents (nodes, 2), one of each pair z, -z in either half, and weights (nodes,).

    Example:
        >>> from ntk_shortcuts import GenerativeModel
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
    model: Any, along: int, across: int, negligible: float = 1e-5
) -> tuple[Float[Array, "nodes 2"], Float[Array, "nodes"], Float[Array, "nodes"]]:
    r"""Nodes of the data law over the whole plane: Gauss rules of the density itself, in whitened coordinates.

    There the law is \(\tfrac12N(m,I)+\tfrac12N(-m,I)\), a product: the mixture of two normals along m, on which E[y | z]
    depends alone, times a normal across. Each factor has its own Gauss rule. This takes fewer nodes than a rule
    around each class mean (`mixture_nodes`), and on the turned grid a network that sees one feature meets many values of it.

    Args:
        model: a `GenerativeModel`.
        along, across: nodes of the factors.
        negligible: nodes of at most this weight (of a total of 1) are left out, and the rest rescaled to sum 1.

    Returns:
        Latents (nodes, 2), of each z also -z, weights (nodes,), and targets (nodes,): E[y | z] projected onto the polynomials
        of degree below `along`, whose sums with such polynomials are exact. E[y | z] itself, a tanh, is no polynomial.

    Source: Golub & Welsch (1969), with the recursion of Stieltjes for the mixture.

    Example:
        >>> from ntk_shortcuts import GenerativeModel
        >>> nodes, weights, targets = density_nodes(GenerativeModel(), 10, 8)
        >>> nodes.shape, bool(jnp.allclose(weights @ nodes**2, 1 + GenerativeModel().means ** 2, rtol=0.01))
        ((56, 2), True)
    """
    factor, mean = (np.asarray(value, np.float64) for value in (model.whitening, model.whitened_mean))
    distance = float(np.linalg.norm(mean))
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
