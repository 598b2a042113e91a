"""Residual and layer-normalised MLPs: recursions against neural-tangents and wide networks, facts, predictions, training."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import FLOAT32, ROUNDING, SIGMAS

import ntk_shortcuts as ns
from ntk_shortcuts.cli import main
from ntk_shortcuts.kernels import PairMoments
from ntk_shortcuts.kernels import neural_tangents as interop
from ntk_shortcuts.kernels.empirical import empirical_nngp

BOTH = {"residual": 0.5, "normalization": "layer"}
KINDS = {"residual": {"residual": 0.5}, "normalized": {"normalization": "layer"}, "both": BOTH}
MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))


def stax_kernels(depth, activation, weight_variance, bias_variance, residual=None, normalization=None):
    """The same architecture out of neural-tangents' layers."""
    stax = interop.load().stax
    act = {"relu": stax.Relu, "erf": stax.Erf, "linear": stax.Identity, "leaky_relu": lambda: stax.LeakyRelu(0.01)}[activation]

    def dense(width=8, gain=1.0):
        return stax.Dense(width, gain * weight_variance**0.5, gain * bias_variance**0.5 if bias_variance else None)

    seen = [*([stax.LayerNorm()] if normalization else []), act()]
    layers = [dense()]
    for _ in range(depth - 1):
        if residual is None:
            layers += [*seen, dense()]
        else:
            inner = stax.serial(*seen, dense(gain=residual))
            layers += [stax.FanOut(2), stax.parallel(stax.Identity(), inner), stax.FanInSum()]
    return stax.serial(*layers, *seen, dense(1))[2]


PEERS = [
    (3, "relu", 2.0, 0.0, {"residual": 0.5}),
    (3, "relu", 2.0, 0.0, {"normalization": "layer"}),
    (3, "relu", 2.0, 0.0, BOTH),
    (2, "erf", 1.3, 0.2, {"residual": 0.7}),
    (4, "linear", 1.1, 0.1, {"residual": 0.7}),
    (1, "linear", 1.1, 0.0, {"normalization": "layer"}),
]
MORE_PEERS = [
    (depth, activation, 1.7, bias, kind)
    for depth, activation, bias, kind in itertools.product(
        (1, 2, 5), ("relu", "leaky_relu", "erf", "linear"), (0.0, 0.3), KINDS.values()
    )
]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:`FanIn` layers assume independent inputs")
@pytest.mark.parametrize("settings", [PEERS, pytest.param(MORE_PEERS, marks=pytest.mark.slow)], ids=["some", "many"])
def test_kernels_are_those_of_neural_tangents(settings, rng):
    x1, x2 = rng.normal(size=(4, 6)), 1.5 * rng.normal(size=(3, 6))
    for depth, activation, weight, bias, kind in settings:
        network = ns.MLP(depth, activation, None, weight, bias, **kind)
        expected = stax_kernels(depth, activation, weight, bias, **kind)(x1, x2, get=("nngp", "ntk"))
        found = network.kernels(x1, x2)
        from_gram = network.kernels_from_gram(x1 @ x2.T, np.sum(x1**2, 1), np.sum(x2**2, 1), 6)
        for name in ("nngp", "ntk"):
            for kernels in (found, from_gram):
                np.testing.assert_allclose(getattr(kernels, name), getattr(expected, name), rtol=1e-7, err_msg=str(network))
        plain = ns.MLP(depth, activation, None, weight, bias).kernels(x1, x2)
        assert depth == 1 or np.max(np.abs(plain.ntk / expected.ntk - 1)) > 1e-3


@pytest.mark.parametrize(
    ("kind", "parameterization"),
    [("both", "ntk"), *(pytest.param(k, p, marks=pytest.mark.slow) for k in KINDS for p in ("ntk", "standard", "torch"))],
)
def test_wide_networks_have_these_covariances_and_tangent_kernels(kind, parameterization, rng):
    # PyTorch's uniform weights are as good as Gaussian ones where many inputs are summed.
    x = rng.normal(size=(3, 64 if parameterization == "torch" else 4))
    options = {"parameterization": "standard", "initialization": "torch"} if parameterization == "torch" else {}
    options = options or {"weight_variance": 1.6, "bias_variance": 0.3, "parameterization": parameterization}
    keys = jax.random.split(jax.random.key(0), 150)

    def drawn(width):
        """Products of outputs and tangent kernels, over those of infinite width."""
        network = ns.MLP(3, "erf", width=width, **options, **KINDS[kind])
        kernels = network.kernels(x)

        def of_key(key):
            params = network.init(key, x.shape[1])
            outputs = network.apply(params, x)
            return jnp.outer(outputs, outputs) / kernels.nngp, ns.empirical_ntk(network, params, x) / kernels.ntk

        return jax.lax.map(jax.jit(of_key), keys)

    # Means are off by O(1/width), which goes out of twice those of the double width minus the others. Products of single
    # outputs scatter more.
    for coarse, fine, wrong in zip(drawn(96), drawn(192), (3.0, 1.2), strict=True):
        samples = np.asarray(2 * fine - coarse)
        allowed = SIGMAS * samples.std(axis=0) / np.sqrt(len(samples)) + 0.005
        assert np.all(np.abs(samples.mean(axis=0) - 1) < allowed)
        assert not np.all(np.abs(samples.mean(axis=0) - wrong) < allowed)


@pytest.mark.slow
@pytest.mark.branches
def test_the_empirical_kernel_is_the_product_of_jacobians_and_what_needs_layers_is_refused(rng):
    x = rng.normal(size=(3, 4))
    network = ns.MLP(3, width=8, bias_variance=0.2, **BOTH)
    params = network.init(jax.random.key(1), 4)
    jacobian = jax.jacobian(network.apply)(params, x)
    flat = jnp.concatenate([leaf.reshape(3, -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
    np.testing.assert_allclose(ns.empirical_ntk(network, params, x), flat @ flat.T, rtol=1e-10)
    with pytest.raises(ValueError, match="network must be an MLP of affine layers and one activation, no more"):
        empirical_nngp(network, params, x)
    for function, given in (
        (ns.finite_width.finite_width_moments, network),
        (ns.finite_width.output_fourth_cumulant, ns.MLP(1, width=8, normalization="layer")),
    ):
        with pytest.raises(ValueError, match="network must be an MLP of finite width, neither residual nor normalised"):
            function(given, x)
    # Without layers to act on both are plain.
    assert ns.MLP(1, residual=0.5).is_layered and ns.MLP(0, **BOTH).is_layered and not ns.MLP(2, residual=0.5).is_layered


def test_the_plane_has_the_same_outputs(rng):
    basis = np.linalg.qr(rng.normal(size=(20, 2)))[0]
    x = rng.normal(size=(5, 2)) @ basis.T
    for kind, parameterization in itertools.product(KINDS, ("ntk", "standard")):
        network = ns.MLP(3, "tanh", 16, bias_variance=0.1, parameterization=parameterization, **KINDS[kind])
        params = network.init(jax.random.key(2), 20)
        reduced = network.apply(network.on_plane(params, basis), network.plane_inputs(x, basis))
        np.testing.assert_allclose(reduced, network.apply(params, x), rtol=1e-10)


def test_normalised_pre_activations_have_mean_0_and_variance_1(rng):
    block = ns.MLP(2, normalization="layer").block
    seen = block.seen(jnp.asarray(rng.normal(2.0, 3.0, size=(4, 50))))
    np.testing.assert_allclose(np.mean(seen, axis=1), 0, atol=ROUNDING)
    np.testing.assert_allclose(np.mean(seen**2, axis=1), 1, rtol=ROUNDING)
    np.testing.assert_array_equal(block.seen(jnp.zeros((1, 5))), np.zeros((1, 5)))


FACTS = [
    (ns.MLP(3, residual=0.5), (True, False)),
    (ns.MLP(3, normalization="layer"), (False, True)),
    (ns.MLP(2, "erf", normalization="layer"), (False, True)),
    (ns.MLP(2, "tanh", normalization="layer"), (False, True)),
    (ns.MLP(1, residual=0.5, normalization="layer"), (False, True)),  # one layer has nothing to be added to
    (ns.MLP(3, residual=0.5, normalization="layer"), (False, False)),
    (ns.MLP(3, bias_variance=0.1, normalization="layer"), (False, False)),
    (ns.MLP(2, "erf", residual=0.5), (False, False)),
    (ns.MLP(0, residual=0.5, normalization="layer"), (True, False)),
]


@pytest.mark.parametrize(("network", "expected"), FACTS)
def test_facts_are_true_of_the_kernel(network, expected, rng):
    facts = network.facts
    assert (facts.homogeneous, facts.scale_free) == expected
    x, lengths = rng.normal(size=(3, 5)), np.array([0.3, 1.0, 4.0])
    kernel, moved = network.kernels(x).ntk, network.kernels(lengths[:, None] * x).ntk
    grown, same = np.outer(lengths, lengths) * kernel, kernel
    for truth, claim in ((grown, facts.homogeneous), (same, facts.scale_free)):
        assert bool(np.allclose(moved, truth, rtol=1e-6)) == claim
    if facts.homogeneous or facts.scale_free:
        plane = rng.normal(size=(4, 2))
        odd, even = network.angular_kernels(2).sectors(jnp.asarray(plane), jnp.asarray(plane))
        np.testing.assert_allclose(odd.ntk + even.ntk, network.kernels(plane).ntk, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.branches
def test_even_and_linear_facts(rng):
    x = rng.normal(size=(3, 5))
    for network, even, linear in (
        (ns.MLP(2, jnp.cos, normalization="layer"), True, False),
        (ns.MLP(2, jnp.cos, residual=0.5), False, False),
        (ns.MLP(3, "linear", residual=0.5), False, True),
        (ns.MLP(3, "linear", normalization="layer"), False, False),
    ):
        assert (network.facts.even, network.facts.linear) == (even, linear)
        kernel, mirrored = network.kernels(x, x).ntk, network.kernels(x, -x).ntk
        assert bool(np.allclose(kernel, mirrored)) == even
        assert bool(np.allclose(kernel / (x @ x.T), (kernel / (x @ x.T))[0, 0])) == linear


@pytest.mark.slow
@pytest.mark.branches
def test_close_and_degenerate_points_keep_every_digit():
    """At small angles 1 - K is quadratic in the angle: between moments that cancel nothing would be left."""
    angles = np.array([1e-9, 1e-6, 1e-3])
    near = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    far = -near
    moments = PairMoments.from_plane(jnp.array([[1.0, 0.0]]), jnp.asarray(np.concatenate([near, far])))
    doubled = moments.plus(moments.affine(3.0, 0.0))
    np.testing.assert_allclose(doubled.area, 4 * np.sin([*angles, *angles])[None], rtol=1e-12)
    unlike = moments.plus(PairMoments.from_plane(jnp.array([[1.0, 0.0]]), jnp.asarray(np.tile([[2.0, 0.0]], (6, 1)))))
    variances, covariance = (2, 5), 2 + np.cos(angles)
    exact = np.sqrt(variances[0] * variances[1] - covariance**2)
    np.testing.assert_allclose(unlike.area[0, :3], exact, rtol=1e-7)
    normalized = moments.normalized()
    np.testing.assert_allclose(normalized.distance[0, :3], 4 * np.sin(angles / 2) ** 2, rtol=1e-12)
    for kind in KINDS.values():
        points = np.concatenate([np.eye(2), near, far, np.zeros((1, 2)), 1e3 * np.eye(2)])
        network = ns.MLP(5, bias_variance=0.1, **kind)
        exact, single = network.kernels(points).ntk, network.kernels(points.astype(np.float32)).ntk
        assert single.dtype == np.float32 and np.all(np.isfinite(single))
        sizes = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
        assert np.max(np.abs(single - exact)[sizes > 0] / sizes[sizes > 0]) < 4 * FLOAT32


@pytest.mark.parametrize("loss", ["sum", pytest.param("ntk", marks=pytest.mark.slow)])
def test_derivative_in_the_residual_factor(loss, rng):
    x = jnp.asarray(rng.normal(size=(3, 4)))

    @jax.jit
    def total(residual):
        kernels = ns.MLP(3, "relu" if loss == "ntk" else "linear", bias_variance=0.1, residual=residual).kernels(x)
        return jnp.sum(kernels.ntk)

    step = 1e-5
    difference = (total(0.5 + step) - total(0.5 - step)) / (2 * step)
    assert float(jax.jit(jax.grad(total))(0.5)) == pytest.approx(float(difference), rel=1e-7)


def test_a_quadrature_of_large_pre_activations_is_refused_unless_normalised():
    for kind in ({}, {"residual": 0.5}):
        with pytest.raises(ValueError, match="resolved by the quadrature"):
            ns.MLP(2, "tanh", **kind).require_resolved(lambda: jnp.asarray(9e4), 1)
    ns.MLP(2, "tanh", normalization="layer").require_resolved(lambda: jnp.asarray(9e4), 1)
    # A residual block adds up to the readout, a plain layer forgets: what is not small any more is seen.
    ns.MLP(4, "tanh", weight_variance=1.5).require_resolved(lambda: jnp.asarray(10.0), 1)
    with pytest.raises(ValueError, match="resolved by the quadrature"):
        ns.MLP(4, "tanh", weight_variance=1.5, residual=20.0).require_resolved(lambda: jnp.asarray(10.0), 1)


class Scattered(ns.MLP):
    """The same network without its facts: nodes as points of the plane."""

    is_scale_free = False
    is_homogeneous = False


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("samples", [None, pytest.param(100, marks=pytest.mark.slow)])
def test_merged_rays_predict_what_points_in_the_plane_do(samples):
    model, flow = ns.GenerativeModel((0.85, 0.9), (2.0, 1.0)), ns.GradientFlow([3.0, 30.0])
    rays, points = (
        ns.predict_bias(model, kind(2, normalization="layer"), flow, samples, tolerance=0.01) for kind in (ns.MLP, Scattered)
    )
    assert rays.diagnostics["nodes"] != points.diagnostics["nodes"]
    np.testing.assert_allclose(rays.bias, points.bias, atol=5e-3)
    np.testing.assert_allclose(rays.mean, points.mean, atol=0.05 * np.max(np.abs(points.mean)))


@pytest.mark.slow
@pytest.mark.branches
def test_weights_of_samples_are_taken_where_the_nodes_lie_on_their_rays():
    model, flow = ns.GenerativeModel((0.85, 0.9), (2.0, 1.0)), ns.GradientFlow([3.0, 30.0])
    weighted = {"method": "population", "tolerance": 0.01, "sample_weight": lambda z, y: 1 + jnp.abs(z[:, 0])}
    rays, points = (ns.predict_bias(model, kind(1, normalization="layer"), flow, **weighted) for kind in (ns.MLP, Scattered))
    np.testing.assert_allclose(rays.bias, points.bias, atol=3e-3)
    plain = ns.predict_bias(model, ns.MLP(1, normalization="layer"), flow, method="population", tolerance=0.01)
    assert np.max(np.abs(np.asarray(plain.bias) - rays.bias)) > 0.01


@pytest.mark.slow
@pytest.mark.branches
def test_axes_and_command_line(capsys):
    table = ns.sweep(
        {"residual": [0.25], "normalization": ["none", "layer"]},
        MODEL,
        ns.MLP(2, residual=0.5),
        ns.GradientFlow(3.0),
        method="population",
        tolerance=0.1,
    )
    assert table["bias"].shape == (1, 2) and len(np.unique(table["bias"])) == 2
    network = ns.MLP(2, residual=0.25, normalization="layer")
    expected = ns.predict_bias(MODEL, network, ns.GradientFlow(3.0), method="population", tolerance=0.1).bias
    assert float(table["bias"].sel(residual=0.25, normalization="layer")) == expected
    line = "predict --predictivity 0.85 0.9 --amplification 4 1 --depth 2 --time 3 --tolerance 0.1 --json"
    assert main(f"{line} --residual 0.25 --normalization layer".split()) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bias"] == expected and found["residual"] == 0.25 and found["normalization"] == "layer"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_wide_trained_networks_have_the_predicted_bias(kind):
    """On the networks' own data sets, from their own outputs at initialisation; a shifted prediction is seen."""
    training = ns.GradientDescent(0.1, [30, 300])
    network = ns.MLP(3, width=512, **KINDS[kind])
    e = ns.train_ensemble(MODEL, network, training, 200, 4, 4, key=jax.random.key(5))
    assert e.plane
    wide = ns.MLP(3, **KINDS[kind])
    gaps = []
    for index in range(4):
        own = e.initial_train_outputs[index], e.initial_outputs[index]
        p = ns.predict_bias(MODEL, wide, training, method="dataset", dataset=e.dataset(index), initial_outputs=own)
        gaps.append(np.asarray(e.bias)[:, index] - np.asarray(p.bias).reshape(2, -1))
    gaps = np.concatenate(gaps, axis=1)  # (times, networks)
    error = gaps.std(axis=1, ddof=1) / np.sqrt(gaps.shape[1])
    assert np.all(np.abs(gaps.mean(axis=1)) < np.maximum(SIGMAS * error, 0.05)), (gaps.mean(axis=1), error)
    assert not np.all(np.abs(gaps.mean(axis=1) + 0.3) < np.maximum(SIGMAS * error, 0.05))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_population_flow_takes_them_and_tends_to_the_frozen_kernel(kind):
    flow, key = ns.GradientFlow([1.0, 10.0]), jax.random.key(0)
    network = ns.MLP(2, width=512, **KINDS[kind])
    moving = ns.predict_bias(MODEL, network, flow, method="population_flow", key=key, num_inits=8, order=10)
    frozen = ns.predict_bias(MODEL, ns.MLP(2, **KINDS[kind]), flow, method="population")
    error = np.asarray(moving.bias_std) / np.sqrt(8)
    assert np.all(np.abs(np.asarray(moving.bias) - frozen.bias) < np.maximum(SIGMAS * error, 0.05))


def test_a_traced_factor_of_residual_layers_goes_through_the_recursion():
    """A polynomial in the angle has as many terms as its value asks for."""
    x = np.random.default_rng(0).normal(size=(3, 5))
    of_factor = jax.jit(lambda factor: ns.MLP(2, residual=factor).kernels(x).ntk)
    np.testing.assert_allclose(of_factor(jnp.asarray(0.5)), ns.MLP(2, residual=0.5).kernels(x).ntk, rtol=1e-10)
