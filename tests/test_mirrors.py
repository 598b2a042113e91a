"""Initialisations in mirrored groups, and means by two rules: laws, algebra, errors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.methods.flow import population_flow
from ntk_shortcuts.methods.flow.equation import FlowRules
from ntk_shortcuts.methods.flow.mirrors import GROUP, mirrored_draws, turned
from ntk_shortcuts.metrics import Reliance
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.outputs import SampledOutputs

MODEL = ns.GenerativeModel((0.8, 0.9), (4.0, 1.0))
PRACTICE = ns.MLP(1, width=16, parameterization="standard", initialization="torch")
RULES = FlowRules(jnp.zeros(()), jnp.asarray(1e-2), "squared", False, False, 100, "float64")
KEY = jax.random.key(0)
ECONOMICAL: dict[str, Any] = {"method": "population_flow", "key": KEY, "economical": True, "mirrored": True}


def directions(count, features=2, dimension=5):
    """Unit vectors (members, count, K, d) of the groups of many draws."""
    drawn = np.random.default_rng(0).normal(size=(count, features, dimension))
    drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
    return np.stack([turned(drawn, member) for member in range(GROUP)]), drawn


def test_a_group_is_four_turns_of_one_plane():
    members, first = directions(3)
    np.testing.assert_allclose(members[0], first, atol=1e-12)
    overlaps = np.einsum("mnd,mnd->mn", members[:, :, 0], members[:, :, 1])
    np.testing.assert_allclose(overlaps, np.outer([1, -1, -1, 1], overlaps[0]), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(members, axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(members[:, :, 0].sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.einsum("nd,nd->n", members[0, :, 0], members[2, :, 0]), 0, atol=1e-12)
    # All in the plane of the first: rank 2.
    assert np.linalg.svd(np.concatenate(members[:, 0]), compute_uv=False)[2] < 1e-12


def test_lengths_stay_with_their_features():
    _, first = directions(2)
    lengths = np.array([4.0, 0.5])[:, None]
    for member in range(GROUP):
        np.testing.assert_allclose(turned(lengths * first, member), lengths * turned(first, member), atol=1e-12)


@pytest.mark.parametrize(("features", "dimension"), [(1, 4), (2, 2), (3, 5), (3, 2)])
def test_every_member_has_the_directions_of_a_draw(features, dimension):
    """Fourth moments of all coordinates against the first member's in standard errors; of lengthened ones they differ."""
    members = directions(20_000, features, dimension)[0].reshape(GROUP, 20_000, -1)
    np.testing.assert_allclose(np.linalg.norm(members.reshape(GROUP, -1, dimension), axis=-1), 1, atol=1e-9)

    def largest(scale):
        products = np.einsum("mni,mnj->mnij", members, members) * np.array([1, scale, scale, scale])[:, None, None, None]
        mean, error = (products**2).mean(1), (products**2).std(1) / np.sqrt(20_000)
        return np.nanmax(np.abs(mean[1:] - mean[0]) / np.maximum(np.hypot(error[1:], error[0]), 1e-9))

    assert largest(1.0) < 4.7 < largest(1.2)


@in_float64
def initial_outputs(count):
    """Outputs at two latents of the networks of many groups, (members, groups, 2)."""
    kernel, at = LawKernel(MODEL, ns.MLP(1, width=4, bias_variance=0.5)), jnp.array([[1.0, 0.5], [-0.5, 2.0]])
    drawn = mirrored_draws(kernel, KEY, GROUP * count, RULES)
    outputs = jax.vmap(lambda params, frame: kernel.network.apply(params, at @ frame))(drawn.params, drawn.frame)
    return np.asarray(outputs).reshape(count, GROUP, 2).swapaxes(0, 1)


def test_every_member_has_the_outputs_of_a_draw():
    """Moments of the outputs at two points, and their product, against the first member's in standard errors."""
    outputs = initial_outputs(20_000)
    moments = np.stack([outputs[..., 0] ** 2, outputs[..., 1] ** 4, outputs[..., 0] * outputs[..., 1]])
    mean, error = moments.mean(2), moments.std(2) / np.sqrt(moments.shape[2])
    difference = np.hypot(error[:, 1:], error[:, :1])
    assert np.max(np.abs(mean[:, 1:] - mean[:, :1]) / difference) < 4
    assert np.min(np.abs(1.5 * mean[:, 1:] - mean[:, :1]) / difference) > 4


@pytest.mark.parametrize("on_plane", [True, False])
def test_members_share_a_network_that_sees_a_turned_plane_and_data_of_its_own(on_plane):
    drawn = mirrored_draws(LawKernel(MODEL, PRACTICE), KEY, 6, RULES, on_plane)
    assert len(drawn.frame) == 6
    for leaf in jax.tree.leaves(drawn.params):
        np.testing.assert_array_equal(leaf[0], leaf[3])
        assert not np.allclose(leaf[0], leaf[4])
    np.testing.assert_allclose(drawn.frame[0, 0], -drawn.frame[1, 0], atol=1e-6)
    assert len({tuple(key) for key in jax.random.key_data(drawn.data_key).tolist()}) == 6


@pytest.mark.slow
@pytest.mark.branches
def test_on_the_plane_and_in_space_a_member_is_one_network():
    kernel, at = LawKernel(MODEL, PRACTICE), np.random.default_rng(0).normal(size=(5, 2))
    outputs = []
    for on_plane in (True, False):
        drawn = mirrored_draws(kernel, KEY, GROUP, RULES, on_plane)
        one = jax.tree.map(lambda leaf: leaf[2], drawn.params)
        outputs.append(kernel.network.apply(one, jnp.asarray(at @ np.asarray(drawn.frame[2]))))
    np.testing.assert_allclose(*outputs, atol=1e-5)


def average(values, coarse=None, group=1):
    beside = None if coarse is None else np.asarray(coarse)[:, None]
    outputs = SampledOutputs(values=np.asarray(values)[:, None], coarse=beside, group=group)
    found = outputs.average(lambda of: jnp.asarray(of.values)[:, 0])
    return outputs, [float(part) for part in found]


def test_a_mean_by_two_rules_is_that_of_the_coarse_one_and_the_mean_difference(rng):
    coarse, difference = rng.normal(size=10), 0.3 + 0.1 * rng.normal(size=4)
    values = coarse.copy()
    values[:4] += difference
    outputs, (mean, spread, error) = average(values, coarse[:4])
    assert mean == pytest.approx(coarse.mean() + difference.mean(), abs=1e-12)
    assert float(outputs.mean[0]) == pytest.approx(mean, abs=1e-6)
    each = np.concatenate([values[:4], coarse[4:] + difference.mean()])
    assert spread == pytest.approx(each.std(ddof=1), rel=1e-5) and float(outputs.std[0]) == pytest.approx(spread, rel=1e-5)
    assert error**2 == pytest.approx(each.var(ddof=1) / 10 + difference.var(ddof=1) * (1 / 4 - 1 / 10), rel=1e-5)


def test_the_error_of_a_mean_is_that_of_its_groups(rng):
    values = rng.normal(size=12)
    _, (_, _, error) = average(values, group=4)
    groups = values.reshape(3, 4).mean(1)
    assert error == pytest.approx(groups.std(ddof=1) / np.sqrt(3), rel=1e-5)
    # One group alone tells nothing of groups: its members count as independent.
    _, (_, spread, error) = average(values[:4], group=4)
    assert error == pytest.approx(spread / 2, rel=1e-6)
    _, (_, spread, error) = average(values)
    assert error == pytest.approx(spread / np.sqrt(12), rel=1e-5)


@pytest.fixture(scope="module")
def by_two_rules():
    return ns.predict_bias(MODEL, PRACTICE, ns.GradientFlow([1.0, 10.0]), num_inits=6, tolerance=0.5, **ECONOMICAL)


@pytest.mark.slow
@pytest.mark.branches
def test_most_networks_are_run_by_the_coarser_rule_where_it_may_stand_for_the_finer(by_two_rules):
    p = by_two_rules
    assert p.outputs.coarse.shape == (GROUP, 2, 900) and p.outputs.group == GROUP
    values, coarse = (np.sign(np.asarray(part)) for part in (p.outputs.values, p.outputs.coarse))
    bias = ns.metrics.shortcut_bias(np.concatenate([coarse, values[GROUP:]]), MODEL).mean(0)
    moves = ns.metrics.shortcut_bias(values[:GROUP], MODEL) - ns.metrics.shortcut_bias(coarse, MODEL)
    np.testing.assert_allclose(p.bias, bias + moves.mean(0), atol=2e-3)
    error = np.max(p.standard_error(Reliance()))
    assert p.diagnostics["bias_standard_error"] == pytest.approx(float(error))


def test_one_group_by_one_rule_is_the_same_networks(by_two_rules):
    options = {**ECONOMICAL, "num_inits": GROUP, "order": 16}
    p = ns.predict_bias(MODEL, PRACTICE, ns.GradientFlow([1.0, 10.0]), **options)
    assert p.outputs.coarse is None
    np.testing.assert_array_equal(p.outputs.values, by_two_rules.outputs.values[:GROUP])


@pytest.mark.slow
@pytest.mark.branches
def test_the_mean_is_that_of_independent_networks():
    """In standard errors of either, by which a shifted one is seen."""
    network, rule = ns.MLP(1, "tanh", width=8), ns.GradientFlow([1.0, 5.0])
    found = []
    for mirrored in (True, False):
        options = {**ECONOMICAL, "mirrored": mirrored, "num_inits": 200, "order": 6}
        found.append(ns.predict_bias(MODEL, network, rule, **options))
    (ours, theirs), errors = (p.bias for p in found), [p.standard_error(Reliance()) for p in found]
    assert np.all(np.abs(ours - theirs) < 4 * np.hypot(*errors))
    assert np.all(np.abs(ours + 0.4 - theirs) > 4 * np.hypot(*errors))
    assert errors[0][0] < errors[1][0]


@pytest.mark.slow
@pytest.mark.branches
def test_optimised_networks_come_in_groups_too():
    network, rule = ns.MLP(1, width=4, bias_variance=0.1), ns.GradientDescent(1e-3, 3)
    p = ns.predict_bias(MODEL, network, rule, num_inits=5, optimizer=optax.sgd, order=3, **ECONOMICAL)
    flow = ns.predict_bias(MODEL, network, rule, num_inits=5, order=3, **ECONOMICAL)
    np.testing.assert_allclose(p.outputs.values, flow.outputs.values, atol=1e-2)


def test_derivatives_are_those_of_independent_networks():
    def bias(time):
        return ns.predict_bias(MODEL, PRACTICE, ns.GradientFlow(time), **ECONOMICAL).bias

    with pytest.raises(ValueError, match="mirrored must be False where derivatives are taken; got True"):
        jax.grad(bias)(1.0)


@in_float64
def test_a_rule_with_differences_as_large_as_the_scatter_stands_for_no_other(rng):
    points = LawKernel(MODEL, PRACTICE).law.test_points()
    latents = np.asarray(points.points)
    fine, other = (np.einsum("id,nd->in", rng.normal(size=(GROUP, 2)), latents)[:, None] for _ in range(2))

    def path(outputs):
        return population_flow._Path(outputs, *[np.zeros(GROUP)] * 3, None)

    method = ns.PopulationFlow(key=KEY, num_inits=16)
    near, far, last = path(fine + 1e-3 * other), path(other), path(fine)
    assert method._cheapest([far, near, last], Reliance(), points) is near
    assert method._cheapest([far, last], Reliance(), points) is last
    unfinished = path(np.full_like(fine, np.nan))
    assert method._cheapest([near, unfinished], Reliance(), points) is unfinished
