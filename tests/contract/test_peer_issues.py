"""Failures that users of neural-tangents reported (github.com/google/neural-tangents/issues): the same cases run here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns


def _ridge(network, x, y, at, strength):
    """Mean by a direct solve in float64."""
    gram, cross = (np.asarray(network.kernels(*pair).ntk, np.float64) for pair in ((x,), (at, x)))
    return cross @ np.linalg.solve(gram + strength * np.eye(len(x)), y)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_issue_36_standard_deviations_of_deep_erf_networks_are_real(dtype):
    """#36: NaN standard deviations of erf networks, whose kernel is nearly singular, and none that grow with the targets."""
    network = ns.MLP(3, "erf", weight_variance=1.5**2, bias_variance=0.05**2)
    x = np.linspace(-3, 3, 30, dtype=dtype)[:, None]
    at = np.linspace(-4, 4, 41, dtype=dtype)[:, None]
    y = (2e4 * np.sin(x[:, 0])).astype(dtype)
    law = ns.predict_outputs(network, ns.Ridge(1e-3), x, y, at, full_covariance=False)
    small = ns.predict_outputs(network, ns.Ridge(1e-3), x, y / 2e4, at, full_covariance=False)
    prior = np.diag(network.kernels(at).nngp)
    variance = np.asarray(law.variance)
    assert law.mean.dtype == dtype and np.all(np.isfinite(law.mean)) and np.all(variance >= 0)
    assert np.all(variance <= prior * (1 + 1e-3))
    # The spread over initialisations does not know the targets: a posterior's is not on their scale either.
    np.testing.assert_array_equal(variance, small.variance)
    fitted = ns.predict_outputs(network, ns.Ridge(1e-3), x, y, x, full_covariance=False)
    assert np.max(np.abs(fitted.mean - y)) < 0.02 * 2e4


@pytest.mark.slow
def test_issue_76_predictions_on_data_with_repeated_rows_are_finite(rng):
    """#76: NTK predictions all NaN on a small table (150 x 4, rows repeated) at a ridge of 1e-3 in float32."""
    network = ns.MLP(2, weight_variance=1.0)
    x = np.round(rng.uniform(0.1, 8, size=(150, 4)), 1).astype(np.float32)
    x[100:] = x[:50]
    y = np.sign(x[:, 0] - 4).astype(np.float32)
    found = ns.predict_outputs(network, ns.Ridge(1e-3), x, y, x[:20], full_covariance=False)
    exact = _ridge(network, x.astype(np.float64), y, x[:20].astype(np.float64), 1e-3)
    assert found.mean.dtype == np.float32 and np.all(np.isfinite(found.variance))
    np.testing.assert_allclose(found.mean, exact, atol=0.02)


def test_issue_166_kernel_rows_of_a_large_data_set_fit_in_memory():
    """#166: out of memory for the infinite-width NTK of 60,000 images, which no N x N matrix here needs to be made for."""
    network = ns.MLP(1)

    def memory(rows, dimension):
        shapes = [jax.ShapeDtypeStruct((n, dimension), jnp.float32) for n in (rows, 60_000)]
        analysis = jax.jit(lambda x1, x2: network.kernels(x1, x2).ntk).lower(*shapes).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    # Beside the result blocks only: less than a hundred rows' 24 MB, more than for few rows, and hardly more for many.
    few, hundred, thousand = (memory(rows, 784) for rows in (10, 100, 1000))
    assert few < hundred < 100 * 60_000 * 4
    assert thousand < 2 * hundred


@pytest.mark.slow
def test_issue_166_the_average_over_data_sets_does_not_grow_with_their_size():
    """#166, for the bias: N = 60,000 costs what N = 100 costs."""
    model = ns.GenerativeModel(amplification=(4.0, 1.0))
    prediction = ns.predict_bias(model, ns.MLP(1), ns.GradientFlow(30.0), 60_000)
    infinite = ns.predict_bias(model, ns.MLP(1), ns.GradientFlow(30.0))
    assert prediction.bias == pytest.approx(infinite.bias, abs=0.01)
    assert prediction.bias != infinite.bias


@pytest.mark.slow
@pytest.mark.parametrize("deviation", [1e2, 1e4])
def test_issue_197_weights_of_high_standard_deviation_change_no_limit(deviation, rng):
    """#197: predictions that break down for weights of high standard deviation; without biases it only sets the clock."""
    x, at, y = rng.normal(size=(20, 3)), rng.normal(size=(5, 3)), rng.normal(size=20)
    means = [
        ns.predict_outputs(ns.MLP(3, weight_variance=v), ns.GradientFlow(np.inf), x, y, at).mean for v in (2.0, deviation**2)
    ]
    np.testing.assert_allclose(means[1], means[0], rtol=1e-9)
    unit = ns.predict_outputs(ns.MLP(3, weight_variance=2.0), ns.GradientFlow(np.inf), x, y, at, full_covariance=False)
    wide = ns.predict_outputs(ns.MLP(3, weight_variance=deviation**2), ns.GradientFlow(np.inf), x, y, at, full_covariance=False)
    # Relative to the outputs' variance at initialisation: a spread that small is rounding in both.
    np.testing.assert_allclose(wide.variance / (deviation**2 / 2) ** 4, unit.variance, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_issue_198_more_samples_of_one_input_do_not_make_nan(dtype):
    """#198: NaN means once a function of one input was sampled at 100 points (ReLU, depth 2, ridge 1e-4)."""
    network = ns.MLP(2, weight_variance=1.5**2, bias_variance=0.05**2)
    ends = 10 * np.pi
    x, at = (np.linspace(-ends, ends, n, dtype=dtype)[:, None] for n in (100, 7))
    y = (np.sin(x) + np.sin(2 * x))[:, 0]
    found = ns.predict_outputs(network, ns.Ridge(1e-4), x, y, at, full_covariance=True)
    assert np.all(np.isfinite(found.mean)) and np.all(np.isfinite(found.variance))
    if dtype is np.float64:
        np.testing.assert_allclose(found.mean, _ridge(network, x, y, at, 1e-4), atol=1e-6)
