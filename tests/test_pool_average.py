"""Averages over data sets drawn from a pool: against exact solutions, enumerated and sampled, and against the limits of their
counts."""

import itertools
from typing import NamedTuple

import jax
import numpy as np
import pytest
from scipy.stats import norm

import ntk_shortcuts as ns
from ntk_shortcuts.methods.average import pool as pool_module
from ntk_shortcuts.methods.average.atoms import coordinates as coordinates_module
from ntk_shortcuts.methods.average.atoms import influence as influence_module
from ntk_shortcuts.methods.average.atoms import resolvent as resolvent_module
from ntk_shortcuts.methods.average.atoms.average import Atoms, averaged, pool_coordinates
from ntk_shortcuts.methods.average.atoms.coordinates import coordinates
from ntk_shortcuts.methods.average.atoms.influence import Influence
from ntk_shortcuts.methods.average.atoms.rare import RareNodes, rare_nodes
from ntk_shortcuts.methods.average.atoms.resolvent import averaged_resolvent
from ntk_shortcuts.networks.gram import Gram, gram_between
from ntk_shortcuts.nodes.counts import Counts


class One(NamedTuple):
    """What an average says of one output."""

    means: np.ndarray
    variance: np.ndarray
    data_variance: np.ndarray
    residual: float


NETWORK = ns.MLP(1, bias_variance=0.1)
KEY = jax.random.key(0)


def made(size, tested=40, seed=0, shortcut=2.0):
    """Pools of vectors: a weak feature of the label, a strong one of the attribute, and noise."""
    rng = np.random.default_rng(seed)
    labels, attribute = (np.resize(values, size + tested) for values in ((-1, 1), (-1, -1, 1, 1)))
    inputs = rng.normal(size=(size + tested, 8))
    inputs[:, 0] += 0.8 * labels
    inputs[:, 1] += shortcut * attribute
    every = ns.Pool(inputs, labels, attribute)
    return every.take(np.arange(size)), every.take(np.arange(size, size + tested))


def gram_of(pool, test):
    return gram_between(NETWORK, pool.inputs, test.inputs)


def exact(gram, numbers, targets, num_samples, filter_):
    """Mean and variance over initialisations, (n,), trained on the samples of those numbers, by diagonalisation."""
    values, vectors = np.linalg.eigh(gram.ntk[np.ix_(numbers, numbers)] / num_samples)
    fitted = gram.ntk_cross[:, numbers] @ vectors * filter_(np.maximum(values, 0)) @ vectors.T / num_samples
    nngp, cross = gram.nngp[np.ix_(numbers, numbers)], gram.nngp_cross[:, numbers]
    return fitted @ targets[numbers], gram.nngp_own + np.sum((fitted @ nngp - 2 * cross) * fitted, axis=1)


def flow(time):
    return lambda values: np.where(values > 1e-14, -np.expm1(-values * time) / np.maximum(values, 1e-14), time)


def poles_of(training, num_samples, largest=20.0):
    found = training.rational(num_samples, largest, 6)
    return np.asarray(found.poles), np.asarray(found.residues)


def equivalent(pool, gram, counts, num_samples, training, random_init=False, feedback=False, rare=None):
    atoms = Atoms(gram, pool._indexed().targets[:, None], pool.weights, counts, num_samples, rare)
    poles, residues = poles_of(training, num_samples)
    found = averaged(atoms, pool_coordinates(atoms, poles), poles, residues, random_init, feedback)
    return One(found.means[..., 0], found.covariance[:, 0, 0], found.data_variance, found.residual)


def density_mean(gram, targets, weights, num_samples, training, where=None):
    """The form of a law with a density, on the whole Gram matrix: what repeated draws would change is left out."""
    poles, residues = poles_of(training, num_samples)
    mean = 0.0
    for pole, residue in zip(poles, residues, strict=True):
        delta = np.full(len(weights), weights @ np.diag(gram.ntk) / (-pole * num_samples))
        for _ in range(3000):
            smoothed = np.linalg.solve(np.diag((1 + delta) / weights) @ np.eye(len(weights)) * -pole + gram.ntk, gram.ntk)
            # <k, Q k> = (K - K (D^-1 (-s) + K)^-1 K)/(-s), D = q/(1 + delta).
            own = (np.diag(gram.ntk) - np.sum(gram.ntk * smoothed.T, axis=1)) / -pole
            before, delta = delta, (delta + own / num_samples) / 2
            if np.max(np.abs(delta - before) / np.abs(1 + delta)) < 1e-9:
                break
        at = np.linalg.solve(np.diag(-pole * (1 + delta) / weights) + gram.ntk, targets.astype(complex))
        mean = mean + np.real(residue * (gram.ntk_cross @ at))
    return mean


def test_a_data_set_is_its_own_average():
    pool, test = made(30)
    gram, training = gram_of(pool, test), ns.GradientFlow(30.0)
    for counts in (np.ones(30, int), np.resize([2, 0, 1], 30)):
        numbers = np.repeat(np.arange(30), counts)
        law = equivalent(pool, gram, Counts.known(counts), 30, training, random_init=True, feedback=True)
        mean, variance = exact(gram, numbers, pool._indexed().targets, 30, flow(30.0))
        np.testing.assert_allclose(law.means[0], mean, atol=3e-5)
        np.testing.assert_allclose(law.variance, variance, atol=3e-5)
        assert np.max(law.data_variance) < 1e-12 and law.residual < 1e-6


def test_a_small_pool_enumerated():
    """Every multiset of two draws from either class of three. The equivalent is asymptotic: here its mean is off by 2 %,
    and by half without counts."""
    pool, test = made(6)
    pool = pool.reweighted([1.0, 2.0, 3.0, 1.0, 2.0, 1.0])
    law, gram, training = pool._indexed(), gram_of(pool, test), ns.GradientFlow(0.3)
    share, _ = law.shares(4)
    sets = [np.array(a + b) for a in itertools.product([0, 2, 4], repeat=2) for b in itertools.product([1, 3, 5], repeat=2)]
    chance = np.array([np.prod(share[numbers]) for numbers in sets])
    assert abs(chance.sum() - 1) < 1e-12
    outputs = np.stack([exact(gram, numbers, law.targets, 4, flow(0.3))[0] for numbers in sets])
    mean = chance @ outputs
    found = equivalent(pool, gram, law.counts(4), 4, training, feedback=True)
    plain = density_mean(gram, law.targets, pool.weights, 4, training)
    size, error, without = (np.sqrt(np.mean(x**2)) for x in (mean, found.means[0] - mean, plain - mean))
    assert error < 0.03 * size < 0.3 * size < without
    # A node's own count is left out of its residual; fed back, the deviation would be hundreds of times too large.
    late = equivalent(pool, gram, law.counts(4), 4, ns.GradientFlow(30.0), feedback=True)
    outputs = np.stack([exact(gram, numbers, law.targets, 4, flow(30.0))[0] for numbers in sets])
    deviation = np.sqrt(chance @ (outputs - chance @ outputs) ** 2)
    assert 0.6 < np.median(np.sqrt(late.data_variance) / deviation) < 1.1


def test_many_nodes_of_little_weight_are_a_density():
    """Copies of each sample: the distance from the form of a density falls as one over their number."""
    pool, test = made(40)
    gram, training = gram_of(pool, test), ns.GradientFlow(30.0)
    law = pool._indexed()
    limit = density_mean(gram, law.targets, pool.weights, 12, training)
    distances = []
    for copies in (1, 4, 16):
        numbers = np.repeat(np.arange(40), copies)
        split = Gram(
            gram.ntk[np.ix_(numbers, numbers)],
            gram.nngp[np.ix_(numbers, numbers)],
            gram.ntk_cross[:, numbers],
            gram.nngp_cross[:, numbers],
            gram.nngp_own,
        )
        many = pool.take(numbers)
        found = equivalent(many, split, many._indexed().counts(12), 12, training)
        distances.append(np.sqrt(np.mean((found.means[0] - limit) ** 2)))
    slopes = np.diff(np.log(distances)) / np.log(4)
    assert distances[-1] < 0.01 < distances[0] and np.all(slopes < -0.8) and np.all(slopes > -1.2), (distances, slopes)


class Sampled:
    """Exact solutions on data sets drawn from a pool, at two times."""

    times = (10.0, 100.0)

    def __init__(self, pool, test, num_samples, sets, replace=True):
        self.law = pool._indexed() if replace else pool._indexed().without_replacement()
        gram, rng, targets = gram_of(pool, test), np.random.default_rng(0), self.law.targets
        draws = [self.law.draw(rng, num_samples) for _ in range(sets)]
        laws = [[exact(gram, numbers, targets, num_samples, flow(t)) for t in self.times] for numbers in draws]
        self.means, self.variances = np.moveaxis(np.array(laws), 2, 0)
        self.points = self.law.tested_on(test.labels, test.attributes, test.weights)
        groups = self.groups(self.means, np.sqrt(self.variances))
        self.accuracy, self.spread = groups.mean(axis=0), groups.std(axis=0, ddof=1)
        self.error = self.spread / np.sqrt(sets)
        self.std = np.sqrt(self.means.var(axis=0, ddof=1) + self.variances.mean(axis=0))

    def groups(self, means, std):
        """Accuracies of the four groups."""
        right = norm.cdf(np.asarray(self.points.truth) * means / std)
        return np.stack([right[..., self.points.groups.number == g].mean(axis=-1) for g in range(4)], axis=-1)

    def misses(self, accuracy):
        """In units of what is allowed."""
        return np.max(np.abs(accuracy - self.accuracy) / np.maximum(0.02, 3.5 * self.error))


def predicted(pool, test, num_samples, **options):
    training = ns.GradientFlow(np.array(Sampled.times))
    return ns.predict(pool, NETWORK, training, num_samples=num_samples, test=test, method="dataset_averaged", **options)


def accuracies(prediction):
    return np.asarray(prediction.group_accuracy).reshape(2, 4)


@pytest.fixture(scope="module")
def settings():
    """Pool, test pool, N, and exact solutions on sampled data sets, where no group is rare and where two are."""
    found = {}
    for name, agreement, count in (("frequent", 0.7, 90), ("rare", 0.9, 60)):
        pool, test = made(120, 80)
        pool = pool.with_agreement(agreement)
        found[name] = pool, test, count, Sampled(pool, test, count, 200)
    return found


@pytest.mark.parametrize("name", [pytest.param("frequent", marks=[pytest.mark.slow, pytest.mark.branches]), "rare"])
def test_group_accuracies_are_those_of_sampled_data_sets(name, settings):
    pool, test, count, sampled = settings[name]
    found = predicted(pool, test, count)
    assert found.issues == () and found.diagnostics["trusted"] == 1
    assert sampled.misses(accuracies(found)) < 1
    ratios = np.median(np.asarray(found.std) / sampled.std, axis=-1)
    assert np.all(np.abs(ratios - 1) < 0.07), ratios
    assert ("rare_nodes" in found.diagnostics) == (name == "rare")
    shifted = sampled.groups(np.asarray(found.mean) + 0.15, np.asarray(found.std))
    assert sampled.misses(shifted) > 1


@pytest.mark.slow
@pytest.mark.branches
def test_without_counts_late_outputs_are_missed():
    """Two draws of each sample: the form of a density would learn more from the second."""
    pool, test = made(120, 80)
    law, gram, training = pool._indexed(), gram_of(pool, test), ns.GradientFlow(1e4)
    rng = np.random.default_rng(0)
    draws = [law.draw(rng, 240) for _ in range(120)]
    outputs = np.stack([exact(gram, numbers, law.targets, 240, flow(1e4))[0] for numbers in draws])
    found = equivalent(pool, gram, law.counts(240), 240, training).means[0]
    plain = density_mean(gram, law.targets, pool.weights, 240, training)
    error = outputs.std(axis=0) / np.sqrt(120)
    scores = [np.sqrt(np.mean(((mean - outputs.mean(axis=0)) / error) ** 2)) for mean in (found, plain)]
    assert scores[0] < 1.6 < 2 < scores[1], scores


@pytest.mark.slow
@pytest.mark.branches
def test_rare_groups_are_drawn(settings):
    pool, test, count, sampled = settings["rare"]
    found = predicted(pool, test, count, num_draws=100)
    assert found.outputs.values.shape == (100, 2, 80) and found.diagnostics["rare_nodes"] == 60
    # How accuracies of the groups in conflict spread from one data set to the next, most of it by the draw.
    signs = np.asarray(found.outputs.signs(found.points)) * np.asarray(found.points.truth)
    for group in (1, 2):
        spread = np.std((1 + signs[..., found.points.groups.number == group].mean(axis=-1)) / 2, axis=0)
        assert np.all(spread > 0.6 * sampled.spread[:, group]) and np.all(spread < 1.1 * sampled.spread[:, group])
    again = predicted(pool, test, count, num_draws=100, key=KEY)
    np.testing.assert_array_equal(accuracies(again), accuracies(found))
    other = predicted(pool, test, count, num_draws=100, key=jax.random.key(1))
    assert not np.array_equal(accuracies(other), accuracies(found))


def test_a_draw_of_all_nodes_is_the_exact_solution():
    pool, test = made(24)
    law, gram = pool._indexed(), gram_of(pool, test)
    drawn = np.stack([law.drawn_counts(np.random.default_rng(seed), 12) for seed in range(3)])
    rare = RareNodes(np.arange(24), np.concatenate([drawn, np.zeros((1, 24), int)]))
    found = equivalent(pool, gram, law.counts(12), 12, ns.GradientFlow(30.0), feedback=True, rare=rare)
    for mean, counts in zip(found.means, rare.drawn, strict=True):
        numbers = np.repeat(np.arange(24), counts)
        expected = exact(gram, numbers, law.targets, 12, flow(30.0))[0] if len(numbers) else np.zeros(40)
        np.testing.assert_allclose(mean, expected, atol=5e-5)
    assert np.max(found.data_variance) < 1e-12


def test_rare_nodes_are_those_of_groups_with_few_expected_samples():
    pool, _ = made(40)
    assert rare_nodes(pool._indexed().counts(38)).tolist() == list(range(40))
    assert rare_nodes(pool._indexed().counts(42)).tolist() == []
    some = pool.with_agreement(1.0)
    assert rare_nodes(some._indexed().counts(20)).tolist() == []  # nodes that never come are not drawn


def test_subsets_are_those_of_sampled_subsets():
    pool, test = made(120, 80)
    sampled = Sampled(pool, test, 90, 200, replace=False)
    found = predicted(pool, test, 90, replace=False)
    assert sampled.misses(accuracies(found)) < 1
    ratios = np.median(np.asarray(found.std) / sampled.std, axis=-1)
    assert np.all(np.abs(ratios - 1) < 0.07), ratios
    # Drawn with replacement the same number says less.
    scores = []
    for prediction in (found, predicted(pool, test, 90)):
        error = sampled.means[:, 1].std(axis=0) / np.sqrt(200)
        scores.append(np.sqrt(np.mean(((np.asarray(prediction.mean)[1] - sampled.means[:, 1].mean(axis=0)) / error) ** 2)))
    assert scores[0] < 1.6 < 2 < scores[1], scores


def test_the_subset_of_all_samples_is_the_pool():
    pool, test = made(40)
    found = predicted(pool, test, 40, replace=False)
    for index, time in enumerate(Sampled.times):
        mean, variance = exact(gram_of(pool, test), np.arange(40), pool._indexed().targets, 40, flow(time))
        np.testing.assert_allclose(np.asarray(found.mean)[index], mean, atol=1e-4)
        np.testing.assert_allclose(np.asarray(found.std)[index], np.sqrt(variance), atol=1e-4)
    assert found.diagnostics["data_std"] < 1e-6
    with pytest.raises(ValueError, match=r"num_samples must be smaller where no sample may come twice"):
        predicted(pool, test, 42, replace=False)


@pytest.mark.parametrize("replace", [True, False])
def test_monte_carlo_solves_on_drawn_data_sets(replace):
    pool, test = made(40)
    options = {"num_samples": 20, "test": test, "method": "monte_carlo", "key": KEY, "num_datasets": 3, "replace": replace}
    found = ns.predict(pool, NETWORK, ns.GradientFlow(30.0), **options)
    gram, targets = gram_of(pool, test), pool._indexed().targets
    for index, values in enumerate(np.asarray(found.outputs.values)):
        numbers = pool.draw(jax.random.fold_in(KEY, index), 20, replace)
        assert replace or len(set(numbers.tolist())) == 20
        np.testing.assert_allclose(values, exact(gram, numbers, targets, 20, flow(30.0))[0], atol=1e-9)
    assert found.diagnostics["num_datasets"] == 3


@pytest.mark.slow
@pytest.mark.branches
def test_what_varies_adds_variance():
    pool, test = made(60)
    whole, plain, silent, independent = (
        predicted(pool, test, 50, **options).diagnostics["data_std"]
        for options in ({}, {"feedback": False}, {"random_init": False}, {"balanced": False})
    )
    assert max(plain, silent) < whole < independent


def test_leading_eigenfunctions_by_subspace_iteration_are_those_of_all(monkeypatch):
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(1100, 60)) * 0.8 ** np.arange(60)
    kernel, cross = factors @ factors.T, rng.normal(size=(5, 60)) @ factors.T
    weights, smallest = np.full(1100, 1 / 1100), 1e-6
    whole = coordinates(kernel, cross, weights, smallest)
    monkeypatch.setattr(coordinates_module, "_ALL", 100)
    found = coordinates(kernel, cross, weights, smallest)
    np.testing.assert_allclose(found.eigenvalues, whole.eigenvalues, rtol=1e-9)
    np.testing.assert_allclose(found.nodes @ found.points.T, whole.nodes @ whole.points.T, atol=1e-8)
    # Where half of the spectrum is asked for, all of it is found.
    kernel = kernel + np.eye(1100)
    np.testing.assert_allclose(coordinates(kernel, cross, weights, 1e-9).eigenvalues[-1], 1 / 1100, rtol=1e-9)
    few = whole.above(1e-2)
    assert few.nodes.shape[1] == np.sum(whole.eigenvalues > 1e-2) < 60
    np.testing.assert_allclose(few.tail + np.sum(few.nodes**2, axis=1), whole.tail + np.sum(whole.nodes**2, axis=1), rtol=1e-9)


def test_what_coordinates_leave_out_is_in_the_leverage():
    """A kernel with a flat tail: leverages are right with what eigenfunctions leave out, and wrong without."""
    pool, test = made(60)
    gram, counts = gram_of(pool, test), pool._indexed().counts(40)
    gram = gram._replace(ntk=gram.ntk + 2 * np.eye(60))
    whole = coordinates(gram.ntk, gram.ntk_cross, pool.weights, 0.0)
    few = whole.above(2 / 60 * 2)
    assert few.nodes.shape[1] < 50
    one, two, without = (averaged_resolvent(-0.5, where, counts, 40) for where in (whole, few, few._replace(tail=np.zeros(60))))
    assert np.max(np.abs(one.leverage - two.whole)) < 0.25 * np.max(np.abs(one.leverage - without.whole))


def test_a_neighbouring_pole_is_a_good_start():
    pool, test = made(40)
    gram, counts = gram_of(pool, test), pool._indexed().counts(30)
    where = coordinates(gram.ntk, gram.ntk_cross, pool.weights, 0.0)
    first = averaged_resolvent(-0.02 + 0.02j, where, counts, 30)
    cold, warm = (averaged_resolvent(-0.021 + 0.02j, where, counts, 30, start) for start in (None, first.leverage))
    np.testing.assert_allclose(warm.rows, cold.rows, atol=1e-5)
    assert warm.iterations < cold.iterations and warm.residual < 1e-7


def test_a_fixed_point_that_is_not_reached_is_an_issue(monkeypatch):
    monkeypatch.setattr(resolvent_module, "_ITERATIONS", 2)
    pool, test = made(24)
    with pytest.warns(ns.UntrustedPredictionWarning):
        found = predicted(pool, test, 48)
    assert [issue.kind for issue in found.issues] == ["UntrustedAverage"] and found.diagnostics["trusted"] == 0
    assert found.diagnostics["fixed_point_residual"] > 1e-5


def test_a_variance_that_still_moves_is_an_issue(monkeypatch):
    monkeypatch.setattr(influence_module, "_FEEDBACK_PASSES", 1)
    pool, test = made(24)
    with pytest.warns(ns.UntrustedPredictionWarning, match="variance moved by .* in its last pass"):
        found = predicted(pool, test, 48)
    assert found.diagnostics["variance_moved"] > 0.01 and found.diagnostics["trusted"] == 0


def test_options_that_pools_do_not_have_are_refused():
    pool, test = made(24)
    with pytest.raises(ValueError, match='form must be the default "local" for a pool'):
        predicted(pool, test, 20, form="scalar")
    with pytest.raises(ValueError, match="num_draws must be an integer >= 2"):
        predicted(pool, test, 20, num_draws=1)


def test_nothing_that_varies_has_no_fixed_sum():
    pool, test = made(12)
    gram, counts = gram_of(pool, test), Counts.known(np.ones(12))
    where = coordinates(gram.ntk, gram.ntk_cross, pool.weights, 0.0)
    resolvents = [averaged_resolvent(-0.1, where, counts, 12)]
    influence = Influence(np.ones(1), resolvents, counts, 12, np.arange(12))
    along = influence.along_totals(influence.residuals(where, pool._indexed().targets[:, None]))
    assert along.shape == (12, 1) and not np.any(along)


def test_the_edge_is_about_the_largest_eigenvalue_of_a_data_set():
    pool, test = made(120, 80)
    gram, law = gram_of(pool, test), pool._indexed()
    atoms = Atoms(gram, law.targets[:, None], pool.weights, law.counts(40), 40)
    largest = pool_module._largest(atoms)
    np.testing.assert_allclose(largest, np.linalg.eigvalsh(gram.ntk / 120)[-1], rtol=1e-6)
    numbers = law.draw(np.random.default_rng(0), 40)
    found = np.linalg.eigvalsh(gram.ntk[np.ix_(numbers, numbers)] / 40)[-1]
    assert found < 1.2 * pool_module._edge(atoms, largest) < 3 * found
