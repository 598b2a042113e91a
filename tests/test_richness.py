"""The mean-field parameterisation: its two limits, kernels, training, and the limit of infinite width at fixed richness."""

import json
import pathlib
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import SIGMAS

import ntk_shortcuts as ns
from ntk_shortcuts.analysis import infinite_width_limit
from ntk_shortcuts.cli import main
from ntk_shortcuts.kernels.empirical import empirical_nngp

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
KEY = jax.random.key(0)
WIDTH = 16


def rich(richness, depth=2, width=WIDTH, **options):
    options = {"bias_variance": 0.2, **options}
    return ns.MLP(depth, width=width, parameterization="mean_field", richness=richness, **options)


def scaled(params, richness, width=WIDTH):
    return jax.tree.map(lambda leaf: leaf / (richness * np.sqrt(width)), params)


@pytest.mark.slow
@pytest.mark.branches
def test_one_over_the_root_of_the_width_is_the_ntk_parameterisation(rng):
    x = rng.normal(size=(4, 3))
    for options in ({}, {"residual": 0.5, "normalization": "layer"}):
        network, plain = rich(WIDTH**-0.5, **options), ns.MLP(2, width=WIDTH, bias_variance=0.2, **options)
        params, expected = network.init(KEY, 3), plain.init(KEY, 3)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), params, expected)
        np.testing.assert_allclose(network.apply(params, x), plain.apply(expected, x), rtol=1e-10)
        np.testing.assert_allclose(ns.empirical_ntk(network, params, x), ns.empirical_ntk(plain, expected, x), rtol=1e-10)
        for name in ("nngp", "ntk"):
            np.testing.assert_allclose(getattr(network.kernels(x), name), getattr(plain.kernels(x), name), rtol=1e-10)
    training = ns.GradientDescent(0.05, [1, 30])
    found, expected = (
        ns.train_ensemble(MODEL, kind, training, 20, 1, 2, key=KEY)
        for kind in (rich(WIDTH**-0.5), ns.MLP(2, width=WIDTH, bias_variance=0.2))
    )
    np.testing.assert_allclose(found.outputs, expected.outputs, rtol=1e-10, atol=1e-10 * np.max(np.abs(expected.outputs)))
    other = ns.train_ensemble(MODEL, rich(1.0), training, 20, 1, 2, key=KEY)
    assert np.max(np.abs(other.outputs[1] - expected.outputs[1])) > 0.01


def descended(network, params, x, y, steps=100):
    """Outputs after steps of gradient descent, counted from the start."""

    def risk(params, start):
        return jnp.mean((network.apply(params, x) - start - y) ** 2) / 2

    @jax.jit
    def run(params):
        start = network.apply(params, x)
        body = lambda _, p: jax.tree.map(lambda a, g: a - 0.1 * g, p, jax.grad(risk)(p, start))  # noqa: E731
        return network.apply(jax.lax.fori_loop(0, steps, body, params), x) - start

    return np.asarray(run(params))


def test_small_richness_is_the_frozen_kernel_without_initial_outputs(rng):
    x, y = rng.normal(size=(5, 3)), np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    plain = ns.MLP(1, "tanh", WIDTH, bias_variance=0.2)
    params = plain.init(KEY, 3)
    kernel, frozen = np.asarray(ns.empirical_ntk(plain, params, x)), np.zeros(5)
    for _ in range(100):
        frozen = frozen - 0.1 * kernel @ (frozen - y) / 5
    values = 0.008 / 2.0 ** np.arange(6)

    outputs = np.stack([descended(rich(v, 1, activation="tanh"), scaled(params, v), x, y) for v in values])
    # Powers of the richness are removed one after the other.
    weights = [np.prod(np.delete(values, i) / (np.delete(values, i) - values[i])) for i in range(6)]
    np.testing.assert_allclose(weights @ outputs, frozen, rtol=1e-10, atol=1e-10)
    assert np.max(np.abs(outputs[0] - frozen)) > 1e-5


@pytest.mark.slow
@pytest.mark.branches
def test_kernels_and_moments_at_initialisation(rng):
    x = rng.normal(size=(3, 4))
    network, plain, speed = rich(0.5), ns.MLP(2, width=WIDTH, bias_variance=0.2), 0.25 * WIDTH
    found, expected = network.kernels(x), plain.kernels(x)
    np.testing.assert_allclose(found.nngp, expected.nngp / speed, rtol=1e-12)
    np.testing.assert_allclose(found.ntk, expected.ntk, rtol=1e-12)
    own, params = plain.init(KEY, 4), network.init(KEY, 4)
    np.testing.assert_allclose(network.apply(params, x), plain.apply(own, x) / np.sqrt(speed), rtol=1e-10)
    tangent = ns.empirical_ntk(network, params, x)
    np.testing.assert_allclose(tangent, ns.empirical_ntk(plain, own, x), rtol=1e-10)
    np.testing.assert_allclose(ns.empirical_ntk(network.apply, params, x), tangent, rtol=1e-10)
    np.testing.assert_allclose(empirical_nngp(network, params, x), empirical_nngp(plain, own, x) / speed, rtol=1e-10)
    # At the rates of the NTK parameterisation the same function is speed times slower.
    slow = ns.empirical_ntk(network, params, x, learning_rates="ntk")
    np.testing.assert_allclose(slow, np.asarray(tangent) / speed, rtol=1e-10)
    shallow = [rich(0.5, 1), ns.MLP(1, width=WIDTH, bias_variance=0.2)]
    cumulants = [ns.finite_width.output_fourth_cumulant(kind, x) for kind in shallow]
    np.testing.assert_allclose(cumulants[0], cumulants[1] / speed**2, rtol=1e-12)
    moments = [ns.finite_width.finite_width_moments(kind, x) for kind in (network, plain)]
    np.testing.assert_allclose(moments[0].output_variance, np.asarray(moments[1].output_variance) / speed, rtol=1e-10)
    np.testing.assert_allclose(moments[0].ntk_variance, moments[1].ntk_variance, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.branches
def test_the_lazy_limit_is_the_frozen_kernel_without_random_outputs(rng):
    x = rng.normal(size=(3, 4))
    lazy, plain = (kind(0.0, width=None, bias_variance=0.0) for kind in (rich, lambda *_, **__: ns.MLP(2)))
    assert lazy.is_lazy_limit and not plain.is_lazy_limit and not rich(0.5).is_lazy_limit
    for found, expected in (
        (lazy.kernels(x), plain.kernels(x)),
        (lazy.kernels_from_gram(x @ x.T, np.sum(x**2, 1), np.sum(x**2, 1), 4), plain.kernels(x)),
        (lazy.angular_kernels(4), plain.angular_kernels(4)),
    ):
        assert not np.any(found.nngp)
        np.testing.assert_allclose(found.ntk, expected.ntk, rtol=1e-10)
    flow, options = ns.GradientFlow([1.0, 30.0]), {"method": "population", "tolerance": 0.05}
    p = ns.predict_bias(MODEL, lazy, flow, **options)
    expected = ns.predict_bias(MODEL, plain, flow, random_init=False, **options)
    np.testing.assert_allclose(p.bias, expected.bias, atol=1e-10)
    assert not np.any(p.std) and p.issues == expected.issues


@pytest.mark.slow
@pytest.mark.branches
def test_command_line(capsys):
    line = "predict --method population-flow --width 8 --depth 1 --time 1 --num-inits 2 --json --richness 0.5"
    assert main(line.split()) == 0
    found = json.loads(capsys.readouterr().out)
    network = ns.MLP(1, width=8, parameterization="mean_field", richness=0.5)
    options = {"key": jax.random.key(0), "num_inits": 2}
    expected = ns.predict_bias(ns.GenerativeModel(), network, ns.GradientFlow(1.0), method="population_flow", **options)
    assert found["bias"] == expected.bias
    assert found["parameterization"] == "mean_field" and found["richness"] == 0.5
    table = ns.sweep({"richness": [0.5]}, None, network, ns.GradientFlow(1.0), method="population_flow", **options)
    assert float(table["bias"][0]) == expected.bias


def test_bad_widths():
    flow = ns.GradientFlow(1.0)
    for widths in ((8,), (8, 8), (16, 8), (2, 4, 8, 16)):
        with pytest.raises(ValueError, match="widths must be two or three increasing integers"):
            infinite_width_limit(MODEL, rich(1.0), flow, key=KEY, widths=widths)
    with pytest.raises(ValueError, match="network must be one with a width, such as an MLP"):
        infinite_width_limit(MODEL, "relu", flow, key=KEY)
    with pytest.raises(ValueError, match="num_inits must be an integer >= 2"):
        infinite_width_limit(MODEL, rich(1.0), flow, key=KEY, num_inits=1)
    for option in ("economical", "mirrored"):
        with pytest.raises(ValueError, match="options must be none of economical and mirrored"):
            infinite_width_limit(MODEL, rich(1.0), flow, key=KEY, **{option: True})


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_biases_tend_to_their_limit_like_one_over_the_width(activation):
    network = rich(1.0, 1, activation=activation, bias_variance=0.0)
    flow, options = ns.GradientFlow([2.0, 8.0]), {"order": 8, "key": KEY}
    limit = infinite_width_limit(MODEL, network, flow, widths=(32, 64, 128), num_inits=24, **options)
    two = infinite_width_limit(MODEL, network, flow, widths=(64, 128), num_inits=24, **options)
    np.testing.assert_allclose(two.value, limit.value, atol=1e-6)
    np.testing.assert_allclose(two.value, 2 * limit.bias[2] - limit.bias[1], atol=1e-6)
    wide = ns.predict_bias(MODEL, rich(1.0, 1, 1024, activation=activation, bias_variance=0.0), flow, method="population_flow",
                           num_inits=8, **options)  # fmt: skip
    error = np.hypot(limit.error, np.asarray(wide.bias_std) / np.sqrt(8))
    gap = np.asarray(wide.bias) - limit.value
    assert np.all(np.abs(gap) < np.maximum(SIGMAS * error / 2, 0.01)), (gap, error)
    assert not np.all(np.abs(gap + 0.2) < np.maximum(SIGMAS * error / 2, 0.01))
    # Twice as wide, half as far, where a distance can be seen.
    gaps, errors = np.abs(limit.bias - limit.value), np.hypot(limit.standard_error, limit.error)
    seen = gaps[0] > 4 * errors[0]
    assert np.all(gaps[1, seen] < 0.8 * gaps[0, seen])


@pytest.mark.parametrize("name", ["richness", "architectures"])
def test_tables_on_pages_are_those_of_the_records(name):
    """As the benchmarks print them."""
    root = pathlib.Path(__file__).parents[1]
    namespace = runpy.run_path(str(root / "benchmarks" / f"{name}.py"))
    text = (root / "docs" / "evidence" / f"{name}.md").read_text()
    lines = [line for line in namespace["table"](namespace["read"]()).splitlines() if line]
    assert len(lines) > 10 and [line for line in lines if line not in text] == []
    assert set(namespace["figures"]()) == {name}
