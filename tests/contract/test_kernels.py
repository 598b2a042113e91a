"""What every kernel must do, over one list of networks. A new activation or network is one more entry."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import ROUNDING

import ntk_shortcuts as ns
from ntk_shortcuts.kernels import neural_tangents as interop


@functools.cache
def _stax():
    stax = interop.load().stax
    return interop.from_stax(stax.serial(stax.Dense(32, 1.4, 0.3), stax.Relu(), stax.Dense(1, 1.4, 0.3))[2])


NETWORKS = {
    **{f"{name}-2": ns.MLP(2, name, bias_variance=0.1) for name in ns.kernels.known_activations()},
    "linear model": ns.MLP(0),
    "relu-5": ns.MLP(5),
    "leaky relu": ns.MLP(2, ns.LeakyReLU(0.2)),
    "callable": ns.MLP(1, jnp.arctan, weight_variance=1.5),
    "standard": ns.MLP(2, width=64, parameterization="standard"),
    "torch": ns.MLP(2, width=64, parameterization="standard", initialization="torch"),
    "residual": ns.MLP(3, bias_variance=0.1, residual=0.5),
    "normalized": ns.MLP(3, normalization="layer"),
    "residual and normalized": ns.MLP(3, "erf", bias_variance=0.1, residual=0.5, normalization="layer"),
}


# One closed form is enough for every run: tests/test_kernels.py has gradients of the others, and tests/reference the standard
# parameterisation.
SLOW = {f"{name}-2" for name in ns.kernels.known_activations() if name not in ("linear", "relu")} | {
    "relu-5",
    "leaky relu",
    "callable",
    "standard",
    "torch",
    "residual",
    "normalized",
}


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


@pytest.fixture(params=[*marked(NETWORKS), pytest.param("stax", marks=pytest.mark.peers)])
def network(request):
    return _stax() if request.param == "stax" else NETWORKS[request.param]


@pytest.fixture
def points(rng):
    return rng.normal(size=(7, 5))


def test_symmetric_and_positive_semidefinite(network, points):
    kernels = network.kernels(points)
    for kernel in (np.asarray(kernels.nngp), np.asarray(kernels.ntk)):
        assert kernel.shape == (7, 7) and kernel.dtype == np.float64
        np.testing.assert_allclose(kernel, kernel.T, rtol=ROUNDING, atol=ROUNDING)
        assert np.linalg.eigvalsh(kernel)[0] >= -ROUNDING * np.trace(kernel)
        assert np.all(np.diag(kernel) > 0)


def test_rectangular_block_is_a_block(network, points):
    whole, block = network.kernels(points), network.kernels(points[:3], points[3:])
    for name in ("nngp", "ntk"):
        np.testing.assert_allclose(getattr(block, name), getattr(whole, name)[:3, 3:], rtol=1e-10, atol=ROUNDING)


def test_same_under_jit_and_vmap(network, points):
    plain = network.kernels(points)
    jitted = eqx.filter_jit(lambda x: network.kernels(x))(jnp.asarray(points))
    batched = jax.vmap(lambda x: network.kernels(x))(jnp.stack([jnp.asarray(points), 2 * jnp.asarray(points)]))
    # A stax network takes its angles from a Gram matrix, whose rounding costs half the digits near angle 0.
    tolerance = 1e-8 if isinstance(network, interop.StaxNetwork) else 1e-10
    for name in ("nngp", "ntk"):
        np.testing.assert_allclose(getattr(jitted, name), getattr(plain, name), rtol=tolerance, atol=ROUNDING)
        np.testing.assert_allclose(getattr(batched, name)[0], getattr(plain, name), rtol=tolerance, atol=ROUNDING)


def test_float32_stays_float32(network, points):
    single = network.kernels(points.astype(np.float32))
    assert single.ntk.dtype == jnp.float32 and single.nngp.dtype == jnp.float32
    exact = np.asarray(network.kernels(points.astype(np.float32).astype(np.float64)).ntk)
    tolerance = 1e-3 if isinstance(network, interop.StaxNetwork) else 2e-5
    np.testing.assert_allclose(single.ntk, exact, rtol=tolerance, atol=tolerance * np.max(np.abs(exact)))


def test_gradient_in_the_data(network, points):
    direction = jnp.asarray(np.random.default_rng(1).normal(size=points.shape))

    @jax.jit
    @jax.value_and_grad
    def total(step):
        moved = jnp.asarray(points) + step * direction
        return jnp.sum(jnp.sin(network.kernels(moved[:3], moved[3:]).ntk))

    step = 1e-5
    difference = (total(step)[0] - total(-step)[0]) / (2 * step)
    assert float(total(0.0)[1]) == pytest.approx(float(difference), rel=1e-6, abs=1e-8)


@pytest.mark.slow
@pytest.mark.branches
def test_degenerate_inputs_have_finite_values_and_gradients(network):
    unit = np.array([0.6, 0.8, 0.0])
    degenerate = jnp.asarray(np.stack([unit, unit, -unit, 0 * unit, 2 * unit, unit + 1e-9]))

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def total(x):
        ntk = network.kernels(x).ntk
        return jnp.sum(ntk), ntk

    for dtype in (jnp.float64, jnp.float32):
        (_, ntk), gradient = total(degenerate.astype(dtype))
        assert ntk.dtype == gradient.dtype == dtype and np.all(np.isfinite(ntk))
        if not isinstance(network, interop.StaxNetwork):  # neural-tangents: NaN for a zero input
            assert np.all(np.isfinite(gradient))


def test_no_retrace_for_other_values(points):
    count = 0

    @eqx.filter_jit
    def kernel(network, x):
        nonlocal count
        count += 1
        return network.kernels(x).ntk

    for variance in (1.0, 1.5, 2.0):
        network = eqx.tree_at(lambda n: n.weight_variance, ns.MLP(3), jnp.asarray(variance))
        kernel(network, jnp.asarray(points) * variance)
    assert count == 1


@pytest.mark.parametrize("name", marked(NETWORKS))
def test_gradient_in_the_variances(name, points):
    network = NETWORKS[name]
    if network.initialization == "torch":
        pytest.skip("PyTorch's initialisation replaces both variances")

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def total(weight, bias):
        moved = eqx.tree_at(lambda n: (n.weight_variance, n.bias_variance), network, (weight, bias))
        return jnp.sum(moved.kernels(points).ntk)

    at = jnp.asarray(1.3), jnp.asarray(0.2)
    gradients = total(*at)[1]
    step = 1e-5
    for index, gradient in enumerate(gradients):
        up, down = ([a + s * step * (i == index) for i, a in enumerate(at)] for s in (1, -1))
        assert float(gradient) == pytest.approx(float((total(*up)[0] - total(*down)[0]) / (2 * step)), rel=1e-6)
