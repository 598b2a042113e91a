"""Methods that two features had alone, on any law: population flow in R^K, influence of a point, searches."""

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.axes import at

THREE = ns.GaussianFeatures((0.8, 0.85, 0.9), (4.0, 2.0, 1.0), correlation=0.5)
BIRDS = ns.NoisyLabels(ns.Clusters.waterbirds(0.8, positive=0.3), 0.2)
CONSTANT = {"bias_variance": 1.0}
FLOW = {"method": "population_flow", "key": jax.random.key(0), "num_inits": 2, "random_init": False, "orthogonal": True}


@pytest.mark.slow
@pytest.mark.branches
def test_flows_of_linear_networks_are_the_frozen_prediction():
    rule = ns.GradientFlow(10.0)
    flow, frozen = (
        ns.predict(THREE, ns.MLP(0, width=w), rule, **o)
        for w, o in ((16, {**FLOW, "order": 1}), (None, {"random_init": False}))
    )
    np.testing.assert_allclose(flow.bias, frozen.bias, atol=0.02)
    assert flow.bias.dims == ("shortcut",) and flow.bias_std.shape == (2,)
    flow = ns.predict(BIRDS, ns.MLP(0, width=16, **CONSTANT), rule, **FLOW, order=2)
    frozen = ns.predict(BIRDS, ns.MLP(0, **CONSTANT), rule, random_init=False)
    np.testing.assert_allclose(flow.group_accuracy, frozen.group_accuracy, atol=0.02)
    with pytest.raises(ValueError, match="num_samples must be None with noisy labels"):
        ns.predict(BIRDS, ns.MLP(0, width=16), rule, num_samples=10, **FLOW)


@pytest.mark.slow
def test_influence_is_that_of_leaving_a_point_out():
    count, point, label = 60, [1.0, -1.0, 0.5], 1.0
    network, rule = ns.MLP(0), ns.GradientFlow(10.0)
    found = ns.analysis.influence(THREE, network, rule, count, [point])
    assert found.positive.shape == (1, 2) and found.density.shape == (1,)
    changes = []
    for index in range(150):
        data = THREE.sample(jax.random.key(index), count - 1, balanced=False)
        latents, labels = np.concatenate([data.latents, [point]]), np.append(data.labels, label)
        biases = []
        for weight in (0.0, 1.0):  # 1/N stays in the loss when a point is left out
            kernel = ns.laws.LawKernel(THREE, network)
            weights = np.append(np.full(count - 1, 1 / count), weight / count)
            theta, cross = np.asarray(kernel(latents).ntk), np.asarray(kernel(THREE.probe_grid()[:512], latents).ntk)
            values, vectors = np.linalg.eigh(np.sqrt(weights)[:, None] * theta * np.sqrt(weights))
            gain = np.where(values > 1e-12, -np.expm1(-10.0 * values) / np.where(values > 1e-12, values, 1), 10.0)
            mean = cross @ (np.sqrt(weights) * (vectors @ (gain * (vectors.T @ (np.sqrt(weights) * labels)))))
            sides = np.sign(np.asarray(THREE.probe_grid()[:512]))
            biases.append([np.mean(np.sign(mean) * (sides[:, i] - sides[:, 2])) for i in (0, 1)])
        changes.append(np.subtract(biases[1], biases[0]))
    error = np.std(changes, axis=0, ddof=1) / np.sqrt(len(changes))
    predicted = ns.analysis.influence(THREE, network, rule, count, [point], random_init=False).positive[0]
    allowed = 4 * error + 0.25 * np.abs(predicted)
    assert np.all(np.abs(np.mean(changes, axis=0) - predicted) < allowed)


@pytest.mark.slow
@pytest.mark.branches
def test_searches_on_axes_of_any_law():
    options = {"tolerance": 0.05, "bracket": (1.0, 8.0), "parameter": "amplification_1"}
    read = lambda p: p.bias.sel(shortcut=1)  # noqa: E731
    found = ns.analysis.critical_ratio(THREE, ns.MLP(0), ns.GradientFlow(10.0), level=0.8, read=read, **options)
    there = ns.predict(at(THREE, {"amplification_1": found.value}), ns.MLP(0), ns.GradientFlow(10.0), tolerance=0.05)
    assert abs(float(read(there)) - 0.8) < 0.01
    with pytest.raises(ValueError, match="read must be a single number"):
        ns.analysis.critical_ratio(THREE, ns.MLP(0), ns.GradientFlow(10.0), level=0.8, **options)
    with pytest.raises(ValueError, match="bracket must be given for amplification_1"):
        ns.analysis.critical_ratio(THREE, ns.MLP(0), ns.GradientFlow(10.0), parameter="amplification_1")
