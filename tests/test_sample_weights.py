import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import ntk_shortcuts as ns

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))


def _conflict(latents, labels):
    return jnp.where(latents[:, 0] * labels < 0, 4.0, 1.0)


def test_linear_networks_follow_weighted_regression():
    def weight(latents, labels):
        return jnp.exp(-0.5 * latents[:, 0] * labels)

    points, masses = np.polynomial.hermite_e.hermegauss(40)
    grid = np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2)
    z = np.asarray(MODEL.means) + grid @ np.asarray(MODEL.whitening).T  # class +1; class -1 gives the same moments
    masses = np.outer(masses, masses).ravel() / (2 * np.pi) * np.exp(-0.5 * z[:, 0])
    scale = np.array([4.0, 1.0])
    operator = 2.0 / 100 * (masses[:, None] * z * scale).T @ (z * scale)
    source = 2.0 / 100 * masses @ (z * scale)
    direction = (np.eye(2) - expm(-30 * operator)) @ np.linalg.solve(operator, source)
    flow = ns.GradientFlow(30.0)
    weighted = ns.predict_bias(MODEL, ns.MLP(0), flow, random_init=False, sample_weight=weight)
    expected = np.asarray(weighted.probes) * scale @ direction
    np.testing.assert_allclose(weighted.mean, expected, rtol=1e-8, atol=1e-10)
    plain = ns.predict_bias(MODEL, ns.MLP(0), flow, random_init=False)
    assert np.max(np.abs(plain.mean - expected)) > 0.1


@pytest.mark.slow
@pytest.mark.branches
def test_whole_weights_are_repeated_samples():
    data = MODEL.sample(jax.random.key(0), 20)
    counts = np.arange(20) % 4
    repeated = jax.tree.map(lambda leaf: jnp.repeat(leaf, counts, axis=0), (data.inputs, data.labels))
    again = ns.Dataset.from_arrays(*repeated)
    probe_inputs = data.embedding(MODEL.probe_grid())
    weighted = ns.predict_bias(MODEL, ns.MLP(2), ns.GradientFlow(7.0), dataset=data, sample_weight=counts)
    longer = ns.GradientFlow(7.0 * counts.sum() / 20)
    expected = ns.predict_bias(MODEL, ns.MLP(2), longer, dataset=again, probe_inputs=probe_inputs)
    np.testing.assert_allclose(weighted.mean, expected.mean, atol=1e-9)
    np.testing.assert_allclose(weighted.std, expected.std, atol=1e-9)


@pytest.mark.slow
@pytest.mark.branches
def test_population_agrees_with_sampled_data_and_its_twin_does_not():
    network, flow, options = ns.MLP(1), ns.GradientFlow(10.0), {"random_init": False}
    population = ns.predict_bias(MODEL, network, flow, sample_weight=_conflict, **options)
    drawn = {"method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 6, "sample_weight": _conflict}
    sampled = ns.predict_bias(MODEL, network, flow, 400, **drawn, **options)
    error = sampled.diagnostics["bias_standard_error"]
    assert abs(sampled.bias - population.bias) < 4 * error + 0.005
    unweighted = ns.predict_bias(MODEL, network, flow, **options)
    assert not abs(sampled.bias - unweighted.bias) < 4 * error + 0.005


@pytest.mark.slow
@pytest.mark.branches
def test_a_traced_law_takes_weights_too():
    def outputs(ratio):
        model = MODEL.with_shortcut(amplification_ratio=ratio)
        p = ns.predict_bias(model, ns.MLP(0), ns.GradientFlow(30.0), random_init=False, sample_weight=_conflict)
        return p.mean

    expected = outputs(4.0)
    np.testing.assert_allclose(jax.jit(outputs)(4.0), expected, atol=1e-4 * np.max(np.abs(expected)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sample_weight": [1.0, 2.0]}, r"sample_weight must be a function of latents \(n, 2\) and labels"),
        ({"sample_weight": lambda z, y: 1.0}, r"sample_weight must be >= 0 and finite, of shape \(900,\); got 1.0"),
        ({"sample_weight": lambda z, y: -jnp.ones(len(y))}, "sample_weight must be >= 0 and finite; got an array"),
        ({"sample_weight": lambda z, y: jnp.zeros(len(y))}, "sample_weight must be positive for at least one point"),
        ({"sample_weight": lambda z, y: jnp.exp(z[:, 0])}, r"sample_weight must be symmetric, w\(-z, -y\) = w\(z, y\).*got"),
        ({"method": "dataset", "sample_weight": np.ones(9)}, r"sample_weight must be >= 0 and finite, of shape \(10,\); got"),
        (
            {"method": "dataset_averaged", "sample_weight": _conflict, "num_samples": 10},
            "option must be one of .*sample_weight",
        ),
    ],
)
def test_bad_weights(options, text):
    if options.get("method") == "dataset":
        options = {**options, "dataset": MODEL.sample(jax.random.key(0), 10)}
    with pytest.raises(ValueError, match=text):
        ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow(1.0), **options)
