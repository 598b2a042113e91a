"""Large data sets with their whole kernel: products tile by tile, the projected problem against the whole, and its bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import ntk_shortcuts as ns
from ntk_shortcuts import issues
from ntk_shortcuts.kernels import products
from ntk_shortcuts.kernels.products import KernelProduct
from ntk_shortcuts.methods import krylov, large, low_rank
from ntk_shortcuts.methods.exact import exact_outputs, loss_weights
from ntk_shortcuts.methods.krylov import filter_errors, krylov_space, projected_outputs
from ntk_shortcuts.methods.low_rank import Problem
from ntk_shortcuts.networks import gram
from ntk_shortcuts.networks.gram import GramNetwork, Numbered, SampleNetwork, numbered_network

NETWORK = ns.MLP(2, bias_variance=0.1)
TIMES = ns.GradientFlow(np.array([3.0, 100.0]))
COUNT, PROBES = 150, 12
DATA = np.random.default_rng(2)
INPUTS, LABELS = DATA.normal(size=(COUNT + PROBES, 7)), DATA.choice([-1.0, 1.0], COUNT)
SEVERAL, WEIGHTS = DATA.normal(size=(COUNT, 3)), DATA.uniform(0, 2, COUNT)


def problem(rule=TIMES, targets=LABELS, weights=None):
    points = jnp.asarray(INPUTS)
    samples = points[:COUNT]
    return Problem(NETWORK, rule, samples, jnp.asarray(targets), points[COUNT:], loss_weights(samples, weights))


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(products, "_SIDE", 64)
    monkeypatch.setattr(krylov, "_BLOCK", 64)
    monkeypatch.setattr(krylov, "_LANDMARKS", 4)
    monkeypatch.setattr(krylov, "_ROUND", 150)


@pytest.fixture
def blocks_from_twenty_on(monkeypatch, small_tiles):
    """Landmarks too few to hold any kernel, and more than twenty samples are many."""
    monkeypatch.setattr(low_rank, "_RANKS", (2, 4))
    monkeypatch.setattr(large, "DENSE_LIMIT", 20)
    monkeypatch.setattr("ntk_shortcuts.methods.outputs.DENSE_LIMIT", 20)


# Products.


@pytest.mark.parametrize(("part", "memory"), [("ntk", None), ("ntk", 0), ("nngp", 0)])
def test_products_are_those_of_the_whole_matrix(part, memory, small_tiles):
    made = []

    def kernels(x1, x2):
        made.append((len(x1), len(x2)))
        return NETWORK.kernels(x1, x2)

    columns, root = np.random.default_rng(0).normal(size=(COUNT, 5)), np.sqrt(WEIGHTS)
    product = KernelProduct(kernels, part, INPUTS[:COUNT], WEIGHTS, memory)
    whole = root[:, None] * np.asarray(getattr(NETWORK.kernels(INPUTS[:COUNT]), part)) * root
    for _ in range(2):
        np.testing.assert_allclose(product(columns), whole @ columns, rtol=1e-10)
    # Three tiles a side, of one shape: six of nine are made, and where they are held once.
    assert product.holds == (memory is None) and made == [(64, 64)] * (6 if product.holds else 12)


# The projected problem.


@pytest.mark.parametrize(
    ("rule", "targets", "weights"),
    [
        pytest.param(TIMES, LABELS, None, id="flow", marks=[pytest.mark.slow, pytest.mark.branches]),
        pytest.param(
            ns.GradientDescent(0.2, 40),
            LABELS,
            WEIGHTS,
            id="descent with weights",
            marks=[pytest.mark.slow, pytest.mark.branches],
        ),
        pytest.param(ns.Ridge(np.array([0.1, 10.0])), SEVERAL, None, id="ridge with three outputs"),
    ],
)
def test_outputs_are_those_of_the_whole_kernel_within_the_bound(rule, targets, weights, small_tiles):
    given = problem(rule, targets, weights)
    exact = exact_outputs(given, True)
    for tolerance in (1e-1, 1e-4):
        law, sizes, found = projected_outputs(given, True, tolerance)
        assert not found and sizes["krylov_error"] <= tolerance and law.mean.shape == exact.mean.shape
        assert float(np.max(np.abs(law.mean - exact.mean))) <= sizes["krylov_error"] + 1e-11
        assert float(np.max(np.abs(np.sqrt(law.variance) - np.sqrt(exact.variance)))) <= sizes["krylov_error"] + 1e-9
    mean_only, *_ = projected_outputs(given, False, 1e-4)
    assert mean_only.variance is None
    np.testing.assert_allclose(mean_only.mean, exact.mean, atol=1e-4)
    assert float(np.max(np.abs(mean_only.mean - exact.mean * 1.01))) > 1e-3  # what one in a hundred would be


def test_gradient_flow_by_the_matrix_exponential(small_tiles):
    """Another route to the mean: no eigendecomposition, no filter, no resolvents."""
    law, *_ = projected_outputs(problem(), False, 1e-6)
    train, cross = (np.asarray(NETWORK.kernels(x, INPUTS[:COUNT]).ntk) for x in (INPUTS[:COUNT], INPUTS[COUNT:]))
    for mean, time in zip(law.mean, (3.0, 100.0), strict=True):
        learnt = LABELS - expm(-time * train / COUNT) @ LABELS
        np.testing.assert_allclose(mean, cross @ np.linalg.solve(train, learnt), atol=1e-6)


@pytest.mark.slow
@pytest.mark.branches
def test_covariance_and_groups_of_probes(small_tiles, monkeypatch):
    given = problem()
    exact = exact_outputs(given, True, full_covariance=True)
    law, *_ = projected_outputs(given, True, 1e-6, full_covariance=True)
    np.testing.assert_allclose(law.variance, exact.variance, atol=1e-6)
    monkeypatch.setattr(krylov, "_PROBES", 5)
    for targets in (LABELS, SEVERAL):
        exact = exact_outputs(problem(targets=targets), True)
        law, *_ = projected_outputs(problem(targets=targets), True, 1e-6)
        for name in ("mean", "variance"):
            np.testing.assert_allclose(getattr(law, name), getattr(exact, name), atol=1e-6)
        assert jax.tree.map(jnp.shape, law.error) == jax.tree.map(jnp.shape, exact.error)


def test_a_space_that_memory_does_not_hold_is_left_with_an_issue(small_tiles, monkeypatch):
    monkeypatch.setattr(krylov, "free_memory", lambda: 100 * COUNT * 60)  # about 60 dimensions
    _, sizes, (issue,) = projected_outputs(problem(), False, 1e-9)
    assert isinstance(issue, issues.UnfinishedSolve) and issue.size == sizes["krylov_error"] > 1e-9
    assert issue.dimension == sizes["krylov_dimension"] <= 62


def test_the_bound_is_no_larger_than_it_need_be_and_above_the_error():
    root = 1 / np.sqrt(COUNT)
    matrix = root**2 * np.asarray(NETWORK.kernels(INPUTS[:COUNT]).ntk)
    columns = root * np.concatenate([LABELS[:, None], np.asarray(NETWORK.kernels(INPUTS[:COUNT], INPUTS[COUNT:]).ntk)], axis=1)
    values, vectors = np.linalg.eigh(matrix)
    exact = vectors @ (np.asarray(TIMES.filter(values))[..., None] * (vectors.T @ columns))
    for most in (30, 60):
        space = krylov_space(lambda v: matrix @ v, columns, lambda _: False, most)
        inner, turned = np.linalg.eigh(space.projected)
        within = turned @ (np.asarray(TIMES.filter(inner))[..., None] * (turned.T @ space.start))
        error = np.linalg.norm(exact - space.basis @ within, axis=-2)
        bound = filter_errors(space, TIMES, COUNT, 1).columns
        assert np.all(error < bound) and np.all(bound[0] < 100 * error[0])


def test_kernel_columns_of_landmarks_save_products(monkeypatch):
    counts, given = [], problem()
    matrix = np.asarray(NETWORK.kernels(INPUTS[:COUNT]).ntk) / COUNT
    for landmarks in (1, 32):
        monkeypatch.setattr(krylov, "_LANDMARKS", landmarks)
        made = []

        def counted(columns, made=made):
            made.append(columns.shape)
            return matrix @ columns

        start = krylov._Bound.of(given, False)
        krylov_space(counted, start.columns(given), lambda space, start=start: start(space) < 1e-3)
        counts.append(len(made))
    assert counts[1] < 0.7 * counts[0]


# From the entries.


def _own_data(rule=TIMES, **options):
    data = ns.Dataset.from_arrays(INPUTS[:COUNT], LABELS)
    options = {"probes": np.zeros((PROBES, 2)), "probe_inputs": INPUTS[COUNT:], "check_laziness": False, **options}
    return ns.predict_bias(ns.GenerativeModel(), NETWORK, rule, dataset=data, **options)


@pytest.mark.slow
@pytest.mark.branches
def test_data_sets_whose_kernel_landmarks_do_not_hold(blocks_from_twenty_on, monkeypatch):
    initial = np.random.default_rng(5).normal(size=(2, COUNT)), np.random.default_rng(6).normal(size=(2, PROBES))
    found = [_own_data(), _own_data(initial_outputs=initial)]
    assert all("krylov_error" in p.diagnostics and not p.issues for p in found)
    monkeypatch.setattr(large, "DENSE_LIMIT", 1000)
    for ours, exact in zip(found, [_own_data(), _own_data(initial_outputs=initial)], strict=True):
        assert "krylov_error" not in exact.diagnostics and ours.mean.shape == exact.mean.shape
        np.testing.assert_allclose(ours.mean, exact.mean, atol=1e-4)
        np.testing.assert_allclose(ours.std, exact.std, atol=1e-4)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("full", [False, True])
def test_predict_outputs(full, blocks_from_twenty_on, monkeypatch):
    arguments = NETWORK, TIMES, INPUTS[:COUNT], SEVERAL, INPUTS[COUNT:]
    ours = ns.predict_outputs(*arguments) if not full else ns.predict_outputs(*arguments[:3], LABELS, arguments[4], True)
    monkeypatch.setattr(large, "BLOCK_LIMIT", 100)
    with pytest.raises(ValueError, match=r"num_samples must be at most 100 where the whole kernel is needed.*got 150"):
        ns.predict_outputs(*arguments[:3], LABELS, arguments[4], full)
    monkeypatch.setattr(large, "DENSE_LIMIT", 1000)
    monkeypatch.setattr("ntk_shortcuts.methods.outputs.DENSE_LIMIT", 1000)
    exact = ns.predict_outputs(*arguments) if not full else ns.predict_outputs(*arguments[:3], LABELS, arguments[4], True)
    np.testing.assert_allclose(ours.mean, exact.mean, atol=1e-4)
    np.testing.assert_allclose(ours.variance, exact.variance, atol=1e-4)


def test_landmarks_that_hold_several_outputs(monkeypatch):
    monkeypatch.setattr(large, "DENSE_LIMIT", 20)
    linear = (ns.MLP(0), TIMES, INPUTS[:COUNT], SEVERAL, INPUTS[COUNT:])
    found = ns.predict_outputs(*linear)
    monkeypatch.setattr(large, "DENSE_LIMIT", 1000)
    exact = ns.predict_outputs(*linear)
    for name in ("mean", "variance"):
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), atol=1e-8)


@pytest.mark.slow
@pytest.mark.branches
def test_pools_whose_kernels_are_evaluated_where_they_are_asked_for(blocks_from_twenty_on, monkeypatch):
    labels = np.resize([0, 1, 2], COUNT)
    pool = ns.Pool(INPUTS[:COUNT], labels)
    test = ns.Pool(INPUTS[COUNT:], np.resize([0, 1, 2], PROBES))

    def predicted():
        return ns.predict(pool, NETWORK, TIMES, method="dataset", test=test)

    assert isinstance(numbered_network(NETWORK, pool.inputs, test.inputs), GramNetwork)
    monkeypatch.setattr(gram, "_MOST", 20)
    network = numbered_network(NETWORK, pool.inputs, test.inputs)
    assert isinstance(network, SampleNetwork) and not network.facts.linear
    numbers = Numbered(np.arange(COUNT - 3.0, COUNT + 3)[:, None])
    np.testing.assert_allclose(network.kernels(numbers).ntk, NETWORK.kernels(INPUTS[COUNT - 3 : COUNT + 3]).ntk, rtol=1e-12)
    ours = predicted()
    assert "krylov_error" in ours.diagnostics and ours.mean.shape == (2, PROBES, 3)
    monkeypatch.setattr(large, "DENSE_LIMIT", 1000)
    exact = predicted()
    np.testing.assert_allclose(ours.mean, exact.mean, atol=1e-4)
    np.testing.assert_allclose(ours.std, exact.std, atol=1e-4)


def test_more_samples_than_blocks_are_for_are_refused_with_the_size_and_ways_out(blocks_from_twenty_on, monkeypatch):
    monkeypatch.setattr(large, "BLOCK_LIMIT", 100)
    with pytest.raises(
        ValueError, match=r"at most 100 .*GiB at every product \(rank_tolerance=.* accepts.*shorter time.*got 150"
    ):
        _own_data()
    with pytest.warns(ns.UntrustedPredictionWarning, match="without rank_tolerance the whole kernel is solved"):
        assert "low_rank_error" in _own_data(rank_tolerance=1e-5).diagnostics
