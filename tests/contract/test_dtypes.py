"""Arrays of any real dtype: float32 is computed in float32, all else in float64, and half precision never fails inside.

The data are whole numbers, so that every dtype holds them exactly and all give the same.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns

DTYPES = ["bfloat16", "float16", "float32", "float64", "int32"]
INPUTS = np.random.default_rng(0).integers(-3, 4, size=(6, 4)).astype(np.float64)
LATENTS, LABELS = INPUTS[:, :2], np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
MODEL, NETWORK = ns.GenerativeModel(), ns.MLP(1, "tanh", width=5)
PARAMS = NETWORK.init(jax.random.key(0), 4, jnp.float32)

# A function of points, or of labels, and the argument at float64.
POINTS = {
    "kernels": (lambda x: ns.MLP(2).kernels(x).ntk, INPUTS),
    "kernels by quadrature": (lambda x: ns.MLP(1, "tanh").kernels(x).ntk, INPUTS),
    "kernels_from_gram": (lambda g: ns.MLP(2).kernels_from_gram(g, np.full(6, 99.0), np.full(4, 99), 4).ntk, INPUTS),
    "preprocessed": (lambda x: ns.networks.Preprocessed(ns.MLP(1), np.eye(4)[:2]).kernels(x).ntk, INPUTS),
    "predict_outputs": (lambda x: ns.predict_outputs(ns.MLP(1), ns.Ridge(0.1), x, LABELS, x).mean, INPUTS),
    "dataset": (lambda x: ns.Dataset.from_arrays(x, LABELS).inputs, INPUTS),
    "finite_width_moments": (lambda x: ns.finite_width.finite_width_moments(ns.MLP(1, width=7), x).ntk_mean, INPUTS),
    "model.gram": (lambda z: MODEL.gram(z, z), LATENTS),
    "class_expectation": (MODEL.class_expectation, LATENTS),
}
VALUES = {
    "labels": (lambda y: ns.predict_outputs(ns.MLP(1), ns.Ridge(0.1), INPUTS, y, INPUTS).mean, LABELS),
    "reliance": (lambda f: ns.metrics.reliance(f, LATENTS), LABELS),
    "expected_reliance": (lambda f: ns.metrics.expected_reliance(f, jnp.abs(jnp.asarray(f)), LATENTS), LABELS),
    "shortcut_bias": (lambda f: ns.metrics.shortcut_bias(f, MODEL, LATENTS), LABELS),
    "edgeworth_density": (lambda f: ns.finite_width.edgeworth_density(f, 2.0, 0.1), LABELS),
    "weight_variance": (lambda v: ns.MLP(1, weight_variance=v).kernels(INPUTS).ntk, np.asarray(2.0)),
    "nesting_gain": (lambda v: ns.GenerativeModel(nesting_gain=v, nesting=(1, 1)).gram(LATENTS, LATENTS), np.asarray(2.0)),
    "slope": (lambda v: ns.MLP(1, ns.LeakyReLU(v)).kernels(INPUTS).ntk, np.asarray(2.0)),
    "strength": (lambda v: ns.predict_outputs(ns.MLP(1), ns.Ridge(v), INPUTS, LABELS, INPUTS).mean, np.asarray(2.0)),
}


def given(value, dtype, kind):
    array = value.astype(jnp.dtype(dtype))
    return jnp.asarray(array) if kind == "jax" else array


@pytest.mark.parametrize("x64", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["jax", "numpy"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*POINTS, *VALUES])
def test_float32_stays_and_all_else_becomes_float64(name, dtype, kind, x64):
    function, value = {**POINTS, **VALUES}[name]
    with jax.enable_x64(x64):
        if dtype == "float64" and not x64:
            kind = "numpy"
        found = function(given(value, dtype, kind))
        expected = np.asarray(function(value), np.float64)
    assert name in VALUES or found.dtype == (np.float32 if dtype == "float32" else np.float64)
    assert found.dtype in (np.float32, np.float64)
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_under_jit(dtype, x64):
    with jax.enable_x64(x64):
        found = jax.jit(lambda x: ns.MLP(2).kernels(x).ntk)(given(INPUTS, dtype, "jax"))
        assert found.dtype == (np.float64 if x64 else np.float32)
        np.testing.assert_allclose(found, ns.MLP(2).kernels(INPUTS).ntk, rtol=1e-5)


@pytest.mark.parametrize("kind", ["jax", "numpy"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_empirical_kernels_follow_the_parameters(dtype, kind):
    x, expected = given(INPUTS, dtype, kind), ns.empirical_ntk(NETWORK, PARAMS, INPUTS)
    for found in (
        ns.empirical_ntk(NETWORK, PARAMS, x),
        ns.kernels.empirical.empirical_nngp(NETWORK, PARAMS, x),
        NETWORK.apply(PARAMS, x),
    ):
        assert found.dtype == jnp.float32
    np.testing.assert_allclose(ns.empirical_ntk(NETWORK, PARAMS, x), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_empirical_kernels_of_half_precision_networks_are_summed_in_float32(dtype):
    half = jax.tree.map(lambda leaf: leaf.astype(dtype), PARAMS)
    exact = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), half)
    x = given(INPUTS, dtype, "jax")
    found, expected = ns.empirical_ntk(NETWORK, half, x), ns.empirical_ntk(NETWORK, exact, INPUTS)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, expected)
    # Of a function the Jacobian is in its own precision, and only the sums are not.
    found = ns.empirical_ntk(NETWORK.apply, half, x)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.02 * np.max(expected))


def linear(params, x):
    return x @ params


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_take_inputs_of_any_dtype(dtype):
    weights = jnp.ones(4, "float32" if dtype == "int32" else dtype)
    x = given(INPUTS, weights.dtype, "numpy")
    np.testing.assert_allclose(ns.empirical_ntk(linear, weights, x), INPUTS @ INPUTS.T, rtol=1e-6)


@pytest.mark.parametrize("value", [INPUTS + 1j, INPUTS > 0, [["a"]]])
def test_what_is_not_real_is_refused(value):
    arrays = [value] if isinstance(value, list) else [value, jnp.asarray(value)]
    for array in arrays:
        with pytest.raises(ValueError, match="x1 must be an array of real numbers"):
            ns.MLP(1).kernels(array)
