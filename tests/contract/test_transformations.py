"""Every public function eagerly and under jit, vmap and grad, in programs with and without x64, in either precision, twice."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from packaging.version import Version

import ntk_shortcuts as ns

# JAX 0.10.0 hands a program's own constants over in the precision of the moment, whatever it was compiled for: a process that
# uses one function in both precisions fails there.
pytestmark = pytest.mark.skipif(Version(jax.__version__) < Version("0.10.2"), reason="JAX mixes up precisions before 0.10.2")

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(6, 4))
Y = np.array([1.0, -1, 1, -1, 1, -1])
LATENTS = X[:, :2]
FLOW = ns.GradientFlow(3.0)
NETWORKS = {"relu": ns.MLP(1), "erf": ns.MLP(1, "erf", bias_variance=0.1), "tanh": ns.MLP(1, "tanh")}
FINITE = ns.MLP(1, width=8)
PROBES = np.array([[1.0, 0.5], [-0.3, 1.0]])


# Random numbers of another precision are other numbers: drawn once.
PARAMS = jax.tree.map(np.asarray, FINITE.init(KEY, 4, "float64"))


def model(alpha):
    return ns.GenerativeModel((0.85, 0.9), (alpha, 1.0))


def on_data(x, network):
    data = ns.Dataset.from_arrays(x, Y)
    return ns.predict_bias(MODEL, network, FLOW, dataset=data, probes=PROBES, probe_inputs=x[:2]).bias


# Of inputs (6, 4), summed to a number.
OF_INPUTS = {
    **{f"kernels, {name}": lambda x, n=network: n.kernels(x).ntk.sum() for name, network in NETWORKS.items()},
    **{f"outputs, {n}": lambda x, n=w: ns.predict_outputs(n, FLOW, x, Y, x[:2]).mean.sum() for n, w in NETWORKS.items()},
    **{f"data set, {name}": lambda x, n=network: on_data(x, n) for name, network in NETWORKS.items()},
    "gram": lambda x: MODEL.gram(x[:, :2]).sum(),
    "expectation": lambda x: MODEL.class_expectation(x[:, :2]).sum(),
    "density": lambda x: MODEL.density(x[:, :2]).sum(),
    "reliance": lambda x: ns.metrics.reliance(x[:, 0], LATENTS),
    "expected reliance": lambda x: ns.metrics.expected_reliance(x[:, 0], 0.5, LATENTS),
    "whitened": lambda x: ns.whitened(MODEL, ns.MLP(1)).kernels(x[:, :2]).ntk.sum(),
    "finite width": lambda x: ns.finite_width.finite_width_moments(FINITE, x).ntk_mean.sum(),
    "empirical ntk": lambda x: ns.empirical_ntk(FINITE, PARAMS, x).sum(),
    "linearised": lambda x: ns.analysis.linearized_outputs(FINITE, PARAMS, FLOW, x, Y, x[:2]).sum(),
}
# Of one number, the shortcut's amplification.
OF_A_NUMBER = {
    "population": lambda a: ns.predict_bias(model(a), ns.MLP(1), FLOW).bias,
    "average": lambda a: ns.predict_bias(model(a), ns.MLP(1), FLOW, 40).bias,
    **{
        f"leading order, {name}": lambda a, n=network: ns.predict_bias(model(a), n, FLOW, method="leading_order").bias
        for name, network in NETWORKS.items()
    },
    "nested gram": lambda a: ns.GenerativeModel((0.85, 0.9), (a, 1.0), nesting=(1, 0)).gram(LATENTS).sum(),
    "linear bias": lambda a: ns.linear.linear_bias(model(a), ns.MLP(0), FLOW),
    "direction": lambda a: ns.linear.output_direction(model(a), ns.MLP(0), FLOW).sum(),
    "optimal reliance": lambda a: ns.linear.optimal_reliance(model(a)) + 0 * a,
    "limit": lambda a: ns.linear.optimal_reliance_limit(model(a)) + 0 * a,
    "sample": lambda a: model(a).sample(KEY, 10).inputs.sum(),
    # Nothing traced comes in: a constant of the transformation, in float64.
    "constant": lambda a: a * ns.predict_bias(MODEL, ns.MLP(1), FLOW, method="leading_order").bias,
}
FUNCTIONS = {**OF_INPUTS, **OF_A_NUMBER}
# The others repeat the claim at more functions.
QUICK = ("kernels, erf", "gram", "expectation", "reliance", "linear bias")
IN_CI = ("data set, relu", "leading order, relu", "constant")
MARKS = {name: [] for name in QUICK} | {name: [pytest.mark.slow, pytest.mark.branches] for name in IN_CI}
TRANSFORMATIONS = {
    "eager": lambda f, x: f(x),
    "jit": lambda f, x: jax.jit(f)(jnp.asarray(x)),
    "vmap": lambda f, x: jax.vmap(f)(jnp.stack([jnp.asarray(x)] * 2)),
    "grad": lambda f, x: jax.grad(f)(jnp.asarray(x)),
}


def argument(name, dtype):
    return X.astype(dtype) if name in OF_INPUTS else np.asarray(4.0, dtype)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("name", [pytest.param(n, marks=MARKS.get(n, [pytest.mark.slow])) for n in FUNCTIONS])
def test_matrix(name, x64):
    function = FUNCTIONS[name]
    reference = float(function(argument(name, np.float64)))
    for dtype in (np.float64, np.float32):
        for transformation, apply in TRANSFORMATIONS.items():
            for _ in range(2):
                with jax.enable_x64(x64), warnings.catch_warnings():
                    warnings.filterwarnings("error", message=".*truncated.*")
                    found = apply(function, argument(name, dtype))
                found = np.asarray(found)
                assert np.all(np.isfinite(found)), (dtype, transformation)
                if transformation != "grad":
                    # Kernels at given parameters are in the precision of these, as JAX has them.
                    own = name in ("empirical ntk", "linearised")
                    exact = dtype == np.float64 and (x64 or (transformation == "eager" and not own))
                    allowed = np.inf if name == "sample" and not x64 else 1e-9 if exact or name == "optimal reliance" else 2e-3
                    assert np.all(np.abs(found - reference) <= allowed * max(1, abs(reference))), (dtype, transformation)


def test_programs_of_the_other_precision_are_not_in_the_way():
    for x64 in (False, True, False):
        with jax.enable_x64(x64):
            found = jax.jit(FUNCTIONS["linearised"])(jnp.asarray(X))
        assert found.dtype == (np.float64 if x64 else np.float32)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("x64", [False, True])
def test_results_are_numpys_float64(x64):
    with jax.enable_x64(x64), warnings.catch_warnings():
        warnings.simplefilter("error")
        kernels = NETWORKS["erf"].kernels(X)
        law = ns.predict_outputs(NETWORKS["erf"], FLOW, X, Y, X[:2])
        prediction = ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow([1.0, 3.0]), method="leading_order")
        data = MODEL.sample(KEY, 10)
        arrays = [kernels.ntk, law.mean, prediction.mean, prediction.std, prediction.bias, prediction.probes, data.inputs]
        arrays += [MODEL.means, MODEL.gram(LATENTS), ns.metrics.reliance(X[:, 0], LATENTS)]
        for array in arrays:
            assert type(array) is np.ndarray and array.dtype == np.float64
        assert type(ns.predict_bias(MODEL, ns.MLP(1), FLOW, method="leading_order").bias) is float
        # What fault 5 and 38 tripped over: a result met by JAX, and by NumPy in full precision.
        assert bool(jnp.allclose(prediction.mean, prediction.mean))
        gram = ns.MLP(3).kernels(np.random.default_rng(1).normal(size=(40, 2))).nngp
        assert np.linalg.eigvalsh(gram)[0] > -1e-14 * np.linalg.eigvalsh(gram)[-1]


def test_specs_are_keys():
    assert hash(ns.MLP(1)) == hash(ns.MLP(1)) and ns.MLP(1) == ns.MLP(1) and ns.MLP(1) != ns.MLP(2)
    assert len({MODEL, ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)), model(2.0)}) == 2
    assert {FLOW: 1}[ns.GradientFlow(3.0)] == 1 and ns.GradientFlow(3.0) != ns.Ridge(3.0)
    double = jax.jit(lambda network, x: 2.0 * x * network.depth, static_argnums=0)
    assert double(ns.MLP(3), 1.0) == double(ns.MLP(3), 1.0) == 6.0
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda a: hash(model(a)))(2.0)
