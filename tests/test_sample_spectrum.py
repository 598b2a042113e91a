"""Spectra of own samples: the equation of eigenfunctions, all pairs against leading ones, the trace, and closed forms."""

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.analysis.samples import operator
from ntk_shortcuts.plotting import plot_spectrum


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    labels = np.tile([-1, 1], 30)
    patch = np.where(rng.random(60) < 0.8, labels, -labels)
    inputs = rng.normal(size=(60, 6)) + np.outer(labels, rng.normal(size=6))
    inputs[:, 0] += 2 * patch
    weights = rng.uniform(0.5, 2, 60)
    weights[7] = 0
    return ns.Pool(inputs, labels, {"patch": patch, "kind": rng.integers(0, 3, 60), "same": np.ones(60, int)}, weights)


def test_eigenfunctions_satisfy_their_equation(pool):
    network = ns.MLP(2)
    found = ns.kernel_spectrum(pool, network, modes=8)
    kernel = np.asarray(network.kernels(pool.inputs).ntk)
    functions = found.eigenfunctions
    # Of the sample without weight too.
    np.testing.assert_allclose(kernel @ (pool.weights * functions).T, (found.eigenvalues[:, None] * functions).T, atol=1e-9)
    np.testing.assert_allclose(functions * pool.weights @ functions.T, np.eye(8), atol=1e-9)
    np.testing.assert_allclose(found.learning_times * found.eigenvalues, 1)
    assert found.trace == pytest.approx(pool.weights @ np.diag(kernel), rel=1e-12)


def test_all_modes_hold_the_trace_and_every_function(pool):
    found = ns.kernel_spectrum(pool, ns.MLP(1), modes=1000)
    assert len(found.eigenvalues) == 60 and np.sum(found.eigenvalues) == pytest.approx(found.trace, rel=1e-12)
    assert found.diagnostics["tail_mass"] == pytest.approx(0, abs=1e-9)
    for cosines in (found.label_alignments, found.attribute_alignments["patch"], found.attribute_alignments["kind"]):
        assert np.sum(cosines**2) == pytest.approx(1, rel=1e-9)
    assert np.all(np.isnan(found.attribute_alignments["same"])) and np.isinf(found.learning_times[-1])


def test_leading_modes_are_those_of_the_whole(pool, monkeypatch):
    whole = ns.kernel_spectrum(pool, ns.MLP(1), modes=6)
    monkeypatch.setattr(operator, "WHOLE", 0)
    leading = ns.kernel_spectrum(pool, ns.MLP(1), modes=6)
    for one, two in zip(jax.tree.leaves(whole), jax.tree.leaves(leading), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-8)


def test_alignments_are_correlations(pool):
    found = ns.kernel_spectrum(pool, ns.MLP(1), modes=4)
    for values, cosines in (
        (pool.labels, found.label_alignments),
        (pool.attributes["patch"], found.attribute_alignments["patch"]),
    ):
        centred = values - pool.weights @ values
        expected = found.eigenfunctions @ (pool.weights * centred) / np.sqrt(pool.weights @ centred**2)
        np.testing.assert_allclose(cosines, expected, atol=1e-12)
    every = np.stack([found.label_alignments, found.attribute_alignments["patch"], found.attribute_alignments["kind"]])
    assert np.all(every[np.argmax(np.abs(every), axis=0), range(4)] > 0) and np.all(every[2] >= 0)


def test_a_data_set_is_a_pool_whose_attributes_are_the_signs_of_its_latents():
    model = ns.GenerativeModel(amplification=(3.0, 1.0), input_dim=20)
    data = model.sample(jax.random.key(0), 60)
    found = ns.kernel_spectrum(data, ns.MLP(0), modes=3)
    inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)
    # A linear kernel has the eigenvalues of the inputs' second moment.
    expected = np.linalg.eigvalsh(2 / 20 * inputs.T @ inputs / 60)[::-1]
    np.testing.assert_allclose(found.eigenvalues[:2], expected[:2], rtol=1e-5)
    assert list(found.attribute_alignments) == ["shortcut", "core"]
    assert found.attribute_alignments["shortcut"][0] > found.attribute_alignments["core"][0]
    plain = ns.kernel_spectrum(ns.Dataset.from_arrays(inputs, labels), ns.MLP(0), modes=3)
    np.testing.assert_allclose(plain.eigenvalues, found.eigenvalues)
    assert plain.attribute_alignments == {}


def test_it_is_drawn(pool):
    axes = plot_spectrum(ns.kernel_spectrum(pool, ns.MLP(1), modes=5)).axes
    assert len(axes) == 1 and axes[0].get_xscale() == "log"
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["label", "patch", "kind", "same"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"modes": 0}, "modes must be an integer >= 1"), ({"probes": [[0.0, 1.0]]}, "probes must be None for samples")],
)
def test_what_is_refused(pool, arguments, words):
    with pytest.raises(ValueError, match=words):
        ns.kernel_spectrum(pool, ns.MLP(1), **arguments)
