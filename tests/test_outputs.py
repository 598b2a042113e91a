"""`predict_outputs`: variances and covariances, and weights of samples."""

import numpy as np
import pytest

import ntk_shortcuts as ns

NETWORK = ns.MLP(3, "erf", bias_variance=0.05)
CERTAIN = ns.GradientFlow(np.inf)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("reach", [1.0, 2.0, 3.0])
def test_no_variance_is_negative_where_the_outputs_are_certain(reach):
    x = np.linspace(-reach, reach, 10)[:, None]
    y = np.sin(2 * x[:, 0])
    full = np.asarray(ns.predict_outputs(NETWORK, CERTAIN, x, y, x, full_covariance=True).variance)
    own = np.asarray(ns.predict_outputs(NETWORK, CERTAIN, x, y, x).variance)
    prior = float(np.max(NETWORK.kernels(x).nngp))
    np.testing.assert_array_equal(full, full.T)
    assert np.all(np.diagonal(full) >= 0) and np.all(own >= 0) and np.isfinite(np.sqrt(np.diagonal(full))).all()
    np.testing.assert_allclose(np.diagonal(full), own, atol=1e-14 * prior)
    assert np.linalg.eigvalsh(full)[0] > -1e-14 * prior
    assert np.max(full) < 1e-13 * prior  # the outputs at the training points are the labels


@pytest.mark.slow
@pytest.mark.branches
def test_covariances_at_several_times_are_symmetric_and_positive(rng):
    x, y, at = rng.normal(size=(12, 3)), rng.choice([-1.0, 1.0], 12), rng.normal(size=(20, 3))
    rule = ns.GradientFlow([0.0, 3.0, np.inf])
    full = np.asarray(ns.predict_outputs(NETWORK, rule, x, y, at, full_covariance=True).variance)
    variances = ns.predict_outputs(NETWORK, rule, x, y, at).variance
    assert full.shape == (3, 20, 20) and variances.shape == (3, 20)
    np.testing.assert_array_equal(full, np.swapaxes(full, -1, -2))
    np.testing.assert_allclose(np.diagonal(full, axis1=-2, axis2=-1), variances, rtol=1e-9, atol=1e-13)
    assert np.min(np.linalg.eigvalsh(full)) > -1e-12 * np.max(full)


class InNumPy:
    """A linear network whose kernels no transformation can trace."""

    def kernels(self, x1, x2=None):
        kernel = 2 / np.shape(x1)[1] * np.asarray(x1) @ np.asarray(x1 if x2 is None else x2).T
        return ns.kernels.Kernels(kernel, kernel)


@pytest.mark.parametrize("full_covariance", [False, True])
def test_a_network_of_ones_own_may_be_written_in_numpy(rng, full_covariance):
    x, y, at = rng.normal(size=(6, 3)), rng.normal(size=6), rng.normal(size=(4, 3))
    found, expected = (
        ns.predict_outputs(network, ns.Ridge(0.1), x, y, at, full_covariance) for network in (InNumPy(), ns.MLP(0))
    )
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    # Kernels of a linear network: its readout's and its first layer's are one layer.
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-10, atol=1e-14)


@pytest.mark.slow
@pytest.mark.branches
def test_a_weight_is_as_many_samples(rng):
    x, y, at = rng.normal(size=(8, 3)), rng.normal(size=8), rng.normal(size=(5, 3))
    weight = rng.integers(0, 4, size=8)
    repeated = np.repeat(np.arange(8), weight)
    weighted = ns.predict_outputs(NETWORK, ns.GradientFlow(7.0), x, y, at, full_covariance=True, sample_weight=weight)
    # The loss divides by 8, not by the number of repeats: it runs as much faster.
    faster = ns.GradientFlow(7.0 * len(repeated) / 8)
    several = ns.predict_outputs(NETWORK, faster, x[repeated], y[repeated], at, full_covariance=True)
    np.testing.assert_allclose(weighted.mean, several.mean, rtol=1e-8)
    np.testing.assert_allclose(weighted.variance, several.variance, rtol=1e-8, atol=1e-12)
    plain = ns.predict_outputs(NETWORK, ns.GradientFlow(7.0), x, y, at)
    np.testing.assert_allclose(
        ns.predict_outputs(NETWORK, ns.GradientFlow(7.0), x, y, at, sample_weight=np.ones(8)).mean, plain.mean, rtol=1e-12
    )
    assert np.max(np.abs(weighted.mean - plain.mean)) > 1e-2


def test_weights_are_those_of_predict_bias(rng):
    model, network = ns.GenerativeModel(), ns.MLP(1)
    x, probes = rng.normal(size=(10, 4)), rng.normal(size=(6, 2))
    at, weight = rng.normal(size=(6, 4)), rng.uniform(0.2, 3.0, size=10)
    data = ns.Dataset.from_arrays(x, np.sign(x[:, 0]))
    options = {"dataset": data, "probes": probes, "probe_inputs": at, "sample_weight": weight}
    bias = ns.predict_bias(model, network, ns.Ridge(0.1), **options)
    law = ns.predict_outputs(network, ns.Ridge(0.1), x, data.labels, at, sample_weight=weight)
    np.testing.assert_allclose(law.mean, bias.mean, rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(law.variance), bias.std, rtol=1e-9)


@pytest.mark.parametrize("weight", [-np.ones(4), np.ones(3), np.zeros(4), [1.0, np.nan, 1.0, 1.0], "uniform"])
def test_weights_that_are_none_are_refused(weight, rng):
    x = rng.normal(size=(4, 3))
    with pytest.raises(ValueError, match="sample_weight must be"):
        ns.predict_outputs(NETWORK, ns.Ridge(0.1), x, x[:, 0], x, sample_weight=weight)
