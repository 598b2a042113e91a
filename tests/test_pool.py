"""Pools and their counts: what is refused, weights, splits, draws, issues, and kernels evaluated once and kept."""

import dataclasses
import itertools
import warnings

import jax
import numpy as np
import pytest
from scipy.stats import binom

import ntk_shortcuts as ns
from ntk_shortcuts.kernels import neural_tangents as interop
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.pool.checks import notes_on
from ntk_shortcuts.networks import gram as gram_module
from ntk_shortcuts.networks.base import Network
from ntk_shortcuts.networks.gram import Gram, GramNetwork, Numbered, gram_between
from ntk_shortcuts.nodes.counts import Counts, class_sizes

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(24, 5))
LABELS, PATCH = np.resize([-1, 1], 24), np.resize([-1, -1, 1, 1], 24)
POOL = ns.Pool(INPUTS[:16], LABELS[:16], {"patch": PATCH[:16]})
TEST = ns.Pool(INPUTS[16:], LABELS[16:], {"patch": PATCH[16:]})


@pytest.mark.parametrize(
    ("counts", "law"),
    [
        (Counts.known([0, 2, 1]), lambda c, p: float(c == (0, 2, 1)[p])),
        (
            Counts.with_replacement([0.2, 0.8, 1.0], [5, 5, 3], [0, 0, 1]),
            lambda c, p: binom.pmf(c, (5, 5, 3)[p], (0.2, 0.8, 1)[p]),
        ),
        (
            Counts.subsets([0.2, 0.3, 1.0], [3, 3, 1], [0, 0, 1]),
            lambda c, p: dict(enumerate([(0.4, 0.6), (0.1, 0.9), (0, 1)][p])).get(c, 0),
        ),
    ],
    ids=["known", "binomial", "subsets"],
)
def test_moments_are_sums_over_the_law(counts, law):
    leverage = np.array([0.5, 0.2 + 1j, 3.0])
    for p in range(3):
        chance = {c: law(c, p) for c in range(6)}
        mean = sum(c * q for c, q in chance.items())
        np.testing.assert_allclose(counts.mean[p], mean, atol=1e-9)
        np.testing.assert_allclose(counts.variance[p], sum((c - mean) ** 2 * q for c, q in chance.items()), atol=1e-9)
        expected = sum(c / (1 + c * leverage[p]) * q for c, q in chance.items())
        np.testing.assert_allclose(counts.moment(leverage)[p], expected, atol=1e-9)


def test_counts_that_never_come():
    counts = Counts.with_replacement([0.0, 1.0], [1, 1], [0, 0], groups=[0, 1])
    assert counts.values.tolist() == [0, 1] and counts.mean.tolist() == [0, 1] and counts.groups == [0, 1]


def test_a_sample_cannot_be_in_a_subset_twice():
    with pytest.raises(
        ValueError, match=r"num_samples must be smaller where no sample may come twice .*got '1.2 of one sample'"
    ):
        Counts.subsets([0.4, 0.6], [2, 2], [0, 0])


@pytest.mark.parametrize(("count", "shares"), [(5, [0.5, 0.5]), (7, [0.2, 0.3, 0.5]), (100, [0.1, 0.9]), (1, [0.3, 0.7])])
def test_sizes_of_classes_add_up(count, shares):
    sizes = class_sizes(count, shares)
    assert sizes.sum() == count and np.all(np.abs(sizes - count * np.array(shares)) < 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((INPUTS[:, 0], LABELS), r"inputs must be an array of shape \(P, d\) or"),
        ((np.where(INPUTS > 2, np.nan, INPUTS), LABELS), "inputs must be finite"),
        ((INPUTS, LABELS[:5]), r"labels must be of shape \(24,\), one per sample"),
        ((INPUTS, LABELS + 0.5), "labels must be integers"),
        ((INPUTS, np.array(["a", "b"] * 12)), "labels must be integers"),
        ((INPUTS, np.ones(24)), "labels must be of at least two classes"),
        ((INPUTS, np.resize([3, 4], 24)), r"labels must be in \{-1, \+1\}, or the integers 0..k-1"),
        (
            (INPUTS, np.r_[1, -np.ones(23)]),
            "labels must be given to at least two samples of each class .*got '1 sample of class 1'",
        ),
        ((INPUTS, LABELS, {"label": PATCH}), "attributes must be named by text other than"),
        ((INPUTS, LABELS, {"patch": PATCH[:3]}), r"attributes\['patch'\] must be of shape"),
        ((INPUTS, LABELS, PATCH, -np.ones(24)), "weights must be >= 0 and finite"),
        ((INPUTS, LABELS, PATCH, np.zeros(24)), "weights must be positive for at least one sample"),
        ((INPUTS, LABELS, PATCH, (LABELS > 0) * 1.0), "weights must be positive for at least one sample of class -1"),
    ],
)
def test_what_is_no_pool_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        ns.Pool(*arguments)


@pytest.mark.parametrize("agreement", [0.0, 0.3, 0.95, 1.0])
def test_agreement_is_reached_by_weights(agreement):
    pool = POOL.reweighted(np.arange(1.0, 17)).with_agreement(agreement)
    assert abs(pool.agreement() - agreement) < 1e-12 and abs(pool.agreement("patch") - agreement) < 1e-12
    for value in (-1, 1):
        of = pool.labels == value
        assert abs(pool.weights[of].sum() - 0.5) < 1e-12
        assert abs(pool.weights[of & (pool.attributes["patch"] == value)].sum() - agreement / 2) < 1e-12
    members = POOL.groups[(1, 1)]
    if agreement > 0:
        np.testing.assert_allclose(pool.weights[members] / pool.weights[members[0]], (members + 1) / (members[0] + 1))


def test_agreement_that_no_weights_make_is_refused():
    with pytest.raises(ValueError, match=r"agreement must be in \[0, 1\]"):
        POOL.with_agreement(1.2)
    with pytest.raises(ValueError, match="agreement must be attainable: some sample of class -1 whose attribute differs from"):
        ns.Pool(INPUTS, LABELS, LABELS).with_agreement(0.9)
    for pool, name, words in (
        (ns.Pool(INPUTS, LABELS), None, "attributes must be given to the pool"),
        (ns.Pool(INPUTS, LABELS, {"a": PATCH, "b": PATCH}), None, "attribute must be one of a, b"),
        (POOL, "place", "attribute must be one of patch"),
    ):
        with pytest.raises(ValueError, match=words):
            pool.agreement(name)


def test_balanced_groups_weigh_the_same():
    pool = ns.Pool(INPUTS, LABELS, {"patch": np.r_[LABELS[:20], -LABELS[20:]]}).balanced()
    assert {round(float(pool.weights[members].sum()), 12) for members in pool.groups.values()} == {0.25}


def test_a_split_is_disjoint_and_has_its_part_of_each_group():
    numbered = ns.Pool(np.arange(48.0).reshape(24, 2), LABELS, {"patch": PATCH})
    first, second = numbered.split(KEY, 0.5)
    rows = [set(map(tuple, part.inputs.tolist())) for part in (first, second)]
    assert not rows[0] & rows[1] and len(rows[0] | rows[1]) == 24
    assert all(len(members) == 3 for part in (first, second) for members in part.groups.values())
    again, _ = numbered.split(KEY, 0.5)
    np.testing.assert_array_equal(again.inputs, first.inputs)
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\)"):
        numbered.split(KEY, 1.0)
    with pytest.raises(ValueError, match="fraction must be such that each class has two samples on either side, not 0"):
        numbered.split(KEY, 0.01)


@pytest.mark.parametrize("replace", [True, False])
def test_draws_have_the_classes_counts(replace):
    pool = POOL.reweighted(np.where(LABELS[:16] > 0, 3.0, 1.0))
    for seed in range(5):
        drawn = pool.draw(jax.random.key(seed), 9 if replace else 8, replace)
        assert np.sum(pool.labels[drawn] > 0) == (7 if replace else 6)
        assert replace or len(set(drawn.tolist())) == 8
    assert len(pool) == pool.size == 16
    with pytest.raises(ValueError, match="num_samples must be smaller where no sample may come twice"):
        pool.draw(KEY, 16, replace=False)
    with pytest.raises(ValueError, match="num_samples must be an integer >= 2"):
        pool.draw(KEY, 1)


@pytest.mark.parametrize("replace", [True, False])
def test_draws_have_the_law_of_the_counts(replace):
    law = POOL.with_agreement(0.75)._indexed()
    law = law if replace else law.without_replacement()
    counts, rng = law.counts(8), np.random.default_rng(0)
    drawn = np.stack([law.drawn_counts(rng, 8) for _ in range(4000)])
    assert np.max(np.abs(drawn.mean(axis=0) - counts.mean) / np.sqrt(counts.variance / 4000)) < 4.5
    np.testing.assert_allclose(drawn.var(axis=0), counts.variance, rtol=0.15)


def test_equal_pools_are_equal_and_say_what_they_hold():
    same = ns.Pool(INPUTS[:16], LABELS[:16], {"patch": PATCH[:16]})
    assert same == POOL and hash(same) == hash(POOL) and POOL.with_agreement(0.9) != POOL
    assert repr(POOL).startswith("Pool(16 inputs of shape (5,); samples by (label, patch): (-1, -1): 4")


def kinds(pool, test):
    return {issue.kind: issue for issue in notes_on(pool, test)}


def test_an_attribute_of_other_codes_than_the_labels_is_said_and_has_no_agreement():
    def of(values):
        pool = ns.Pool(POOL.inputs, POOL.labels, {"patch": values})
        return pool, kinds(pool, pool).get("AttributeCodes")

    zeros = (PATCH[:16] + 1) // 2
    pool, found = of(zeros)
    assert found.size == np.sum(zeros == 0) and "patch has the values 0, 1, labels -1, 1" in found.what
    allowed = r"attributes\['patch'\] must be of the codes of the labels, \(-1, 1\).*got \(0, 1\)"
    with pytest.raises(ValueError, match=allowed):
        pool.with_agreement(0.9)
    _, found = of(np.ones(16, int))
    assert found.size == 16 and "patch has the values 1 alone" in found.what
    assert of(np.arange(16))[1] is None and of(PATCH[:16])[1] is None


@pytest.mark.filterwarnings("ignore:24 of the 24 test samples")
def test_an_attribute_that_stands_for_the_other_class_is_said():
    inputs = np.stack([3.0 * PATCH, 0.3 * LABELS], axis=1) + 0.1 * INPUTS[:, :2]

    def reliance(agreement, codes):
        pool = ns.Pool(inputs, LABELS, {"patch": PATCH}).with_agreement(agreement)
        pool = ns.Pool(inputs, LABELS, {"patch": codes * PATCH}, pool.weights)
        return kinds(pool, pool), ns.predict(pool, ns.MLP(1), ns.GradientFlow(1.0), test=pool, check_laziness=False).reliance

    with pytest.warns(ns.UntrustedPredictionWarning, match="with these codes it stands for the other class"):
        found, opposed = reliance(0.2, 1)
    assert found["OpposedAttribute"].what.startswith("patch agrees with the label on 20 % of a class")
    assert opposed < -0.5
    for agreement, codes in ((0.2, -1), (0.3, 1)):
        found, _ = reliance(agreement, codes)
        assert "OpposedAttribute" not in found
    assert reliance(0.2, -1)[1] > 0.5


def test_a_common_value_beside_a_rare_class_opposes_nothing():
    """Independent of the label, and of the other value on most samples of the larger class."""
    labels, patch = np.repeat([-1, 1], [18, 2]), np.tile([-1, *[1] * 9], 2)
    pool = ns.Pool(np.random.default_rng(0).normal(size=(20, 3)), labels, {"patch": patch})
    assert pool.agreement() < 0.25 and "OpposedAttribute" not in kinds(pool, pool)
    exactly = ns.Pool(pool.inputs, labels, {"patch": -labels})
    assert "nothing would then tell it from the label" in kinds(exactly, exactly)["OpposedAttribute"].advice


def test_issues_of_pools_and_test_samples():
    assert kinds(POOL, TEST) == {}
    both = ns.Pool(np.r_[INPUTS[16:], INPUTS[:3]], np.r_[LABELS[16:], LABELS[:3]], {"patch": np.r_[PATCH[16:], PATCH[:3]]})
    shared = kinds(POOL, both)["SharedSamples"]
    assert shared.size == 3 and "3 of the 11 test samples" in shared.what
    flat = INPUTS[:16].copy()
    flat[2:4] = 0.7
    constant = kinds(ns.Pool(flat, POOL.labels, POOL.attributes), TEST)["ConstantInputs"]
    assert constant.size == 2 and "pool's 16 inputs" in constant.what
    assert "ConstantInputs" not in kinds(POOL.take(np.arange(16)), TEST)
    narrow = [ns.Pool(part.inputs[:, :1], part.labels, part.attributes) for part in (POOL, TEST)]
    assert kinds(*narrow) == {}  # a single number has one value everywhere
    same = kinds(POOL.with_agreement(1.0), TEST)["AttributeIsLabel"]
    assert same.size == 8 and "patch equals the label on all 8 samples" in same.what
    few = TEST.take(np.flatnonzero(TEST.labels == TEST.attributes["patch"]))
    empty = kinds(POOL, few)["EmptyGroups"]
    assert empty.size == 2 and empty.groups == ((-1, 1), (1, -1))
    many = dataclasses.replace(empty, groups=((0, 0),) * 5)
    assert many.what.count("(0, 0)") == 4 and ", ...;" in many.what


@pytest.mark.slow
@pytest.mark.branches
def test_the_width_of_a_network_on_a_pool_is_said_to_be_ignored():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = ns.predict(POOL, ns.MLP(1, width=64), ns.GradientFlow(3.0), num_samples=8, test=TEST, check_laziness=False)
    assert [issue.kind for issue in found.issues] == ["WidthIgnored"] and found.issues[0].size == 64
    assert len(said) == 1 and "infinitely wide" in str(said[0].message)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (None, "test must be a Pool of samples that are not in the pool"),
        (ns.Pool(INPUTS[:, :4], LABELS, {"patch": PATCH}), r"test must be of inputs of shape \(5,\), as the pool's are"),
        (ns.Pool(INPUTS, np.resize([0, 1, 2], 24), {"patch": PATCH}), r"test must be of the pool's classes \(-1, 1\)"),
        (ns.Pool(INPUTS, LABELS, {"place": PATCH}), r"test must be with the pool's attributes \['patch'\]"),
    ],
)
def test_test_samples_of_another_kind_are_refused(test, words):
    with pytest.raises(ValueError, match=words):
        ns.predict(POOL, ns.MLP(1), ns.GradientFlow(3.0), num_samples=8, test=test)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """No Gram of another test."""
    monkeypatch.setattr(gram_module, "_recent", type(gram_module._recent)())


class Counting(Network):
    """Kernels that are counted, and may fail."""

    calls: list
    fails_at: int = 10**6

    def kernels(self, x1, x2=None):
        self.calls.append((len(x1), len(x1) if x2 is None else len(x2)))
        if len(self.calls) > self.fails_at:
            raise RuntimeError("interrupted")
        return ns.MLP(1).kernels(x1, x2)


def test_blocks_are_parts_of_the_whole(monkeypatch):
    whole = gram_between(ns.MLP(1), INPUTS[:16], INPUTS[16:])
    assert gram_between(ns.MLP(1), INPUTS[:16], INPUTS[16:]) is whole
    expected = ns.MLP(1).kernels(INPUTS, INPUTS[:16])
    np.testing.assert_allclose(np.r_[whole.ntk, whole.ntk_cross], expected.ntk, atol=1e-12)
    np.testing.assert_allclose(np.r_[whole.nngp, whole.nngp_cross], expected.nngp, atol=1e-12)
    np.testing.assert_allclose(whole.nngp_own, np.diag(ns.MLP(1).kernels(INPUTS[16:]).nngp), atol=1e-12)
    gram_module._recent.clear()
    monkeypatch.setattr(gram_module, "_BLOCK", 5 * 16)
    for one, two in zip(gram_between(ns.MLP(1), INPUTS[:16], INPUTS[16:]), whole, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-12)


def test_square_blocks_of_images_are_mirrored(monkeypatch):
    """As for networks of images, which hold every pair of positions."""
    monkeypatch.setattr(gram_module, "_IMAGE_SIDE", 5)
    calls = []
    images = INPUTS.reshape(24, 5, 1, 1)
    found = gram_between(Counting(calls), images[:16], images[16:])
    whole = gram_between(ns.MLP(1), INPUTS[:16], INPUTS[16:])
    for one, two in zip(found, whole, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-12)
    assert calls.count((5, 5)) == 9 and max(max(sides) for sides in calls) <= 8


def test_memory_holds_the_last_grams(monkeypatch):
    monkeypatch.setattr(gram_module, "_KEPT", 1)
    first = gram_between(ns.MLP(1), INPUTS[:16], INPUTS[16:])
    gram_between(ns.MLP(2), INPUTS[:16], INPUTS[16:])
    assert len(gram_module._recent) == 1
    assert gram_between(ns.MLP(1), INPUTS[:16], INPUTS[16:]) is not first


def test_an_interrupted_evaluation_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(gram_module, "_BLOCK", 4 * 16)
    calls = []
    with pytest.raises(RuntimeError, match="interrupted"):
        gram_between(Counting(calls, 4), INPUTS[:16], INPUTS[16:], tmp_path)
    assert len(list(tmp_path.rglob("*.npy"))) == 3 and not list(tmp_path.rglob("*.part"))
    calls.clear()
    found = gram_between(Counting(calls), INPUTS[:16], INPUTS[16:], tmp_path)
    assert calls.count((4, 16)) == 3
    gram_module._recent.clear()
    calls.clear()
    again = gram_between(Counting(calls), INPUTS[:16], INPUTS[16:], tmp_path)
    assert (4, 16) not in calls
    for one, two in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.branches
def test_a_prediction_leaves_its_kernels_in_the_cache(tmp_path):
    found = ns.predict(POOL, ns.MLP(1), ns.GradientFlow(3.0), num_samples=8, test=TEST, cache=tmp_path)
    assert list(tmp_path.rglob("*.npy")) and found.method == "dataset_averaged"


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.peers
def test_convolutions_see_images():
    stax = interop.load().stax
    *_, kernel_fn = stax.serial(stax.Conv(1, (2, 2)), stax.Relu(), stax.Flatten(), stax.Dense(1))
    network = interop.from_stax(kernel_fn)
    images = np.random.default_rng(0).normal(size=(8, 3, 3, 1))
    found = gram_between(network, images[:6], images[6:])
    direct = kernel_fn(images, images[:6], get=("nngp", "ntk"))
    np.testing.assert_allclose(np.r_[found.ntk, found.ntk_cross], direct.ntk, rtol=1e-6)


def test_numbered_samples_are_looked_up_and_nothing_else():
    gram = gram_between(ns.MLP(1), INPUTS[:16], INPUTS[16:])
    network, numbers = GramNetwork(gram, ns.MLP(1).facts), Numbered(np.arange(16.0)[:, None])
    for ask in (lambda: numbers.input_dim, lambda: numbers.moments(numbers), lambda: numbers.vectors(KEY)):
        with pytest.raises(ValueError, match="points must be looked up"):
            ask()
    assert numbers.scaled() is None and isinstance(network.gram, Gram)
    law, known, points = POOL.prepared(ns.MLP(1), TEST)
    kernel = LawKernel(law, known)
    np.testing.assert_allclose(kernel(points.points, law.nodes(0, known.facts, "operator").points).ntk, gram.ntk_cross)
    with pytest.raises(ValueError, match="test must be a Pool of other samples"):
        law.test_points()


def test_groups_are_numbered_with_the_last_attribute_fastest():
    pool = ns.Pool(INPUTS, LABELS, {"a": PATCH, "b": np.resize([0, 1, 2], 24)})
    assert list(pool.groups) == list(itertools.product((-1, 1), (-1, 1), (0, 1, 2)))
    assert sum(map(len, pool.groups.values())) == 24
