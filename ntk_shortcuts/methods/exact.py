"""Exact solution on given points: the law of the outputs after training, over initialisations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ntk_shortcuts.methods.low_rank import Problem, diagonals
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.training.frozen_kernel import OutputLaw, continued_outputs, trained_outputs

_trained, _continued = compiled(trained_outputs), compiled(continued_outputs)


def exact_outputs(problem: Problem, random_init: bool, full_covariance: bool = False) -> OutputLaw:
    """Mean and variance (None without random_init; the whole covariance on request) at the probes."""
    kernels, rule, points, targets, probes, weights = problem
    # Kernels are compiled on their own: what a network's are made from depends on values that a trace would hide.
    train, cross = kernels(points), kernels(probes, points)
    prior = None
    if random_init and full_covariance:
        prior = kernels(probes).nngp
    elif random_init:
        prior, _ = diagonals(kernels, probes)
    return _trained(train, cross, prior, weights, targets, rule, points.shape[0])


def exact_continuation(problem: Problem, initial: tuple[jax.Array, jax.Array]) -> OutputLaw:
    """Outputs of networks whose own initial outputs at points and probes, (inits, n) and (inits, probes), are known."""
    kernels, rule, points, targets, probes, weights = problem
    return _continued(kernels(points), kernels(probes, points), weights, targets, initial, rule, points.shape[0])


def loss_weights(points: jax.Array, sample_weight: Any) -> jax.Array:
    """Weights of samples in the loss (1/(2n)) sum w (f - y)^2, times 1/n."""
    count = points.shape[0]
    weights = jnp.full(count, 1 / count, points.dtype)
    return weights if sample_weight is None else weights * jnp.asarray(sample_weight).astype(points.dtype)
