import jax
import numpy as np
import pytest

import ntk_shortcuts as ns

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))


@pytest.mark.slow
@pytest.mark.branches
def test_whitened_kernels_are_those_of_whitened_inputs(rng):
    latents = rng.normal(size=(7, 2))
    embedding = MODEL.embedding(jax.random.key(0), orthogonal=True)
    frame = np.asarray(embedding.directions).T * np.asarray(MODEL.amplification)  # x = frame @ z
    moment = frame @ (np.asarray(MODEL.covariance) + np.outer(MODEL.means, MODEL.means)) @ frame.T
    values, vectors = np.linalg.eigh(moment)
    symmetric_root = vectors[:, -2:] / np.sqrt(values[-2:]) @ vectors[:, -2:].T
    for network in (ns.MLP(2), ns.MLP(1, "erf", bias_variance=0.3)):
        expected = network.kernels(np.asarray(embedding(latents)) @ symmetric_root)
        found = ns.laws.LawKernel(MODEL, ns.whitened(MODEL, network))(latents)
        np.testing.assert_allclose(found.ntk, expected.ntk, rtol=1e-7)
        np.testing.assert_allclose(found.nngp, expected.nngp, rtol=1e-7)


def test_amplifications_drop_out_of_whitened_inputs(rng):
    latents = rng.normal(size=(5, 2))
    other = MODEL.with_shortcut(amplification_ratio=0.5)
    kernels = [ns.laws.LawKernel(m, ns.whitened(m, ns.MLP(2)))(latents).ntk for m in (MODEL, other)]
    np.testing.assert_allclose(*kernels, rtol=1e-9)


@pytest.mark.slow
def test_whitened_inputs_leave_no_bias_over_infinite_data_and_its_twin_keeps_one():
    network, flow = ns.MLP(1, bias_variance=0.5), ns.GradientFlow([3.0, 30.0, 300.0])
    options = {"random_init": False, "tolerance": 0.2}
    np.testing.assert_array_equal(ns.predict_bias(MODEL, ns.whitened(MODEL, network), flow, **options).bias, 0)
    assert np.all(np.asarray(ns.predict_bias(MODEL, network, flow, **options).bias) > 0.3)


@pytest.mark.slow
@pytest.mark.branches
def test_a_data_set_passes_the_map():
    data = ns.Dataset.from_arrays([[1.0, 0.5], [-0.2, -1.0], [0.3, 1.0]], [1, -1, 1])
    matrix = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 0.5]])
    probes = np.array([[0.5, -0.5], [1.0, 1.0]])
    options = {"method": "dataset", "probes": probes}
    mapped = ns.Dataset.from_arrays(np.asarray(data.inputs) @ matrix.T, data.labels)
    plain = ns.predict_bias(MODEL, ns.MLP(2), ns.Ridge(0.1), dataset=mapped, probe_inputs=probes @ matrix.T, **options)
    found = ns.predict_bias(
        MODEL, ns.networks.Preprocessed(ns.MLP(2), matrix), ns.Ridge(0.1), dataset=data, probe_inputs=probes, **options
    )
    np.testing.assert_allclose(found.mean, plain.mean, rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ns.networks.Preprocessed("MLP", np.eye(2)), "network must be an infinitely wide MLP, .*got 'str'"),
        (
            lambda: ns.networks.Preprocessed(ns.MLP(1, width=8), np.eye(2)),
            "width must be None, for an infinitely wide network; got 8",
        ),
        (lambda: ns.networks.Preprocessed(ns.MLP(1), [1.0, 2.0]), r"matrix must be an array of shape \(n, d\).*got"),
        (lambda: ns.networks.Preprocessed(ns.MLP(1), [[np.nan, 1.0]]), "matrix must be finite; got 1 NaN"),
        (
            lambda: ns.laws.LawKernel(MODEL, ns.networks.Preprocessed(ns.MLP(1), np.eye(3)))(np.eye(2)),
            r"matrix must be of shape \(k, 2\)",
        ),
        (lambda: ns.networks.Preprocessed(ns.MLP(1), np.eye(2)).kernels(np.eye(3)), r"x1 must be an array of shape \(n, 2\)"),
        (
            lambda: ns.whitened(ns.GenerativeModel(nesting=(1, 0)), ns.MLP(1)),
            r"nesting must be \(0, 0\) for whitening.*\(1, 0\)",
        ),
    ],
)
def test_bad_maps(call, text):
    with pytest.raises(ValueError, match=text):
        call()
