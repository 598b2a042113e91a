import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.integrate import quad

import ntk_shortcuts as ns
from ntk_shortcuts.kernels import register
from ntk_shortcuts.kernels.activations.hermite import _hermite_sums
from ntk_shortcuts.kernels.activations.resolve import resolve_activation
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.recursion import mlp_kernels
from ntk_shortcuts.numerics import angle, angle_of_half_tangent, arctan2

ANGLES = [0.0, 1e-6, 1e-3, 0.3, 1.5, 3.0, np.pi - 1e-6, np.pi]


def _special_points():
    """Latents at all the angles, with unequal norms, an exact parallel, an exact opposite, and zero."""
    first = np.array([[1.0, 0.0]])
    others = [[1.3 * np.cos(a), 1.3 * np.sin(a)] for a in ANGLES] + [
        [2.0, 0.0],
        [-2.0, 0.0],
        [0.0, 0.0],
        [1.0, 0.0],
    ]
    return first.astype(np.float32), np.array(others, np.float32)


@pytest.mark.parametrize("bias_variance", [0.0, 0.1])
@pytest.mark.parametrize(
    ("activation", "depth"),
    [(activation, 3) for activation in ("relu", "leaky_relu", "erf", "tanh")]
    + [("relu", 1), pytest.param("sin", 3, marks=pytest.mark.optimized)]
    + [pytest.param(activation, 1, marks=pytest.mark.slow) for activation in ("leaky_relu", "erf", "tanh", "sin")],
)
def test_float32_in_the_plane(activation, depth, bias_variance):
    network = ns.MLP(depth, activation, bias_variance=bias_variance)
    model = ns.GenerativeModel(amplification=(4.0, 1.0))
    z1, z2 = _special_points()
    kernel = ns.laws.LawKernel(model, network)
    low, high = kernel(z1, z2), kernel(z1.astype(np.float64), z2.astype(np.float64))
    for a, b in ((low.nngp, high.nngp), (low.ntk, high.ntk)):
        assert a.dtype == jnp.float32 and b.dtype == jnp.float64
        # The second term, one unit roundoff of the largest entry, is for pairs at which a kernel with biases changes
        # sign, where no relative error is bounded.
        floor = 2**-24 * np.max(np.abs(b)) if bias_variance else 1e-30
        assert np.all(np.abs(a - b) <= 2e-6 * np.abs(b) + floor)


@pytest.mark.parametrize("dimension", [3, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.branches])])
def test_float32_points_have_no_angle_with_themselves(dimension, rng):
    """In a chaotic network an angle of 1e-8 grows to 1 within 20 layers and takes the diagonal with it."""
    x = rng.normal(size=(50, dimension)).astype(np.float32)
    for others in (x, 2 * x, -x):
        assert np.all(np.diag(PairMoments.from_inputs(jnp.asarray(x), jnp.asarray(others)).area) == 0)
    chaotic = ns.MLP(30, "erf", weight_variance=100.0)
    own = np.diag(chaotic.kernels(x.astype(np.float64)).ntk)
    np.testing.assert_allclose(np.diag(chaotic.kernels(x).ntk), own, rtol=1e-4)


@pytest.mark.parametrize("depth", [1, 3])
def test_float32_in_high_dimension(depth, rng):
    x = rng.normal(size=(1, 100)).astype(np.float32)
    perpendicular = rng.normal(size=(1, 100)).astype(np.float32)
    others = np.concatenate([x, 2 * x, -x, x + 1e-6 * perpendicular, np.zeros_like(x), perpendicular, x + perpendicular])
    network = ns.MLP(depth, bias_variance=0.1)
    low, high = network.kernels(x, others), network.kernels(x.astype(np.float64), others.astype(np.float64))
    for a, b in ((low.nngp, high.nngp), (low.ntk, high.ntk)):
        np.testing.assert_allclose(a, b, rtol=2e-5)


@pytest.mark.parametrize(
    ("activation", "dtype"),
    [("linear", np.float32), ("relu", np.float32), ("erf", np.float64)]
    + [
        pytest.param(activation, dtype, marks=pytest.mark.slow)
        for activation, dtype in (
            *(("linear", np.float64), ("relu", np.float64), ("erf", np.float32), ("tanh", np.float32)),
            *(("leaky_relu", np.float32), ("leaky_relu", np.float64), ("tanh", np.float64)),
        )
    ],
)
def test_gradients_are_finite_everywhere(activation, dtype):
    z1, z2 = (z.astype(dtype) for z in _special_points())

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2))
    def gradients(x, weight, bias):
        kernels = ns.MLP(2, activation, weight_variance=weight, bias_variance=bias).kernels(x, z2)
        return jnp.sum(kernels.nngp + kernels.ntk)

    found = gradients(jnp.concatenate([z1, z2]), 2.0, 0.1)
    assert found[0].dtype == dtype and all(np.all(np.isfinite(g)) for g in found)


def test_gradient_in_weight_variance_matches_differences():
    x = np.array([[1.0, 0.3], [0.2, -1.0]])

    @jax.jit
    @jax.value_and_grad
    def entry(weight):
        return ns.MLP(3, weight_variance=weight, bias_variance=0.2).kernels(x).ntk[0, 1]

    difference = float(entry(1.7 + 1e-5)[0] - entry(1.7 - 1e-5)[0]) / 2e-5
    assert float(entry(1.7)[1]) == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize(("closed", "function"), [("erf", jax.scipy.special.erf), ("sin", jnp.sin)])
def test_quadrature_agrees_with_closed_forms(closed, function, rng):
    x = rng.normal(size=(6, 5))
    ours = ns.MLP(3, closed, weight_variance=1.7, bias_variance=0.3).kernels(x)
    other = ns.MLP(3, ns.kernels.Quadrature(function), weight_variance=1.7, bias_variance=0.3).kernels(x)
    np.testing.assert_allclose(other.nngp, ours.nngp, rtol=1e-10)
    np.testing.assert_allclose(other.ntk, ours.ntk, rtol=1e-10)
    assert float(other.quadrature_error) < 1e-10


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("activation", ns.kernels.known_activations())
def test_dual_is_the_mean_square_of_the_pointwise_function(activation):
    activation, variance = resolve_activation(activation), 1.7
    a = np.linspace(-12, 12, 200001)  # trapezoidal rule: spectral where the function is smooth, step^2 at a kink
    values = np.asarray(activation(jnp.asarray(np.sqrt(variance) * a))) ** 2 * np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi)
    found = activation.dual(PairMoments.diagonal(jnp.asarray([variance]))).moments.covariance
    np.testing.assert_allclose(found, [np.trapezoid(values, a)], rtol=1e-8)


@pytest.mark.parametrize("variance", [0.3, 20.0])
def test_second_moment_of_a_quadrature_is_the_integral(variance):
    moment, error = ns.kernels.Quadrature(jnp.tanh).second_moment(jnp.asarray([variance]))
    expected = quad(lambda a: np.tanh(a * np.sqrt(variance)) ** 2 * np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi), -12, 12)[0]
    assert abs(float(moment[0]) / expected - 1) <= max(float(error), 1e-12)


def test_terms_that_are_skipped_are_below_rounding():
    sums, tanh = jax.jit(_hermite_sums), ns.kernels.Quadrature(jnp.tanh)
    c = np.array([-1.0, -0.4, 0.0, 1e-9, 0.7, 1 - 1e-12, 1.0])
    for variance in (0.01, 0.3, 2.0, 30.0):
        value, slope = (np.asarray(part) for part in tanh._coefficients(jnp.asarray([variance, 1.1 * variance]))[:2])
        products, powers = [part[:, :1] * part[:, 1:] for part in (value, slope)], c ** np.arange(tanh.degree)[:, None]
        # (1 - c^k) / (1 - c) is the sum of the powers below the k-th.
        below = np.concatenate([np.zeros((1, len(c))), np.cumsum(powers, axis=0)[:-1]])
        expected = [np.sum(a * b, axis=0) for a, b in zip((*products, products[0]), (powers, powers, below), strict=True)]
        found = sums(c, *(jnp.asarray(part[:, i : i + 1]) for part in (value, slope) for i in (0, 1)))
        for ours, direct in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, direct, rtol=1e-12, atol=1e-15 * np.max(np.abs(direct)))


def test_an_activation_unresolved_at_the_probes_is_refused():
    model = ns.GenerativeModel(amplification=(4.0, 1.0))
    model.require_resolved(ns.MLP(2, "tanh"))
    with pytest.raises(ValueError, match=r"network must be resolved by the quadrature of .*an error of"):
        model.require_resolved(ns.MLP(2, ns.kernels.Quadrature(jnp.tanh, degree=12), weight_variance=200.0))


def test_truncation_is_reported(rng):
    x = rng.normal(size=(4, 3)) * 3
    coarse = ns.MLP(1, ns.kernels.Quadrature(jnp.tanh, degree=20)).kernels(x)
    fine = ns.MLP(1, ns.kernels.Quadrature(jnp.tanh, degree=600)).kernels(x)
    error = np.max(np.abs(coarse.nngp - fine.nngp)) / np.max(fine.nngp)
    assert 1e-10 < error <= float(coarse.quadrature_error)


@pytest.mark.parametrize("parameterization", ["ntk", pytest.param("standard", marks=pytest.mark.slow)])
@pytest.mark.parametrize("activation", ["relu", pytest.param("tanh", marks=pytest.mark.slow)])
def test_wide_networks_have_these_covariances_and_tangent_kernels(activation, parameterization, rng):
    x = rng.normal(size=(3, 4))
    network = ns.MLP(2, activation, width=256, weight_variance=1.6, bias_variance=0.3, parameterization=parameterization)

    def drawn(key):
        params = network.init(key, 4)
        outputs, jacobian = network.apply(params, x), jax.jacobian(network.apply)(params, x)
        flat = jnp.concatenate([leaf.reshape(3, -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
        return jnp.outer(outputs, outputs), flat @ flat.T

    products, tangents = map(np.asarray, jax.lax.map(drawn, jax.random.split(jax.random.key(0), 200)))
    kernels = network.kernels(x)
    for samples, expected in ((products, kernels.nngp), (tangents, kernels.ntk)):
        error = samples.std(axis=0) / np.sqrt(len(samples))
        # The mean itself is off by O(1/width), here up to 1 %.
        assert np.all(np.abs(samples.mean(axis=0) - expected) < 4 * error + 0.015 * np.abs(expected))
        assert not np.all(np.abs(samples.mean(axis=0) - 1.5 * expected) < 4 * error + 0.015 * np.abs(expected))


def test_gram_and_inputs_agree(rng):
    x1, x2 = rng.normal(size=(4, 7)), rng.normal(size=(3, 7))
    network = ns.MLP(3, bias_variance=0.1)
    from_gram = network.kernels_from_gram(x1 @ x2.T, np.sum(x1**2, 1), np.sum(x2**2, 1), 7)
    np.testing.assert_allclose(from_gram.ntk, network.kernels(x1, x2).ntk, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"depth": -1}, "depth must be an integer >= 0"),
        ({"depth": 1.5}, "depth must be an integer >= 0"),
        ({"depth": 1, "activation": "rleu"}, "activation must be one of .*relu"),
        ({"depth": 1, "activation": 3}, "activation must be a name, an Activation or a callable; got 3"),
        ({"depth": 1, "width": 0}, "width must be None or an integer >= 1"),
        ({"depth": 1, "weight_variance": 0.0}, "weight_variance must be positive"),
        ({"depth": 1, "bias_variance": -0.1}, "bias_variance must be >= 0"),
        ({"depth": 1, "parameterization": "mup"}, "parameterization must be one of ntk, standard"),
        ({"depth": 1, "initialization": "torch"}, 'parameterization must be "standard"'),
    ],
)
def test_bad_networks(arguments, text):
    with pytest.raises(ValueError, match=text):
        ns.MLP(**arguments)


def test_bad_inputs():
    network = ns.MLP(1)
    with pytest.raises(ValueError, match="x1 must be finite"):
        network.kernels([[np.inf, 0.0]])
    with pytest.raises(ValueError, match="x2 must be an array of shape"):
        network.kernels(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="width must be an integer"):
        ns.MLP(1, parameterization="standard").kernels(np.ones((2, 3)))
    with pytest.raises(ValueError, match="width must be an integer for a finite network"):
        network.init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match="Cauchy-Schwarz"):
        network.kernels_from_gram([[2.0]], [1.0], [1.0], 2)
    with pytest.raises(ValueError, match=r"degree must be an integer in \[2, 2000\]; got 1"):
        ns.kernels.Quadrature(jnp.tanh, degree=1)
    with pytest.raises(ValueError, match="activation 'relu' is already registered"):
        register(network.activation)
    # No series in the angle can stand for what no number of the format is.
    with pytest.raises(
        ValueError, match="network must be of kernels within the range of float64 on these inputs; got 'an overflow"
    ):
        ns.MLP(2, weight_variance=1e200).kernels(np.eye(2))


def _recursion(network, x1, x2):
    """The exact recursion, whatever shorter way the network would take."""
    return mlp_kernels(PairMoments.from_inputs(x1, x2), network.layers(x1.shape[1]), network.activation, x1.shape[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dimension", [2, 6])
@pytest.mark.parametrize(
    "network",
    [
        ns.MLP(2),
        pytest.param(ns.MLP(8, weight_variance=1.3), marks=pytest.mark.slow),
        pytest.param(ns.MLP(3, ns.LeakyReLU(0.05)), marks=pytest.mark.slow),
    ],
)
def test_series_in_the_angle_is_the_recursion(network, dimension, dtype, rng):
    x = rng.normal(size=(9, dimension))
    others = np.concatenate([rng.normal(size=(5, dimension)), x[:1], -2 * x[:1], x[:1] + 1e-7, 0 * x[:1]])
    x, others = jnp.asarray(x, dtype), jnp.asarray(others, dtype)
    series = network.kernels(x, others)
    exact = _recursion(network, x.astype(np.float64), others.astype(np.float64))
    for name in ("nngp", "ntk"):
        np.testing.assert_allclose(getattr(series, name), getattr(exact, name), rtol=1e-13 if dtype == np.float64 else 2e-6)
    assert 0 < float(series.quadrature_error) < 50 * np.finfo(dtype).eps  # zero would be the recursion itself


@pytest.mark.parametrize("network", [ns.MLP(1), ns.MLP(50), ns.MLP(2, ns.LeakyReLU(0.3)), ns.MLP(2, bias_variance=0.1)])
def test_no_series_where_it_is_less_accurate(network, rng):
    x = jnp.asarray(rng.normal(size=(5, 2)))
    kernels, exact = network.kernels(x), _recursion(network, x, x)
    assert float(kernels.quadrature_error) == 0
    np.testing.assert_allclose(kernels.ntk, exact.ntk, rtol=1e-13)


@pytest.mark.parametrize(
    ("network", "dimension"),
    [
        (ns.MLP(1, bias_variance=0.1), 2),
        pytest.param(ns.MLP(3), 7, marks=pytest.mark.slow),
        (ns.MLP(1, "erf"), 7),
        (ns.MLP(2, "linear"), 2),
    ],
)
def test_blocks_make_up_the_matrix(network, dimension, rng):
    x = rng.normal(size=(600, dimension))
    whole, rectangle = network.kernels(x), network.kernels(x, x.copy())
    few = np.array([0, 199, 200, 299, 300, 399, 400, 599])  # the corners of blocks
    for name in ("nngp", "ntk"):
        full = np.asarray(getattr(whole, name))
        np.testing.assert_allclose(full, getattr(rectangle, name), rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(full[:200, 200:], full[200:, :200].T)
        np.testing.assert_allclose(full[np.ix_(few, few)], getattr(network.kernels(x[few]), name), rtol=1e-12, atol=1e-14)


def test_small_angles_in_high_dimension_have_their_own_products(rng):
    x, direction = rng.normal(size=(2, 1, 50))
    direction -= x * np.sum(x * direction) / np.sum(x * x)
    direction *= np.linalg.norm(x) / np.linalg.norm(direction)
    angles = np.array([1e-9, 1e-6, 1e-3, 0.0141, 0.0142, 0.5, 1.5])
    with mpmath.workdps(40):
        expected, turned = [], x + np.tan(angles)[:, None] * direction
        for other in turned:
            products = [
                mpmath.fdot(map(mpmath.mpf, a), map(mpmath.mpf, b)) for a, b in ((x[0], other), (x[0], x[0]), (other, other))
            ]
            expected.append(float(mpmath.acos(products[0] / mpmath.sqrt(products[1] * products[2]))))
    for sign in (1, -1):
        moments = jax.jit(PairMoments.from_inputs)(x, sign * turned)
        found = angle(moments.area, sign * moments.covariance)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=3e-12)


def test_arctan2_and_its_gradient(rng):
    y, x = rng.normal(size=(2, 4000)) * 10.0 ** rng.uniform(-12, 12, size=(2, 4000))
    for dtype in (np.float64, np.float32):
        expected = np.arctan2(y.astype(dtype).astype(np.float64), x.astype(dtype).astype(np.float64))
        found = np.asarray(jax.jit(arctan2)(y.astype(dtype), x.astype(dtype)), np.float64)
        np.testing.assert_allclose(found, expected, rtol=3 * np.finfo(dtype).eps)
    gradients = jax.jit(jax.vmap(jax.grad(arctan2, (0, 1))))(y, x)
    np.testing.assert_allclose(gradients, [x / (x**2 + y**2), -y / (x**2 + y**2)], rtol=1e-13)
    assert float(arctan2(0.0, 0.0)) == 0 and jax.grad(arctan2)(0.0, 0.0) == 0


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(
    "network",
    [
        ns.MLP(1),
        pytest.param(ns.MLP(2, ns.LeakyReLU(0.3), bias_variance=0.1), marks=pytest.mark.slow),
        pytest.param(ns.MLP(1, "erf"), marks=pytest.mark.slow),
    ],
)
def test_gradient_at_right_angles(network):
    """|q| has no derivative at 0, the kernel has."""
    x, other, direction = (jnp.asarray(point) for point in ([[1.0, 0.0]], [[0.0, 2.0]], [[0.3, 1.0]]))

    def entry(step):
        kernels = network.kernels(x + step * direction, other)
        return (kernels.nngp + kernels.ntk)[0, 0]

    difference = float(entry(1e-5) - entry(-1e-5)) / 2e-5
    assert abs(difference) > 0.1 and float(jax.grad(entry)(0.0)) == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize(("dtype", "roundings"), [(np.float64, 4), (np.float32, 4)])
def test_angle_of_half_tangent(dtype, roundings):
    half = np.unique(np.concatenate([np.linspace(0, 1, 200)[1:], np.logspace(-8, 0, 100)]).astype(dtype))
    with mpmath.workdps(40):
        angles = [2 * mpmath.atan(mpmath.mpf(float(t))) for t in half]
        exact = [[float(a) for a in angles], [float(mpmath.sin(a) - a * mpmath.cos(a)) for a in angles]]
    for found, expected in zip(jax.jit(angle_of_half_tangent)(half), exact, strict=True):
        np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=roundings * np.finfo(dtype).eps)
    lag = jax.vmap(jax.grad(lambda t: angle_of_half_tangent(t)[1]))(half)
    sine = 2 * half / (1 + half**2)
    np.testing.assert_allclose(lag, exact[0] * sine * 2 / (1 + half**2), rtol=20 * np.finfo(dtype).eps)


@pytest.mark.slow
@pytest.mark.branches
def test_blocks_of_a_quadrature_make_up_the_matrix(monkeypatch, rng):
    x, y = 2 * rng.normal(size=(10, 3)), rng.normal(size=(7, 3))
    whole = [ns.MLP(2, ns.kernels.Quadrature(jnp.tanh, 40), bias_variance=0.1).kernels(*points) for points in ((x, y), (x,))]
    monkeypatch.setattr("ntk_shortcuts.kernels.activations.hermite._BLOCK", (4, 4))
    network = ns.MLP(2, ns.kernels.Quadrature(jnp.tanh, 40, label="in blocks"), bias_variance=0.1)
    for expected, points in zip(whole, ((x, y), (x,)), strict=True):
        found = network.kernels(*points)
        for name in ("nngp", "ntk", "quadrature_error"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-14)
        assert float(found.quadrature_error) > 1e-8


def test_kernels_of_points_with_themselves_are_the_diagonal_in_float64(rng):
    x = rng.normal(size=(5, 3))
    with jax.enable_x64(False):
        own, whole = ns.MLP(2, bias_variance=0.1).own(x), ns.MLP(2, bias_variance=0.1).kernels(x)
    for name in ("nngp", "ntk"):
        assert getattr(own, name).dtype == np.float64
        np.testing.assert_allclose(getattr(own, name), np.diagonal(getattr(whole, name)), rtol=1e-12)
