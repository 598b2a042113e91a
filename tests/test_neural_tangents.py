"""neural-tangents on today's JAX: that it loads without a trace, and that our kernels agree with its."""

import subprocess
import sys
import textwrap
import threading

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_shortcuts import GradientFlow, predict_bias, sweep
from ntk_shortcuts.kernels import Kernels, neural_tangents
from ntk_shortcuts.laws import GenerativeModel, LawKernel
from ntk_shortcuts.networks import neural_tangents as loader
from ntk_shortcuts.networks.mlp import MLP

LAYERS = {
    "linear": lambda stax: stax.Identity(),
    "relu": lambda stax: stax.Relu(),
    "leaky_relu": lambda stax: stax.LeakyRelu(0.01),
    "erf": lambda stax: stax.Erf(),
    "gelu": lambda stax: stax.Gelu(),
    "sin": lambda stax: stax.Sin(),
}


def dense(depth, activation, weight_variance, bias_variance, width=512, parameterization="ntk"):
    stax = neural_tangents.load().stax
    b_std = float(np.sqrt(bias_variance)) if bias_variance else None
    layers = []
    for fan_out in [*[width] * depth, 1]:
        layers.append(stax.Dense(fan_out, float(np.sqrt(weight_variance)), b_std, parameterization=parameterization))
        layers.append(LAYERS[activation](stax))
    return jax.jit(stax.serial(*layers[:-1])[2], static_argnames="get")


def convolutional():
    stax = neural_tangents.load().stax
    block = stax.serial(stax.Relu(), stax.Conv(8, (3, 3), padding="SAME"), stax.LayerNorm())
    layers = [
        stax.Conv(8, (3, 3), padding="SAME", b_std=0.1),
        stax.FanOut(2),
        stax.parallel(block, stax.Identity()),
        stax.FanInSum(),
    ]
    return stax.serial(*layers, stax.GlobalAvgPool(), stax.Dense(1))[2]


def points(rng, d=10):
    return rng.normal(size=(4, d)), 1.5 * rng.normal(size=(4, d))


@pytest.mark.peers
def test_loading_leaves_jax_as_it_was():
    script = """
        import sys
        import jax, jax.core, jax.interpreters.ad, jax.experimental.ode, jax.example_libraries.stax
        import jax.extend.core, jax.extend.linear_util, jax.scipy.special
        from ntk_shortcuts.kernels import neural_tangents
        assert "neural_tangents" not in sys.modules, "imported too early"
        spaces = [module for name, module in sorted(sys.modules.items()) if name.split(".")[0] == "jax"]
        before = {module.__name__: dict(vars(module)) for module in spaces}
        nt = neural_tangents.load()
        for module in spaces:
            new, old = vars(module), before[module.__name__]
            for name in set(new) | set(old):
                assert new.get(name) is old.get(name) or name.startswith("__"), (module.__name__, name)
        for name in ("tensorflow", "tf2jax", "jax.util", "neural_tangents.experimental"):
            assert name not in sys.modules, name
        assert neural_tangents.load() is nt and nt is sys.modules["neural_tangents"]
        for module, name in ((jax.core, "Jaxpr"), (jax, "util"), (jax.interpreters.ad, "zeros_like_p")):
            assert not hasattr(module, name), name
        assert nt._src.empirical.core.Jaxpr is jax.extend.core.Jaxpr
        print("clean")
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert result.returncode == 0 and "clean" in result.stdout, result.stderr


def test_message_when_it_is_not_installed():
    # In a process of its own: a failed import must not disturb the module other tests hold.
    script = """
        import sys
        from ntk_shortcuts.kernels import neural_tangents
        sys.modules["neural_tangents"] = None
        finders = list(sys.meta_path)
        try:
            neural_tangents.load()
        except ImportError as error:
            assert "python -m pip install '.[neural-tangents]'" in str(error), error
        else:
            raise AssertionError("loaded")
        assert sys.meta_path == finders
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


@pytest.mark.peers
def test_another_version_is_tried_with_a_warning():
    script = """
        import importlib.metadata, warnings
        from ntk_shortcuts.kernels import neural_tangents
        importlib.metadata.version = lambda name: "9.9"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert neural_tangents.load().__version__
        assert any("9.9" in str(w.message) and "0.6.5" in str(w.message) for w in caught)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


@pytest.mark.peers
def test_message_when_it_does_not_load_on_this_jax():
    script = """
        import sys
        from ntk_shortcuts.kernels import neural_tangents
        from ntk_shortcuts.networks import neural_tangents as loader
        finders, builtin = list(sys.meta_path), loader.importlib.import_module

        def broken(name):
            module = builtin(name)
            if name.startswith("neural_tangents"):
                raise AttributeError("something is gone")
            return module

        loader.importlib.import_module = broken
        try:
            neural_tangents.load()
        except ImportError as error:
            assert "0.6.5 does not load on JAX" in str(error) and "something is gone" in str(error), error
        else:
            raise AssertionError("loaded")
        assert sys.meta_path == finders and not [name for name in sys.modules if name.startswith("neural_tangents.")]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_without_metadata_no_version_is_named(monkeypatch):
    def missing(name):
        raise loader.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(loader.importlib.metadata, "version", missing)
    assert loader._installed_version() is None


def test_finder_leaves_other_modules_and_missing_ones_alone():
    finder = loader._Finder(loader._overlays())
    assert finder.find_spec("numpy") is None
    assert finder.find_spec("neural_tangents.no_such_module", []) is None


def test_substitutes_for_functions_that_jax_dropped():
    assert loader._safe_map(lambda a, b: a - b, [3, 4], [1, 1]) == [2, 3]
    assert loader._safe_zip("ab", [1, 2]) == [("a", 1), ("b", 2)]
    with pytest.raises(ValueError, match="shorter"):
        loader._safe_zip([1, 2], [1])


@pytest.mark.peers
def test_loading_from_many_threads_gives_one_module():
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(neural_tangents.load())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 8 and len(set(map(id, loaded))) == 1


@pytest.mark.peers
@pytest.mark.parametrize("depth", [2, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (0, 1, 5))])
@pytest.mark.parametrize("activation", sorted(LAYERS))
def test_dense_kernels_agree(rng, activation, depth):
    x1, x2 = points(rng)
    for weight, bias in ((2.0, 0.0), (1.3, 0.4)):
        theirs = dense(depth, activation, weight, bias)
        network = MLP(depth, activation, weight_variance=weight, bias_variance=bias)
        ours, (nngp, ntk) = network.kernels(x1, x2), theirs(x1, x2, get=("nngp", "ntk"))
        np.testing.assert_allclose(ours.nngp, nngp, rtol=1e-7)
        np.testing.assert_allclose(ours.ntk, ntk, rtol=1e-7)


@pytest.mark.peers
@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("depth", [0, 3, pytest.param(1, marks=pytest.mark.slow)])
def test_standard_parameterisation_agrees(rng, depth, bias):
    x1, x2 = points(rng)
    theirs = dense(depth, "relu", 1.7, bias, width=64, parameterization="standard")
    ours = MLP(depth, weight_variance=1.7, bias_variance=bias, width=64, parameterization="standard").kernels(x1, x2)
    nngp, ntk = theirs(x1, x2, get=("nngp", "ntk"))
    np.testing.assert_allclose(ours.nngp, nngp, rtol=1e-10)
    np.testing.assert_allclose(ours.ntk, ntk, rtol=1e-10)


@pytest.mark.peers
def test_from_stax_equals_the_mlp_it_describes(rng):
    model = GenerativeModel(amplification=(3.0, 1.0), input_dim=20)
    network, mlp = neural_tangents.from_stax(dense(2, "relu", 2.0, 0.1)), MLP(2, bias_variance=0.1)
    latents1, latents2 = rng.normal(size=(5, 2)), rng.normal(size=(3, 2))
    theirs, ours = (LawKernel(model, net)(latents1, latents2) for net in (network, mlp))
    np.testing.assert_allclose(theirs.nngp, ours.nngp, rtol=1e-10)
    np.testing.assert_allclose(theirs.ntk, ours.ntk, rtol=1e-10)
    assert theirs.quadrature_error == 0
    # Through the whole house, alone and in a sweep, whose batches stack what a network holds.
    axes, options = {"amplification_ratio": [1.0, 3.0]}, {"training": GradientFlow(30.0), "tolerance": 0.1}
    biases = [sweep(axes, model, net, **options).bias for net in (network, mlp)]
    np.testing.assert_allclose(*biases, rtol=1e-9)
    assert predict_bias(model, network, **options).bias == pytest.approx(float(biases[1][1]), rel=1e-9)


@pytest.mark.slow
@pytest.mark.peers
def test_convolution_residual_layer_norm(rng):
    kernel_fn = convolutional()
    network = neural_tangents.from_stax(kernel_fn, input_shape=(5, 5, 1))
    assert neural_tangents.from_stax(kernel_fn, [5, 5, 1]).input_shape == (5, 5, 1)
    x1, x2 = points(rng, d=25)
    kernels_of = eqx.filter_jit(lambda net, a, b: net.kernels(a, b))
    gram = kernels_of(network, jnp.asarray(x1), None)
    for kernel in (gram.nngp, gram.ntk):
        np.testing.assert_allclose(kernel, kernel.T, rtol=1e-10)
        assert np.linalg.eigvalsh(kernel).min() > 0
    kernels = network.kernels(x1, x2)
    assert kernels.ntk.shape == (4, 4) and kernels.ntk.dtype == jnp.float64
    jitted = kernels_of(network, jnp.asarray(x1), jnp.asarray(x2))
    np.testing.assert_allclose(jitted.ntk, kernels.ntk, rtol=1e-10)
    one = jax.vmap(lambda a, b: network.kernels(a[None], b[None]).ntk[0, 0])
    single = jax.jit(one)(jnp.asarray(x1), jnp.asarray(x2))
    np.testing.assert_allclose(single, jnp.diag(kernels.ntk), rtol=1e-10)
    model = GenerativeModel(input_dim=25)
    z = jnp.asarray(rng.normal(size=(4, 2)))
    latent_of = eqx.filter_jit(lambda net, m, a: LawKernel(m, net)(a))
    latent = latent_of(network, model, z)
    embedded = model.embedding(jax.random.key(0), orthogonal=True)(z)
    np.testing.assert_allclose(latent.ntk, kernels_of(network, embedded, None).ntk, rtol=1e-10)
    other = eqx.tree_at(lambda net: net.key, network, jax.random.key(1))
    assert float(jnp.max(jnp.abs(latent_of(other, model, z).ntk - latent.ntk))) > 1e-6


@pytest.mark.peers
def test_precision_follows_the_inputs(rng):
    network = neural_tangents.from_stax(dense(1, "relu", 2.0, 0.0))
    x = rng.normal(size=(3, 4))
    assert network.kernels(x.astype(np.float32)).ntk.dtype == jnp.float32
    with jax.enable_x64(False):
        assert network.kernels(x.astype(np.float32)).ntk.dtype == jnp.float32
        assert network.kernels(x).ntk.dtype == jnp.float64
        assert LawKernel(GenerativeModel(), network)(x[:, :2]).ntk.dtype == jnp.float64


@pytest.mark.peers
@pytest.mark.slow
def test_other_parts_of_neural_tangents_work(rng):
    nt = neural_tangents.load()
    stax = nt.stax
    x, y = jnp.asarray(rng.normal(size=(6, 4))), jnp.asarray(rng.normal(size=(6, 1)))
    init, apply, kernel = stax.serial(stax.Dense(64), stax.Erf(), stax.Dense(1))
    numerical = stax.serial(stax.Dense(8), stax.ElementwiseNumerical(jnp.tanh, deg=25), stax.Dense(1))[2]
    np.testing.assert_allclose(numerical(x, None, "ntk"), MLP(1, "tanh", weight_variance=1.0).kernels(x).ntk, atol=1e-2)
    x_test = jnp.asarray(rng.normal(size=(3, 4)))
    trained = kernel(x_test, x, "ntk") @ jnp.linalg.solve(kernel(x, None, "ntk"), y)
    predict = nt.predict.gradient_descent_mse_ensemble(kernel, x, y)
    np.testing.assert_allclose(predict(x_test=x_test, get="ntk"), trained, rtol=1e-6)
    timed = nt.predict.gradient_descent_mse(kernel(x, None, "ntk"), y)(t=10.0, fx_train_0=jnp.zeros_like(y))
    assert timed.shape == y.shape
    _, params = init(jax.random.key(0), x.shape)
    values = []
    for implementation in (1, 2):
        values.append(nt.empirical_ntk_fn(apply, implementation=implementation)(x, None, params))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-8)
    np.testing.assert_allclose(values[0], kernel(x, None, "ntk"), atol=0.6)


@pytest.mark.peers
def test_wrong_shapes(rng):
    network = neural_tangents.from_stax(convolutional(), input_shape=(5, 5, 1))
    with pytest.raises(ValueError, match=r"x1.*25.*got.*24"):
        network.kernels(rng.normal(size=(3, 24)))
    with pytest.raises(ValueError, match=r"x2.*\(n, 25\).*got"):
        network.kernels(rng.normal(size=(3, 25)), rng.normal(size=(3, 24)))
    with pytest.raises(ValueError, match=r"25.*got.*100"):
        LawKernel(GenerativeModel(), network)(rng.normal(size=(3, 2)))
    with pytest.raises(ValueError, match="latents"):
        LawKernel(GenerativeModel(input_dim=25), network)(rng.normal(size=(3, 3)))
    without_readout = neural_tangents.from_stax(neural_tangents.load().stax.Conv(8, (3, 3))[2], input_shape=(5, 5, 1))
    with pytest.raises(ValueError, match=r"(?s)(?=.*GlobalAvgPool)(?=.*Flatten)(?=.*Dense.1)"):
        without_readout.kernels(rng.normal(size=(3, 25)))
    with pytest.raises(ValueError, match="input_shape"):
        neural_tangents.from_stax(convolutional(), input_shape=(5, 0, 1))
    with pytest.raises(ValueError, match="kernel_fn"):
        neural_tangents.from_stax("relu")


@pytest.fixture
def problem(rng):
    stax = neural_tangents.load().stax
    init, apply, kernel = stax.serial(stax.Dense(64, 1.3, 0.2), stax.Relu(), stax.Dense(1, 1.3, 0.2))
    x1, x2 = jnp.asarray(rng.normal(size=(5, 7))), jnp.asarray(rng.normal(size=(4, 7)))
    params = init(jax.random.key(0), x1.shape)[1]
    return apply, params, x1, jnp.sign(x1[:, :1]), kernel(x1, None, "ntk"), kernel(x2, x1, "ntk")


@pytest.mark.peers
@pytest.mark.parametrize("time", [2.0, None])
def test_gradient_descent_mse_can_be_jitted_and_differentiated(problem, time):
    nt = neural_tangents.load()
    *_, y, train, test = problem

    def outputs(train, test):
        return nt.predict.gradient_descent_mse(train, y, diag_reg=1e-3)(time, 0.0, 0.0, test)[1]

    expected = outputs(train, test)
    np.testing.assert_allclose(jax.jit(outputs)(train, test), expected, rtol=1e-10)
    np.testing.assert_allclose(jax.vmap(outputs)(train[None], test[None])[0], expected, rtol=1e-10)
    step, direction = 1e-5, jnp.eye(5)
    slope = jax.jvp(lambda k: outputs(k, test), (train,), (direction,))[1]
    difference = outputs(train + step * direction, test) - outputs(train - step * direction, test)
    np.testing.assert_allclose(slope, difference / (2 * step), rtol=1e-6, atol=1e-8)
    # One predictor in two traces: nothing of the first may be left in a cache.
    predict = nt.predict.gradient_descent_mse(train, y, diag_reg=1e-3)
    for scale in (1.0, 2.0):
        scaled = jax.jit(lambda s, scale=scale: scale * predict(time, 0.0, 0.0, s)[1])(test)
        np.testing.assert_allclose(scaled, scale * expected, rtol=1e-10)
    np.testing.assert_allclose(predict(time, 0.0, 0.0, test)[1], expected, rtol=1e-10)


@pytest.mark.peers
def test_max_learning_rate(problem):
    train = problem[4]
    rate = neural_tangents.load().predict.max_learning_rate(train, 5, eps=0.0)
    np.testing.assert_allclose(rate, 2 * 5 / np.linalg.eigvalsh(train)[-1], rtol=1e-10)


@pytest.mark.peers
@pytest.mark.parametrize("implementation", [0, 3])
def test_implementations_that_cannot_work_say_so(problem, implementation):
    apply, params, x1, *_ = problem
    with pytest.raises(NotImplementedError, match=r"implementation must be 1 .* or 2"):
        neural_tangents.load().empirical_ntk_fn(apply, implementation=implementation)(x1, None, params)


@pytest.mark.peers
def test_strict_sessions(rng):
    stax = neural_tangents.load().stax
    layers = (stax.Conv(8, (3, 3), padding="CIRCULAR"), stax.Relu(), stax.AvgPool((2, 2), (2, 2)))
    kernel_fn = stax.serial(*layers, stax.Flatten(), stax.Dense(1))[2]
    images = rng.normal(size=(3, 36))
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        assert neural_tangents.from_stax(kernel_fn, (6, 6, 1)).kernels(images).ntk.shape == (3, 3)


def test_kernels_that_are_missing_or_not_finite():
    for kernels, message in (
        (Kernels(jnp.ones((2, 2)), jnp.full((2, 2), jnp.nan)), r"kernel_fn's ntk must be finite"),
        (Kernels(None, jnp.ones((2, 2))), r"kernel_fn's nngp must be an array.*got None"),
    ):
        network = neural_tangents.from_stax(lambda x1, x2, get, kernels=kernels: kernels)
        with pytest.raises(ValueError, match=message):
            network.kernels(np.eye(2))
