"""Laws that hold for every parameter, tried on parameters that Hypothesis chooses."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tolerances import ROUNDING, examples

import ntk_shortcuts as ns

predictivities = st.tuples(st.floats(0.5, 0.99), st.floats(0.5, 0.99))
amplifications = st.tuples(st.floats(0.05, 20), st.floats(0.05, 20))
correlations = st.floats(-0.95, 0.95)
models = st.builds(ns.GenerativeModel, predictivities, amplifications, correlations)
latents = arrays(np.float64, (5, 2), elements=st.floats(-5, 5))
networks = st.builds(
    ns.MLP,
    st.integers(0, 4),
    st.sampled_from(["linear", "relu", "erf", "tanh"]),
    weight_variance=st.floats(0.2, 4),
    bias_variance=st.floats(0, 1),
)
some = examples(25)
few = examples(8)  # of laws whose examples compile a kernel each


@some
@given(models, latents)
def test_class_expectation_is_the_ratio_of_densities(model, z):
    density = [np.exp(-0.5 * _quadratic(z - sign * np.asarray(model.means), model)) for sign in (1, -1)]
    assume(np.all(density[0] + density[1] > 1e-200))
    expected = (density[0] - density[1]) / (density[0] + density[1])
    np.testing.assert_allclose(model.class_expectation(z), expected, atol=1e-8)


def _quadratic(z, model):
    return np.einsum("ni,ij,nj->n", z, np.linalg.inv(np.asarray(model.covariance)), z)


@some
@given(models)
def test_law_is_symmetric_between_the_features(model):
    swapped = ns.GenerativeModel(model.predictivity[::-1], model.amplification[::-1], model.correlation)
    optimum, other = float(ns.linear.optimal_reliance(model)), float(ns.linear.optimal_reliance(swapped))
    assert optimum == pytest.approx(-other, abs=1e-12)
    assert -1 <= optimum <= 1


@few
@given(models, networks, latents)
def test_kernels_are_even_and_bounded_by_cauchy_schwarz(model, network, z):
    kernels, flipped = (ns.laws.LawKernel(model, network)(points) for points in (z, -z))
    for name in ("nngp", "ntk"):
        kernel = np.asarray(getattr(kernels, name))
        scale = np.sqrt(np.outer(np.diag(kernel), np.diag(kernel)))
        np.testing.assert_allclose(kernel, getattr(flipped, name), rtol=1e-10, atol=ROUNDING)
        assert np.all(np.abs(kernel) <= scale * (1 + 1e-10) + ROUNDING)


@few
@given(networks, latents, st.floats(0, 2 * np.pi))
def test_kernels_are_invariant_under_rotation(network, x, turn):
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    kernel = np.asarray(network.kernels(x).ntk)
    np.testing.assert_allclose(network.kernels(x @ rotation.T).ntk, kernel, rtol=1e-7, atol=1e-7 * np.max(np.abs(kernel)))


@few
@given(st.integers(0, 4), latents, st.floats(1e-3, 1e3))
@example(1, np.array([[3e-180, 0], [0, 0], [1e-82, 1]]), 1.0)  # a squared norm underflows, an area does not
def test_networks_without_biases_are_homogeneous(depth, x, scale):
    assume(not 0 < np.max(np.abs(x)) < 1e-140)  # refused: squares of such inputs underflow
    network = ns.MLP(depth)
    np.testing.assert_allclose(
        network.kernels(scale * x, x).ntk, scale * np.asarray(network.kernels(x).ntk), rtol=1e-9, atol=1e-12
    )


@some
@given(st.floats(1e-6, 1e3), st.floats(0, 1e6))
def test_filters_lie_between_nothing_and_the_inverse(eigenvalue, time):
    value = float(ns.GradientFlow(time).filter(jnp.array([eigenvalue]))[0])
    assert 0 <= value <= min(1 / eigenvalue, time) * (1 + 1e-12)
    descent = ns.GradientDescent(0.5 / eigenvalue, int(min(time, 1e5))).filter(jnp.array([eigenvalue]))[0]
    assert 0 <= float(descent) <= (1 + 1e-12) / eigenvalue


@some
@given(arrays(np.float64, 16, elements=st.floats(-3, 3).filter(lambda x: x == 0 or abs(x) > 1e-300)), st.floats(0.1, 10))
def test_reliance_of_outputs_depends_on_their_signs_only(outputs, scale):
    probes = ns.GenerativeModel().probe_grid(4)
    reliance = float(ns.metrics.reliance(outputs, probes))
    assert -1 <= reliance <= 1
    assert reliance == float(ns.metrics.reliance(scale * outputs, probes)) == -float(ns.metrics.reliance(-outputs, probes))
    assert reliance == pytest.approx(float(ns.metrics.expected_reliance(outputs, 0.0, probes)), abs=1e-15)


@examples(5)
@given(predictivities, st.floats(0.2, 5), st.floats(0.5, 100))
def test_bias_depends_on_scale_only_through_time(predictivity, ratio, time):
    """Theta scales as alpha^2 without biases: twice the amplification is four times the training time."""
    assume(abs(predictivity[0] - 0.5) > 1e-3 and abs(predictivity[1] - 0.5) > 1e-3)
    first = ns.GenerativeModel(predictivity, (ratio, 1.0))
    second = ns.GenerativeModel(predictivity, (2 * ratio, 2.0))
    options = {"random_init": False, "probes": first.probe_grid(10), "method": "population"}
    slow = ns.predict_bias(first, ns.MLP(1), ns.GradientFlow(4 * time), **options)
    fast = ns.predict_bias(second, ns.MLP(1), ns.GradientFlow(time), **options)
    np.testing.assert_allclose(slow.mean, fast.mean, rtol=1e-8, atol=1e-10)
