"""Label noise and class imbalance on every law: nodes, averages beside sampled data sets, trained networks."""

import jax
import numpy as np
import pytest
from scipy.special import ndtr

import ntk_shortcuts as ns
from ntk_shortcuts.axes import at, axes_of
from ntk_shortcuts.metrics import Accuracy, BalancedAccuracy, GroupAccuracy
from ntk_shortcuts.networks import KernelFacts

MODEL = ns.GenerativeModel((0.75, 0.85), (3.0, 1.0), 0.3)
THREE = ns.GaussianFeatures((0.7, 0.75, 0.85), (3.0, 2.0, 1.0), correlation=0.3)
BIRDS = ns.Clusters.waterbirds(0.8, positive=0.4)
NETWORK = ns.MLP(0, bias_variance=1.0)
FLOW = ns.GradientFlow([2.0, 20.0])


def small_pool():
    rng = np.random.default_rng(0)
    labels, attribute = np.repeat([-1, 1], 60), np.tile([-1, 1], 60)
    inputs = rng.normal(size=(120, 3)) + 0.7 * labels[:, None] * [1, 0, 0] + 0.9 * attribute[:, None] * [0, 1, 0]
    return ns.Pool(inputs, labels, attribute).split(jax.random.key(0), 0.5)


def _agree(average, sampled, count):
    errors = np.asarray(sampled.std) / np.sqrt(count)
    assert np.all(np.mean(np.abs(average.mean - sampled.mean) < 3 * errors, axis=-1) > 0.9)
    assert np.all(np.abs(np.median(average.std / sampled.std, axis=-1) - 1) < 0.1)


LAWS = {
    "noise": ns.NoisyLabels(MODEL, 0.2),
    "noise of one class": ns.NoisyLabels(MODEL, {1: 0.3}),
    "imbalance": ns.ImbalancedClasses(THREE, 0.2),
    "both": ns.NoisyLabels(ns.ImbalancedClasses(MODEL, 0.2), {1: 0.2, -1: 0.05}),
    "noise of one group": ns.NoisyLabels(BIRDS, {(1, -1): 0.4, -1: 0.1}),
}


# "both" holds what those of two features alone would show, pools with noise in one group what clusters would.
ALONE = ("noise", "noise of one class", "imbalance", "noise of one group")


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in ALONE else pytest.mark.branches) for n in LAWS])
def test_averages_are_those_of_sampled_data_sets(name):
    law, options = LAWS[name], {"num_samples": 100}
    average = ns.predict(law, NETWORK, FLOW, tolerance=0.05, **options)
    sampled = ns.predict(law, NETWORK, FLOW, method="monte_carlo", key=jax.random.key(0), num_datasets=150, **options)
    _agree(average, sampled, 150)
    # The twin: without the noise, or at even classes, the same samples refuse it.
    other = ns.predict(law.law, NETWORK, FLOW, tolerance=0.05, **options)
    with pytest.raises(AssertionError):
        _agree(other, sampled, 150)


@pytest.mark.slow
@pytest.mark.branches
def test_flips_scale_the_target_and_break_the_symmetry_only_where_classes_differ():
    facts = KernelFacts()
    clean, noisy = (law.nodes(1, facts, "resolvents") for law in (MODEL, ns.NoisyLabels(MODEL, 0.2)))
    np.testing.assert_allclose(noisy.targets, 0.6 * clean.targets, rtol=1e-12)
    assert ns.NoisyLabels(MODEL, 0.2).parity.sectors == 2 and ns.NoisyLabels(MODEL, {1: 0.2}).parity.sectors == 1
    options = {"random_init": False, "tolerance": 0.05, "probes": MODEL.probe_grid(4)}
    one, other = (ns.predict(law, ns.MLP(1), FLOW, **options).mean for law in (MODEL, ns.NoisyLabels(MODEL, 0.2)))
    np.testing.assert_allclose(other, 0.6 * one, rtol=1e-10)
    # Flips of all labels of one class at 1/2 leave nothing of it: E[label] is that of the other.
    half = ns.NoisyLabels(MODEL, {1: 0.5}).nodes(1, facts, "resolvents")
    np.testing.assert_allclose(half.targets, -(1 - half.sides) / 2, atol=1e-12)


@pytest.mark.slow
@pytest.mark.branches
def test_nodes_have_the_moments_of_sampled_labels():
    for law in LAWS.values():
        nodes = law.nodes(2, KernelFacts(), "operator")
        weights = np.asarray(nodes.weights).ravel()
        positive, negative = nodes.labels_by_class
        points = np.asarray(nodes.everywhere)
        data = law.sample(jax.random.key(1), 20_000)
        labels, latents = np.asarray(data.labels), np.asarray(data.latents)
        if law.parity.sectors == 1:
            assert abs(weights @ np.ravel(nodes.targets) - labels.mean()) < 0.02
        moments = (weights * np.ravel(nodes.targets)) @ points
        np.testing.assert_allclose(moments, labels @ latents / len(labels), atol=0.05)
        left = labels - np.asarray(law.label_expectation(latents))
        tests = np.concatenate([np.sign(latents), latents], axis=1) * left[:, None]
        assert np.all(np.abs(tests.mean(axis=0)) < 4 * tests.std(axis=0) / np.sqrt(len(left)))
        assert np.all(np.abs(np.ravel(positive + negative - nodes.targets)) < 1e-12)


@pytest.mark.slow
@pytest.mark.branches
def test_the_best_classifier_of_unequal_classes_in_closed_form():
    distance = float(np.linalg.norm(MODEL.whitened_mean))
    for share in (0.5, 0.2):
        law = ns.ImbalancedClasses(MODEL, share)
        shift = np.log(share / (1 - share)) / 2 / distance
        best = ndtr([distance - shift, distance + shift])
        points = law.labelled_points("shortcut", level=2)
        assert abs(float(Accuracy().optimal(points)) - [1 - share, share] @ best) < 4e-3
        assert abs(float(BalancedAccuracy().optimal(points)) - best.mean()) < 8e-3
        assert points.groups.names == ("label", "shortcut") and abs(float(np.sum(points.weights)) - 1) < 1e-6
        assert abs(float(np.sum(points.weights[np.asarray(points.truth) > 0])) - share) < 1e-3
    with pytest.raises(ValueError, match="attributes must be of core, shortcut"):
        MODEL.labelled_points("background")
    with pytest.raises(ValueError, match="level must be 0 to"):
        MODEL.labelled_points(level=9)


@pytest.mark.slow
@pytest.mark.branches
def test_accuracies_on_labelled_points_are_those_of_fresh_samples():
    law = ns.ImbalancedClasses(MODEL, 0.2)
    p = ns.predict(law, NETWORK, ns.GradientFlow(20.0), test=law.labelled_points(level=1), tolerance=0.05, random_init=False)
    assert p.group_accuracy.dims == ("label",)
    fresh = law.sample(jax.random.key(5), 20_000)
    there = ns.predict(law, NETWORK, ns.GradientFlow(20.0), probes=fresh.latents, tolerance=0.05, random_init=False)
    right = np.sign(there.mean) == np.asarray(fresh.labels)
    assert abs(right.mean() - p.accuracy) < 0.01
    balanced = np.mean([right[np.asarray(fresh.labels) == side].mean() for side in (-1, 1)])
    assert abs(1 - balanced - p.balanced_error) < 0.015
    assert p.balanced_error > 1 - p.accuracy


@pytest.mark.slow
@pytest.mark.branches
def test_imbalance_of_clusters_is_that_of_their_proportions():
    wrapped, direct = ns.ImbalancedClasses(BIRDS, 0.1), ns.Clusters.waterbirds(0.8, positive=0.1)
    points = np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_allclose(wrapped.class_expectation(points), direct.class_expectation(points), rtol=1e-10)
    np.testing.assert_allclose(wrapped.density(points), direct.density(points), rtol=1e-10)
    np.testing.assert_allclose(wrapped.group_shares(points), direct.group_shares(points), rtol=1e-10)
    one, other = (ns.predict(law, NETWORK, ns.GradientFlow(5.0), num_samples=60, tolerance=0.05) for law in (wrapped, direct))
    # Nodes of clusters weigh a little otherwise: proportions before the Hermite rule, or factors after it.
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-3)
    np.testing.assert_allclose(one.std, other.std, rtol=1e-3)
    np.testing.assert_allclose(one.group_accuracy, other.group_accuracy, atol=1e-3)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("attribute_rate", [0.2, {(1, -1): 0.4}], ids=["one rate", "one group"])
def test_pools_with_noisy_labels_are_those_of_sampled_data_sets(attribute_rate):
    pool, test = small_pool()
    law = ns.NoisyLabels(pool.with_agreement(0.7), attribute_rate)
    options = {"num_samples": 60, "test": test}
    average = ns.predict(law, NETWORK, FLOW, **options)
    sampled = ns.predict(law, NETWORK, FLOW, method="monte_carlo", key=jax.random.key(0), num_datasets=200, **options)
    _agree(average, sampled, 200)
    allowed = 0.01 + 3 * sampled.standard_error(GroupAccuracy())
    assert np.all(np.abs(average.read(GroupAccuracy()) - sampled.read(GroupAccuracy())) < allowed)
    clean = ns.predict(law.law, NETWORK, FLOW, **options)
    with pytest.raises(AssertionError):
        _agree(clean, sampled, 200)


@pytest.mark.slow
@pytest.mark.branches
def test_rare_groups_are_drawn_with_their_labels():
    pool, test = small_pool()
    law = ns.NoisyLabels(pool.with_agreement(0.97), {(1, -1): 0.5})
    options = {"num_samples": 40, "test": test}
    average = ns.predict(law, NETWORK, ns.GradientFlow(20.0), num_draws=400, **options)
    sampled = ns.predict(
        law, NETWORK, ns.GradientFlow(20.0), method="monte_carlo", key=jax.random.key(0), num_datasets=300, **options
    )
    assert average.diagnostics["rare_nodes"] > 0
    errors = np.hypot(sampled.std / np.sqrt(300), average.std / np.sqrt(400))
    assert np.mean(np.abs(average.mean - sampled.mean) < 3 * errors) > 0.9
    assert abs(np.median(average.std / sampled.std) - 1) < 0.12


def test_pools_in_other_class_proportions():
    pool, _ = small_pool()
    rare = pool.with_class_share(0.2)
    assert abs(rare.weights[rare.labels == 1].sum() - 0.2) < 1e-12
    np.testing.assert_allclose(rare.with_class_share(0.5).weights, pool.with_class_share(0.5).weights)
    with pytest.raises(ValueError, match=r"pool.with_class_share"):
        ns.ImbalancedClasses(pool, 0.2)


@pytest.mark.slow
@pytest.mark.branches
def test_networks_are_trained_on_what_the_average_predicts():
    descent, network = ns.GradientDescent(0.5, [4, 40]), ns.MLP(0, bias_variance=1.0, width=64)
    law = ns.NoisyLabels(ns.ImbalancedClasses(MODEL, 0.25), {1: 0.2})
    e = ns.train_ensemble(law, network, descent, 60, 40, 1, key=jax.random.key(0))
    p = ns.predict(law, NETWORK, descent, num_samples=60, tolerance=0.05)
    assert np.all(np.abs(p.bias - e.mean_bias) < 0.05 + 3 * e.bias_standard_error)
    pool, test = small_pool()
    noisy = ns.NoisyLabels(pool, 0.3)
    e = ns.train_ensemble(noisy, network, ns.GradientDescent(0.5, 20), 60, 40, 1, test=test, key=jax.random.key(0))
    p = ns.predict(noisy, NETWORK, ns.GradientDescent(0.5, 20), num_samples=60, test=test)
    assert np.all(np.abs(p.group_accuracy - e.mean_group_accuracy) < 0.05 + 3 * e.standard_error)
    drawn = e.dataset(0)
    assert abs(np.mean(e.labels != np.where(pool.labels[e.samples] > 0, 1, -1)) - 0.3) < 0.05
    np.testing.assert_array_equal(np.where(drawn.labels > 0, 1, -1), e.labels[0])


@pytest.mark.slow
@pytest.mark.branches
def test_sweeps_vary_the_law_inside():
    law = ns.NoisyLabels(ns.ImbalancedClasses(MODEL, 0.25), 0.1)
    assert {"rate", "positive", "amplification_ratio", "correlation"} <= axes_of(law).keys()
    changed = at(law, {"rate": 0.3, "positive": 0.4, "amplification_ratio": 2.0})
    assert (float(changed.rate), float(changed.law.positive)) == (0.3, 0.4)
    assert changed.law.law.amplification.tolist() == [2.0, 1.0]
    table = ns.sweep(
        {"rate": [0.0, 0.4], "amplification_ratio": [1.0, 4.0]}, law, ns.MLP(0), ns.GradientFlow(3.0), tolerance=0.1
    )
    assert table["bias"].dims == ("rate", "amplification_ratio") and table.attrs["positive"] == 0.25
    direct = ns.predict(at(law, {"rate": 0.4, "amplification_ratio": 4.0}), ns.MLP(0), ns.GradientFlow(3.0), tolerance=0.1)
    assert abs(float(table["bias"].sel(rate=0.4, amplification_ratio=4.0)) - direct.bias) < 1e-9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ns.NoisyLabels(MODEL, 0.6), r"rate must be in \[0, 1/2\]"),
        (lambda: ns.NoisyLabels(MODEL, {2: 0.1}), r"rate must be by label or group, of \(-1,\), \(1,\)"),
        (lambda: ns.NoisyLabels(BIRDS, {(1, 3): 0.1}), "rate must be by label or group"),
        (lambda: ns.NoisyLabels(3, 0.1), "law must be a data law"),
        (lambda: ns.NoisyLabels(ns.Pool(np.eye(6), [0, 1, 2] * 2), 0.1), "law must be of two classes"),
        (lambda: ns.ImbalancedClasses(MODEL, 1.0), r"positive must be in \(0, 1\)"),
        (lambda: ns.ImbalancedClasses(ns.NoisyLabels(MODEL), 0.2), "law must be one whose labels are true"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
