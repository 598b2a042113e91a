"""Mitigations: each change is what it says, and predicted gains are those of exact solutions on sampled data sets."""

import jax
import numpy as np
import pytest
import xarray
from tolerances import ROUNDING, SIGMAS

import ntk_shortcuts as ns
from ntk_shortcuts.analysis.remedies import registry
from ntk_shortcuts.analysis.remedies.inputs import whitening, without_attribute
from ntk_shortcuts.metrics.sample_noise import deviations_by_sample

pytestmark = pytest.mark.xdist_group("mitigations")


@pytest.fixture(scope="module")
def pools():
    rng = np.random.default_rng(0)
    labels, patch = np.repeat([-1, 1], 40), np.tile([-1, 1], 40)
    inputs = rng.normal(size=(80, 6)) + labels[:, None] * np.eye(6)[0]
    inputs[:, 1] += 3 * patch
    pool, test = ns.Pool(inputs, labels, {"patch": patch}).split(jax.random.key(0), 0.6)
    return pool.with_agreement(0.9), test


@pytest.fixture(scope="module")
def exact(pools):
    """All of them, by exact solutions on a few sampled data sets."""
    options = {"num_samples": 30, "method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 4}
    return ns.mitigations(pools[0], ns.MLP(1), [0.3, 3.0, 30.0], test=pools[1], **options)


def case(pools, **more):
    return registry.Case(*pools, ns.MLP(1), 200, "patch")._replace(**more)


def test_projected_inputs_have_the_same_mean_whatever_the_attribute(pools):
    pool, test = pools
    change = without_attribute(pool, "patch")
    changed = change(pool)
    for label in (-1, 1):
        groups = [(pool.labels == label) & (pool.attributes["patch"] == value) for value in (-1, 1)]
        means = [np.average(changed.inputs[group], axis=0, weights=pool.weights[group]) for group in groups]
        before = [np.average(pool.inputs[group], axis=0, weights=pool.weights[group]) for group in groups]
        # The average over the classes is gone; what is left in a class is how the two classes' differences differ.
        assert abs(np.subtract(*before)[1]) > 5 and abs(np.subtract(*means)[1]) < 0.3
    np.testing.assert_allclose(change(changed).inputs, changed.inputs, atol=1e-12)
    assert np.linalg.matrix_rank(changed.inputs) == np.linalg.matrix_rank(pool.inputs) - 1
    np.testing.assert_allclose(change(test).inputs[:1], change(test.take([0, 1, *range(10, 30)])).inputs[:1])


def test_many_values_have_a_direction_less():
    rng = np.random.default_rng(1)
    colour, labels = np.tile([0, 1, 2], 20), np.repeat([-1, 1], 30)
    inputs = 3 * np.eye(3)[colour] @ rng.normal(size=(3, 7)) + labels[:, None] * rng.normal(size=7)
    changed = without_attribute(ns.Pool(inputs, labels, {"colour": colour}), "colour")(ns.Pool(inputs, labels))
    assert np.linalg.matrix_rank(inputs) == 4 and np.linalg.matrix_rank(changed.inputs, tol=1e-9) == 2
    spread = [np.ptp(changed.inputs[labels == label], axis=0) for label in (-1, 1)]
    np.testing.assert_allclose(spread, 0, atol=1e-9)


def test_an_attribute_without_a_trace_in_the_inputs_leaves_them_alone():
    inputs = np.tile([[1.0, 0.0], [0.0, 1.0]], (4, 1))
    labels, patch = np.tile([-1, 1], 4), np.repeat([-1, 1], 4)
    pool = ns.Pool(inputs, labels, {"patch": patch})
    np.testing.assert_allclose(without_attribute(pool, "patch")(pool).inputs, inputs, atol=ROUNDING)


@pytest.mark.parametrize("ridge", [1e-12, 0.3])
def test_whitened_inputs_have_a_covariance_of_the_identity(pools, ridge):
    pool, _ = pools
    white = whitening(pool, ridge)(pool)
    covariance = np.cov(white.inputs.T, aweights=pool.weights, ddof=0)
    # Independently: eigenvalues v become v/(v + rho), up to the one factor that keeps the squared norm.
    before = np.linalg.eigvalsh(np.cov(pool.inputs.T, aweights=pool.weights, ddof=0))
    expected = before / (before + ridge * np.mean(before))
    scale = np.trace(covariance) / np.sum(expected)
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance), scale * np.sort(expected), rtol=1e-6)
    np.testing.assert_allclose(pool.weights @ white.inputs, 0, atol=1e-12)
    norms = [pool.weights @ np.sum(one.inputs**2, axis=1) for one in (pool, white)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-9)


def test_images_stay_images():
    images = np.random.default_rng(0).normal(size=(12, 3, 3, 1))
    pool = ns.Pool(images, np.tile([-1, 1], 6), {"patch": np.repeat([-1, 1], 6)})
    assert whitening(pool)(pool).inputs.shape == without_attribute(pool, "patch")(pool).inputs.shape == images.shape


def test_balanced_data_sets(pools):
    weighted, smaller = registry.group_weights(case(pools)), registry.subsampling(case(pools))
    assert weighted.num_samples == 200 and smaller.num_samples == 40  # four groups of 200 x 0.05
    for changed in (weighted, smaller):
        shares = [float(np.sum(changed.pool.weights[members])) for members in changed.pool.groups.values()]
        np.testing.assert_allclose(shares, 0.25)
    assert registry.subsampling(case(pools, num_samples=10)).num_samples == 4


def test_the_kernel_of_the_last_layer_is_that_of_its_gradient_alone(pools):
    """One wide finite network, whose gradient by its last weights JAX takes: off by 1/sqrt(width), and far from the whole."""
    network = registry.last_layer(case(pools)).network
    wide, x = ns.MLP(1, width=8192), pools[0].inputs[:6]
    *below, last = wide.init(jax.random.key(0), 6)
    gradient = jax.jacobian(lambda weights: wide.apply([*below, (weights, last[1])], x))(last[0]).reshape(6, -1)
    kernel, whole = np.asarray(network.kernels(x).ntk), np.asarray(ns.MLP(1).kernels(x).ntk)
    scale = np.sqrt(np.outer(np.diag(kernel), np.diag(kernel)))
    measured = np.asarray(gradient @ gradient.T)
    # Products of two ReLU features: relative variance up to 5 a unit.
    np.testing.assert_allclose(measured / scale, kernel / scale, atol=SIGMAS * np.sqrt(5 / 8192))
    assert not np.allclose(measured / scale, whole / scale, atol=SIGMAS * np.sqrt(5 / 8192))
    np.testing.assert_allclose(kernel, ns.MLP(1).kernels(x).nngp, rtol=ROUNDING)


@pytest.mark.slow
@pytest.mark.branches
def test_the_table_says_where_each_is_best(exact):
    assert isinstance(exact, xarray.Dataset) and exact.mitigation.values.tolist() == list(registry.MITIGATIONS)
    worst = exact.worst_group_accuracy
    np.testing.assert_array_equal(worst.sel(mitigation="none"), worst.sel(mitigation="early_stopping"))
    np.testing.assert_array_equal(exact.best[1:], worst.max("time")[1:])
    assert float(exact.best[0]) == float(worst[0, -1]) and float(exact.best_time[0]) == 30
    for name in exact.mitigation.values[1:]:
        one = exact.sel(mitigation=name)
        assert float(one.worst_group_accuracy.sel(time=one.best_time)) == float(one.best)
    assert exact.num_samples.values.tolist() == [30, 30, 30, 6, 30, 30, 6]
    order = np.argsort(-exact.best.values, kind="stable")
    words = exact.attrs["recommendation"]
    assert words.startswith(f"{exact.mitigation.values[order[0]]} at time ") and str(exact.mitigation.values[order[1]]) in words
    assert exact.attrs["margin"] == pytest.approx(float(exact.best[order[0]] - exact.best[order[1]]))
    draws, tested = (np.asarray(exact[name])[order[:2]] for name in ("best_error", "best_error_test_samples"))
    of_pair = np.sqrt(exact.attrs["margin_error"] ** 2 - np.sum(draws**2))
    assert abs(tested[0] - tested[1]) <= of_pair <= np.sum(tested)


def test_errors_over_test_samples_are_those_of_the_jackknife(pools):
    """Of a group's accuracy and of the difference of two classifiers', leaving out one sample of the group after another."""
    _, test = pools
    points, rng = test.test_points(test), np.random.default_rng(0)
    numbers = np.asarray(points.groups.number)
    one, two = rng.uniform(size=(2, len(numbers)))
    for group in range(points.groups.count):
        members = np.flatnonzero(numbers == group)
        for right in (one, one - two):  # of equal weights
            left_out = [np.mean(np.delete(right[members], i)) for i in range(len(members))]
            expected = np.sqrt((len(members) - 1) * np.mean((left_out - np.mean(left_out)) ** 2))
            assert np.linalg.norm(deviations_by_sample(right, points, group)) == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(
            deviations_by_sample(one - two, points, group),
            deviations_by_sample(one, points, group) - deviations_by_sample(two, points, group),
            atol=1e-12,
        )


def test_errors_over_weighted_test_samples_are_those_of_drawn_ones():
    """Many draws of a group whose samples have unequal shares, and one that has all of the weight."""
    rng = np.random.default_rng(0)
    labels, weights = np.repeat([-1, 1], 6), np.r_[np.arange(1.0, 7.0), 1.0, np.zeros(5)]
    pool = ns.Pool(np.zeros((12, 1)), labels, {"patch": np.zeros(12, int)}, weights)
    points, shares = pool.test_points(pool), weights[:6] / np.sum(weights[:6])
    drawn = rng.uniform(size=(4000, 6))
    squares = [np.sum(deviations_by_sample(np.r_[one, np.zeros(6)], points, 0) ** 2) for one in drawn]
    true = np.var(drawn @ shares)
    noise = np.hypot(np.std(squares) / np.sqrt(4000), np.sqrt(2 / 4000) * true)
    assert abs(np.mean(squares) - true) < SIGMAS * noise
    assert np.isnan(np.linalg.norm(deviations_by_sample(rng.uniform(size=12), points, 1)))


def test_a_margin_is_judged_by_the_test_samples_too(pools):
    pool, test = pools
    options = {"num_samples": 40, "method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 2}

    def with_fewer(case):
        return case._replace(test=case.test.take(np.arange(0, len(case.test.labels) - 1)))

    def found(tested, **more):
        return ns.mitigations(pool, ns.MLP(0), [3.0], test=tested, only=["none", *more], more=more, **options)

    # The same classifier, on the same samples and on fewer: the margin's error is that of draws alone, and more.
    same, fewer = found(test, same=lambda case: case._replace(num_samples=40)), found(test, fewer=with_fewer)
    assert float(same.best_error_test_samples[0]) > 0.02
    assert same.attrs["margin_error"] == pytest.approx(np.hypot(*same.best_error.values))
    assert fewer.attrs["margin_error"] == pytest.approx(np.linalg.norm([*fewer.best_error, *fewer.best_error_test_samples]))
    first = [members[0] for members in test.groups.values()]
    single = found(test.take(np.array(first)), early_stopping=registry.MITIGATIONS["early_stopping"])
    assert "one test sample: no standard error" in single.attrs["recommendation"]
    assert np.isnan(single.best_error_test_samples[0])


def test_a_row_is_the_prediction_on_the_changed_pool(pools, exact):
    changed = registry.attribute_removed(case(pools))
    options = {"num_samples": 30, "method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 4}
    expected = ns.predict(changed.pool, ns.MLP(1), ns.GradientFlow(3.0), test=changed.test, **options)
    row = exact.sel(mitigation="attribute_removed", time=3.0)
    assert float(row.worst_group_accuracy) == pytest.approx(expected.worst_group_accuracy, rel=1e-9)
    assert float(row.accuracy) == pytest.approx(expected.accuracy, rel=1e-9)


@pytest.mark.slow
@pytest.mark.branches
def test_rules_names_and_ones_own(pools):
    pool, test = pools

    def half(case):
        return case._replace(num_samples=case.num_samples // 2)

    options = {"num_samples": 20, "test": test, "method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 2}
    rule = ns.GradientDescent(0.1, np.array([1.0, 10.0]))
    found = ns.mitigations(pool, ns.MLP(0), rule, only=["half", "none"], more={"half": half}, **options)
    assert found.worst_group_accuracy.dims == ("mitigation", "steps") and found.num_samples.values.tolist() == [10, 20]
    single = ns.mitigations(pool, ns.MLP(0), ns.Ridge(0.1), only=["none"], **options)
    assert single.strength.values.tolist() == [0.1] and "margin" not in single.attrs
    found.plot(), single.plot()


@pytest.mark.slow
@pytest.mark.branches
def test_it_is_drawn(exact, tmp_path):
    figure = exact.plot()
    left, right = figure.axes
    first = exact.attrs["recommendation"].split(" at")[0].replace("_", " ")
    assert [text.get_text() for text in right.get_yticklabels()][-1] == first
    assert left.get_xscale() == "log" and len(left.get_lines()) == 6 + 7
    assert {f"{float(value):.3f}" for value in exact.best} == {text.get_text() for text in right.texts}
    figure.savefig(tmp_path / "mitigations.png")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pool": ns.GenerativeModel()}, "pool must be a Pool"),
        ({"pool": ns.Pool(np.eye(4), [1, -1, 1, -1])}, "attributes must be given to the pool"),
        ({"only": ["prayer"]}, "only must be of none, early_stopping, .*; got 'prayer'"),
        ({"num_samples": 1}, "num_samples must be an integer >= 2"),
        ({"training": [-1.0]}, "time must be >= 0"),
        ({"attribute": "colour"}, "attribute must be one of patch; got 'colour'"),
        ({"test": None}, "test must be a Pool"),
    ],
)
def test_what_is_refused(pools, change, words):
    given = {"pool": pools[0], "network": ns.MLP(0), "training": [1.0], "num_samples": 20, "test": pools[1], **change}
    with pytest.raises(ValueError, match=words):
        ns.mitigations(given.pop("pool"), given.pop("network"), given.pop("training"), **given)


def test_which_of_several_attributes_is_asked_where_it_matters(pools):
    pool, test = (ns.Pool(p.inputs, p.labels, {**p.attributes, "kind": -p.labels * p.attributes["patch"]}) for p in pools)
    options = {"num_samples": 20, "test": test, "method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 2}
    with pytest.raises(ValueError, match="attribute must be one of patch, kind; got None"):
        ns.mitigations(pool, ns.MLP(0), [1.0], **options)
    # Two of the three names decide the third.
    with pytest.warns(ns.UntrustedPredictionWarning, match="no test sample is in 4 of the groups"):
        found = ns.mitigations(pool, ns.MLP(0), [1.0], only=["none", "whitening"], **options)
    assert np.all(np.isfinite(found.best))


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.images
def test_predicted_gains_are_those_of_exact_solutions():
    """Averages over data sets against sampled ones, on digits with a patch that is right for nine in ten."""
    images = ns.images.digits_patch(num_images=300, brightness=3.0)
    pool, test = images.split(jax.random.key(0), 0.5)
    options = {"num_samples": 80, "test": test, "random_init": False}
    arguments = (pool.with_agreement(0.9), ns.MLP(1), [10.0])
    found = ns.mitigations(*arguments, num_draws=12, **options)
    sampled = ns.mitigations(*arguments, method="monte_carlo", key=jax.random.key(1), num_datasets=16, **options)

    def gains(table):
        return (table.worst_group_accuracy - table.worst_group_accuracy.sel(mitigation="none")).values[1:, 0]

    errors = [np.asarray(table.standard_error)[:, 0] for table in (found, sampled)]
    total = np.sqrt(sum(error[1:] ** 2 + error[0] ** 2 for error in errors))
    # 0.02: the average's own terms of order 1/N.
    allowed = SIGMAS * total + 0.02
    assert np.all(np.abs(gains(found) - gains(sampled)) < allowed)
    assert np.all(allowed < 0.6) and np.min(allowed) < 0.25
    for table in (found, sampled):
        best = table.best.to_series()
        assert best[["group_weights", "attribute_removed"]].min() > best["none"] + 0.4
        assert best["subsampling"] > best["none"] + 0.2


def test_several_classes_have_mitigations_too():
    rng = np.random.default_rng(2)
    labels, patch = np.repeat([0, 1, 2], 24), np.tile([-1, 1], 36)
    inputs = np.concatenate([np.eye(3)[labels], 2.0 * patch[:, None], rng.normal(size=(72, 2))], axis=1)
    pool, test = ns.Pool(inputs, labels, {"patch": patch}).split(jax.random.key(0), 0.6)
    training = ns.GradientFlow([0.3, 10.0])
    options = {"num_samples": 24, "method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 3}
    found = ns.mitigations(pool, ns.MLP(1), training, test=test, only=["none", "attribute_removed"], **options)
    # Independently: another pool, predicted, of which the worst group is read. Draws are those of the same key.
    cleaned = without_attribute(pool, "patch")
    for name, change in (("none", lambda pool: pool), ("attribute_removed", cleaned)):
        predicted = ns.predict(change(pool), ns.MLP(1), training, test=change(test), **options)
        worst = predicted.group_accuracy.values.reshape(2, -1).min(axis=1)
        np.testing.assert_allclose(found.worst_group_accuracy.sel(mitigation=name), worst, atol=1e-10)
    assert found.best.sel(mitigation="attribute_removed") > found.best.sel(mitigation="none")
