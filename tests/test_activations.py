"""Functions given as activations: those that are known are recognised, kinks are warned about."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.kernels.activations import UnresolvedActivationWarning, resolve_activation

KNOWN = [
    ("relu", jax.nn.relu),
    ("relu", lambda x: jnp.maximum(x, 0)),
    ("relu", lambda x: (x + jnp.abs(x)) / 2),
    ("linear", jax.nn.identity),
    ("linear", lambda x: x),
    ("leaky_relu", jax.nn.leaky_relu),
    ("erf", jax.scipy.special.erf),
    ("erf", jax.lax.erf),
    ("erf", lambda x: 1 - jax.scipy.special.erfc(x)),
    ("sin", jnp.sin),
    ("sin", lambda x: -jnp.cos(x + jnp.pi / 2)),
    ("tanh", jnp.tanh),
    ("tanh", jax.nn.tanh),
    ("tanh", jax.lax.tanh),
    ("tanh", lambda x: 2 * jax.nn.sigmoid(2 * x) - 1),
    ("sigmoid", jax.nn.sigmoid),
    ("sigmoid", lambda x: (1 + jnp.tanh(x / 2)) / 2),
    ("silu", jax.nn.silu),
    ("silu", jax.nn.swish),
    ("silu", lambda x: x * jax.nn.sigmoid(x)),
    ("softplus", jax.nn.softplus),
    ("softplus", lambda x: jnp.logaddexp(x, 0.0)),
    ("gelu", functools.partial(jax.nn.gelu, approximate=False)),
    ("gelu", lambda x: x * jax.scipy.stats.norm.cdf(x)),
    ("gelu_tanh", jax.nn.gelu),
    ("gelu_tanh", functools.partial(jax.nn.gelu, approximate=True)),
]


@pytest.mark.parametrize(("name", "function"), KNOWN)
def test_known_functions_are_recognised(name, function):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_activation(function) is resolve_activation(name)


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize("function", [jax.nn.relu, lambda x: jnp.where(x > 0, x, 0.0)])
def test_the_kernel_of_a_relu_is_that_of_relu(rng, function, x64):
    x = rng.normal(size=(5, 4))
    with jax.enable_x64(x64):
        found, expected = ns.MLP(3, function).kernels(x), ns.MLP(3, "relu").kernels(x)
        np.testing.assert_allclose(found.ntk, expected.ntk, rtol=1e-12)
        np.testing.assert_allclose(found.nngp, expected.nngp, rtol=1e-12)
    assert found.quadrature_error < 1e-12


@pytest.mark.parametrize(
    ("slope", "function"),
    [
        (0.2, functools.partial(jax.nn.leaky_relu, negative_slope=0.2)),
        (-1.0, jnp.abs),
        (0.01, lambda x: jnp.where(x < 0, 0.01 * x, x)),
    ],
)
def test_slopes_of_a_leaky_relu_are_read_off(rng, slope, function):
    x = rng.normal(size=(5, 4))
    np.testing.assert_allclose(ns.MLP(2, function).kernels(x).ntk, ns.MLP(2, ns.LeakyReLU(slope)).kernels(x).ntk, rtol=1e-12)


def straight_through(x):
    return x + jax.lax.stop_gradient(jax.nn.relu(x) - x)


# Near to a known one: by values but not derivatives, up to a factor, below 6.
OTHERS = [straight_through, lambda x: 2**0.5 * jax.nn.relu(x), jax.nn.relu6, jax.nn.hard_tanh, jax.nn.selu]


@pytest.mark.parametrize("function", OTHERS)
def test_other_functions_with_kinks_are_warned_about(function):
    with pytest.warns(UnresolvedActivationWarning, match=r"has a kink.*LeakyReLU\(slope\).*Quadrature\(function\)"):
        network = ns.MLP(1, function)
    assert isinstance(network.activation, ns.kernels.Quadrature)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ns.MLP(1, ns.kernels.Quadrature(function))


@pytest.mark.parametrize("function", [jnp.arctan, jax.nn.mish, jax.nn.elu, jax.nn.soft_sign, lambda x: jnp.sin(x) + x**2])
def test_other_functions_without_are_not(function):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(ns.MLP(1, function).activation, ns.kernels.Quadrature)


def test_the_two_forms_of_gelu_differ(rng):
    x = rng.normal(size=(5, 4))
    exact, approximate = (np.asarray(ns.MLP(2, name).kernels(x).ntk) for name in ("gelu", "gelu_tanh"))
    assert 1e-6 < np.max(np.abs(exact / approximate - 1)) < 1e-2


@pytest.mark.parametrize("x64", [True, False])
def test_functions_that_hold_traced_values_are_taken_as_they_are(rng, x64):
    x = rng.normal(size=(3, 4)).astype(np.float32)

    def ntk(scale, x):
        return jnp.sum(ns.MLP(1, lambda z: jnp.tanh(scale * z)).kernels(x).ntk)

    with jax.enable_x64(x64):
        assert np.isfinite(jax.jit(ntk)(2.0, x)) and np.isfinite(jax.jit(jax.grad(ntk))(2.0, x))

    @jax.jit
    def relu(x):
        return ns.MLP(1, lambda z: jnp.maximum(z, 0)).kernels(x).ntk

    np.testing.assert_allclose(relu(x), ns.MLP(1).kernels(x).ntk, rtol=1e-5)


class Scale:
    """A function that holds an array."""

    __hash__ = None

    def __call__(self, x):
        return 2 * jnp.tanh(x)


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (np.tanh, "a JAX function of one variable, elementwise .of jax.numpy, not numpy"),
        (jnp.sum, "a JAX function of one variable, elementwise; got"),
        (lambda x: 1.0, "a JAX function of one variable, elementwise; got"),
        (lambda x: x > 0, "a JAX function of one variable, elementwise; got"),
        (jnp.log, "finite with a finite derivative"),
        (Scale(), "hashable: a function that holds no arrays"),
    ],
)
def test_what_is_no_activation_is_refused(function, match):
    with pytest.raises(ValueError, match=f"activation must be {match}"):
        ns.MLP(1, function)


def test_a_traced_activation_is_not_known_to_be_even():
    import ntk_shortcuts as ns

    assert ns.LeakyReLU(-1.0).is_even and not ns.LeakyReLU(0.3).is_even
    known = []
    jax.jit(lambda slope: known.append(ns.LeakyReLU(slope).is_even) or slope)(-1.0)
    assert known == [False]
