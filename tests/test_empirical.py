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
    return np.asarray(jax.jit(jax.jacrev(lambda vector: function(unravel(vector), x)))(flat))


def explicit_ntk(network, params, x1, x2):
    rows = jacobian(network.apply, params, np.concatenate([x1, x2]))
    return rows[: len(x1)] @ rows[len(x1) :].T


def relative(value, reference):
    return float(np.max(np.abs(value - reference)) / np.max(np.abs(reference)))


def check_against_jacobian(rng, depth, activation, biases, parameterization, initialization="normal"):
    network, params = make(depth, activation, 7, biases, parameterization, initialization)
    x1, x2 = points(rng, 6, 3)
    theta = ns.empirical_ntk(network, params, x1, x2)
    assert theta.shape == (6, 3) and theta.dtype == jnp.float64
    assert relative(theta, explicit_ntk(network, params, x1, x2)) < ROUNDING


SETTINGS = list(itertools.product(range(4), (False, True), ("ntk", "standard")))


@pytest.mark.parametrize(
    ("activation", "depth", "biases", "parameterization"),
    [
        ("relu", 1, False, "standard"),
        ("erf", 2, True, "ntk"),
        ("tanh", 3, False, "ntk"),
    ],
)
def test_mlp_is_the_product_of_jacobians(rng, activation, depth, biases, parameterization):
    check_against_jacobian(rng, depth, activation, biases, parameterization)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_mlp_is_the_product_of_jacobians_everywhere(rng, activation, setting):
    check_against_jacobian(rng, setting[0], activation, *setting[1:])


@pytest.mark.slow
@pytest.mark.parametrize("activation", [*ns.kernels.known_activations(), ns.LeakyReLU(0.3)], ids=str)
def test_every_activation(rng, activation):
    check_against_jacobian(rng, 2, activation, True, "standard", "torch")


@pytest.mark.slow
def test_torch_initialisation_and_a_callable(rng):
    check_against_jacobian(rng, 2, lambda z: jnp.sin(z) + z**2, True, "standard", "torch")


@pytest.mark.slow
def test_mlp_and_generic_path_agree(rng):
    network, params = make(activation=lambda z: jnp.sin(z) + z**2)
    x1, x2 = points(rng, 5, 3)
    generic = ns.empirical_ntk(network.apply, params, x1, x2)
    assert relative(ns.empirical_ntk(network, params, x1, x2), generic) < ROUNDING


@pytest.mark.slow
def test_width_of_the_spec_is_not_needed(rng):
    network, params = make()
    infinite = ns.MLP(2, "tanh", None, 1.3, 0.4)
    (x,) = points(rng, 3)
    np.testing.assert_array_equal(ns.empirical_ntk(infinite, params, x), ns.empirical_ntk(network, params, x))


@pytest.mark.parametrize("kind", ["ntk", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("function", "nngp"))])
def test_symmetric_is_the_two_argument_kernel(rng, kind):
    network, params = make(depth=1, biases=False)
    (x,) = points(rng, 5)
    target = network.apply if kind == "function" else network
    kernel = ns.kernels.empirical.empirical_nngp if kind == "nngp" else ns.empirical_ntk
    symmetric = np.asarray(kernel(target, params, x))
    np.testing.assert_array_equal(symmetric, symmetric.T)
    assert relative(symmetric, kernel(target, params, x, x)) < ROUNDING


@pytest.mark.parametrize("kind", ["ntk", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("function", "nngp"))])
@pytest.mark.parametrize("memory", [pytest.param(1, marks=pytest.mark.slow), 4000, pytest.param(9000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("symmetric", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_blocks_change_nothing(rng, kind, memory, symmetric):
    network, params = make(depth=1)
    x1, x2 = points(rng, 7, 5)
    target = network.apply if kind == "function" else network
    kernel = ns.kernels.empirical.empirical_nngp if kind == "nngp" else ns.empirical_ntk
    pair = (x1,) if symmetric else (x1, x2)
    blocked = np.asarray(kernel(target, params, *pair, memory=memory))
    assert relative(blocked, kernel(target, params, *pair)) < ROUNDING
    if symmetric:
        np.testing.assert_array_equal(blocked, blocked.T)


@pytest.mark.slow
def test_more_points_than_one_tile(rng):
    network, params = make(depth=1, width=200)
    (x,) = points(rng, 1100)
    theta = np.asarray(ns.empirical_ntk(network, params, x))
    np.testing.assert_array_equal(theta, theta.T)
    rows, columns = rng.permutation(1100)[:40].reshape(2, 20)
    assert relative(theta[np.ix_(rows, columns)], explicit_ntk(network, params, x[rows], x[columns])) < ROUNDING
    # Blocks of some 600 points, tiles of 512 in each.
    blocked = np.asarray(ns.empirical_ntk(network, params, x, memory=11.6e6))
    np.testing.assert_array_equal(blocked, blocked.T)
    assert relative(blocked, theta) < ROUNDING


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


@pytest.mark.parametrize("memory", [pytest.param(2**30, marks=pytest.mark.slow), 4000])
def test_several_outputs(rng, memory):
    params = vector_params(rng)
    x1, x2 = points(rng, 5, 3)
    trained = {name: params[name] for name in ("first", "second", "shift")}
    rows = jacobian(vector_function, trained, np.concatenate([x1, x2]))
    expected = np.einsum("acp,bdp->abcd", rows, rows)
    theta = ns.empirical_ntk(vector_function, params, x1, memory=memory)
    assert theta.shape == (5, 5, 3, 3) and relative(theta, expected[:5, :5]) < ROUNDING
    np.testing.assert_array_equal(theta, jnp.transpose(theta, (1, 0, 3, 2)))
    theta = ns.empirical_ntk(vector_function, params, x1, x2, trace=True, memory=memory)
    assert theta.shape == (5, 3) and relative(theta, np.einsum("abcc->ab", expected[:5, 5:])) < ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize("memory", [2**30, 4000])
def test_several_outputs_of_two_arguments(rng, memory):
    params = vector_params(rng)
    x1, x2 = points(rng, 5, 3)
    theta = ns.empirical_ntk(vector_function, params, np.concatenate([x1, x2]))
    assert relative(ns.empirical_ntk(vector_function, params, x1, x2, memory=memory), theta[:5, 5:]) < ROUNDING
    trace = ns.empirical_ntk(vector_function, params, x1, trace=True, memory=memory)
    assert relative(trace, np.einsum("abcc->ab", theta[:5, :5])) < ROUNDING


def test_the_kernel_of_a_function_at_traced_parameters(rng):
    """Whose outputs have no values to compare."""
    params = vector_params(rng)
    (x1,) = points(rng, 5)
    trained = {name: jnp.asarray(params[name]) for name in ("second", "shift")}
    theta = jax.jit(lambda trained: ns.empirical_ntk(vector_function, {**params, **trained}, x1, trace=True))(trained)
    assert relative(theta, ns.empirical_ntk(vector_function, params, x1, trace=True)) < ROUNDING


def test_equinox_module(rng):
    def activation(z):
        return jnp.sin(z) + z**2

    module = eqx.nn.MLP(DIMENSION, "scalar", 6, 1, activation=activation, key=jax.random.key(0), dtype=jnp.float64)

    def outputs(module, x):
        return jax.vmap(module)(x)

    x1, x2 = points(rng, 5, 3)
    theta = ns.empirical_ntk(outputs, module, x1, x2)
    # The same network as an MLP of ours, in the standard parameterisation.
    params = tuple((layer.weight.T, layer.bias) for layer in module.layers)
    params = (*params[:-1], (params[-1][0].reshape(-1, 1), params[-1][1].reshape(1)))
    ours = ns.MLP(1, activation, 6, parameterization="standard")
    assert relative(theta, ns.empirical_ntk(ours, params, x1, x2)) < ROUNDING


class Residual(eqx.Module):
    """A network that is more than affine layers with activations between."""

    network: ns.MLP

    def apply(self, params, x):
        return self.network.apply(params, x) + jnp.tanh(x[:, 0])


def test_networks_that_are_not_layered_are_differentiated(rng):
    network, params = make(depth=1)
    x1, x2 = points(rng, 4, 3)
    theta = ns.empirical_ntk(Residual(network), params, x1, x2)
    np.testing.assert_allclose(theta, ns.empirical_ntk(network, params, x1, x2), rtol=1e-12)
    with pytest.raises(ValueError, match="network must be an MLP of affine layers and one activation"):
        ns.kernels.empirical.empirical_nngp(Residual(network), params, x1)


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
    assert relative(ns.empirical_ntk(network, params, x1, x2, learning_rates=rates), weighted) < ROUNDING
    assert relative(ns.empirical_ntk(network.apply, params, x1, x2, learning_rates=tuple(rates)), weighted) < ROUNDING


@pytest.mark.slow
def test_forms_of_learning_rates(rng):
    network, params = make(depth=1)
    (x,) = points(rng, 4)

    def theta(rates, target=network):
        return ns.empirical_ntk(target, params, x, learning_rates=rates)

    pairs = [(0.5, 0.5), (2.0, 2.0)]
    for rates in (np.asarray(pairs), jnp.asarray(pairs), [0.5, 2.0], (0.5, (2, 2)), np.asarray([0.5, 2.0])):
        np.testing.assert_array_equal(theta(rates), theta(pairs))
    assert relative(theta((0.5, 2.0), network.apply), theta(pairs)) < ROUNDING
    for rate in (3.0, 3, np.float64(3), jnp.asarray(3.0)):
        assert relative(theta(rate), 3 * theta(None)) < ROUNDING
        assert relative(theta(rate, network.apply), 3 * theta(None)) < ROUNDING
    traced = jax.jit(lambda rates: theta(rates))(jnp.asarray(pairs))
    assert relative(traced, theta(pairs)) < ROUNDING


def jacobian_of_leaf(network, params, index, x):
    leaves, structure = jax.tree.flatten(params)

    def outputs(leaf, x):
        return network.apply(jax.tree.unflatten(structure, [*leaves[:index], leaf, *leaves[index + 1 :]]), x)

    return jacobian(outputs, leaves[index], x)


@pytest.mark.parametrize("initialization", ["normal", pytest.param("torch", marks=pytest.mark.slow)])
def test_rates_that_make_a_standard_network_train_as_an_ntk_one(rng, initialization):
    network, params = make(1, parameterization="standard", initialization=initialization)
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
        twin = ns.MLP(1, "tanh", 7, 1.3, 0.4)
        assert relative(theta, ns.empirical_ntk(twin, tuple(scaled), x)) < ROUNDING
        assert relative(theta, ns.empirical_ntk(twin, tuple(scaled), x, learning_rates="ntk")) < ROUNDING
    assert relative(theta, ns.empirical_ntk(network, params, x)) > 0.1


@pytest.mark.parametrize(
    ("parameterization", "initialization"),
    [
        pytest.param("ntk", "normal", marks=pytest.mark.slow),
        pytest.param("standard", "normal", marks=pytest.mark.slow),
        pytest.param("standard", "torch", marks=pytest.mark.slow),
    ],
)
def test_nngp_is_the_covariance_over_readouts(rng, parameterization, initialization):
    network, params = make(1, "relu", 5, True, parameterization, initialization)
    x1, x2 = points(rng, 4, 3)
    nngp = ns.kernels.empirical.empirical_nngp(network, params, x1, x2)

    @jax.jit
    @jax.vmap
    def outputs(key):
        return network.apply((*params[:-1], network.init(key, DIMENSION)[-1]), np.concatenate([x1, x2]))

    draws = np.asarray(outputs(jax.random.split(jax.random.key(1), 40_000)))
    samples = draws[:, :4, None] * draws[:, None, 4:]
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert np.max(np.abs(samples.mean(axis=0) - nngp) / error) < SIGMAS
    assert np.max(np.abs(samples.mean(axis=0) - 1.1 * nngp) / error) > SIGMAS  # the twin, 10% off


def test_nngp_is_the_readouts_term_of_the_ntk(rng):
    network, params = make(depth=1)
    x1, x2 = points(rng, 4, 3)
    readout = ns.empirical_ntk(network, params, x1, x2, learning_rates=[0, 1])
    assert relative(ns.kernels.empirical.empirical_nngp(network, params, x1, x2), readout) < ROUNDING


def test_linear_model_is_its_limit(rng):
    (x,) = points(rng, 4)
    network, params = make(depth=0)
    limit = network.kernels(x)
    assert relative(ns.empirical_ntk(network, params, x), limit.ntk) < ROUNDING
    assert relative(ns.kernels.empirical.empirical_nngp(network, params, x), limit.nngp) < ROUNDING


@pytest.mark.parametrize("parameterization", [pytest.param("ntk", marks=pytest.mark.slow), "standard"])
def test_mean_over_networks_is_the_infinite_kernel(rng, parameterization):
    network = ns.MLP(1, "relu", 512, 1.7, 0.3, parameterization)
    (x,) = points(rng, 3)

    @jax.jit
    @jax.vmap
    def kernels(key):
        params = network.init(key, DIMENSION)
        return jnp.stack([ns.empirical_ntk(network, params, x), ns.kernels.empirical.empirical_nngp(network, params, x)])

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


@pytest.mark.parametrize("parameterization", ["ntk", pytest.param("standard", marks=pytest.mark.slow)])
def test_precision_follows_the_parameters(rng, parameterization):
    (x,) = points(rng, 5)
    network, params = make(depth=1, parameterization=parameterization)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    single = ns.empirical_ntk(network, params, x)
    double = ns.empirical_ntk(network, jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params), x)
    assert single.dtype == jnp.float32 and double.dtype == jnp.float64
    # Were it computed in float64 and rounded, each entry would be within 6e-8.
    assert np.max(np.abs(single / double - 1)) > 6e-8
    assert relative(single, double) < 1e-5


@pytest.mark.slow
def test_precision_of_the_others_follows_the_parameters(rng):
    (x,) = points(rng, 5)
    network, params = make(dtype=jnp.float32)
    theta = ns.empirical_ntk(network, params, x)
    for other in (
        ns.kernels.empirical.empirical_nngp(network, params, x),
        ns.empirical_ntk(network, params, x, learning_rates="ntk"),
        ns.empirical_ntk(network.apply, params, x),
    ):
        assert other.dtype == jnp.float32
    assert relative(other, theta) < 1e-5


BLOCKED = [
    ("mlp", 1, True),
    *(pytest.param("mlp", memory, symmetric, marks=pytest.mark.slow) for memory, symmetric in ((2**30, 1), (1, 0), (2, 1))),
    *(pytest.param("function", memory, symmetric, marks=pytest.mark.slow) for memory in (2**30, 1) for symmetric in (0, 1)),
]


@pytest.mark.parametrize(("kind", "memory", "symmetric"), BLOCKED)
def test_derivatives_by_parameters_inputs_and_variances(rng, kind, memory, symmetric):
    _, params = make(depth=1, width=3)
    x1, x2 = (jnp.asarray(x) for x in points(rng, 3, 3))
    start = (params, x1, jnp.asarray([1.3, 0.4]))
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), start)
    weight = jnp.asarray(rng.normal(size=(3, 3)))

    def along(step):
        params, x, variances = jax.tree.map(lambda leaf, change: leaf + step * change, start, direction)
        network = ns.MLP(1, "tanh", 3, *variances)
        target = network if kind == "mlp" else network.apply
        return jnp.sum(weight * ns.empirical_ntk(target, params, x, None if symmetric else x2, memory=memory))

    value = jax.jit(along)
    slope = (value(1e-5) - value(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.jit(jax.grad(along))(0.0), slope, rtol=1e-6)
    if (kind, memory, symmetric) != BLOCKED[0]:  # the slow ones
        np.testing.assert_allclose(jax.jit(lambda step: jax.jvp(along, (step,), (1.0,))[1])(0.0), slope, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "function"])
@pytest.mark.parametrize("memory", [1, 2**30])
@pytest.mark.parametrize("symmetric", [True, False])
def test_jit_and_vmap_change_nothing(rng, kind, memory, symmetric):
    network, params = make(depth=1, width=3)
    x1, x2 = (jnp.asarray(x) for x in points(rng, 3, 3))

    def kernel(params):
        target = network if kind == "mlp" else network.apply
        return ns.empirical_ntk(target, params, x1, None if symmetric else x2, memory=memory)

    several = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
    each = jnp.stack([kernel(jax.tree.map(lambda leaf, i=i: leaf[i], several)) for i in range(2)])
    np.testing.assert_allclose(jax.vmap(kernel)(several), each, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(kernel))(several), each, rtol=1e-12)


def test_errors_name_the_argument(rng):
    network, params = make()
    (x,) = points(rng, 3)
    weights, biases = params[0]

    def refused(match, network=network, params=params, x1=x, x2=None, function=ns.empirical_ntk, **options):
        with pytest.raises(ValueError, match=match):
            function(network, params, x1, x2, **options)

    for function in (ns.empirical_ntk, ns.kernels.empirical.empirical_nngp):
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
    refused("network must be an MLP", network=network.apply, function=ns.kernels.empirical.empirical_nngp)
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


def batch_normalized(params, x):
    hidden = x @ params
    return jnp.sum((hidden - jnp.mean(hidden, axis=0)) / (jnp.std(hidden, axis=0) + 1e-3), axis=1)


def dropped_out(params, x):
    hidden = jnp.tanh(x @ params)
    return jnp.sum(hidden * jax.random.bernoulli(jax.random.key(0), 0.5, hidden.shape), axis=1)


@pytest.mark.parametrize("function", [batch_normalized, dropped_out])
@pytest.mark.parametrize("count", [1, 5])
def test_functions_of_the_batch_are_refused(rng, function, count):
    (x,) = points(rng, count)
    x = np.repeat(x[:1], count, axis=0)  # the same points have the same statistics
    with pytest.raises(ValueError, match="network must be a function whose output at a point is the same in any batch"):
        ns.empirical_ntk(function, jnp.asarray(rng.normal(size=(DIMENSION, 6))), x)


@pytest.mark.parametrize("x64", [True, False])
def test_functions_of_a_point_are_refused_with_the_way_out(rng, x64):
    def dot(params, x):
        return jnp.vdot(params, x)

    with jax.enable_x64(x64):
        module = eqx.nn.MLP(DIMENSION, "scalar", 6, 1, key=jax.random.key(0))
        vector = eqx.nn.MLP(DIMENSION, 2, 6, 1, key=jax.random.key(0))
        (x,) = points(rng, 5)
        x = jnp.asarray(x)
        for function, params in ((eqx.nn.MLP.__call__, module), (eqx.nn.MLP.__call__, vector), (dot, x[0])):
            with pytest.raises(ValueError, match=r"network must be .*wrap a function of one input as jax.vmap"):
                ns.empirical_ntk(function, params, x)
            assert ns.empirical_ntk(jax.vmap(function, (None, 0)), params, x, trace=True).shape == (5, 5)
        with pytest.raises(TypeError, match="unexpected"):  # and a function that fails on a point too says what it has to say
            ns.empirical_ntk(lambda params, x: jnp.tanh(x, unexpected=params), x[0], x)
