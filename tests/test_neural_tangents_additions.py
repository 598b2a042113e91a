"""What this version of load() and from_stax adds; to be merged into tests/test_neural_tangents.py."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_shortcuts.kernels import neural_tangents


@pytest.fixture
def problem(rng):
    stax = neural_tangents.load().stax
    init, apply, kernel = stax.serial(stax.Dense(64, 1.3, 0.2), stax.Relu(), stax.Dense(1, 1.3, 0.2))
    x1, x2 = jnp.asarray(rng.normal(size=(5, 7))), jnp.asarray(rng.normal(size=(4, 7)))
    params = init(jax.random.key(0), x1.shape)[1]
    return apply, params, x1, jnp.sign(x1[:, :1]), kernel(x1, None, "ntk"), kernel(x2, x1, "ntk")


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


def test_max_learning_rate(problem):
    train = problem[4]
    rate = neural_tangents.load().predict.max_learning_rate(train, 5, eps=0.0)
    np.testing.assert_allclose(rate, 2 * 5 / np.linalg.eigvalsh(train)[-1], rtol=1e-10)


@pytest.mark.parametrize("implementation", [0, 3])
def test_implementations_that_cannot_work_say_so(problem, implementation):
    apply, params, x1, *_ = problem
    with pytest.raises(NotImplementedError, match=r"implementation must be 1 .* or 2"):
        neural_tangents.load().empirical_ntk_fn(apply, implementation=implementation)(x1, None, params)


def test_strict_sessions(rng):
    stax = neural_tangents.load().stax
    layers = (stax.Conv(8, (3, 3), padding="CIRCULAR"), stax.Relu(), stax.AvgPool((2, 2), (2, 2)))
    kernel_fn = stax.serial(*layers, stax.Flatten(), stax.Dense(1))[2]
    images = rng.normal(size=(3, 36))
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        assert neural_tangents.from_stax(kernel_fn, (6, 6, 1)).kernels(images).ntk.shape == (3, 3)


def test_kernels_that_are_missing_or_not_finite():
    from ntk_shortcuts.kernels import Kernels

    for kernels, message in (
        (Kernels(jnp.ones((2, 2)), jnp.full((2, 2), jnp.nan)), r"kernel_fn's ntk must be finite"),
        (Kernels(None, jnp.ones((2, 2))), r"kernel_fn's nngp must be an array.*got None"),
    ):
        network = neural_tangents.from_stax(lambda x1, x2, get, kernels=kernels: kernels)
        with pytest.raises(ValueError, match=message):
            network.kernels(np.eye(2))


def test_not_installed():
    script = """
        import sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.startswith("neural_tangents"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, Blocker())
        finders = list(sys.meta_path)
        from ntk_shortcuts.kernels import neural_tangents
        try:
            neural_tangents.load()
        except ImportError as error:
            assert "pip install 'ntk-shortcuts[neural-tangents]'" in str(error), error
        else:
            raise AssertionError("loaded")
        assert sys.meta_path == finders
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
