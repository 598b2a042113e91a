"""Pools of k classes: one output each, the largest decides; and images where arrays are asked for."""

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.methods import base
from ntk_shortcuts.outputs.signs import right_class

NETWORK, TIMES = ns.MLP(1), np.array([3.0, 30.0])


@pytest.fixture(scope="module")
def pools():
    """Three classes of vectors, each with an attribute of three values that pulls another way."""
    rng = np.random.default_rng(0)
    labels, attribute = (np.resize(values, 270) for values in (np.arange(3), np.repeat(np.arange(3), 3)))
    inputs = rng.normal(size=(270, 8))
    inputs[np.arange(270), labels] += 2
    inputs[np.arange(270), 3 + attribute] += 2
    return ns.Pool(inputs, labels, {"colour": attribute}).split(jax.random.key(0), 0.6)


def predicted(pools, **options):
    return ns.predict(pools[0], NETWORK, ns.GradientFlow(TIMES), test=pools[1], **options)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("random_init", [True, False])
def test_averages_are_those_of_sampled_data_sets_and_the_twin_is_not(pools, random_init):
    """60 samples: about seven of each group, which are drawn; and 120, of which none is rare."""
    for num_samples in (60, 120):
        average = predicted(pools, num_samples=num_samples, random_init=random_init, num_draws=60)
        sampled = predicted(
            pools,
            **{"num_samples": num_samples, "method": "monte_carlo", "key": jax.random.key(1)},
            **{"num_datasets": 60, "random_init": random_init},
        )
        assert average.mean.shape == average.std.shape == sampled.mean.shape == (2, len(pools[1]), 3)
        error = np.asarray(sampled.standard_error(ns.metrics.GroupAccuracy()))
        moved = np.abs(average.group_accuracy.values - sampled.group_accuracy.values).reshape(2, 9)
        allowed = np.maximum(0.03, 4 * error)
        assert np.all(moved <= allowed) and np.any(np.abs(moved + 0.15) > allowed)
        assert 0.9 < np.median(average.std / sampled.std) < 1.1


@pytest.mark.slow
@pytest.mark.branches
def test_infinite_data_is_the_pool_itself_and_its_outputs_are_those_of_each_target(pools):
    whole, infinite = predicted(pools, method="dataset"), predicted(pools)
    np.testing.assert_allclose(whole.mean, infinite.mean, atol=1e-10)
    pool, test = pools
    targets = np.eye(3)[pool.labels] - 1 / 3
    law = ns.predict_outputs(NETWORK, ns.GradientFlow(TIMES), pool.inputs, targets, test.inputs)
    np.testing.assert_allclose(whole.mean, law.mean, atol=1e-10)
    np.testing.assert_allclose(whole.std, np.sqrt(law.variance), atol=1e-10)
    assert predicted(pools, method="dataset", random_init=False).accuracy[1] > whole.accuracy[1] - 0.1


def test_the_largest_output_decides_by_the_joint_law():
    rng = np.random.default_rng(0)
    mean, root = rng.normal(size=(5, 4)), rng.normal(size=(5, 4, 4))
    covariance, classes = root @ np.swapaxes(root, 1, 2), np.array([0, 1, 2, 3, 0])
    draws = mean + np.einsum("nij,snj->sni", root, rng.normal(size=(40000, 5, 4)))
    expected = np.mean(np.argmax(draws, axis=-1) == classes, axis=0)
    found = np.asarray(right_class(mean, covariance, classes))
    np.testing.assert_allclose(found, expected, atol=0.012)
    assert np.max(np.abs(np.asarray(right_class(mean, covariance * 4, classes)) - expected)) > 0.012
    tied = np.array([[1.0, 1.0, 0.0]])
    assert right_class(tied, None, np.array([1])) == 0.5 and right_class(tied, None, np.array([2])) == 0


def test_images_are_taken_where_arrays_are(pools):
    images = np.random.default_rng(0).normal(size=(6, 2, 2, 1))
    labels = np.array([1.0, -1, 1, -1, 1, -1])
    found = ns.predict_outputs(NETWORK, ns.GradientFlow(3.0), images, labels, images[:2])
    rows = images.reshape(6, 4)
    np.testing.assert_array_equal(found.mean, ns.predict_outputs(NETWORK, ns.GradientFlow(3.0), rows, labels, rows[:2]).mean)
    with pytest.raises(ValueError, match=r"rows of images are x.reshape\(len\(x\), -1\), and a Pool takes images"):
        NETWORK.kernels(images)
    with pytest.raises(ValueError, match="model must be a GenerativeModel"):
        ns.whitened(images, NETWORK)


@pytest.mark.slow
@pytest.mark.branches
def test_what_an_average_misses_is_an_issue(pools, monkeypatch):
    monkeypatch.setattr("ntk_shortcuts.methods.average.atoms.resolvent._ITERATIONS", 1)
    with pytest.warns(ns.UntrustedPredictionWarning, match="fixed-point residual"):
        found = predicted(pools, num_samples=120)
    assert found.diagnostics["trusted"] == 0


def test_an_option_that_a_method_of_ones_own_must_have_is_asked_for():
    class Unnamed(ns.Population):
        """Without a name it is not registered."""

    class Needy(ns.methods.Method):
        name = "needy"
        wanted: float

        def __call__(self, kernel, training, num_samples, points):
            raise NotImplementedError

    try:
        with pytest.raises(ValueError, match='wanted must be given for method="needy"'):
            base.resolve("needy", {})
        assert base.resolve("needy", {"wanted": 1.0}).wanted == 1 and Unnamed not in base.METHODS.values()
    finally:
        del base.METHODS["needy"]
