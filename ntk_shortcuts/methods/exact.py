"""Exact solution on given points: the law of the outputs after training, over initialisations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.methods.low_rank import Problem
from ntk_shortcuts.numerics import as_jax, compiled, is_traced, on_one_device
from ntk_shortcuts.padding import filled, size_of_samples
from ntk_shortcuts.training.frozen_kernel import FrozenKernel, OutputLaw, from_gains
from ntk_shortcuts.training.rules import SpectralFilter
from ntk_shortcuts.training.spectral import Spectrum, diagonalised, gains
from ntk_shortcuts.typing import Scalar

# A method of FrozenKernel, from targets at the training points (m, ...), what training does, and whatever else it takes.
_Outputs = Callable[..., OutputLaw]


def exact_outputs(problem: Problem, random_init: bool, full_covariance: bool = False) -> OutputLaw:
    """Mean and variance (None without random_init; the whole covariance on request) at the probes."""
    prior = None
    if random_init and full_covariance:
        prior = problem.network.kernels(problem.probes).nngp
    elif random_init:
        prior = problem.network.own(problem.probes).nngp
    return _solved(problem, prior, FrozenKernel.outputs, problem.targets)


def exact_continuation(problem: Problem, initial: tuple[jax.Array, jax.Array]) -> OutputLaw:
    """Outputs of networks whose own initial outputs at points and probes, (inits, n) and (inits, probes), are known."""
    at_points, at_probes = initial
    return _solved(problem, None, FrozenKernel.continued, (problem.targets - at_points).T, at_probes)


def _solved(problem: Problem, prior: Any, outputs: _Outputs, targets: jax.Array, *more: jax.Array) -> OutputLaw:
    """As one program where derivatives are taken, or points lie on several devices.

    Else the samples are filled up with some of weight zero, and the rule and its times stay outside the large programs, so that
    other numbers of samples and other rules need no new one.
    """
    network, rule, points, _, probes, weights = problem
    count = points.shape[0]
    # Kernels are compiled on their own: what a network's are made from depends on values that a trace would hide.
    kernel = FrozenKernel(network.kernels(points), network.kernels(probes, points), prior, weights)
    if is_traced(kernel, targets, more, rule) or not on_one_device(points):
        return _in_one(outputs, kernel, rule, count, targets, *more)
    size, number = size_of_samples(count), np.asarray(count, points.dtype)
    kernel = _filled(kernel, size)
    spectrum = _diagonalised(kernel, number)
    known = _gains(rule.enlarged(), spectrum, number)
    law = _of_gains(outputs, kernel, spectrum, known, filled(targets, size), *more)
    return law.of_batch(rule.batch_shape)


def _filled(kernel: FrozenKernel, size: int) -> FrozenKernel:
    train, cross = (
        Kernels(*(as_jax(filled(part, size, axes)) for part in (k.nngp, k.ntk)), quadrature_error=0.0)
        for k, axes in ((kernel.train, (0, 1)), (kernel.cross, (1,)))
    )
    return FrozenKernel(train, cross, kernel.prior, as_jax(filled(kernel.weights, size)))


@compiled
def _in_one(
    outputs: _Outputs, kernel: FrozenKernel, rule: SpectralFilter, count: int, targets: jax.Array, *more: jax.Array
) -> OutputLaw:
    return outputs(kernel, targets, kernel.under(rule, count), *more)


@compiled
def _diagonalised(kernel: FrozenKernel, size: Scalar) -> Spectrum:
    return diagonalised(kernel.matrix, size)


_gains = compiled(gains)


@compiled
def _of_gains(
    outputs: _Outputs, kernel: FrozenKernel, spectrum: Spectrum, known: jax.Array, targets: jax.Array, *more: jax.Array
) -> OutputLaw:
    return outputs(kernel, targets, from_gains(spectrum, known), *more)


def loss_weights(points: jax.Array, sample_weight: Any) -> jax.Array:
    """Weights of samples in the loss (1/(2n)) sum w (f - y)^2, times 1/n."""
    count = points.shape[0]
    weights = as_jax(np.full(count, 1 / count, points.dtype))
    return weights if sample_weight is None else weights * jnp.asarray(sample_weight).astype(points.dtype)
