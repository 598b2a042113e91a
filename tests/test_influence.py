import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import SIGMAS

import ntk_shortcuts as ns
from ntk_shortcuts.training.frozen_kernel import trained_outputs

COUNT, TIME = 60, 30.0


@pytest.mark.parametrize(
    ("point", "label"),
    [
        pytest.param((1.2, -1.0), -1.0, marks=pytest.mark.slow),
        pytest.param((1.2, -1.0), 1.0, marks=pytest.mark.slow),
        pytest.param((0.2, 1.5), 1.0, marks=pytest.mark.slow),
    ],
)
def test_influence_is_that_of_leaving_a_point_out(point, label):
    model, network, flow = ns.GenerativeModel((0.8, 0.9), (2.0, 1.0)), ns.MLP(1), ns.GradientFlow(TIME)
    result = ns.analysis.influence(model, network, flow, COUNT, [point])
    predicted = float((result.positive if label > 0 else result.negative)[0])
    probes = model.probe_grid(12)

    @jax.jit
    def outputs(latents, labels):
        kernel = ns.laws.LawKernel(model, network)
        kernels, cross = kernel(latents), kernel(probes, latents)
        own = jax.vmap(lambda z: kernel(z[None]).nngp[0, 0])(probes)
        # 1/N stays in the loss when a point is left out: weights are 1/COUNT in both.
        weights = jnp.full(labels.shape, 1 / COUNT)
        law = trained_outputs(kernels, cross, own, weights, labels, flow, None)
        return law.mean, law.variance

    def reliance(latents, labels):
        mean, variance = outputs(jnp.asarray(latents), jnp.asarray(labels))
        return float(ns.metrics.expected_reliance(mean, jnp.sqrt(variance), probes))

    changes = []
    for index in range(100):
        data = model.sample(jax.random.key(index), COUNT - 1, balanced=False)
        without = reliance(data.latents, data.labels)
        latents = np.concatenate([data.latents, [point]])
        changes.append(reliance(latents, np.append(data.labels, label)) - without)
    error = np.std(changes, ddof=1) / np.sqrt(len(changes))
    # First order in 1/N, probes on another grid: 15 % of the effect.
    allowed = SIGMAS * error + 0.15 * abs(predicted) + 2e-4
    assert abs(np.mean(changes) - predicted) < allowed
    assert not abs(np.mean(changes) + predicted) < allowed


@pytest.mark.slow
def test_expected_influence_is_the_average_over_labels():
    model = ns.GenerativeModel((0.8, 0.9), (2.0, 1.0))
    points = np.array([[0.5, 0.5], [1.0, -2.0]])
    result = ns.analysis.influence(model, ns.MLP(2), ns.GradientFlow(10.0), 100, points)
    probability = (1 + np.asarray(model.class_expectation(points))) / 2
    expected = probability * result.positive + (1 - probability) * result.negative
    np.testing.assert_allclose(result.expected, expected, rtol=1e-10)
    mirrored = ns.analysis.influence(model, ns.MLP(2), ns.GradientFlow(10.0), 100, -points)
    np.testing.assert_allclose(result.positive, mirrored.negative, rtol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_samples must be"):
        ns.analysis.influence(ns.GenerativeModel(), ns.MLP(1), ns.GradientFlow(1.0), 1)
    with pytest.raises(ValueError, match="training must be a rule with scalar parameters"):
        ns.analysis.influence(ns.GenerativeModel(), ns.MLP(1), ns.GradientFlow([1.0, 2.0]), 10)
