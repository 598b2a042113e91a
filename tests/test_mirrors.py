"""Initialisations in mirrored groups, and means by two rules: laws, algebra, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.methods.flow import population_flow
from ntk_shortcuts.methods.flow.equation import FlowRules, draw
from ntk_shortcuts.methods.flow.mirrors import GROUP, Draw, draws, turned
from ntk_shortcuts.metrics import Reliance
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.results.outputs import SampledOutputs

MODEL = ns.GenerativeModel((0.8, 0.9), (4.0, 1.0))
PRACTICE = ns.MLP(1, width=16, parameterization="standard", initialization="torch")
RULES = FlowRules(jnp.zeros(()), jnp.asarray(1e-2), "squared", False, False, 100, "float64")
KEY = jax.random.key(0)


@in_float64
def group(key, model=MODEL):
    """Directions (members, 2, d) of one group."""
    drawn = model.embedding(key)
    return jnp.stack([drawn.directions, *(turned(drawn, jnp.asarray(m)).directions for m in range(GROUP))])


def test_a_group_is_four_turns_of_one_plane():
    first, *members = group(KEY)
    np.testing.assert_allclose(members[0], first, atol=1e-12)
    overlaps = [w_s @ w_c for w_s, w_c in members]
    np.testing.assert_allclose(overlaps, first[0] @ first[1] * np.array([1, -1, -1, 1]), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(members, axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(np.sum([w_s for w_s, _ in members], axis=0), 0, atol=1e-12)
    # All in the plane of the first: rank 2.
    assert np.linalg.svd(np.concatenate(members), compute_uv=False)[2] < 1e-12
    np.testing.assert_allclose(members[0][0] @ members[2][0], 0, atol=1e-12)
    orthogonal = group(KEY, ns.GenerativeModel((0.8, 0.9), (4.0, 1.0), input_dim=2))
    assert orthogonal.shape == (1 + GROUP, 2, 2)


@in_float64
def initial_outputs(count, inits):
    """Outputs at two latents of the networks of many groups, (groups, members, 2)."""
    kernel, at = LawKernel(MODEL, ns.MLP(1, width=4, bias_variance=0.5)), jnp.array([[1.0, 0.5], [-0.5, 2.0]])

    def one(key, member):
        drawn = draw(kernel, Draw(key, member), RULES)
        return kernel.network.apply(drawn.params, at @ drawn.frame)

    keys = jax.random.split(KEY, count)
    return jax.jit(jax.vmap(lambda key: jax.vmap(lambda m: one(key, m))(jnp.arange(inits))))(keys)


def test_every_member_has_the_law_of_a_draw():
    """Moments of the outputs at two points, and their product, against the first member's in standard errors."""
    outputs = np.asarray(initial_outputs(20_000, GROUP))
    moments = np.stack([outputs[..., 0] ** 2, outputs[..., 1] ** 4, outputs[..., 0] * outputs[..., 1]])
    mean, error = moments.mean(1), moments.std(1) / np.sqrt(moments.shape[1])
    z = (mean[:, 1:] - mean[:, :1]) / np.hypot(error[:, 1:], error[:, :1])
    assert np.abs(z).max() < 4
    assert np.all(np.abs(1.2 * mean[:, 1:] - mean[:, :1]) > 4 * np.hypot(error[:, 1:], error[:, :1])[:, :1] * 0.5)


def test_members_of_a_group_share_a_network_and_not_their_data():
    kernel = LawKernel(MODEL, PRACTICE)
    drawn = [draw(kernel, Draw(draws(KEY, 1).key[0], jnp.asarray(m)), RULES) for m in range(2)]
    (w0, b0), (w1, b1) = (d.params[0] for d in drawn)
    # On the plane of the turned embedding the first layer is turned: by 180 degrees, and w_c reflected.
    np.testing.assert_array_equal(b0, b1)
    np.testing.assert_allclose(w0[0], -w1[0], atol=1e-6)
    keys = [jax.random.key_data(d.data_key).tolist() for d in drawn]
    assert keys[0] != keys[1]


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


def test_most_networks_are_run_by_the_coarser_rule_where_it_may_stand_for_the_finer():
    options = {"method": "population_flow", "key": KEY, "num_inits": 6, "tolerance": 0.5}
    p = ns.predict_bias(MODEL, PRACTICE, ns.GradientFlow([1.0, 10.0]), **options)
    assert p.outputs.coarse.shape == (GROUP, 2, 900)
    values, coarse = (np.sign(np.asarray(part)) for part in (p.outputs.values, p.outputs.coarse))
    bias = ns.metrics.shortcut_bias(np.concatenate([coarse, values[GROUP:]]), MODEL).mean(0)
    moves = ns.metrics.shortcut_bias(values[:GROUP], MODEL) - ns.metrics.shortcut_bias(coarse, MODEL)
    np.testing.assert_allclose(p.bias, bias + moves.mean(0), atol=2e-3)
    error = np.max(p.standard_error(Reliance()))
    assert p.diagnostics["bias_standard_error"] == pytest.approx(float(error))


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
