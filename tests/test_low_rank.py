import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.methods import large, low_rank

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
TIMES = ns.GradientFlow(np.array([3.0, 30.0]))


def _both(network, count, rule=TIMES, **options):
    data = MODEL.sample(jax.random.key(0), count)
    options = {"dataset": data, "method": "dataset", "probes": MODEL.probe_grid(6), **options}
    dense = ns.predict_bias(MODEL, network, rule, **options)
    return dense, ns.predict_bias(MODEL, network, rule, rank_tolerance=1e-4, **options)


@pytest.fixture
def few_landmarks(monkeypatch):
    monkeypatch.setattr(low_rank, "_RANKS", (128, 256, 512))
    monkeypatch.setattr(low_rank, "_BLOCK", 256)


NETWORKS = [
    pytest.param(ns.MLP(1), marks=[pytest.mark.slow, pytest.mark.branches]),
    pytest.param(ns.MLP(3), marks=pytest.mark.slow),
    pytest.param(ns.MLP(2, bias_variance=0.1), marks=pytest.mark.slow),
    pytest.param(ns.MLP(1, "erf", bias_variance=0.1), marks=pytest.mark.slow),
    pytest.param(ns.MLP(1, "tanh"), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("network", NETWORKS)
def test_landmarks_give_the_outputs_of_the_whole_kernel(network, few_landmarks):
    rule = ns.GradientFlow(np.array([1.0, 3.0]))
    dense, reduced = _both(network, 700, rule)  # two full blocks and one filled up
    # 256 suffice but for depth 2 with biases, whose spectrum falls most slowly.
    assert reduced.diagnostics["rank"] <= (512 if network.depth == 2 else 256) and dense.diagnostics.get("rank") is None
    error = max(float(jnp.max(jnp.abs(getattr(dense, name) - getattr(reduced, name)))) for name in ("mean", "std"))
    assert error <= 1e-4
    assert error <= 2 * reduced.diagnostics["low_rank_error"] + 1e-9
    np.testing.assert_allclose(reduced.bias, dense.bias, atol=2e-4)
    assert float(jnp.max(jnp.abs(reduced.std[0] - reduced.std[1]))) > 1e-2  # a spread that training did not touch would pass


@pytest.mark.slow
@pytest.mark.parametrize("network", [ns.MLP(1), ns.MLP(3), ns.MLP(3, bias_variance=0.1), ns.MLP(2, "erf", bias_variance=0.1)])
def test_agreement_at_two_thousand_samples(network):
    dense, reduced = _both(network, 2000)
    for name in ("mean", "std"):
        np.testing.assert_allclose(getattr(reduced, name), getattr(dense, name), atol=1e-4)


@pytest.mark.slow
@pytest.mark.branches
def test_weights_and_known_initial_outputs(few_landmarks, rng):
    network, rule = ns.MLP(1, "erf", bias_variance=0.1), ns.GradientDescent(1.0, 20)
    weighted = _both(network, 300, rule, random_init=False, sample_weight=rng.uniform(0, 2, 300))
    start = (rng.normal(size=(2, 300)), rng.normal(size=(2, 36)))
    continued = _both(network, 300, rule, initial_outputs=start)
    for two, alone in zip(continued, _both(network, 300, rule, initial_outputs=[outputs[1] for outputs in start]), strict=True):
        np.testing.assert_allclose(alone.mean, two.mean[..., 1, :], rtol=1e-9)
    for dense, reduced in (weighted, continued):
        assert reduced.mean.shape == dense.mean.shape
        np.testing.assert_allclose(reduced.mean, dense.mean, atol=1e-4)
    assert not np.allclose(weighted[1].mean, _both(network, 300, rule, random_init=False)[1].mean, atol=1e-2)


class InNumPy:
    """A linear network whose kernels no transformation can trace."""

    def kernels(self, x1, x2=None):
        kernel = 2 / np.shape(x1)[1] * np.asarray(x1) @ np.asarray(x1 if x2 is None else x2).T
        return ns.kernels.Kernels(kernel, kernel)


@pytest.mark.slow
@pytest.mark.branches
def test_a_network_of_ones_own_may_be_written_in_numpy(few_landmarks):
    for found, expected in zip(_both(InNumPy(), 300), _both(ns.MLP(0), 300), strict=True):
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(found.std, expected.std, rtol=1e-7, atol=1e-7)
    assert found.diagnostics["rank"] == expected.diagnostics["rank"]


@pytest.mark.slow
@pytest.mark.branches
def test_untrusted_above_the_limit_and_dense_below(monkeypatch):
    monkeypatch.setattr(low_rank, "_RANKS", (4, 8))
    dense, fallen_back = _both(ns.MLP(1), 200)
    np.testing.assert_array_equal(fallen_back.mean, dense.mean)
    monkeypatch.setattr(large, "DENSE_LIMIT", 100)
    with pytest.warns(ns.UntrustedPredictionWarning, match="200 samples through 8 landmarks: outputs may be off by .*1e-05"):
        data = MODEL.sample(jax.random.key(0), 200)
        ns.predict_bias(MODEL, ns.MLP(1), TIMES, method="dataset", dataset=data, rank_tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.branches
def test_bound_holds_at_the_samples(few_landmarks):
    """Root mean square error of the outputs at the samples against g(0) times the mean residual."""
    data = MODEL.sample(jax.random.key(1), 300)
    network, rule = ns.MLP(1), ns.GradientFlow(100.0)
    theta = np.asarray(network.kernels(data.inputs).ntk) / 300
    chosen = low_rank.Landmarks.choose(data.inputs, network.kernels(data.inputs).ntk).leading(20)
    features = np.asarray(chosen.features(network.kernels(chosen.points, data.inputs).ntk))
    residual = theta - features.T @ features / 300
    assert np.linalg.eigvalsh(residual)[0] > -1e-12
    values, vectors = np.linalg.eigh(theta)
    rough_values, rough = np.linalg.eigh(theta - residual)
    labels = np.asarray(data.labels)
    outputs = [v @ (-np.expm1(-100 * e) * (v.T @ labels)) for e, v in ((values, vectors), (rough_values, rough))]
    error = np.sqrt(np.mean((outputs[0] - outputs[1]) ** 2))
    assert 1e-6 < error <= 100 * np.trace(residual)
    assert float(rule.expansion(300)[0]) == 100


def test_tolerance_must_be_positive():
    data = MODEL.sample(jax.random.key(0), 10)
    with pytest.raises(ValueError, match="rank_tolerance must be None, or positive"):
        ns.predict_bias(MODEL, ns.MLP(1), TIMES, method="dataset", dataset=data, rank_tolerance=0.0)
