"""Gaussian clusters: the law, averages at unequal class shares, group accuracies, presets."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

import ntk_shortcuts as ns
from ntk_shortcuts.networks import KernelFacts
from ntk_shortcuts.training.losses import LOSSES

BIRDS = ns.Clusters.waterbirds(0.9, positive=0.25, amplification=(3.0, 1.0))
WITH_CONSTANT = ns.MLP(0, bias_variance=1.0)


@pytest.mark.parametrize("features", [1, 2, 3, 5])
def test_nodes_integrate_the_moments(features):
    rng = np.random.default_rng(features)
    means, roots = rng.normal(size=(3, features)), rng.normal(size=(3, features, features))
    matrices = roots @ np.swapaxes(roots, 1, 2) + np.eye(features)
    law = ns.Clusters(means, (1.0, 2.0, 1.0), (1, -1, 1), covariance=matrices)
    facts = KernelFacts()
    allowed = 1e-4 if features < 4 else 0.05
    for purpose in ("operator", "resolvents", "spectrum", "influence"):
        nodes = law.nodes(law.levels(facts, purpose) - 1, facts, purpose)
        points, weights = np.asarray(nodes.points), np.asarray(nodes.weights)[:, 0]
        assert abs(weights.sum() - 1) < 1e-12
        np.testing.assert_allclose(weights @ points, law.proportions @ means, atol=allowed)
        second = np.einsum("g,gij->ij", law.proportions, matrices + means[:, :, None] * means[:, None, :])
        assert np.abs((weights[:, None] * points).T @ points - second).max() < allowed * np.trace(second)
        # E[y] and E[y z]: the target is no polynomial.
        targets = np.asarray(nodes.targets)[:, 0]
        signed = law.proportions * law.labels
        assert abs(weights @ targets - signed.sum()) < 0.02
        assert np.abs((weights * targets) @ points - signed @ means).max() < 0.06


@pytest.mark.slow
@pytest.mark.branches
def test_class_expectation_is_that_of_sampled_labels():
    data = BIRDS.sample(jax.random.key(0), 40_000)
    latents, labels = np.asarray(data.latents), np.asarray(data.labels)
    assert int(np.sum(labels == 1)) == 10_000
    left = labels - np.asarray(BIRDS.class_expectation(latents))
    moments = left[:, None] * np.concatenate([np.ones((len(left), 1)), np.sign(latents), latents], axis=1)
    assert np.all(np.abs(moments.mean(axis=0)) < 4 * moments.std(axis=0) / 200)
    shifted = ns.Clusters.waterbirds(0.9, positive=0.3)
    wrong = labels - np.asarray(shifted.class_expectation(latents))
    assert abs(wrong.mean()) > 4 * wrong.std() / 200
    independent = BIRDS.sample(jax.random.key(0), 1001, balanced=False)
    assert independent.inputs.shape == (1001, 100)


@pytest.mark.slow
@pytest.mark.branches
def test_best_group_accuracies_are_those_of_samples():
    best = BIRDS.bayes_group_accuracy()
    assert best.dims == ("label", "background")
    rng = np.random.default_rng(0)
    for g in range(4):
        points = np.asarray(BIRDS.means)[g] + rng.normal(size=(60_000, 2))
        label, background = int(BIRDS.labels[g]), int(BIRDS.attributes["background"][g])
        right = np.mean(np.sign(BIRDS.class_expectation(points)) == label)
        error = np.sqrt(right * (1 - right) / len(points))
        found = float(best.sel(label=label, background=background))
        assert abs(found - right) < 4 * error + 1e-4
        assert not abs(found + 0.01 - right) < 4 * error + 1e-4


@pytest.mark.slow
@pytest.mark.branches
def test_fixed_counts_of_unequal_classes_by_their_formula():
    """Early on f(x) = t (1/N) sum Theta(x, x_n) y_n, whose variance under fixed class counts is known."""
    time, num_samples = 1e-4, 80
    probes = np.array([[1.0, 0.5], [-2.0, 1.0]])
    options = {"num_samples": num_samples, "random_init": False, "probes": probes}
    rng = np.random.default_rng(0)
    cluster = rng.choice(4, 400_000, p=BIRDS.proportions)
    latents, labels = np.asarray(BIRDS.means)[cluster] + rng.normal(size=(400_000, 2)), BIRDS.labels[cluster]
    scale = np.asarray(BIRDS.amplification)
    pull = time * (2 * (latents * scale) @ (probes * scale).T / 100 + 2.0 * 0 + 1.0) * labels[:, None]
    kernel = np.asarray(ns.laws.LawKernel(BIRDS, WITH_CONSTANT)(latents[:5], probes).ntk)
    np.testing.assert_allclose(pull[:5] / time * labels[:5, None], kernel, rtol=1e-9)
    within = [pull[labels == side] for side in (-1, 1)]
    fixed = sum(np.mean(labels == side) * part.var(axis=0) for side, part in zip((-1, 1), within, strict=True)) / num_samples
    free = pull.var(axis=0) / num_samples
    for balanced, expected in ((True, fixed), (False, free)):
        found = ns.predict(BIRDS, WITH_CONSTANT, ns.GradientFlow(time), balanced=balanced, **options)
        np.testing.assert_allclose(np.asarray(found.std) ** 2, expected, rtol=0.03)
    assert np.all(fixed < 0.9 * free)


def _agree(law, network, flow, num_samples, num_datasets):
    average = ns.predict(law, network, flow, num_samples=num_samples)
    sampled = ns.predict(
        law, network, flow, num_samples=num_samples, method="monte_carlo", key=jax.random.key(1), num_datasets=num_datasets
    )
    errors = np.asarray(sampled.std) / np.sqrt(num_datasets)
    assert np.all(np.mean(np.abs(average.mean - sampled.mean) < 3 * errors, axis=-1) > 0.95)
    assert np.all(np.median(np.abs(average.std / sampled.std - 1), axis=-1) < 0.15)
    allowed = np.maximum(0.01, 3 * sampled.standard_error(ns.metrics.GroupAccuracy())).reshape(sampled.group_accuracy.shape)
    assert np.all(np.abs(average.group_accuracy - sampled.group_accuracy) < allowed)
    assert not np.all(np.abs(average.group_accuracy + 0.1 - sampled.group_accuracy) < allowed)
    return average


@pytest.mark.slow
@pytest.mark.branches
def test_averages_are_those_of_sampled_data_sets():
    average = _agree(BIRDS, WITH_CONSTANT, ns.GradientFlow([2.0, 20.0]), 100, 80)
    assert average.group_accuracy.dims == ("time", "label", "background")
    assert average.worst_group_accuracy.shape == average.accuracy.shape == (2,)
    assert np.all(average.worst_group_accuracy < float(average.optimal_group_accuracy.max()))


@pytest.mark.slow
@pytest.mark.parametrize("law", [BIRDS, ns.Clusters.xor_core(), ns.Clusters.imbalanced()], ids=["birds", "xor", "imbalanced"])
def test_averages_are_those_of_sampled_data_sets_for_relu(law):
    _agree(law, ns.MLP(1, bias_variance=0.5), ns.GradientFlow([3.0, 30.0, 100.0]), 200, 100)


@pytest.mark.slow
def test_trained_networks_have_the_predicted_group_accuracies():
    descent = ns.GradientDescent(1.0, [10, 100])
    network = ns.MLP(1, bias_variance=0.1, width=512)
    e = ns.train_ensemble(BIRDS, network, descent, 200, 16, 2, key=jax.random.key(0))
    p = ns.predict(BIRDS, ns.MLP(1, bias_variance=0.1), descent, num_samples=200)
    assert np.all(np.abs(p.group_accuracy.values - e.mean_group_accuracy.values) < 0.05 + 3 * e.standard_error.values)


@pytest.mark.slow
@pytest.mark.branches
def test_the_majority_direction_is_the_top_eigenfunction():
    """Lim, Kim & Moon (2026): in closed form for linear networks, where the second moment decides."""
    for share in (0.7, 0.9):
        law = ns.Clusters.imbalanced(share, separation=2.0)
        found = ns.kernel_spectrum(law, ns.MLP(0), modes=2, tolerance=0.01)
        # Theta = 2 <u, u'> / d and E[z z'] = diag(q s^2 + 1).
        np.testing.assert_allclose(found.eigenvalues, 2 / 100 * (4 * np.array([share, 1 - share]) + 1), rtol=1e-6)
        along = [abs(np.corrcoef(np.asarray(phi), found.probes[:, i])[0, 1]) for i, phi in enumerate(found.eigenfunctions)]
        assert min(along) > 0.999
    # The minority's direction leads where it is the majority.
    turned = ns.kernel_spectrum(ns.Clusters.imbalanced(0.2), ns.MLP(0), modes=2, tolerance=0.01)
    assert abs(np.corrcoef(np.asarray(turned.eigenfunctions[0]), turned.probes[:, 1])[0, 1]) > 0.999


@pytest.mark.slow
@pytest.mark.branches
def test_groups_without_attributes_are_the_clusters():
    law = ns.Clusters([[1.0, 0.0], [-1.0, 0.5], [0.0, 2.0]], (2, 1, 1), (1, -1, -1), covariance=[[1.0, 0.2], [0.2, 0.5]])
    found = ns.predict(law, WITH_CONSTANT, ns.GradientFlow(5.0), tolerance=0.05)
    assert found.group_accuracy.dims == ("cluster",) and found.group_accuracy["cluster"].values.tolist() == [0, 1, 2]
    assert set(found.numbers()) == {"accuracy", "worst_group_accuracy"}
    weighted = float(found.group_accuracy.values @ law.proportions)
    assert abs(weighted - found.accuracy) < 1e-12
    single = ns.predict(law, WITH_CONSTANT, ns.GradientFlow(5.0), tolerance=0.05, probes=[[3.0, 0.0], [0.0, 3.0]])
    assert single.mean.shape == (2,) and single.points.truth.tolist() == [1.0, -1.0]


@pytest.mark.slow
@pytest.mark.branches
def test_sweeps_have_the_groups():
    law = ns.Clusters.waterbirds()
    table = ns.sweep(
        {"amplification_0": [1.0, 4.0]}, law, WITH_CONSTANT, ns.GradientFlow(1.0), method="population", tolerance=0.1
    )
    assert table["group_accuracy"].dims == ("amplification_0", "label", "background")
    worst = table["worst_group_accuracy"].values
    assert worst[1] < worst[0]


@pytest.mark.slow
@pytest.mark.branches
def test_networks_are_trained_on_clusters():
    e = ns.train_ensemble(BIRDS, ns.MLP(1, width=8), ns.GradientDescent(0.5, [1, 5]), 12, 3, 2, key=jax.random.key(0))
    assert e.group_accuracy.dims == ("time", "dataset", "init", "label", "background")
    assert e.value.shape == (2, 3, 2) and np.shape(e.mean_bias) == (2,) and np.all(e.bias_standard_error >= 0)
    assert e.standard_error.shape == (2, 2, 2) and e.reliance_on("background").shape == (2, 3, 2)
    for name in ("dataset", "test", "probe_inputs"):
        with pytest.raises(ValueError, match=f"{name} must be None for a Clusters"):
            ns.train_ensemble(BIRDS, ns.MLP(1, width=8), ns.GradientDescent(0.5, 1), 12, key=jax.random.key(0), **{name: e})
    with pytest.raises(ValueError, match="network must be an MLP of finite width"):
        ns.train_ensemble(BIRDS, object(), ns.GradientDescent(0.5, 1), 12, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"means": [1.0, 2.0]}, r"means must be an array \(G, K\)"),
        ({"proportions": (1.0, -1.0)}, "proportions must be positive"),
        ({"labels": (1, 1)}, r"labels must be in \{-1, \+1\}, with clusters of either"),
        ({"labels": (1.5, -1)}, "labels must be integers"),
        ({"labels": (1,)}, r"labels must be of shape \(2,\)"),
        ({"attributes": {"label": (0, 1)}}, "attributes must be named by text other than label"),
        ({"covariance": np.ones(3)}, r"covariance must be a number, or of shape \(2, 2\) or \(2, 2, 2\)"),
        ({"covariance": -1.0}, "covariance must be positive"),
        ({"covariance": [[1.0, 2.0], [2.0, 1.0]]}, "covariance must be symmetric and positive definite"),
        ({"amplification": (1.0,)}, "amplification must be positive"),
        ({"input_dim": 1}, "input_dim must be an integer >= 2"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        ns.Clusters(**{"means": [[1.0, 0.0], [-1.0, 0.0]], "labels": (1, -1), **changes})


def test_presets_are_named_settings():
    birds = ns.Clusters.waterbirds(0.8, positive=0.23)
    agrees = birds.attributes["background"] == birds.labels
    assert abs(birds.proportions[agrees].sum() - 0.8) < 1e-12 and abs(birds.proportions[birds.labels == 1].sum() - 0.23) < 1e-12
    core = ns.Clusters.xor_core(0.7)
    assert core.features == 3 and np.array_equal(core.labels, np.sign(core.means[:, 1] * core.means[:, 2]))
    # No linear classifier reads the core: the label has no first moment with its features.
    assert np.abs((core.proportions * core.labels) @ core.means[:, 1:]).max() < 1e-12
    for preset in (ns.Clusters.waterbirds, ns.Clusters.xor_core, ns.Clusters.imbalanced):
        with pytest.raises(ValueError, match=r"must be in \(0, 1\)"):
            preset(1.0)


@pytest.mark.slow
@pytest.mark.branches
def test_the_preference_for_a_majority_is_what_the_page_says():
    """Each row of the table of docs/howto/clusters.md, by the closed form and by predictions (D14.5)."""
    page = (pathlib.Path(__file__).parents[1] / "docs" / "howto" / "clusters.md").read_text()
    rows = [
        [float(cell) for cell in re.findall(r"\d+\.?\d*", line)] for line in page.splitlines() if re.match(r"\| [01]", line)
    ]
    assert [tuple(row[:2]) for row in rows] == [(v, q) for v in (0.01, 0.25, 1.0) for q in (0.7, 0.9, 0.97)]
    network, options = ns.MLP(0), {"method": "population", "random_init": False, "tolerance": 1e-3}
    for inside, share, eigenvalues, weights, predicted_weights, *accuracies in rows:
        shares = np.array([share, 1 - share])
        moments = 4 * shares + inside
        ends = 2 * shares / moments
        expected = ndtr(2 / np.sqrt(inside) * ends / np.linalg.norm(ends))
        law = ns.Clusters.imbalanced(share, separation=2.0, covariance=inside)
        spectrum = ns.kernel_spectrum(law, network, modes=2, tolerance=0.01)
        times = np.array([1e-3, 0.7 / (0.02 * moments[1]), np.inf])
        early, later, last = ns.predict(law, network, ns.GradientFlow(times), probes=np.eye(2), **options).mean
        groups = ns.predict(law, network, ns.GradientFlow(np.inf), **options).group_accuracy.mean("label").values
        # Two routes to each: the eigenvalues also as speeds.
        np.testing.assert_allclose(spectrum.eigenvalues, 0.02 * moments, rtol=1e-6)
        np.testing.assert_allclose(-np.log1p(-later / last) / times[1], 0.02 * moments, rtol=2e-3)
        np.testing.assert_allclose(last, ends, atol=5e-4)
        np.testing.assert_allclose(groups, expected, atol=8e-3)  # at 512 points of each cluster
        # The ratio is largest at first, and 1 at the end only where clusters are points.
        assert early[0] / early[1] > later[0] / later[1] > last[0] / last[1] > 1
        assert abs(early[0] / early[1] / (share / (1 - share)) - 1) < 2e-3
        assert abs(last[0] / last[1] * moments[0] / moments[1] / (share / (1 - share)) - 1) < 2e-3
        # As printed.
        assert abs(eigenvalues - moments[0] / moments[1]) < 0.0051 and abs(weights - ends[0] / ends[1]) < 0.00051
        assert abs(predicted_weights - last[0] / last[1]) < 0.00051
        found = np.stack([expected, groups], axis=1).ravel()
        assert np.abs(np.array(accuracies) - found).max() < 0.00051
    best = law.bayes_group_accuracy().sel(minority=1)  # of the last row, as quoted below the table
    assert np.all(np.abs(best - 0.69) < 0.0051)


@pytest.fixture
def penalised():
    """Registers losses with a penalty on the square of the output, under names of their own, and forgets them."""
    names = []

    def register(value, name):
        names.append(name)
        type(name, (ns.training.Loss,), {"name": name, "__call__": lambda self, output, label: value(output, label)})
        return name

    yield register
    for name in names:
        LOSSES.pop(name)


@pytest.mark.slow
@pytest.mark.branches
def test_no_size_of_the_output_alters_the_preference(penalised):
    """Labels of another size, and a penalty on the square of the output: the weights shrink together (D14.5)."""
    law = ns.Clusters.imbalanced(0.9, separation=2.0, covariance=0.25)
    shares = np.array([0.9, 0.1])
    options = {"method": "population", "random_init": False, "tolerance": 1e-2, "probes": np.eye(2)}

    def ends(loss):
        return np.asarray(ns.predict(law, ns.MLP(0), ns.GradientFlow(np.inf), loss=loss, **options).mean)

    smaller = ends(penalised(lambda f, y: (f - 0.3 * y) ** 2 / 2 + 0.7 * f**2 / 2, "smaller_labels_and_a_penalty"))
    np.testing.assert_allclose(smaller, 0.3 / 1.7 * 2 * shares / (4 * shares + 0.25), rtol=2e-3)
    # Logistic loss prefers less, and as much as the squared one where a penalty keeps outputs small.
    weights = [ends("logistic"), ends("squared")]
    for size in (0.1, 1.0):
        logistic = penalised(lambda f, y, size=size: jnp.logaddexp(0.0, -y * f) + size * f**2 / 2, f"logistic_{size}")
        weights.insert(-1, ends(logistic))
    ratios = [first / second for first, second in weights]
    assert 1 < ratios[0] < ratios[1] < ratios[2] < ratios[3]
    np.testing.assert_allclose(ratios, [1.28, 1.49, 1.52, 1.52], atol=0.0051)  # as docs/howto/clusters.md quotes them
