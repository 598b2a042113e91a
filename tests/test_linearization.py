"""Linearised and telescoped predictions: equal to explicit Jacobians, exact where they must be, convergent along the path."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns

MODEL = ns.GenerativeModel(amplification=(3.0, 1.0), input_dim=20)
KEY = jax.random.key(5)


def run(network, steps, segments, rate=0.05, count=24, **options):
    return ns.analysis.telescope(
        MODEL, network, ns.GradientDescent(rate, np.asarray(steps)), count, segments, key=KEY, **options
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        ns.MLP(1, width=9, parameterization="standard", initialization="torch"),
        pytest.param(ns.MLP(2, "tanh", width=7, bias_variance=0.3), marks=pytest.mark.slow),
    ],
)
def test_linearized_outputs_are_descent_of_the_first_order_taylor_expansion(network):
    """The other road: f_0 + J (w - w_0), J by automatic differentiation in R^d, and w by a plain loop of descent."""
    data = MODEL.sample(KEY, 12)
    params = network.init(jax.random.key(1), 20)
    probes = data.embedding(MODEL.probe_grid(4))

    def jacobian(x):
        leaves = jax.tree.leaves(jax.jacobian(network.apply)(params, x))
        return np.concatenate([np.asarray(leaf).reshape(len(x), -1) for leaf in leaves], axis=1)

    at_inputs, at_probes = jacobian(data.inputs), jacobian(probes)
    start, moved = np.asarray(network.apply(params, data.inputs)), np.zeros(at_inputs.shape[1])
    for _ in range(30):
        moved -= 0.05 * at_inputs.T @ (start + at_inputs @ moved - np.asarray(data.labels)) / 12
    expected = np.asarray(network.apply(params, probes)) + at_probes @ moved
    found = ns.analysis.linearized_outputs(network, params, ns.GradientDescent(0.05, 30), data.inputs, data.labels, probes)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.branches
def test_a_network_linear_in_its_parameters_is_predicted_exactly_and_its_kernel_stays():
    result = run(ns.MLP(0), [5, 40], (1, 2), rate=0.3)
    np.testing.assert_allclose(result.telescoped, np.broadcast_to(result.trained, result.telescoped.shape), atol=1e-12)
    assert np.all(result.kernel_change == 0) and np.allclose(result.kernel_alignment, 1)


@pytest.mark.slow
def test_one_segment_is_the_frozen_kernel_and_later_ones_are_linearised_from_the_path():
    network = ns.MLP(1, width=12)
    result = run(network, [4, 9, 20], (1, 3))
    expected = ns.analysis.linearized_outputs(
        *(network, result.params_at(0), ns.GradientDescent(0.05, result.steps)),
        *(result.inputs, result.dataset.labels, result.probe_inputs),
    )
    np.testing.assert_allclose(result.telescoped[0], expected, atol=1e-12)
    # Another road for three segments: kernels from the same path, function values by plain loops.
    labels = np.asarray(result.dataset.labels)
    inside = np.asarray(network.apply(result.params_at(0), result.inputs))
    outside = np.asarray(network.apply(result.params_at(0), result.probe_inputs))
    for index, count in enumerate(np.diff(result.steps)):
        params = result.params_at(index)
        train = np.asarray(ns.empirical_ntk(network.apply, params, result.inputs)) / 24
        cross = np.asarray(ns.empirical_ntk(network.apply, params, result.probe_inputs, result.inputs)) / 24
        for _ in range(count):
            residual = labels - inside
            inside, outside = inside + 0.05 * train @ residual, outside + 0.05 * cross @ residual
        np.testing.assert_allclose(result.telescoped[1, index + 1], outside, atol=1e-10)


@pytest.mark.slow
def test_the_network_followed_is_that_of_the_whole_space():
    """Plain descent in R^d from the same keys; the kernel's movement from explicit kernels there."""
    network = ns.MLP(2, width=8)
    result = run(network, [3, 10], (1,))
    data, params = result.dataset, network.init(jax.random.split(KEY)[1], 20)
    start = np.asarray(ns.empirical_ntk(network, params, data.inputs))
    gradient = jax.jit(jax.grad(lambda p: jnp.mean((network.apply(p, data.inputs) - data.labels) ** 2) / 2))
    for _ in range(10):
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, gradient(params))
    np.testing.assert_allclose(result.trained[-1], network.apply(params, data.embedding(result.probes)), atol=1e-10)
    end, target = np.asarray(ns.empirical_ntk(network, params, data.inputs)), np.outer(data.labels, data.labels)

    def cosine(a, b):
        return np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))

    assert result.kernel_change[-1] == pytest.approx(np.linalg.norm(end - start) / np.linalg.norm(start), rel=1e-9)
    assert result.kernel_alignment[-1] == pytest.approx(cosine(end, start), rel=1e-9)
    assert result.target_alignment[[0, -1]] == pytest.approx([cosine(start, target), cosine(end, target)], rel=1e-9)


@pytest.mark.slow
def test_error_falls_as_one_over_the_number_of_segments():
    """Evenly spaced steps; descent in steps small beside a segment, so that its own error does not show."""
    counts = (1, 2, 4, 8, 16, 32)
    result = run(ns.MLP(2, "tanh", width=16), 10 * np.arange(1, 33), counts, rate=0.02)
    errors = result.error[:, -1]
    assert np.all(np.diff(errors) < 0)
    slope = np.polyfit(np.log(counts[2:]), np.log(errors[2:]), 1)[0]
    assert -1.25 < slope < -0.8
    assert errors[-1] < errors[0] / 10


@pytest.mark.slow
def test_wider_networks_move_their_kernel_less():
    """As 1/width; single networks scatter by a factor of a few around it."""
    narrow, wide = (run(ns.MLP(1, "tanh", width=width), [60], (1,)).kernel_change[-1] for width in (32, 2048))
    assert 1e-4 < wide < narrow / 8


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((ns.MLP(1), [3], (1,)), "width"),
        ((ns.MLP(1, width=4), [3, 2], (1,)), "steps"),
        ((ns.MLP(1, width=4), [0, 2], (1,)), "steps"),
        ((ns.MLP(1, width=4), [3], (2,)), "segments"),
        ((ns.MLP(1, width=4), [3], (0,)), "segments"),
    ],
)
def test_bad_arguments_name_themselves(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        run(*arguments)


def test_own_data_needs_its_embedding_and_divergence_is_an_error():
    data = MODEL.sample(KEY, 8)
    bare = ns.Dataset.from_arrays(data.inputs, data.labels)
    with pytest.raises(ValueError, match="probe_inputs must be given for data of your own, a dataset without embedding"):
        run(ns.MLP(1, width=4), [3], (1,), count=None, dataset=bare)
    with pytest.raises(FloatingPointError, match="by step 300"):
        run(ns.MLP(2, "linear", width=4), [300], (1,), rate=1e4)


@pytest.mark.slow
@pytest.mark.branches
def test_own_data_with_its_probes_is_followed_as_the_same_data_with_its_embedding():
    data = MODEL.sample(KEY, 8)
    probes = MODEL.probe_grid(4)
    options = {"count": None, "probes": probes}
    expected = run(ns.MLP(1, width=4), [3, 10], (1, 2), dataset=data, **options)
    bare, placed = ns.Dataset.from_arrays(data.inputs, data.labels), data.embedding(probes)
    found = run(ns.MLP(1, width=4), [3, 10], (1, 2), dataset=bare, probe_inputs=placed, **options)
    assert expected.inputs.shape == (8, 2) and found.inputs.shape == (8, 20)
    for name in ("trained", "telescoped", "kernel_change", "kernel_alignment", "target_alignment"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-10, err_msg=name)
    np.testing.assert_array_equal(found.telescoped_bias, expected.telescoped_bias)
    # Inputs that were moved out of the plane are not taken for those of the embedding.
    noise = 0.1 * jax.random.normal(KEY, data.inputs.shape)
    noisy = dataclasses.replace(data, inputs=data.inputs + noise)
    found = run(ns.MLP(1, width=4), [3, 10], (1, 2), dataset=noisy, **options)
    bare = ns.Dataset.from_arrays(noisy.inputs, data.labels)
    expected = run(ns.MLP(1, width=4), [3, 10], (1, 2), dataset=bare, probe_inputs=placed, **options)
    np.testing.assert_allclose(found.trained, expected.trained, atol=1e-12)
    for change, name in (({"probe_inputs": placed[:3]}, "probe_inputs"), ({"count": 6}, "num_samples")):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            run(ns.MLP(1, width=4), [3], (1,), **{**options, "dataset": bare, "probe_inputs": placed, **change})
    with pytest.raises(ValueError, match="probe_inputs must be None without dataset="):
        run(ns.MLP(1, width=4), [3], (1,), probes=probes, probe_inputs=placed)
