"""Moments at finite width against networks drawn at random, exact ones, and the infinite kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns

X = jnp.array([[0.7, -1.1, 0.4]])


def drawn(network, count):
    """Of many networks: Theta(x, x), and S, the output's variance given the hidden layers: kappa_4 = 3 Var S.

    S is the squared gradient in the readout, times the variance of its Gaussian weights, plus that of its bias.
    """
    factor = float(network.weight_variance) / network.width if network.parameterization == "standard" else 1.0

    def one(key):
        params = network.init(key, X.shape[1], jnp.float32)
        gradient = jax.grad(lambda p: network.apply(p, X.astype(jnp.float32))[0])(params)
        squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)]
        return sum(squares), factor * jnp.sum(gradient[-1][0] ** 2) + float(network.bias_variance)

    # In batches of ten: the weights of all would not fit the cache. Here computing takes longer than compiling.
    optimized = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
    sample = jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=10), compiler_options=optimized)
    return [np.asarray(values, np.float64) for values in sample(jax.random.split(jax.random.key(3), count))]


def z_scores(sample, mean, variance):
    """Of the sample's mean and of its variance around the predicted mean."""
    squares = (sample - mean) ** 2
    root = np.sqrt(len(sample))
    return (sample.mean() - mean) / sample.std() * root, (squares.mean() - variance) / squares.std() * root


SLOW = [
    (1, 2, 2.0),
    (1, 64, 0.5),
    (2, 8, 2.0),
    (2, 16, 1.5),
    (2, 64, 2.0),
    (3, 32, 2.5),
    (4, 16, 2.0),
    (4, 64, 1.0),
    (5, 64, 2.0),
    (8, 64, 2.0),
]


@pytest.mark.parametrize(
    ("depth", "width", "variance"),
    [(1, 16, 2.0), (3, 2, 2.0), *[pytest.param(*c, marks=pytest.mark.slow) for c in SLOW]],
)
def test_moments_are_those_of_drawn_networks(depth, width, variance):
    network = ns.MLP(depth, width=width, weight_variance=variance)
    moments = ns.finite_width.finite_width_moments(network, X)
    ntk, conditional = drawn(network, 4000)
    mean, spread = float(moments.ntk_mean[0]), float(moments.ntk_variance[0])
    assert np.abs(z_scores(ntk, mean, spread)).max() < 3.5
    assert np.abs(z_scores(ntk, 1.5 * mean, spread)).max() > 3.5 and abs(z_scores(ntk, mean, 2.5 * spread)[1]) > 3.5
    output, fourth = float(moments.output_variance[0]), float(moments.output_fourth_cumulant[0])
    assert np.abs(z_scores(conditional, output, fourth / 3)).max() < 3.5
    assert abs(z_scores(conditional, output, 2.5 * fourth / 3)[1]) > 3.5


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_the_mean_and_the_wide_limit_are_those_of_infinite_width(depth):
    kernels = ns.MLP(depth, weight_variance=1.7).kernels(X)
    moments = ns.finite_width.finite_width_moments(ns.MLP(depth, width=10**6, weight_variance=1.7), X)
    np.testing.assert_allclose(moments.ntk_mean, kernels.ntk[0], rtol=1e-12)
    np.testing.assert_allclose(moments.output_variance, kernels.nngp[0], rtol=1e-12)
    assert float(moments.ntk_variance[0]) <= 1e-4 * float(moments.ntk_mean[0]) ** 2


# Widths at which what the first order leaves out, of relative order depth/width, is below the sampling noise.
SMOOTH = [
    ("erf", 1, 64, 2.0, 0.1, "ntk"),
    ("tanh", 1, 64, 1.5, 0.3, "ntk"),
    ("gelu", 1, 64, 2.0, 0.1, "ntk"),
    ("relu", 1, 64, 2.0, 0.5, "ntk"),
    ("tanh", 1, 64, 2.0, 0.2, "standard"),
    ("erf", 2, 128, 2.0, 0.1, "ntk"),
    ("gelu", 2, 128, 2.0, 0.1, "ntk"),
    ("relu", 2, 256, 2.0, 0.5, "ntk"),
    ("relu", 2, 128, 2.0, 0.0, "standard"),
    ("tanh", 3, 256, 2.0, 0.2, "ntk"),
    ("gelu", 3, 256, 1.5, 0.1, "ntk"),
    ("sin", 3, 256, 1.0, 0.1, "ntk"),
    ("gelu", 2, 128, 1.5, 0.1, "standard"),
    ("erf", 3, 512, 3.0, 0.05, "ntk"),
    ("silu", 3, 256, 2.0, 0.1, "standard"),
]


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(
    ("activation", "depth", "width", "weight", "bias", "parameterization"),
    [
        ("tanh", 2, 64, 2.0, 0.2, "ntk"),
        *[pytest.param(*c, marks=pytest.mark.slow) for c in SMOOTH],
    ],
)
def test_first_order_is_that_of_drawn_networks(activation, depth, width, weight, bias, parameterization):
    network = ns.MLP(depth, activation, width, weight, bias, parameterization)
    moments = ns.finite_width.finite_width_moments(network, X)
    assert moments.exact == (depth <= 1)
    ntk, conditional = drawn(network, 1500)
    mean, spread = float(moments.ntk_mean[0]), float(moments.ntk_variance[0])
    assert np.abs(z_scores(ntk, mean, spread)).max() < 3.5
    # Off by one standard deviation of the NTK, about the size of what finite width does; and by half of the variance.
    assert abs(z_scores(ntk, mean + spread**0.5, spread)[0]) > 3.5 and abs(z_scores(ntk, mean, 1.5 * spread)[1]) > 3.5
    output, fourth = float(moments.output_variance[0]), float(moments.output_fourth_cumulant[0])
    assert np.abs(z_scores(conditional, output, fourth / 3)).max() < 3.5
    assert abs(z_scores(conditional, output, 1.5 * fourth / 3)[1]) > 3.5


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "width", "count"), [("gelu", 32, 8000), ("silu", 64, 16000)])
def test_the_shift_of_the_mean_is_that_of_drawn_networks(activation, width, count):
    """Where it is large: at the mean of infinite width the same networks are many standard errors off."""
    network = ns.MLP(3, activation, width, weight_variance=1.0)
    moments, wide = ns.finite_width.finite_width_moments(network, X), network.kernels(X)
    ntk, conditional = drawn(network, count)
    for sample, found, limit in (
        (ntk, moments.ntk_mean, wide.ntk),
        (conditional, moments.output_variance, wide.nngp),
    ):
        assert abs(z_scores(sample, float(found[0]), 1.0)[0]) < 3.5
        assert abs(z_scores(sample, float(limit[0, 0]), 1.0)[0]) > 4


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_first_order_of_relu_is_that_of_the_exact_chain(depth):
    """Two derivations of the same moments: the chain at width 1e6, where the next order is below 1e-4, and the recursion."""
    n = 10**6
    exact = ns.finite_width.finite_width_moments(ns.MLP(depth, width=n), X)
    # A bias variance that rounds to nothing takes the other branch.
    first = ns.finite_width.finite_width_moments(ns.MLP(depth, width=n, bias_variance=1e-300), X)
    assert exact.exact and first.exact == (depth == 1)
    for name in ("ntk_mean", "ntk_variance", "output_variance", "output_fourth_cumulant"):
        rtol = 1e-10 if name in ("ntk_mean", "output_variance") else 1e-5
        np.testing.assert_allclose(getattr(first, name), getattr(exact, name), rtol=rtol)


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
def test_relu_with_biases_keeps_its_mean(depth):
    """E[q'] and E[theta'] are linear in q and theta, so that no order of 1/width shifts them."""
    network = ns.MLP(depth, width=8, bias_variance=0.4)
    moments, wide = ns.finite_width.finite_width_moments(network, X), network.kernels(X)
    np.testing.assert_allclose(moments.ntk_mean, wide.ntk[0], rtol=1e-12)
    np.testing.assert_allclose(moments.output_variance, wide.nngp[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("activation", "parameterization"),
    [("erf", "ntk"), ("tanh", "standard")]
    + [pytest.param(*setting, marks=pytest.mark.slow) for setting in (("gelu", "ntk"), ("leaky_relu", "standard"))],
)
def test_the_recursion_has_the_infinite_kernel_in_the_limit(activation, parameterization):
    network = ns.MLP(3, activation, 10**12, 1.3, 0.2, parameterization)
    wide = network.kernels(X)
    moments = ns.finite_width.finite_width_moments(network, X)
    np.testing.assert_allclose(moments.ntk_mean, wide.ntk[0], rtol=1e-9)
    np.testing.assert_allclose(moments.output_variance, wide.nngp[0], rtol=1e-9)


def test_linear_networks_of_any_depth():
    """The squared length of n Gaussians per layer: kappa_4 = 3 q_0^2 ((1 + 2/n)^L - 1)."""
    moments = ns.finite_width.finite_width_moments(ns.MLP(4, "linear", 10**6, weight_variance=1.0), X)
    q = float(jnp.mean(X**2))
    np.testing.assert_allclose(moments.output_fourth_cumulant, 3 * q**2 * 8e-6, rtol=1e-5)
    np.testing.assert_allclose(moments.ntk_mean, 5 * q, rtol=1e-12)


def test_any_activation_has_the_fourth_cumulant_of_one_hidden_layer():
    network = ns.MLP(1, "tanh", 9, weight_variance=1.3, bias_variance=0.2)
    moments = ns.finite_width.finite_width_moments(network, X)
    assert moments.exact
    np.testing.assert_allclose(moments.output_fourth_cumulant, ns.finite_width.output_fourth_cumulant(network, X), rtol=1e-12)


def test_an_input_of_zeros():
    moments = ns.finite_width.finite_width_moments(ns.MLP(2, "tanh", 9), 0 * X)
    assert [float(v[0]) for v in jax.tree.leaves(moments)] == [0, 0, 0, 0]


def test_one_hidden_layer_in_closed_form():
    """A mean over n independent units: Theta = (q_0 sigma_w^2/n) sum (g^2 + a^2) 1[g > 0], a the readout; kappa_4 of A19."""
    moments = ns.finite_width.finite_width_moments(ns.MLP(1, width=10), X)
    np.testing.assert_allclose(moments.ntk_variance / moments.ntk_mean**2, 3 / 10, rtol=1e-12)
    q = float(2 * jnp.mean(X**2))
    np.testing.assert_allclose(moments.output_fourth_cumulant, 3 * 4 / 10 * (3 * q**2 / 2 - (q / 2) ** 2), rtol=1e-12)


def test_relative_variance_grows_like_depth_over_width():
    """Hanin & Nica (2020): exp(5 L/n) up to a bounded factor, here at L = n."""
    ratios = [
        float((m := ns.finite_width.finite_width_moments(ns.MLP(n, width=n), X)).ntk_variance[0] / m.ntk_mean[0] ** 2)
        for n in (50, 100, 200)
    ]
    steps = np.diff(ratios)
    # Corrections of order 1/n: each doubling halves what is left.
    assert 0 < steps[1] < 0.6 * steps[0] and ratios[-1] < np.expm1(5)


def test_fourth_cumulant_of_relu_and_without_hidden_layers():
    network = ns.MLP(1, width=7, weight_variance=1.3)
    np.testing.assert_allclose(
        ns.finite_width.output_fourth_cumulant(network, X),
        ns.finite_width.finite_width_moments(network, X).output_fourth_cumulant,
        rtol=1e-12,
    )
    assert float(ns.finite_width.output_fourth_cumulant(ns.MLP(0), X)[0]) == 0


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
def test_fourth_cumulant_is_that_of_drawn_networks(activation):
    """S given the hidden units, drawn here directly: readout weights are Gaussian, so kappa_4 = 3 Var S."""
    network = ns.MLP(1, activation, width=6, weight_variance=1.7, bias_variance=0.4)
    hidden = jnp.sqrt(1.7 * jnp.mean(X**2) + 0.4) * jax.random.normal(jax.random.key(6), (100_000, 6))
    conditional = 1.7 * np.mean(np.asarray(network.activation(hidden)) ** 2, axis=1) + 0.4
    mean, fourth = float(network.kernels(X).nngp[0, 0]), float(ns.finite_width.output_fourth_cumulant(network, X)[0])
    assert np.max(np.abs(z_scores(conditional, mean, fourth / 3))) < 3.5
    assert abs(z_scores(conditional, mean, 1.3 * fourth / 3)[1]) > 3.5


def test_edgeworth_density_has_the_moments_it_is_given():
    f = np.linspace(-20, 20, 4001)
    density = np.asarray(ns.finite_width.edgeworth_density(f, 1.7, 0.6))
    moments = [np.trapezoid(density * f**k, f) for k in (0, 2, 4)]
    np.testing.assert_allclose(moments, [1, 1.7, 3 * 1.7**2 + 0.6], rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0.0, 0.0, 0.1), "variance must be positive"),
        ((0.0, 1.0, np.nan), "fourth_cumulant must be finite"),
    ],
)
def test_bad_density(arguments, text):
    with pytest.raises(ValueError, match=text):
        ns.finite_width.edgeworth_density(*arguments)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (ns.MLP(2, width=8), "depth must be at most 1 .*got 2"),
        (ns.MLP(1), "width must be an integer for a finite network; got None"),
        (ns.MLP(1, width=8, parameterization="standard", initialization="torch"), 'initialization must be "normal"'),
    ],
)
def test_bad_network_for_the_fourth_cumulant(network, text):
    with pytest.raises(ValueError, match=text):
        ns.finite_width.output_fourth_cumulant(network, X)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (ns.MLP(1), "width must be an integer for a finite network; got None"),
        (
            ns.MLP(1, width=8, parameterization="standard", initialization="torch"),
            "initialization must be \"normal\"; got 'torch'",
        ),
    ],
)
def test_bad_input(network, text):
    with pytest.raises(ValueError, match=text):
        ns.finite_width.finite_width_moments(network, X)
