"""Laws over the whole valid domain, its ends included. Few examples; many with `--hypothesis-profile=thorough`."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tolerances import examples

import ntk_shortcuts as ns


def powers(low, high):
    """10^k, k real."""
    return st.floats(low, high).map(lambda k: 10.0**k)


def predictivities():
    """From 1/2 to 1 - 1e-12, both ends more often than by chance."""
    return st.one_of(st.just(0.5), st.floats(0.5, 0.999), powers(-12, -3).map(lambda gap: 1 - gap))


correlations = st.one_of(
    st.floats(-0.99, 0.99), powers(-9, -2).map(lambda gap: 1 - gap), powers(-9, -2).map(lambda gap: gap - 1)
)
models = st.builds(
    ns.GenerativeModel,
    st.tuples(predictivities(), predictivities()),
    st.tuples(powers(-6, 6), powers(-6, 6)).filter(lambda a: 1e-6 <= a[0] / a[1] <= 1e6),
    correlations,
)
# Of one shape a depth, so that few programs are compiled.
networks = st.builds(
    ns.MLP,
    st.sampled_from([1, 3, 30]),
    st.sampled_from(["linear", "relu", "erf"]),
    weight_variance=powers(-8, 3),
    bias_variance=st.one_of(st.just(0.0), powers(-8, 3)),
)
smooth = st.builds(
    ns.MLP,
    st.sampled_from([1, 3]),
    st.just("tanh"),
    weight_variance=powers(-8, 3),
    bias_variance=st.one_of(st.just(0.0), powers(-8, 3)),
)
points = st.tuples(st.integers(0, 2**32 - 1), powers(-6, 6))
times = st.one_of(powers(-12, 12), st.just(0.0), st.just(float("inf")))
TOO_FAR = ("within the range of", "resolved by the quadrature")

few = examples(6)


def _inputs(points, count=6, dimension=3):
    seed, scale = points
    x = scale * np.random.default_rng(seed).normal(size=(count, dimension))
    # A repeated, an opposite and a nearly equal point.
    x[1], x[2], x[3] = x[0], -x[0], x[0] * (1 + 1e-9)
    return x


def _or_too_far(compute):
    """The result, or None where the error says that the kernels leave the floating-point range."""
    try:
        return compute()
    except ValueError as error:
        assert any(words in str(error) for words in TOO_FAR), error
        return None


def _kernels_are_finite_symmetric_and_psd(network, points):
    x = _inputs(points)
    kernels = _or_too_far(lambda: network.kernels(x))
    if kernels is None:
        return
    for kernel in (np.asarray(kernels.nngp), np.asarray(kernels.ntk)):
        assert np.all(np.isfinite(kernel))
        size = np.max(np.abs(kernel))
        np.testing.assert_array_equal(kernel, kernel.T)
        # Quadrature that leaves much unresolved magnifies roundings of its highest degrees as well.
        assert np.linalg.eigvalsh(kernel / size)[0] >= -1e-12 - 1e-10 * float(kernels.quadrature_error)


test_kernels_are_finite_symmetric_and_psd = few(given(networks, points)(_kernels_are_finite_symmetric_and_psd))
test_kernels_by_quadrature_are_so_too = pytest.mark.slow(few(given(smooth, points)(_kernels_are_finite_symmetric_and_psd)))


def _single_precision_is_never_nan(network, points):
    x = _inputs(points).astype(np.float32)
    kernels = _or_too_far(lambda: network.kernels(x))
    if kernels is not None:
        exact = _or_too_far(lambda: network.kernels(x.astype(np.float64)))
        assert exact is not None and np.all(np.isfinite(kernels.ntk)) and np.all(np.isfinite(kernels.nngp))
        # A chaotic network 30 layers deep lets single roundings grow.
        assert np.max(np.abs(np.asarray(kernels.ntk, np.float64) - exact.ntk)) <= 0.02 * np.max(np.abs(exact.ntk))


subnormal = example(ns.MLP(3, "linear", weight_variance=10**-7.75), (0, 10**-3.5))
near_overflow = example(ns.MLP(30, "relu", weight_variance=10**1.5), (0, 1.0))
test_single_precision_is_never_nan = pytest.mark.slow(
    few(near_overflow(subnormal(given(networks, points)(_single_precision_is_never_nan))))
)


def _reliance_is_bounded_and_odd_under_a_swap(model, time, random_init):
    """Swapping the features swaps the signs of reliance and of the optimum, and so of the bias.

    Held for methods that see the law only. For a data set the swap must be made in its inputs as well.
    """
    swapped = ns.GenerativeModel(model.predictivity[::-1], model.amplification[::-1], model.correlation)
    rule, network = ns.GradientFlow(time), ns.MLP(1)
    options = {"method": "leading_order", "random_init": random_init}
    first, second = (ns.predict_bias(m, network, rule, **options) for m in (model, swapped))
    assert -1 <= first.reliance <= 1 and -1 <= first.optimal_reliance <= 1
    assert -1 - first.optimal_reliance <= first.bias <= 1 - first.optimal_reliance
    # 900 probes: one that is undecided in one of the two, to rounding, moves the reliance by 1/450.
    assert first.bias == pytest.approx(-second.bias, abs=1 / 450 + 1e-9)


found = (
    example(ns.GenerativeModel((1 - 3.2e-8, 1 - 3.2e-8), (10**2.671875, 10**0.5), 1 - 1e-8), float("inf"), False),
    example(ns.GenerativeModel((0.5, 1 - 1e-10), (100.0, 1000.0), 1 - 1e-9), float("inf"), True),
)
test_reliance_is_bounded_and_odd_under_a_swap = pytest.mark.slow(
    few(found[0](found[1](given(models, times, st.booleans())(_reliance_is_bounded_and_odd_under_a_swap))))
)


@pytest.mark.slow
@examples(12)
@given(
    st.tuples(st.floats(0.5, 0.99), st.floats(0.5, 0.99)),
    st.tuples(powers(-1, 1), powers(-1, 1)),
    st.floats(-0.95, 0.95),
    powers(-3, 5),
    st.sampled_from(["population", "dataset_averaged"]),
)
def test_a_swap_of_the_features_swaps_the_bias(rho, alpha, sigma, time, method):
    rule, network = ns.GradientFlow(time), ns.MLP(2)
    count = None if method == "population" else 200
    laws = [ns.GenerativeModel(rho[::s], alpha[::s], sigma) for s in (1, -1)]
    first, second = (ns.predict_bias(law, network, rule, count) for law in laws)
    assert -1 <= first.reliance <= 1
    slack = max(p.diagnostics["discretization_error"] for p in (first, second))
    assert first.bias == pytest.approx(-second.bias, abs=4e-3 + 2 * slack)


def _outputs(network, rule, x, y, at):
    return ns.predict_outputs(network, rule, x, y, at, full_covariance=False)


def _data_laws(network, points, time):
    """(X, y) -> (-X, -y) gives -f(-x), the same variance, and so the same bias; y -> -y alone turns the mean's sign."""
    seed, _ = points
    rng = np.random.default_rng(seed)
    x, at, y = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), rng.choice([-1.0, 1.0], 6)
    rule = ns.GradientFlow(time)
    law = _or_too_far(lambda: _outputs(network, rule, x, y, at))
    if law is None:
        return
    mirrored, flipped = _outputs(network, rule, -x, -y, -at), _outputs(network, rule, x, -y, at)
    size = np.max(np.abs(law.mean))
    scale = 1e-9 * size + 1e-300
    # Which of the eigenvalues at rounding are kept is rounding itself.
    same = float(mirrored.spectrum.modes_kept) == float(law.spectrum.modes_kept)
    assume(same and float(law.spectrum.condition_number) < 1e6)
    np.testing.assert_allclose(mirrored.mean, -np.asarray(law.mean), atol=scale)
    np.testing.assert_allclose(flipped.mean, -np.asarray(law.mean), atol=scale)
    initial = np.max(np.abs(np.asarray(network.kernels(at).nngp)))
    np.testing.assert_allclose(mirrored.variance, law.variance, atol=1e-9 * initial)
    np.testing.assert_array_equal(flipped.variance, law.variance)
    assert np.all(np.asarray(law.variance) >= 0)


shallow = st.builds(
    ns.MLP, st.just(1), st.sampled_from(["relu", "erf"]), weight_variance=powers(-3, 2), bias_variance=st.floats(0, 1)
)
test_data_laws = pytest.mark.slow(few(given(shallow, points, times)(_data_laws)))
test_data_laws_of_all_networks = pytest.mark.slow(few(given(networks, points, times)(_data_laws)))


def _training_is_monotone(network, points, time):
    """On the training points the error falls with time, from that of the start to 0; less ridge fits more."""
    rng = np.random.default_rng(points[0])
    x, y = rng.normal(size=(6, 3)), rng.choice([-1.0, 1.0], 6)
    flow = _or_too_far(lambda: _outputs(network, ns.GradientFlow([0.0, time, 10 * time, np.inf]), x, y, x))
    if flow is None:
        return
    assume(float(flow.spectrum.condition_number) < 1e8 and float(flow.spectrum.modes_kept) == 6)
    errors = np.linalg.norm(np.asarray(flow.mean) - y, axis=1)
    assert errors[0] == pytest.approx(np.sqrt(6)) and errors[-1] < 1e-6
    assert np.all(np.diff(errors) <= 1e-9)
    largest = float(flow.spectrum.largest_eigenvalue)
    ridge = _outputs(network, ns.Ridge([0.0, 1e-3 * largest, largest, 1e3 * largest]), x, y, x)
    misfit = np.linalg.norm(np.asarray(ridge.mean) - y, axis=1)
    assert np.all(np.diff(misfit) >= -1e-9)
    np.testing.assert_allclose(ridge.mean[0], flow.mean[-1], atol=1e-6)


test_training_is_monotone = pytest.mark.slow(few(given(shallow, points, powers(-12, 12))(_training_is_monotone)))
test_training_of_all_networks = pytest.mark.slow(few(given(networks, points, powers(-12, 12))(_training_is_monotone)))


@few
@given(models, st.lists(powers(-12, 12), min_size=3, max_size=3))
def test_the_bias_of_linear_networks_falls_in_size(model, times):
    """Under gradient flow the linear bias never grows in size and keeps its sign (`linear_bias`)."""
    model = jax.tree.map(jnp.asarray, model)
    biases = np.asarray(ns.linear.linear_bias(model, ns.MLP(0), ns.GradientFlow([*sorted(times)])))
    assert np.all(np.isfinite(biases)) and np.all(np.abs(biases) <= 2)
    assert np.all(np.diff(np.abs(biases)) <= 1e-9)
    assert np.all(biases >= -1e-9) or np.all(biases <= 1e-9)


def _an_error_is_said(model, time, method, random_init):
    """The bias of a linear network is its closed form to the tolerance and two probes, or comes with a warning."""
    network, rule = ns.MLP(0), ns.GradientFlow(time)
    options = {"method": method, "random_init": random_init}
    # So many samples that the spread over data sets is below what counts as undecided.
    count = 10**15 if method == "dataset_averaged" else None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = ns.predict_bias(model, network, rule, count, **options)
    exact = ns.predict_bias(model, network, rule, method="leading_order", random_init=random_init)
    assert said or abs(found.bias - exact.bias) <= 2e-3 + 2 / 450 + 1e-9


said = [
    given(models, times, st.just(method), st.booleans())(_an_error_is_said) for method in ("population", "dataset_averaged")
]
test_an_error_of_infinite_data_is_said, test_an_error_of_the_average_is_said = (pytest.mark.slow(few(law)) for law in said)
