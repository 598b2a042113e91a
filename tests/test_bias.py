import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.metrics.reliance import reliance_between_probes

MODEL = ns.GenerativeModel((0.85, 0.9))


def test_pure_classifiers_are_the_ends_of_the_scale():
    probes = np.asarray(MODEL.probe_grid())
    np.testing.assert_allclose(ns.metrics.reliance(probes[:, 0], probes), 1)
    np.testing.assert_allclose(ns.metrics.reliance(probes[:, 1], probes), -1)


def test_probe_grid_is_symmetric():
    probes = np.asarray(MODEL.probe_grid())
    np.testing.assert_array_equal(probes, -probes[::-1])


def test_optimum_is_what_least_squares_discriminant_analysis_converges_to():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    data = MODEL.sample(jax.random.key(0), 40_000)
    fitted = LinearDiscriminantAnalysis(solver="lsqr").fit(np.asarray(data.inputs), np.asarray(data.labels))
    probes = np.asarray(MODEL.probe_grid())
    outputs = fitted.decision_function(np.asarray(data.embedding(probes)))
    optimum = probes @ np.asarray(MODEL.bayes_direction)
    assert np.corrcoef(outputs, optimum)[0, 1] > 0.999
    # A row of probes lies close to the Bayes boundary: the smallest rotation flips it and moves the bias by 0.044.
    assert abs(float(ns.metrics.shortcut_bias(outputs, MODEL))) < 0.05


def test_expected_reliance_is_the_mean_over_gaussian_draws(rng):
    probes = np.asarray(MODEL.probe_grid(6))
    mean, std = rng.normal(size=36), rng.uniform(0.2, 2, size=36)
    draws = ns.metrics.reliance(mean + std * rng.normal(size=(20_000, 36)), probes)
    error = np.std(draws) / np.sqrt(len(draws))
    predicted = float(ns.metrics.expected_reliance(mean, std, probes))
    assert abs(np.mean(draws) - predicted) < 4 * error
    assert not abs(np.mean(draws) - predicted - 0.02) < 4 * error


def test_zero_spread_is_the_sign():
    probes = np.asarray(MODEL.probe_grid(6))
    outputs = probes @ [1.0, 0.3]
    assert float(ns.metrics.expected_reliance(outputs, 0.0, probes)) == float(ns.metrics.reliance(outputs, probes))


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("function", [lambda s, c: s + 0.37 * c, lambda s, c: s + c**2 - 0.8, lambda s, c: np.sin(2 * s) + c])
def test_reliance_between_probes_is_that_of_a_fine_grid(function):
    coarse, fine = (np.asarray(MODEL.probe_grid(points)) for points in (30, 30 * 41))
    # The fine grid of 41 probes a cell ends half a cell further out than the coarse one.
    fine = fine * (30 / 29) * (1229 / 1230)
    expected = float(ns.metrics.reliance(function(*fine.T), fine))
    smooth = float(reliance_between_probes(function(*coarse.T), coarse))
    assert smooth == pytest.approx(expected, abs=2e-3)
    counted = float(ns.metrics.reliance(function(*coarse.T), coarse))
    assert abs(smooth - expected) <= abs(counted - expected) + 1e-4


def test_reliance_between_probes_needs_a_grid():
    with pytest.raises(ValueError, match="probes must be a square grid"):
        reliance_between_probes(np.ones(7), np.ones((7, 2)))


def test_direction_reliance_is_the_limit_of_fine_grids(rng):
    probes = np.asarray(MODEL.probe_grid(200))
    directions = np.concatenate([rng.normal(size=(12, 2)), [[1, 0.01], [-1, 0.02], [0.01, -1]]])
    fine = np.asarray(ns.metrics.reliance(directions @ probes.T, probes))
    limit = np.asarray(ns.linear.direction_reliance(MODEL, directions))
    assert np.max(np.abs(limit - fine)) < 2 / 200
    assert np.max(np.abs(limit - 0.02 - fine)) > 2 / 200


def test_direction_reliance_without_a_direction():
    assert float(ns.linear.direction_reliance(MODEL, [0.0, 0.0])) == 0
    with pytest.raises(ValueError, match=r"direction must be of shape \(\.\.\., 2\); got shape \(3,\)"):
        ns.linear.direction_reliance(MODEL, np.ones(3))


def test_wrong_number_of_outputs():
    with pytest.raises(ValueError, match="outputs must be of shape"):
        ns.metrics.reliance(np.ones(5), MODEL.probe_grid())
