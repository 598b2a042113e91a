import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import ntk_shortcuts as ns
from ntk_shortcuts.issues import give
from ntk_shortcuts.methods import METHODS, Method
from ntk_shortcuts.methods.base import watched
from ntk_shortcuts.methods.notes import rounding_notes
from ntk_shortcuts.outputs import GaussianOutputs, OutputError


def _model(ratio=1.0):
    return ns.GenerativeModel((0.85, 0.9), (ratio, 1.0))


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, [0.338, 0.276, 0.044, 0.000]), (8.0, [1.627, 1.164, 0.044, 0.000])])
def test_population_reproduces_the_reference_values(ratio, expected):
    times = ns.GradientFlow([3.0, 30.0, 300.0, 3000.0])
    prediction = ns.predict_bias(_model(ratio), ns.MLP(1), times, random_init=False)
    np.testing.assert_allclose(prediction.bias, expected, atol=0.005)
    assert prediction.diagnostics["converged"] == 1


@pytest.mark.slow
def test_population_agrees_with_a_large_sample():
    model, network, flow = _model(4.0), ns.MLP(2, bias_variance=0.1), ns.GradientFlow(10.0)
    population = ns.predict_bias(model, network, flow)
    data = model.sample(jax.random.key(0), 2000)
    kernel = ns.laws.LawKernel(model, network)
    gram = np.asarray(kernel(data.latents, data.latents).ntk) / 2000
    values, vectors = np.linalg.eigh(gram)
    gains = -np.expm1(-10 * values) / np.where(np.abs(values) > 1e-14, values, 1)
    solution = vectors @ (gains * (vectors.T @ np.asarray(model.class_expectation(data.latents)))) / 2000
    sampled = np.asarray(kernel(population.probes, data.latents).ntk) @ solution
    assert np.sqrt(np.mean((sampled - population.mean) ** 2)) < 0.06 * np.sqrt(np.mean(population.mean**2))


@pytest.mark.parametrize("depth", [0, 1])
def test_bias_of_networks_without_biases_ends_at_that_of_linear_regression(depth):
    model = _model(8.0)
    prediction = ns.predict_bias(model, ns.MLP(depth), ns.GradientFlow(np.inf), random_init=False)
    covariance = np.asarray(model.covariance) + np.outer(model.means, model.means)
    linear = np.linalg.solve(covariance, model.means)
    assert prediction.bias == pytest.approx(float(ns.metrics.shortcut_bias(model.probe_grid() @ linear, model)), abs=1e-9)


def test_linear_networks_follow_their_closed_form():
    model = _model(4.0)
    scale = np.diag([4.0, 1.0])
    moment = np.asarray(model.covariance) + np.outer(model.means, model.means)
    operator = 2.0 / 100 * scale @ moment @ scale
    direction = (np.eye(2) - expm(-30 * operator)) @ np.linalg.solve(operator, 2.0 / 100 * scale @ np.asarray(model.means))
    prediction = ns.predict_bias(model, ns.MLP(0), ns.GradientFlow(30.0), random_init=False)
    np.testing.assert_allclose(prediction.mean, np.asarray(prediction.probes) @ scale @ direction, atol=1e-9)


def test_data_set_prediction_is_the_matrix_exponential(rng):
    x, y, probes = rng.normal(size=(12, 6)), rng.choice([-1.0, 1.0], 12), rng.normal(size=(5, 6))
    network = ns.MLP(2, bias_variance=0.1)
    law = ns.predict_outputs(network, ns.GradientFlow(7.0), x, y, probes, full_covariance=True)
    train, cross = network.kernels(x), network.kernels(probes, x)
    operator = np.asarray(cross.ntk) @ np.linalg.solve(train.ntk, np.eye(12) - expm(-7.0 * np.asarray(train.ntk) / 12))
    np.testing.assert_allclose(law.mean, operator @ y, rtol=1e-9)
    mixed = operator @ np.asarray(cross.nngp).T
    covariance = network.kernels(probes).nngp + operator @ train.nngp @ operator.T - mixed - mixed.T
    np.testing.assert_allclose(law.variance, covariance, atol=1e-10)
    diagonal = ns.predict_outputs(network, ns.GradientFlow(7.0), x, y, probes)
    np.testing.assert_allclose(diagonal.variance, np.diag(covariance), atol=1e-10)


@pytest.mark.slow
@pytest.mark.branches
def test_predictions_for_a_data_set_are_the_same_under_jit():
    data, network = _model(2.0).sample(jax.random.key(0), 10), ns.MLP(0)
    probes = _model().probe_grid(4)

    def both(time):
        rule, at = ns.GradientFlow(time), data.embedding(probes)
        law = ns.predict_outputs(network, rule, data.inputs, data.labels, at, full_covariance=False)
        return law.mean, ns.predict_bias(_model(2.0), network, rule, method="dataset", dataset=data, probes=probes).bias

    (mean, bias), (traced_mean, traced_bias) = both(7.0), jax.jit(both)(7.0)
    np.testing.assert_allclose(traced_mean, mean, rtol=1e-10)
    assert float(traced_bias) == pytest.approx(bias, abs=1e-10)


@pytest.mark.parametrize("rule", [ns.GradientFlow(np.inf), ns.GradientFlow(1e12), ns.Ridge(0.0)])
def test_rank_deficient_kernels_have_a_limit(rule):
    model = _model()
    data = model.sample(jax.random.key(0), 300)
    prediction = ns.predict_bias(model, ns.MLP(0), rule, method="dataset", dataset=data, random_init=False)
    inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)
    weights = np.linalg.lstsq(inputs, labels, rcond=1e-10)[0]
    np.testing.assert_allclose(prediction.mean, np.asarray(data.embedding(prediction.probes)) @ weights, atol=1e-6)
    assert prediction.diagnostics["modes_kept"] == 2


@pytest.mark.slow
@pytest.mark.branches
def test_monte_carlo_agrees_with_population_and_its_twin_does_not():
    model, network, flow = _model(4.0), ns.MLP(1), ns.GradientFlow(3.0)
    population = ns.predict_bias(model, network, flow)
    sampled = ns.predict_bias(model, network, flow, 1000, method="monte_carlo", key=jax.random.key(0), num_datasets=8)
    error = sampled.diagnostics["bias_standard_error"]
    assert abs(sampled.bias - population.bias) < 4 * error + 0.005
    assert not abs(sampled.bias - population.bias - 0.1) < 4 * error + 0.005


@pytest.mark.parametrize(
    ("activation", "time", "unresolved"), [("erf", np.inf, True), ("erf", 1e6, False), ("relu", np.inf, False)]
)
def test_modes_that_the_arithmetic_leaves_out_are_said_where_they_matter(activation, time, unresolved):
    """A smooth kernel's eigenfunctions grow without bound where there are no data, and infinite time weighs all alike."""
    p = ns.predict_bias(_model(4.0), ns.MLP(1, activation), ns.GradientFlow(time), random_init=False, tolerance=0.5)
    assert any(isinstance(issue, ns.issues.Rounding) for issue in p.issues) == unresolved
    assert (p.diagnostics["rounding_error"] > 2e-3) == unresolved


@pytest.mark.parametrize("size", [1e-9, 1e-3])
def test_rounding_of_the_variance_is_a_warning_where_it_is_above_the_output(size):
    probes = _model().probe_grid()
    mean, none = size * probes @ jnp.asarray([1.0, 0.5]), jnp.zeros(len(probes))
    outputs, points = GaussianOutputs(mean, none, OutputError(none[None], none + 1e-15)), _model().test_points(probes)
    p = rounding_notes(outputs, watched(_model().metric, outputs, points)[1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        give(p.issues)
    assert (p.diagnostics["rounding_error"] > 2e-3) == (size == 1e-9)
    assert [w.category for w in caught] == [ns.UntrustedPredictionWarning] * (size == 1e-9)
    assert all("rounding moves the bias by up to" in str(w.message) for w in caught)


@pytest.mark.slow
@pytest.mark.branches
def test_a_direction_below_the_resolution_is_said_where_it_would_be_learnt():
    """Equal predictivities: the optimum is unbiased, and without the weak direction the bias is 1."""
    model = ns.GenerativeModel((0.9, 0.9), (1e4, 1.0), 1 - 1e-8)
    late, early = ns.GradientFlow(np.inf), ns.GradientFlow(30.0)
    with pytest.warns(ns.UntrustedPredictionWarning, match="second moment in one direction is .* 1 of the target's part"):
        wrong = ns.predict_bias(model, ns.MLP(1), late, random_init=False)
    right = ns.predict_bias(model, ns.MLP(1), late, random_init=False, method="leading_order")
    assert (wrong.bias, right.bias) == (1, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ns.predict_bias(model, ns.MLP(1), early, random_init=False)
        # Nested features fill more than a plane.
        nested = ns.GenerativeModel((0.85, 0.9), (2.0, 1.0), nesting=(1, 0))
        assert ns.predict_bias(nested, ns.MLP(1), early, random_init=False).diagnostics["converged"] == 1
    exact = ns.predict_bias(model, ns.MLP(1), early, random_init=False, method="leading_order")
    np.testing.assert_allclose(found.bias, exact.bias, atol=1 / 450)


@pytest.mark.slow
@pytest.mark.branches
def test_a_population_prediction_that_never_settles_says_so():
    with pytest.warns(ns.UntrustedPredictionWarning, match=r"the bias still moved by .* more than tolerance=1e-300"):
        p = ns.predict_bias(_model(2.0), ns.MLP(1), ns.GradientFlow(3.0), tolerance=1e-300)
    assert p.diagnostics["converged"] == 0 and p.diagnostics["nodes"] == 1024


@pytest.mark.slow
@pytest.mark.branches
def test_embedded_monte_carlo_is_the_average_over_its_data_sets():
    model, key = _model(2.0), jax.random.key(3)
    embedded = ns.predict_bias(
        model, ns.MLP(0), ns.GradientFlow(5.0), 10, "monte_carlo", key=key, num_datasets=2, embedded=True
    )
    alone = [
        ns.predict_bias(model, ns.MLP(0), ns.GradientFlow(5.0), dataset=model.sample(jax.random.fold_in(key, index), 10))
        for index in range(2)
    ]
    np.testing.assert_allclose(embedded.mean, (alone[0].mean + alone[1].mean) / 2, rtol=1e-9, atol=1e-12)
    assert embedded.bias == pytest.approx((alone[0].bias + alone[1].bias) / 2, abs=1e-9)


@pytest.mark.slow
@pytest.mark.branches
def test_landmarks_change_monte_carlo_by_less_than_their_tolerance():
    options = {"method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 2, "probes": _model().probe_grid(6)}
    dense, reduced = (
        ns.predict_bias(_model(2.0), ns.MLP(0), ns.GradientFlow(5.0), 60, rank_tolerance=tolerance, **options)
        for tolerance in (None, 1e-4)
    )
    assert reduced.diagnostics["rank"] == 2 and "rank" not in dense.diagnostics
    np.testing.assert_allclose(reduced.mean, dense.mean, atol=1e-4)
    np.testing.assert_allclose(reduced.std, dense.std, atol=1e-4)


def test_your_own_data(rng):
    inputs = rng.normal(size=(20, 3))
    data = ns.Dataset.from_arrays(inputs, np.sign(inputs[:, 0]))
    probes = rng.normal(size=(9, 2))
    probe_inputs = np.concatenate([probes, np.zeros((9, 1))], axis=1)
    prediction = ns.predict_bias(
        _model(),
        ns.MLP(1),
        ns.GradientFlow(30.0),
        method="dataset",
        dataset=data,
        probes=probes,
        probe_inputs=probe_inputs,
    )
    assert np.isfinite(prediction.bias) and prediction.mean.shape == (9,)


@pytest.mark.slow
@pytest.mark.branches
def test_predictions_are_differentiable():
    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2))
    def mean_output(shortcut, ratio, time):
        model = ns.GenerativeModel(jnp.stack([shortcut, jnp.asarray(0.9)]), jnp.stack([ratio, jnp.asarray(1.0)]))
        prediction = ns.predict_bias(model, ns.MLP(1), ns.GradientFlow(time), probes=jnp.array([[0.5, -0.3]]))
        return prediction.mean[0] + prediction.std[0]

    at = (jnp.asarray(0.8), jnp.asarray(3.0), jnp.asarray(20.0))
    gradients = mean_output(*at)[1]
    for index, gradient in enumerate(gradients):
        step = 1e-4
        moved = [[a + s * step * (i == index) for i, a in enumerate(at)] for s in (1, -1)]
        difference = (mean_output(*moved[0])[0] - mean_output(*moved[1])[0]) / (2 * step)
        assert float(gradient) == pytest.approx(float(difference), rel=2e-3, abs=1e-6)


def test_precision_needs_no_global_setting():
    with jax.enable_x64(False):
        prediction = ns.predict_bias(_model(4.0), ns.MLP(1), ns.GradientFlow(30.0), random_init=False)
        assert prediction.mean.dtype == jnp.float64
        assert not jax.config.jax_enable_x64
    again = ns.predict_bias(_model(4.0), ns.MLP(1), ns.GradientFlow(30.0), random_init=False)
    np.testing.assert_array_equal(np.asarray(prediction.mean), np.asarray(again.mean))


def test_descent_beyond_stability_warns():
    with pytest.warns(ns.DivergenceWarning, match="exceeds 2"):
        ns.predict_bias(_model(8.0), ns.MLP(0), ns.GradientDescent(100.0, 3), random_init=False)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"method": "magic"}, "method must be one of .*population"),
        ({"method": "monte_carlo", "num_samples": 10}, "key must be"),
        ({"method": "monte_carlo", "key": jax.random.key(0)}, "num_samples must be"),
        ({"method": "population", "num_samples": 10}, "num_samples must be None"),
        ({"method": "dataset"}, "dataset must be given"),
        ({"tolerance": 0.0}, "tolerance must be positive"),
        ({"colour": 1}, "option must be one of"),
        ({"probes": [[np.nan, 0.0]]}, "probes must be finite"),
    ],
)
def test_bad_predictions(arguments, text):
    with pytest.raises(ValueError, match=text):
        ns.predict_bias(_model(), ns.MLP(1), ns.GradientFlow(1.0), **arguments)


def test_a_method_is_registered_once():
    with pytest.raises(ValueError, match="name must be one that is not already registered as a method; got 'population'"):
        type("Second", (Method,), {"name": "population"})
    assert sorted(METHODS) == ns.known_methods() != [] and METHODS["population"] is ns.Population
