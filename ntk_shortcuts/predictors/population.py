"""Infinite data: the kernel as an integral operator under the data law."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import roots_hermitenorm

from ntk_shortcuts.bias import expected_reliance
from ntk_shortcuts.generative import GenerativeModel
from ntk_shortcuts.kernels.infinite import Kernels
from ntk_shortcuts.numerics import safe_divide
from ntk_shortcuts.predictors.frozen_kernel import OutputLaw, trained_outputs
from ntk_shortcuts.training_rules import TrainingRule

# Nodes lighter than this carry no mass that the bias could show; they would only enlarge the matrix.
_NEGLIGIBLE_WEIGHT = 1e-13


def component_nodes(model: GenerativeModel, points: int) -> tuple[jax.Array, jax.Array]:
    """Gauss-Hermite nodes (m, 2) and weights (m,) for the component z | y = +1, points per axis before light ones are dropped.

    The axes are turned so that the first is the direction in which E[y | z] varies.
    """
    nodes, weights = roots_hermitenorm(points)
    weights = weights / weights.sum()
    product = np.outer(weights, weights).ravel()
    kept = product > _NEGLIGIBLE_WEIGHT
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)[kept]
    factor = model.whitening
    along = factor.T @ model.bayes_direction
    norm = jnp.sqrt(jnp.sum(along**2))
    cosine, sine = jnp.where(norm > 0, safe_divide(along, norm), jnp.array([1.0, 0.0], along.dtype))
    rotation = jnp.stack([jnp.stack([cosine, -sine]), jnp.stack([sine, cosine])])
    z = model.means[None, :] + jnp.asarray(grid, along.dtype) @ (factor @ rotation).T
    return z, jnp.asarray(product[kept] / product[kept].sum(), along.dtype)


@eqx.filter_jit
def population_outputs(
    model: GenerativeModel, network: Any, rule: TrainingRule, probes: jax.Array, points: int, random_init: bool
) -> tuple[OutputLaw, jax.Array | float]:
    r"""Law of the outputs at the probes after training on the data law itself, and the kernel's quadrature error.

    The target is \(E[y\mid z]\), not the labels of the nodes: those would be noise that the solver fits at large t.
    The law is symmetric under (z, y) -> (-z, -y) and the kernel under (x, x') -> (-x, -x'), so odd and even functions do not
    mix, and each sector needs the nodes of one component only: half the matrix. The mean is odd.
    """
    nodes, weights = component_nodes(model, points)
    targets = model.class_expectation(nodes)
    train = _sectors(network.latent_kernels(model, nodes), network.latent_kernels(model, nodes, -nodes))
    cross = _sectors(
        network.latent_kernels(model, probes, nodes), network.latent_kernels(model, probes, -nodes)
    )
    error = train[0].quadrature_error
    if not random_init:
        return trained_outputs(train[0], cross[0], None, weights, targets, rule, None), error
    prior = _sectors(_diagonal(model, network, probes, 1), _diagonal(model, network, probes, -1))
    odd, even = (
        trained_outputs(train[i], cross[i], prior[i].nngp, weights, targets, rule, None) for i in range(2)
    )
    return OutputLaw(odd.mean, odd.variance + even.variance, odd.spectrum), error


def _sectors(same: Kernels, flipped: Kernels) -> tuple[Kernels, Kernels]:
    """Odd and even part of kernels from their values at (z, z') and (z, -z')."""

    def combine(sign: float) -> Kernels:
        return jax.tree.map(lambda a, b: (a + sign * b) / 2, same, flipped)

    odd, even = combine(-1.0), combine(1.0)
    error = jnp.maximum(jnp.asarray(same.quadrature_error), jnp.asarray(flipped.quadrature_error))
    return (Kernels(odd.nngp, odd.ntk, error), Kernels(even.nngp, even.ntk, error))


def _diagonal(model: GenerativeModel, network: Any, probes: jax.Array, sign: int) -> Kernels:
    """Kernels of each probe with itself (sign 1) or with its opposite (sign -1), each (probes,)."""
    kernels = jax.vmap(lambda z: network.latent_kernels(model, z[None], sign * z[None]))(probes)
    return Kernels(kernels.nngp[:, 0, 0], kernels.ntk[:, 0, 0], jnp.max(jnp.asarray(kernels.quadrature_error)))
