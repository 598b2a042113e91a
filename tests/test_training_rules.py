import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.training.spectral import apply_filter

EIGENVALUES = jnp.array([1e-12, 1e-3, 0.3, 1.0, 1.7])


def test_flow():
    np.testing.assert_allclose(ns.GradientFlow(3.0).filter(EIGENVALUES), -np.expm1(-3 * EIGENVALUES) / EIGENVALUES, rtol=1e-14)
    np.testing.assert_allclose(ns.GradientFlow(np.inf).filter(EIGENVALUES), 1 / EIGENVALUES)
    np.testing.assert_array_equal(ns.GradientFlow(0.0).filter(EIGENVALUES), 0)
    assert ns.GradientFlow([1.0, 2.0]).filter(EIGENVALUES).shape == (2, 5)


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_descent_is_the_iteration(steps):
    rate = 1.1
    residual = np.ones(5)
    for _ in range(steps):
        residual = residual - rate * np.asarray(EIGENVALUES) * residual
    gain = np.asarray(ns.GradientDescent(rate, steps).filter(EIGENVALUES) * EIGENVALUES)
    np.testing.assert_allclose(gain, 1 - residual, atol=1e-14)


def test_ridge():
    np.testing.assert_allclose(ns.Ridge(0.5).filter(EIGENVALUES, 10), 1 / (EIGENVALUES + 0.05))
    np.testing.assert_allclose(ns.Ridge(0.5).filter(EIGENVALUES, None), 1 / EIGENVALUES)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ns.GradientFlow(-1.0), "time must be >= 0"),
        (lambda: ns.GradientFlow(float("nan")), "time must be >= 0"),
        (lambda: ns.GradientDescent(0.0, 3), "learning_rate must be positive"),
        (lambda: ns.GradientDescent(1.0, 2.5), "steps must be an integer"),
        (lambda: ns.GradientDescent(1.0, -1), "steps must be an integer"),
        (lambda: ns.Ridge(-1.0), "strength must be >= 0"),
    ],
)
def test_bad_rules(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("argument", [0, 1, 2], ids=["matrix", "columns", "time"])
def test_filtered_columns_have_the_derivative_of_each_argument_alone(argument, rng):
    factor, direction = rng.normal(size=(2, 4, 4))
    at = (factor @ factor.T, rng.normal(size=(4, 2)), 0.7)
    moves = (direction + direction.T, direction[:, :2], 1.0)

    def filtered(step):
        arguments = [jnp.asarray(value) + step * moves[index] if index == argument else value for index, value in enumerate(at)]
        return apply_filter(*arguments[:2], ns.GradientFlow(arguments[2]), num_samples=None)[0]

    both = jax.jit(lambda step: jax.jvp(filtered, (step,), (1.0,)))
    difference = (both(1e-5)[0] - both(-1e-5)[0]) / 2e-5
    np.testing.assert_allclose(both(0.0)[1], difference, rtol=1e-6, atol=1e-8)
