"""Empirical kernels against explicit Jacobians, against each other, and their mean against the infinite kernel."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tolerances import ROUNDING, SIGMAS

import ntk_shortcuts as ns
from ntk_shortcuts.kernels import tiles

DIMENSION = 4


def make(depth=2, activation="tanh", width=7, biases=True, parameterization="ntk", initialization="normal", dtype=None):
    network = ns.MLP(depth, activation, width, 1.3, 0.4 if biases else 0.0, parameterization, initialization)
    return network, network.init(jax.random.key(depth), DIMENSION, dtype)


def points(rng, *counts):
    return [rng.normal(size=(count, DIMENSION)) for count in counts]


def jacobian(function, params, x):
    """The derivatives of the outputs, (n, ..., parameters), in one reverse sweep over the whole batch."""
    flat, unravel = ravel_pytree(params)
    return np.asarray(jax.jacrev(lambda vector: function(unravel(vector), x))(flat))


def explicit_ntk(network, params, x1, x2):
    return jacobian(network.apply, params, x1) @ jacobian(network.apply, params, x2).T


def relative(value, reference):
    return float(np.max(np.abs(value - reference)) / np.max(np.abs(reference)))


def check_against_jacobian(rng, depth, activation, biases, parameterization, initialization="normal"):
    network, params = make(depth, activation, 7, biases, parameterization, initialization)
    # Drawn anew, so that no biases are zero and no width equals another.
    x1, x2 = points(rng, 6, 3)
    theta = ns.empirical_ntk(network, params, x1, x2)
    assert theta.shape == (6, 3) and theta.dtype == jnp.float64
    assert relative(theta, explicit_ntk(network, params, x1, x2)) < ROUNDING


SETTINGS = list(itertools.product(range(4), (False, True), ("ntk", "standard")))


@pytest.mark.parametrize(("index", "setting"), enumerate(SETTINGS), ids=str)
def test_mlp_is_the_product_of_jacobians(rng, index, setting):
    depth, biases, parameterization = setting
    # Each activation meets each depth; the slow test has every combination.
    check_against_jacobian(rng, depth, ("relu", "erf", "tanh")[index % 3], biases, parameterization)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_mlp_is_the_product_of_jacobians_everywhere(rng, activation, setting):
    check_against_jacobian(rng, setting[0], activation, *setting[1:])


@pytest.mark.slow
@pytest.mark.parametrize("activation", [*ns.known_activations(), ns.LeakyReLU(0.3)], ids=str)
def test_every_activation(rng, activation):
    check_against_jacobian(rng, 2, activation, True, "standard", "torch")


def test_torch_initialisation_and_a_callable(rng):
    check_against_jacobian(rng, 2, lambda z: jnp.sin(z) + z**2, True, "standard", "torch")


def test_mlp_and_generic_path_agree(rng):
    network, params = make()
    x1, x2 = points(rng, 5, 3)
    for pair in ((x1,), (x1, x2)):
        generic = ns.empirical_ntk(network.apply, params, *pair)
        assert relative(ns.empirical_ntk(network, params, *pair), generic) < ROUNDING


def test_width_of_the_spec_is_not_needed(rng):
    network, params = make()
    infinite = ns.MLP(2, "tanh", None, 1.3, 0.4)
    (x,) = points(rng, 3)
    np.testing.assert_array_equal(ns.empirical_ntk(infinite, params, x), ns.empirical_ntk(network, params, x))


def test_symmetric_is_the_two_argument_kernel(rng):
    network, params = make(biases=False)
    (x,) = points(rng, 5)
    for target in (network, network.apply):
        theta = np.asarray(ns.empirical_ntk(target, params, x))
        np.testing.assert_array_equal(theta, theta.T)
        assert relative(theta, ns.empirical_ntk(target, params, x, x)) < ROUNDING
    nngp = ns.empirical_nngp(network, params, x)
    np.testing.assert_array_equal(nngp, nngp.T)
    assert relative(nngp, ns.empirical_nngp(network, params, x, x)) < ROUNDING


@pytest.mark.parametrize("memory", [1, 2000, 12000])
def test_blocks_change_nothing(rng, memory):
    network, params = make()
    x1, x2 = points(rng, 7, 5)
    for target in (network, network.apply):
        for pair in ((x1,), (x1, x2)):
            theta = ns.empirical_ntk(target, params, *pair, memory=memory)
            assert relative(theta, ns.empirical_ntk(target, params, *pair)) < ROUNDING
    symmetric = np.asarray(ns.empirical_ntk(network, params, x1, memory=memory))
    np.testing.assert_array_equal(symmetric, symmetric.T)
    blocked = ns.empirical_nngp(network, params, x1, x2, memory=memory)
    assert relative(blocked, ns.empirical_nngp(network, params, x1, x2)) < ROUNDING


def test_more_points_than_one_tile(rng):
    network, params = make(depth=1, width=3)
    (x,) = points(rng, 1100)
    theta = np.asarray(ns.empirical_ntk(network, params, x))
    np.testing.assert_array_equal(theta, theta.T)
    assert relative(theta, ns.empirical_ntk(network, params, x, x)) < ROUNDING
    assert relative(theta, explicit_ntk(network, params, x, x)) < ROUNDING


def test_tiles_cover_the_matrix_once_mirrored():
    # Entry (i, j) is 10 i + j above the diagonal, its mirror image below, and i on it.
    def pair(i, j):
        return 10 * (i + jnp.arange(3.0))[:, None] + j + jnp.arange(3.0)[None, :]

    def own(i):
        upper = jnp.triu(pair(i, i), 1)
        return upper + upper.T + jnp.diag(i + jnp.arange(3.0))

    entry = jax.ShapeDtypeStruct((), jnp.float64)
    full = 10 * np.arange(8.0)[:, None] + np.arange(8.0)[None, :]
    expected = np.triu(full, 1) + np.triu(full, 1).T + np.diag(np.arange(8.0))
    np.testing.assert_array_equal(tiles.tiled_symmetric(8, 3, pair, own, entry), expected)
    np.testing.assert_array_equal(tiles.tiled((8, 5), (3, 3), pair, entry), full[:, :5])


def vector_function(params, x):
    hidden = jnp.tanh(x @ params["first"]["weights"] + params["shift"])
    return hidden @ params["second"]


def vector_params(rng):
    return {
        "first": {"weights": jnp.asarray(rng.normal(size=(DIMENSION, 5)))},
        "second": rng.normal(size=(5, 3)),  # NumPy arrays count too
        "shift": jnp.asarray(0.3),
        "steps": jnp.asarray(3),  # integers, numbers and names are held
        "rate": 0.1,
        "name": "adam",
    }


@pytest.mark.parametrize("memory", [2**30, 1000])
def test_several_outputs(rng, memory):
    params = vector_params(rng)
    x1, x2 = points(rng, 5, 3)
    trained = {name: params[name] for name in ("first", "second", "shift")}
    a, b = (jacobian(vector_function, trained, x) for x in (x1, x2))
    theta = ns.empirical_ntk(vector_function, params, x1, x2, memory=memory)
    expected = np.einsum("acp,bdp->abcd", a, b)
    assert theta.shape == (5, 3, 3, 3) and relative(theta, expected) < ROUNDING
    symmetric = ns.empirical_ntk(vector_function, params, x1, memory=memory)
    assert relative(symmetric, np.einsum("acp,bdp->abcd", a, a)) < ROUNDING
    np.testing.assert_array_equal(symmetric, jnp.transpose(symmetric, (1, 0, 3, 2)))
    traced = ns.empirical_ntk(vector_function, params, x1, x2, trace=True, memory=memory)
    assert traced.shape == (5, 3) and relative(traced, np.einsum("abcc->ab", expected)) < ROUNDING


def test_equinox_module(rng):
    module = eqx.nn.MLP(DIMENSION, "scalar", 6, 2, activation=jnp.tanh, key=jax.random.key(0), dtype=jnp.float64)

    def outputs(module, x):
        return jax.vmap(module)(x)

    x1, x2 = points(rng, 5, 3)
    theta = ns.empirical_ntk(outputs, module, x1, x2)
    arrays, rest = eqx.partition(module, eqx.is_inexact_array)
    a, b = (jacobian(lambda free, x: outputs(eqx.combine(free, rest), x), arrays, x) for x in (x1, x2))
    assert relative(theta, a @ b.T) < ROUNDING
    # The same network as an MLP of ours, in the standard parameterisation.
    params = tuple((layer.weight.T, layer.bias) for layer in module.layers)
    params = (*params[:-1], (params[-1][0].reshape(-1, 1), params[-1][1].reshape(1)))
    ours = ns.MLP(2, "tanh", 6, parameterization="standard")
    assert relative(theta, ns.empirical_ntk(ours, params, x1, x2)) < ROUNDING


def test_inputs_of_any_shape(rng):
    kernel = {"filter": jnp.asarray(rng.normal(size=(3, 3, 1, 4))), "readout": jnp.asarray(rng.normal(size=4))}

    def convolution(params, images):
        dimensions = ("NHWC", "HWIO", "NHWC")
        maps = jax.lax.conv_general_dilated(images, params["filter"], (1, 1), "SAME", dimension_numbers=dimensions)
        return jnp.mean(jnp.tanh(maps), axis=(1, 2)) @ params["readout"]

    images = rng.normal(size=(4, 5, 5, 1))
    a = jacobian(convolution, kernel, images)
    assert relative(ns.empirical_ntk(convolution, kernel, images), a @ a.T) < ROUNDING


def test_learning_rates_weight_each_layer(rng):
    network, params = make(depth=1)
    x1, x2 = points(rng, 4, 3)
    rates = [(0.5, 0.0), (2.0, 3.0)]
    weighted = sum(
        rate * (jacobian_of_leaf(network, params, leaf, x1) @ jacobian_of_leaf(network, params, leaf, x2).T)
        for leaf, rate in enumerate(np.ravel(rates))
    )
    for choice in (rates, np.asarray(rates), jnp.asarray(rates)):
        assert relative(ns.empirical_ntk(network, params, x1, x2, learning_rates=choice), weighted) < ROUNDING
    assert relative(ns.empirical_ntk(network.apply, params, x1, x2, learning_rates=tuple(rates)), weighted) < ROUNDING
    one_each = ns.empirical_ntk(network, params, x1, x2, learning_rates=[0.5, 2.0])
    assert relative(one_each, ns.empirical_ntk(network.apply, params, x1, x2, learning_rates=(0.5, 2.0))) < ROUNDING
    plain = ns.empirical_ntk(network, params, x1, x2)
    assert relative(ns.empirical_ntk(network, params, x1, x2, learning_rates=3.0), 3 * plain) < ROUNDING


def jacobian_of_leaf(network, params, index, x):
    leaves, structure = jax.tree.flatten(params)

    def outputs(leaf, x):
        return network.apply(jax.tree.unflatten(structure, [*leaves[:index], leaf, *leaves[index + 1 :]]), x)

    return jacobian(outputs, leaves[index], x)


@pytest.mark.parametrize("initialization", ["normal", "torch"])
def test_rates_that_make_a_standard_network_train_as_an_ntk_one(rng, initialization):
    network, params = make(parameterization="standard", initialization=initialization)
    (x,) = points(rng, 4)
    theta = ns.empirical_ntk(network, params, x, learning_rates="ntk")
    # The same function in the NTK parameterisation: divide each parameter by its standard deviation.
    scaled, expected = [], 0.0
    for index, (weights, biases) in enumerate(params):
        fan_in = weights.shape[0]
        weight, bias = (1.3 / fan_in, 0.4) if initialization == "normal" else (1 / (3 * fan_in),) * 2
        scaled.append((weights / np.sqrt(weight), biases / np.sqrt(bias)))
        for leaf, rate in ((2 * index, weight), (2 * index + 1, bias)):
            a = jacobian_of_leaf(network, params, leaf, x)
            expected = expected + rate * (a @ a.T)
    assert relative(theta, expected) < ROUNDING
    if initialization == "normal":
        twin = ns.MLP(2, "tanh", 7, 1.3, 0.4)
        assert relative(theta, ns.empirical_ntk(twin, tuple(scaled), x)) < ROUNDING
        assert relative(theta, ns.empirical_ntk(twin, tuple(scaled), x, learning_rates="ntk")) < ROUNDING
    assert relative(theta, ns.empirical_ntk(network, params, x)) > 0.1


@pytest.mark.parametrize(
    ("parameterization", "initialization"), [("ntk", "normal"), ("standard", "normal"), ("standard", "torch")]
)
def test_nngp_is_the_covariance_over_readouts(rng, parameterization, initialization):
    network, params = make(1, "relu", 5, True, parameterization, initialization)
    x1, x2 = points(rng, 4, 3)
    nngp = ns.empirical_nngp(network, params, x1, x2)

    def outputs(x):
        draws = jax.vmap(lambda key: network.init(key, DIMENSION)[-1])(jax.random.split(jax.random.key(1), 40_000))
        return np.asarray(jax.vmap(lambda readout: network.apply((*params[:-1], readout), x))(draws))

    a, b = outputs(x1), outputs(x2)
    samples = a[:, :, None] * b[:, None, :]
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert np.max(np.abs(samples.mean(axis=0) - nngp) / error) < SIGMAS
    assert np.max(np.abs(samples.mean(axis=0) - 1.1 * nngp) / error) > SIGMAS  # the twin, 10% off


def test_nngp_is_the_readouts_term_of_the_ntk(rng):
    network, params = make(depth=2)
    x1, x2 = points(rng, 4, 3)
    readout = ns.empirical_ntk(network, params, x1, x2, learning_rates=[0, 0, 1])
    assert relative(ns.empirical_nngp(network, params, x1, x2), readout) < ROUNDING


def test_linear_model_is_its_limit(rng):
    (x,) = points(rng, 4)
    network, params = make(depth=0)
    limit = network.kernels(x)
    assert relative(ns.empirical_ntk(network, params, x), limit.ntk) < ROUNDING
    assert relative(ns.empirical_nngp(network, params, x), limit.nngp) < ROUNDING


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_mean_over_networks_is_the_infinite_kernel(rng, parameterization):
    network = ns.MLP(1, "relu", 512, 1.7, 0.3, parameterization)
    (x,) = points(rng, 3)

    @jax.jit
    @jax.vmap
    def kernels(key):
        params = network.init(key, DIMENSION)
        return jnp.stack([ns.empirical_ntk(network, params, x), ns.empirical_nngp(network, params, x)])

    samples = np.asarray(kernels(jax.random.split(jax.random.key(3), 400)))
    limit = network.kernels(x)
    predicted = np.stack([limit.ntk, limit.nngp])
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert np.max(np.abs(samples.mean(axis=0) - predicted) / error) < SIGMAS
    # The twin: off by 3%, it must be found out, for the NTK and for the NNGP kernel.
    shifted = np.abs(samples.mean(axis=0) - 1.03 * predicted) / error
    assert np.all(np.max(shifted, axis=(1, 2)) > SIGMAS)


@pytest.mark.slow
def test_deep_networks_approach_the_limit_like_one_over_width(rng):
    (x,) = points(rng, 2)
    gaps, errors = [], []
    for width in (8, 32):
        network = ns.MLP(2, "relu", width)

        def kernel(key, network=network):
            return ns.empirical_ntk(network, network.init(key, DIMENSION), x)[0, 1]

        draws = np.asarray(jax.jit(jax.vmap(kernel))(jax.random.split(jax.random.key(4), 200_000)))
        gaps.append(draws.mean() - float(network.kernels(x).ntk[0, 1]))
        errors.append(draws.std() / np.sqrt(len(draws)))
    assert abs(gaps[1] - gaps[0] / 4) < SIGMAS * np.hypot(errors[1], errors[0] / 4) + abs(gaps[0]) / 8


def test_precision_follows_the_parameters(rng):
    (x,) = points(rng, 5)
    for parameterization in ("ntk", "standard"):
        network, params = make(parameterization=parameterization, dtype=jnp.float32)
        single = ns.empirical_ntk(network, params, x)
        double = ns.empirical_ntk(network, jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params), x)
        assert single.dtype == jnp.float32 and double.dtype == jnp.float64
        # Were it computed in float64 and rounded, it would be within 6e-8 everywhere.
        assert 1e-8 < relative(single, double) < 1e-5
        assert ns.empirical_ntk(network, params, x, learning_rates="ntk").dtype == jnp.float32
        assert ns.empirical_nngp(network, params, x).dtype == jnp.float32
        generic = ns.empirical_ntk(network.apply, params, x.astype(np.float32))
        assert generic.dtype == jnp.float32 and relative(generic, double) < 1e-5


def test_transformations(rng):
    network, params = make(depth=1, width=3)
    x1, x2 = points(rng, 5, 3)
    for target in (network, network.apply):
        for memory in (2**30, 1):

            def kernel(params, x, target=target, memory=memory):
                return ns.empirical_ntk(target, params, x, jnp.asarray(x2), memory=memory)

            x = jnp.asarray(x1)
            np.testing.assert_allclose(jax.jit(kernel)(params, x), kernel(params, x), rtol=1e-12)
            several = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
            each = jnp.stack([kernel(jax.tree.map(lambda leaf, i=i: leaf[i], several), x) for i in range(2)])
            np.testing.assert_allclose(jax.vmap(kernel, (0, None))(several, x), each, rtol=1e-12)
            direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), (params, x))
            weight = jnp.asarray(rng.normal(size=(5, 3)))

            def along(step, kernel=kernel, direction=direction, weight=weight):
                moved = jax.tree.map(lambda leaf, change: leaf + step * change, (params, x), direction)
                return jnp.sum(weight * kernel(*moved))

            slope = (along(1e-5) - along(-1e-5)) / 2e-5
            np.testing.assert_allclose(jax.grad(along)(0.0), slope, rtol=1e-6)
            np.testing.assert_allclose(jax.jvp(along, (0.0,), (1.0,))[1], slope, rtol=1e-6)
    gradient = jax.grad(lambda variance: jnp.sum(ns.empirical_nngp(ns.MLP(1, "tanh", 3, variance), params, x1)))(1.3)
    assert np.isfinite(gradient) and gradient > 0


def test_derivative_by_the_variances(rng):
    _, params = make(depth=1, width=3)
    (x,) = points(rng, 3)

    def total(variance):
        return jnp.sum(ns.empirical_ntk(ns.MLP(1, "tanh", 3, variance, 0.4), params, x))

    slope = (total(1.3 + 1e-5) - total(1.3 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(total)(1.3), slope, rtol=1e-6)


def test_errors_name_the_argument(rng):
    network, params = make()
    (x,) = points(rng, 3)
    weights, biases = params[0]

    def refused(match, network=network, params=params, x1=x, x2=None, function=ns.empirical_ntk, **options):
        with pytest.raises(ValueError, match=match):
            function(network, params, x1, x2, **options)

    for function in (ns.empirical_ntk, ns.empirical_nngp):
        refused("x1 must be an array of shape \\(n, 4\\)", x1=x[:, :3], function=function)
        refused("x2 must be an array of shape \\(n, 4\\)", x2=x[:, :3], function=function)
        refused("x1 must be finite", x1=np.full_like(x, np.nan), function=function)
        refused("params must be .* 3 layers.*got '2 layers'", params=params[:2], function=function)
        refused("params must be .* 3 layers", params=None, function=function)
        refused("params must be weights of shape \\(7, fan_out\\) in layer 1", params=(params[0], params[0], params[2]))
        refused("params must be weights of shape \\(7, 1\\) in layer 2", params=(params[0], params[1], params[1]))
        refused("params must be biases of shape \\(7,\\)", params=((weights, biases[:2]), *params[1:]), function=function)
        mixed = ((weights.astype(jnp.float32), biases), *params[1:])
        refused("params must be arrays of one real floating-point dtype", params=mixed, function=function)
        refused("memory must be a positive finite number of bytes", memory=0, function=function)
    refused("network must be an MLP", network=network.apply, function=ns.empirical_nngp)
    refused("network must be an MLP or a JAX function", network="relu")
    for rates in ("sgd", -1.0, [1.0, 1.0], [1.0, 1.0, np.inf], [1.0, 1.0, (1.0, 1.0, 1.0)], [1.0, 1.0, "a"]):
        refused("learning_rates must be None", learning_rates=rates)
    refused("learning_rates must be None or a pytree prefix", network=network.apply, learning_rates=(1.0, 1.0))
    refused("learning_rates must be None or a pytree prefix", network=network.apply, learning_rates=-1.0)
    refused("params must be a pytree with at least one floating-point array", network=network.apply, params=(1, "a"))
    refused("params must be real", network=network.apply, params=jnp.ones(3, complex))
    refused("x1 must be a real array", network=network.apply, x1=np.ones((0, DIMENSION)))
    refused("x1 must be finite", network=network.apply, x1=np.full_like(x, np.inf))
    refused("x2 must be of shape \\(n2, 4\\)", network=network.apply, x2=x[:, :3])
    refused("network must be a function whose outputs", network=lambda p, x: x[:, :, None] * p[0][0][0, 0])
    refused("network must be a function whose outputs", network=lambda p, x: jnp.sum(x * p[0][0][0, 0]))
    refused("network must be a function whose outputs", network=lambda p, x: {"logits": x @ p[0][0]})
