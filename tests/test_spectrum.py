import jax
import numpy as np
import pytest
from scipy.sparse.linalg import eigsh

import ntk_shortcuts as ns


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(
    "network", [ns.MLP(1), pytest.param(ns.MLP(1, "erf", bias_variance=0.1), marks=pytest.mark.slow)], ids=["relu", "erf"]
)
def test_eigenvalues_are_those_of_a_large_sample(network):
    model = ns.GenerativeModel(amplification=(2.0, 1.0))
    spectrum = ns.kernel_spectrum(model, network, modes=4)
    latents = model.sample(jax.random.key(0), 3000).latents
    gram = np.asarray(ns.laws.LawKernel(model, network)(latents).ntk) / 3000
    sampled = np.sort(eigsh(gram, 4, which="LA", return_eigenvectors=False))[::-1]
    # Relative fluctuations are of order 1/sqrt(N); the twin is shifted beyond them.
    np.testing.assert_allclose(spectrum.eigenvalues, sampled, rtol=0.12)
    assert not np.allclose(1.3 * np.asarray(spectrum.eigenvalues), sampled, rtol=0.12)
    assert float(spectrum.trace) == pytest.approx(np.trace(gram), rel=0.05)


@pytest.mark.slow
@pytest.mark.branches
def test_eigenfunctions_satisfy_their_equation():
    model, network = ns.GenerativeModel(amplification=(2.0, 1.0)), ns.MLP(2)
    sample = model.sample(jax.random.key(1), 4000).latents
    points = np.concatenate([sample, -sample])
    spectrum = ns.kernel_spectrum(model, network, modes=5, probes=points)
    functions = np.asarray(spectrum.eigenfunctions)
    overlaps = functions @ functions.T / len(points)
    np.testing.assert_allclose(overlaps, np.eye(5), atol=0.1)
    few = points[:50]
    applied = np.asarray(ns.laws.LawKernel(model, network)(few, points).ntk) @ functions.T / len(points)
    expected = functions[:, :50].T * np.asarray(spectrum.eigenvalues)
    scale = np.sqrt(np.mean(expected**2, axis=0))
    # Sampling noise mixes in the largest functions: relative to the largest scale.
    errors = np.sqrt(np.mean((applied - expected) ** 2, axis=0))
    assert np.all(errors < 0.06 * scale[0]) and np.all(errors[:2] < 0.1 * scale[:2])
    assert not np.all(np.sqrt(np.mean((applied - 1.2 * expected) ** 2, axis=0))[:2] < 0.1 * scale[:2])
    for name, values in (("shortcut", np.sign(points[:, 0])), ("core", np.sign(points[:, 1]))):
        measured = functions @ values / len(points)
        np.testing.assert_allclose(getattr(spectrum, f"{name}_alignments"), measured, atol=0.05)
    target = np.asarray(model.class_expectation(points))
    np.testing.assert_allclose(spectrum.target_coefficients, functions @ target / len(points), atol=0.05)
    assert float(spectrum.label_noise) == pytest.approx(np.mean(1 - target**2), abs=0.02)


def test_linear_network_has_two_eigenfunctions():
    """Eigenvalues of c A (Sigma + mu mu^T) A."""
    model = ns.GenerativeModel(amplification=(3.0, 1.0))
    spectrum = ns.kernel_spectrum(model, ns.MLP(0), modes=2)
    scale = np.diag([3.0, 1.0])
    moment = np.asarray(model.covariance) + np.outer(model.means, model.means)
    expected = np.linalg.eigvalsh(2 / 100 * scale @ moment @ scale)[::-1]
    np.testing.assert_allclose(spectrum.eigenvalues, expected, rtol=1e-8)
    assert bool(np.all(spectrum.odd)) and spectrum.diagnostics["tail_mass"] < 1e-8


def test_availability_brings_the_shortcut_first():
    early = [ns.kernel_spectrum(ns.GenerativeModel(amplification=(ratio, 1.0)), ns.MLP(1), 4) for ratio in (0.25, 4.0)]
    leading = [(float(s.shortcut_alignments[s.odd][0]), float(s.core_alignments[s.odd][0])) for s in early]
    assert leading[0][0] < leading[0][1] and leading[1][0] > leading[1][1]


@pytest.mark.slow
@pytest.mark.branches
def test_the_last_move_is_reported_where_no_rule_settles():
    settled, unsettled = (
        ns.kernel_spectrum(ns.GenerativeModel(amplification=(3.0, 1.0)), ns.MLP(1), 3, tolerance=tolerance).diagnostics
        for tolerance in (1e-3, 1e-300)
    )
    assert unsettled["nodes"] > settled["nodes"]
    assert 1e-300 <= unsettled["discretization_error"] < settled["discretization_error"] < 1e-3


@pytest.mark.parametrize("modes", [0, 33, 2.5])
def test_bad_modes(modes):
    with pytest.raises(ValueError, match="modes must be"):
        ns.kernel_spectrum(ns.GenerativeModel(), ns.MLP(1), modes)
