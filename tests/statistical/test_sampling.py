"""Theory against samples, judged by standard errors; each with a twin that must fail when the prediction is shifted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm
from tolerances import SIGMAS

import ntk_shortcuts as ns


def _consistent(samples, prediction):
    samples = np.asarray(samples, float)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return bool(np.all(np.abs(samples.mean(axis=0) - prediction) <= SIGMAS * error))


def _check(samples, prediction, shift):
    assert _consistent(samples, prediction)
    assert not _consistent(samples, prediction + shift)


def test_predictivity_and_moments_of_samples():
    model = ns.GenerativeModel((0.7, 0.9), correlation=0.4)
    data = model.sample(jax.random.key(0), 40_000)
    signed = np.asarray(data.latents * data.labels[:, None])
    _check(signed > 0, np.array([0.7, 0.9]), 0.02)
    _check(signed, np.asarray(model.means), 0.05)
    centred = signed - np.asarray(model.means)
    _check(centred[:, 0] * centred[:, 1], 0.4, 0.05)
    assert kstest(centred[:, 0], norm.cdf).pvalue > 1e-4
    assert kstest(centred[:, 0] + 0.05, norm.cdf).pvalue < 1e-4


def test_class_expectation_is_the_mean_label():
    model = ns.GenerativeModel((0.7, 0.85))
    data = model.sample(jax.random.key(1), 40_000)
    expectation = np.asarray(model.class_expectation(data.latents))
    for low, high in ((-1, -0.5), (-0.5, 0), (0, 0.5), (0.5, 1)):
        inside = (expectation >= low) & (expectation < high)
        _check(np.asarray(data.labels)[inside] - expectation[inside], 0.0, 0.1)


def test_expected_reliance_is_the_mean_over_gaussian_outputs(rng):
    probes = ns.GenerativeModel().probe_grid(6)
    mean, std = rng.normal(size=36), rng.uniform(0.1, 2, size=36)
    outputs = mean + std * rng.normal(size=(4000, 36))
    _check(ns.metrics.reliance(outputs, probes), float(ns.metrics.expected_reliance(mean, std, probes)), 0.02)


@pytest.mark.parametrize(
    ("parameterization", "activation"),
    [("ntk", "tanh"), ("standard", "relu")]
    + [
        pytest.param(*setting, marks=pytest.mark.slow)
        for setting in (("ntk", "linear"), ("ntk", "relu"), ("standard", "tanh"), ("standard", "linear"))
    ],
)
def test_wide_networks_have_the_nngp_covariance(activation, parameterization, rng):
    network = ns.MLP(1, activation, 64, 1.7, 0.2, parameterization)
    x = rng.normal(size=(3, 4))
    keys = jax.random.split(jax.random.key(0), 4000)
    outputs = np.asarray(jax.vmap(lambda key: network.apply(network.init(key, 4), x))(keys))
    exact = np.asarray(network.kernels(x).nngp)
    # With one hidden layer the covariance of the outputs is the NNGP kernel at every width.
    _check(outputs[:, :, None] * outputs[:, None, :], exact, 0.2 * exact[0, 0])


@pytest.mark.parametrize("parameterization", [pytest.param("ntk", marks=pytest.mark.slow), "standard"])
def test_mean_of_finite_tangent_kernels(parameterization, rng):
    network = ns.MLP(1, "tanh", 32, 1.7, 0.2, parameterization)
    x = jnp.asarray(rng.normal(size=(3, 4)))

    def tangent_kernel(key):
        jacobian = jax.tree.leaves(jax.jacobian(network.apply)(network.init(key, 4), x))
        rows = jnp.concatenate([leaf.reshape(3, -1) for leaf in jacobian], axis=1)
        return rows @ rows.T

    samples = jax.vmap(tangent_kernel)(jax.random.split(jax.random.key(1), 2000))
    exact = np.asarray(network.kernels(x).ntk)
    _check(samples, exact, 0.05 * exact[0, 0])


def test_torch_initialization_has_the_variances_of_its_kernel(rng):
    network = ns.MLP(1, "relu", 64, parameterization="standard", initialization="torch")
    x = rng.normal(size=(2, 4))
    keys = jax.random.split(jax.random.key(0), 4000)
    outputs = np.asarray(jax.vmap(lambda key: network.apply(network.init(key, 4), x))(keys))
    # Uniform first-layer weights make pre-activations only nearly Gaussian at fan-in 4; the linear moment is exact.
    first = ns.MLP(0, parameterization="standard", initialization="torch")
    linear = np.asarray(jax.vmap(lambda key: first.apply(first.init(key, 4), x))(keys))
    _check(linear[:, :, None] * linear[:, None, :], np.asarray(first.kernels(x).nngp), 0.2)
    assert np.all(np.isfinite(outputs))
