"""Closed forms against the exact population answer, where each is exact and where it only tends to it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.methods.quadratic import even_features, moments

MODEL = ns.GenerativeModel((0.8, 0.9), (3.0, 1.0), 0.4)
TIMES = ns.GradientFlow([0.3, 3.0, 30.0, 3000.0])


def _both(network, training, model=MODEL, **options):
    return (
        ns.predict_bias(model, network, training, method="leading_order", **options),
        ns.predict_bias(model, network, training, method="population"),
    )


@pytest.mark.parametrize(
    "network",
    [pytest.param(ns.MLP(0), marks=pytest.mark.slow), ns.MLP(2, "linear", bias_variance=0.2)],
    ids=["depth 0", "biases"],
)
def test_exact_for_linear_networks_at_all_times(network):
    closed, exact = _both(network, TIMES)
    # What is left is the quadrature of the population method.
    np.testing.assert_allclose(closed.mean, exact.mean, rtol=0, atol=1e-5 * np.max(np.abs(exact.mean)))
    np.testing.assert_allclose(closed.std, exact.std, rtol=1e-4, atol=1e-5)
    assert closed.diagnostics["kernel_error"] < 1e-12


def test_exact_mean_for_one_hidden_layer():
    closed, exact = _both(ns.MLP(1), TIMES)
    np.testing.assert_allclose(closed.mean, exact.mean, atol=1e-6 * np.max(np.abs(exact.mean)))
    assert closed.diagnostics["kernel_error"] > 0.01  # of the even part only


@pytest.mark.parametrize("network", [ns.MLP(0), ns.MLP(1)], ids=["linear", "relu"])
def test_output_direction_gives_the_mean(network):
    found = ns.predict_bias(MODEL, network, TIMES, method="leading_order", random_init=False)
    direction = np.asarray(ns.linear.output_direction(MODEL, network, TIMES))
    np.testing.assert_allclose(direction @ np.asarray(found.probes).T, found.mean, rtol=1e-12, atol=1e-13)
    # The same signs, counted on a grid that is off by at most 1/15 in each of two reliances.
    gaps = np.asarray(ns.linear.linear_bias(MODEL, network, TIMES)) - found.bias
    assert np.max(np.abs(gaps)) < 2 / 15 < np.max(np.abs(gaps + 0.2))


@pytest.mark.parametrize("amplification", [(1.0, 1.0), (1e6, 1.0), (1.0, 1e6)])
@pytest.mark.parametrize("predictivity", [(1 - 3e-8, 1 - 3e-8), (0.9, 0.8)])
def test_late_output_is_optimal_at_the_ends_of_the_domain(predictivity, amplification):
    """Where the smaller of both eigenvalues is below the rounding of the larger one, and all depends on it."""
    model = ns.GenerativeModel(predictivity, amplification, 1 - 1e-8)
    late = ns.GradientFlow(np.inf)
    found, best = ns.linear.output_direction(model, ns.MLP(1), late), model.bayes_direction
    np.testing.assert_allclose(found / jnp.linalg.norm(found), best / jnp.linalg.norm(best), rtol=1e-12)
    assert ns.predict_bias(model, ns.MLP(1), late, method="leading_order", random_init=False).bias == 0


def test_derivative_where_both_eigenvalues_coincide():
    def late(sigma):
        model = ns.GenerativeModel((0.5, 0.5 + 1e-9), correlation=sigma)
        return ns.linear.output_direction(model, ns.MLP(0), ns.GradientFlow(30.0))

    slope = (late(1e-3) - late(-1e-3)) / 2e-3
    np.testing.assert_allclose(jax.jacfwd(late)(0.0), slope, rtol=1e-5)


@pytest.mark.slow
def test_linear_bias_is_differentiable_in_availability():
    def bias(ratio):
        model = ns.GenerativeModel((0.8, 0.9), jnp.stack([ratio, jnp.asarray(1.0)]))
        return ns.linear.linear_bias(model, ns.MLP(0), ns.GradientFlow(20.0))

    slope = jax.grad(bias)(jnp.asarray(2.0))
    assert float(slope) == pytest.approx(float(bias(jnp.asarray(2.001)) - bias(jnp.asarray(1.999))) / 0.002, rel=1e-5)


def test_linear_forms_need_a_polynomial_kernel():
    with pytest.raises(ValueError, match=r"nesting must be \(0, 0\)"):
        ns.linear.linear_bias(ns.GenerativeModel(nesting=(1, 0)), ns.MLP(0), TIMES)


@pytest.mark.slow
@pytest.mark.branches
def test_moments_are_those_of_samples():
    latents = MODEL.sample(jax.random.key(0), 400_000).latents * np.array(MODEL.amplification)
    second, fourth = moments(MODEL)
    features = np.asarray(even_features(latents))
    for exact, columns in ((second, np.asarray(latents)), (fourth, features)):
        products = columns[:, :, None] * columns[:, None, :]
        errors = (products.mean(0) - exact) / np.maximum(products.std(0) / np.sqrt(len(products)), 1e-12)
        assert np.max(np.abs(errors)) < 4.5
    twin = (features[:, 1] ** 2).mean() - 1.05 * fourth[1, 1]
    assert abs(twin) > 4.5 * (features[:, 1] ** 2).std() / np.sqrt(len(features))


@pytest.mark.slow
def test_output_on_the_clusters_tends_to_the_exact_one_as_they_tighten():
    errors = []
    for predictivity in (0.9, 0.99, 0.9999):
        # rho -> 1 at unit variance is small variance at fixed means; the ratio in time keeps t times the eigenvalue.
        model = ns.GenerativeModel((predictivity, predictivity), (2.0, 1.0), 0.0)
        time = ns.GradientFlow(3.0 / float(model.means[1]) ** 2)
        closed, exact = (
            ns.predict_bias(model, ns.MLP(3), time, method=name, probes=np.asarray(model.means)[None])
            for name in ("leading_order", "population")
        )
        errors.append(abs(float(closed.mean[0] / exact.mean[0]) - 1))
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.slow
@pytest.mark.parametrize("network", [ns.MLP(3), ns.MLP(1, "erf", bias_variance=0.1)], ids=["relu", "erf"])
def test_short_time_error_is_of_third_order(network):
    times = np.array([0.01, 0.02, 0.04])
    closed, exact = _both(network, ns.GradientFlow(times), regime="short_time")
    errors = np.sqrt(np.mean((closed.mean - exact.mean) ** 2, axis=1))
    slope = np.polyfit(np.log(times), np.log(errors), 1)[0]
    assert slope == pytest.approx(3, abs=0.15)
    assert closed.diagnostics["expansion_parameter"] == pytest.approx(0.04 * exact.diagnostics["largest_eigenvalue"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.branches
def test_first_step_of_descent_is_the_first_order():
    step = ns.GradientDescent(0.05, 1)
    closed, exact = _both(ns.MLP(2), step, regime="short_time")
    np.testing.assert_allclose(closed.mean, exact.mean, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.branches
def test_differentiable():
    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def bias(ratio, time):
        model = ns.GenerativeModel((0.8, 0.9), jnp.stack([ratio, jnp.asarray(1.0)]))
        return ns.predict_bias(model, ns.MLP(2), ns.GradientFlow(time), method="leading_order").reliance

    at = (jnp.asarray(2.0), jnp.asarray(20.0))
    for index, slope in enumerate(bias(*at)[1]):
        moved = [[a + s * 1e-4 * (i == index) for i, a in enumerate(at)] for s in (1, -1)]
        assert float(slope) == pytest.approx(float(bias(*moved[0])[0] - bias(*moved[1])[0]) / 2e-4, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"num_samples": 100}, "num_samples must be None"),
        ({"regime": "late"}, "regime must be one of quadratic, short_time"),
        ({"model": ns.GenerativeModel(nesting=(1, 0))}, r"nesting must be \(0, 0\)"),
        ({"training": ns.GradientFlow(np.inf), "regime": "short_time"}, "of finite time"),
        ({"training": ns.Ridge(1.0), "regime": "short_time"}, "of finite time"),
    ],
)
def test_bad_arguments(arguments, text):
    settings = {"model": MODEL, "network": ns.MLP(1), "training": ns.GradientFlow(1.0), **arguments}
    with pytest.raises(ValueError, match=text):
        ns.predict_bias(method="leading_order", **settings)
