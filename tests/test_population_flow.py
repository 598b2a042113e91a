"""Gradient flow of finite networks on the population risk, against closed forms, other integrators and trained networks."""

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import expit

import ntk_shortcuts as ns
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.laws.two_features.mixture import density_nodes, mixture_nodes
from ntk_shortcuts.methods.flow.equation import FlowPoints, FlowRules, draw, draw_labels, flow_path
from ntk_shortcuts.methods.flow.minibatches import draw_pieces, minibatches

MODEL = ns.GenerativeModel((0.8, 0.9), (4.0, 1.0))
PRACTICE = ns.MLP(1, width=32, parameterization="standard", initialization="torch")
KEY = jax.random.key(0)


def flow(model, network, training, **options):
    return ns.predict_bias(model, network, training, method="population_flow", key=KEY, **options)


def linear_weights(model, times, weight_decay=0.0):
    """w_t = (I - exp(-t C)) C^-1 b of theory section 5, in the effective coordinates; weight decay adds to C."""
    mu, slope = np.asarray(model.means), 2.0 / model.input_dim
    scale = np.diag(np.asarray(model.amplification))
    covariance = slope * scale @ (np.asarray(model.covariance) + np.outer(mu, mu)) @ scale + weight_decay * np.eye(2)
    values, vectors = np.linalg.eigh(covariance)
    target = vectors.T @ (slope * scale @ mu)
    return np.stack([vectors @ ((1 - np.exp(-t * values)) / values * target) for t in times])


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_a_linear_model_follows_the_closed_form(weight_decay):
    times = [0.0, 3.0, 30.0, 300.0]
    options = {"random_init": weight_decay > 0, "orthogonal": True, "step_tolerance": 1e-5, "order": 16, "dtype": "float64"}
    p = flow(MODEL, ns.MLP(0), ns.GradientFlow(times), num_inits=2, weight_decay=weight_decay, **options)
    if weight_decay:
        # The initial weights decay too, and average out; what is left of them at the last time is e^{-t lambda_min}.
        times = times[-1:]
    mean, std = p.mean[-len(times) :], p.std[-len(times) :]
    exact = linear_weights(MODEL, times, weight_decay) @ (np.asarray(p.probes) * np.asarray(MODEL.amplification)).T
    # Nodes of weight below 1e-5 are left out: 1e-4 of the second moments.
    np.testing.assert_allclose(mean, exact, atol=2e-3 * np.abs(exact).max())
    assert not np.allclose(mean, 1.02 * exact, atol=2e-3 * np.abs(exact).max())
    np.testing.assert_allclose(std, 0, atol=1e-4)  # the solver: its steps depend on the start


def test_logistic_loss_of_a_linear_model_against_another_integrator():
    """The same flow in two weights, by scipy on 40 x 40 nodes."""
    nodes, weights = map(np.asarray, mixture_nodes(MODEL, 40, 1e-14))
    u = nodes * np.asarray(MODEL.amplification)
    positive = (1 + np.tanh(nodes @ np.asarray(MODEL.bayes_direction))) / 2

    def velocity(_, w):
        # d/df of p log(1 + e^-f) + (1 - p) log(1 + e^f)
        return -2.0 / MODEL.input_dim * (weights * (expit(u @ w) - positive)) @ u

    exact = solve_ivp(velocity, (0, 100), [0, 0], t_eval=[10, 100], rtol=1e-9, atol=1e-12).y.T
    options = {"random_init": False, "orthogonal": True, "step_tolerance": 1e-5, "order": 16, "dtype": "float64"}
    p = flow(MODEL, ns.MLP(0), ns.GradientFlow([10.0, 100.0]), num_inits=1, loss="logistic", **options)
    outputs = exact @ (np.asarray(p.probes) * np.asarray(MODEL.amplification)).T
    np.testing.assert_allclose(p.mean, outputs, atol=2e-3 * np.abs(outputs).max())


def close(flow_bias, flow_error, bias, error):
    return abs(flow_bias - bias) <= 4 * np.hypot(flow_error, error)


@pytest.mark.slow
def test_wide_networks_reach_the_frozen_kernel():
    times = ns.GradientFlow([3.0, 30.0])
    wide = flow(MODEL, ns.MLP(1, width=1024), times, num_inits=8, orthogonal=True)
    frozen = ns.predict_bias(MODEL, ns.MLP(1), times)
    errors = np.asarray(wide.bias_std) / np.sqrt(8) + wide.diagnostics["discretization_error"]
    for index in range(2):
        assert close(wide.bias[index], errors[index], frozen.bias[index], 0.0)
        assert not close(wide.bias[index], errors[index], frozen.bias[index] + 10 * errors[index], 0.0)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(
    ("loss", "depth"),
    [("squared", 1), pytest.param("squared", 2, marks=pytest.mark.slow), pytest.param("logistic", 2, marks=pytest.mark.slow)],
)
def test_networks_trained_on_many_samples(loss, depth):
    """Small learning rate, N = 2000: within the standard errors of both, and what N leaves (order 1/N)."""
    network = ns.MLP(depth, width=32, parameterization="standard", initialization="torch")
    steps = [10, 50, 200]
    trained = ns.train_ensemble(
        MODEL, network, ns.GradientDescent(0.1, steps), 2000, num_datasets=4, num_inits=8, key=jax.random.key(1), loss=loss
    )
    p = flow(MODEL, network, ns.GradientDescent(0.1, steps), num_inits=32, loss=loss)
    for index in range(3):
        errors = p.bias_std[index] / np.sqrt(32) + 0.01, trained.standard_error[index]
        assert close(p.bias[index], errors[0], trained.mean_bias[index], errors[1])
        assert not close(p.bias[index] + 0.4, errors[0], trained.mean_bias[index], errors[1])


def sampled_linear_outputs(model, times, count, num_samples, probes):
    """Outputs (data sets, times, probes) of the closed form of `linear_weights`, with the moments of drawn samples."""
    rng = np.random.default_rng(0)
    labels = np.repeat([1.0, -1.0], num_samples // 2)
    noise = rng.standard_normal((count, num_samples, 2)) @ np.linalg.cholesky(np.asarray(model.covariance)).T
    u = (labels[:, None] * np.asarray(model.means) + noise) * np.asarray(model.amplification)
    slope = 2.0 / model.input_dim
    values, vectors = np.linalg.eigh(slope * np.einsum("kni,knj->kij", u, u) / num_samples)
    target = np.einsum("kji,kj->ki", vectors, slope * np.einsum("n,kni->ki", labels, u) / num_samples)
    weights = np.stack([np.einsum("kij,kj->ki", vectors, -np.expm1(-values * t) / values * target) for t in times], axis=1)
    return weights @ (probes * np.asarray(model.amplification)).T


@pytest.mark.slow
def test_samples_at_nodes_move_a_linear_model_as_drawn_samples_do():
    """Mean and variance of the outputs over data sets of 40, in standard errors of 160; infinite data has another mean."""
    times, count = [3.0, 100.0], 160
    options = {
        "random_init": False,
        "orthogonal": True,
        "num_inits": count,
        "order": 8,
        "probes": np.array([[1.0, -1.0], [-0.5, 2]]),
    }
    options |= {"step_tolerance": 1e-3}
    p = flow(MODEL, ns.MLP(0), ns.GradientFlow(times), num_samples=40, **options)
    drawn = sampled_linear_outputs(MODEL, times, 20_000, 40, np.asarray(p.probes))
    mean, spread = drawn.mean(0), drawn.std(0)
    assert np.all(np.abs(p.mean - mean) < 3.5 * spread / np.sqrt(count))
    # The spread's own error, for tails no heavier than these.
    kurtosis = ((drawn - mean) ** 4).mean(0) / spread**4
    error = np.sqrt((kurtosis - 1) / (4 * count))
    assert np.all(np.abs(p.std / spread - 1) < 3.5 * error)
    assert not np.all(np.abs(p.std / (2 * spread) - 1) < 3.5 * error)
    assert not np.all(np.abs(p.mean + 0.5 * spread - mean) < 3.5 * spread / np.sqrt(count))


@pytest.mark.slow
def test_networks_trained_on_few_samples():
    """N = 300 at late times, where label noise is fitted: the flow on samples follows, that on infinite data does not."""
    model = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
    network = ns.MLP(1, width=128, parameterization="standard", initialization="torch")
    descent = ns.GradientDescent(0.02, [500, 5000])
    trained = ns.train_ensemble(model, network, descent, 300, num_datasets=48, key=jax.random.key(1), batch_size=64)
    finite = flow(model, network, descent, num_samples=300, num_inits=48)
    infinite = flow(model, network, descent, num_inits=8)
    for index in range(2):
        error = finite.bias_std[index] / np.sqrt(48)
        assert close(finite.bias[index], error, trained.mean_bias[index], trained.standard_error[index])
    assert not close(infinite.bias[1], 0.01, trained.mean_bias[1], trained.standard_error[1])


def test_a_data_set_leaves_the_networks_and_has_halves_of_either_class():
    nodes, weights = mixture_nodes(MODEL, 6)
    points = FlowPoints(nodes, weights, MODEL.class_expectation(nodes), MODEL.probe_grid())
    rules = FlowRules(jnp.zeros(()), jnp.asarray(1e-2), "squared", False, False, 100, "float64")
    infinite, finite = rules, dataclasses.replace(rules, num_samples=100)
    kernel = LawKernel(MODEL, PRACTICE)
    assert eqx.tree_equal(draw(kernel, KEY, infinite), draw(kernel, KEY, finite))
    labels = draw_labels(KEY, points, finite)
    counts = 100 * labels.weights
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
    assert float(counts.sum()) == pytest.approx(100) and float(labels.weights @ labels.positive) == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.branches
def test_minibatches_scatter_a_linear_model_as_steps_on_drawn_samples_do():
    """Mean and variance of the outputs after steps on fresh batches, in standard errors of 160; without noise there is none."""
    rate, batch, steps, count = 0.02, 2, [100, 500], 160
    options = {"random_init": False, "orthogonal": True, "order": 8, "probes": np.array([[1.0, -1.0], [-0.5, 2]])}
    options |= {"step_tolerance": 1e-3}
    p = flow(MODEL, ns.MLP(0), ns.GradientDescent(rate, steps), num_inits=count, batch_size=batch, **options)
    rng, slope, scale = np.random.default_rng(0), 2.0 / MODEL.input_dim, np.asarray(MODEL.amplification)
    weights, seen = np.zeros((4000, 2)), []
    for step in range(1, steps[-1] + 1):
        labels = rng.choice([-1.0, 1.0], (len(weights), batch))
        noise = rng.standard_normal((len(weights), batch, 2)) @ np.linalg.cholesky(np.asarray(MODEL.covariance)).T
        u = (labels[..., None] * np.asarray(MODEL.means) + noise) * scale
        weights = weights + rate * slope * np.einsum("kn,kni->ki", labels - np.einsum("kni,ki->kn", u, weights), u) / batch
        if step in steps:
            seen.append(weights @ (np.asarray(p.probes) * scale).T)
    drawn = np.stack(seen, axis=1)
    mean, spread = drawn.mean(0), drawn.std(0)
    kurtosis = ((drawn - mean) ** 4).mean(0) / spread**4
    error = np.sqrt((kurtosis - 1) / 4 * (1 / count + 1 / len(drawn)))
    assert np.all(np.abs(p.mean - mean) < 3.5 * spread * np.sqrt(1 / count + 1 / len(drawn)))
    assert np.all(np.abs(p.std / spread - 1) < 3.5 * error)
    assert not np.all(np.abs(p.std / (2 * spread) - 1) < 3.5 * error)
    silent = flow(MODEL, ns.MLP(0), ns.GradientDescent(rate, steps), num_inits=4, **options)
    assert np.all(silent.std < 0.05 * spread)


def test_minibatches_are_whole_samples_of_every_step():
    """Pieces tile the steps, each with the samples of its batches and the nodes that hold some in front."""
    batches = minibatches(8, 0.5, 0.5, 300.0)
    lengths = np.diff(batches.steps, prepend=0)
    assert lengths.min() == 1 and int(batches.steps[-1]) >= 300 and np.all(lengths[1:] <= np.maximum(batches.steps[:-1] / 8, 1))
    nodes, weights = mixture_nodes(MODEL, 6)
    positive = (1 + MODEL.class_expectation(nodes)) / 2
    pieces = draw_pieces(KEY, positive, weights, batches)
    np.testing.assert_allclose(pieces.ends, batches.steps)  # momentum 1/2 doubles the learning rate of 1/2
    counts = np.asarray(pieces.weights) * 8 * lengths[:, None]
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)
    np.testing.assert_allclose(counts.sum(1), 8 * lengths)
    held = counts > 0.5
    assert np.all(held == (np.arange(len(nodes)) < held.sum(1, keepdims=True)))
    # The last pieces together are close to the law that they are drawn from, and a shifted law is not.
    sums = np.zeros(len(nodes))
    np.add.at(sums, np.asarray(pieces.order)[-30:], np.asarray(counts)[-30:])
    heavy = np.asarray(weights) > 1e-3

    def worst(law):
        return np.max(np.abs(sums / sums.sum() - law)[heavy] / np.sqrt(weights[heavy] / sums.sum()))

    assert worst(weights) < 4.5 < worst(np.roll(weights, 1))


def test_minibatches_of_a_data_set_go_through_it_every_epoch():
    """40 samples in batches of 8: every 5 steps have the data set's counts, and fewer do not."""
    batches = minibatches(8, 0.1, 0.0, 60.0)
    nodes, weights = mixture_nodes(MODEL, 6)
    points = FlowPoints(nodes, weights, MODEL.class_expectation(nodes), MODEL.probe_grid())
    rules = FlowRules(jnp.zeros(()), jnp.asarray(1e-2), "squared", False, False, 100, "float64", jnp.asarray(40.0))
    labels = draw_labels(KEY, points, rules)
    pieces = draw_pieces(KEY, labels.positive, labels.weights, batches, 40)
    lengths, back = np.diff(batches.steps, prepend=0), np.argsort(np.asarray(pieces.order), axis=1)
    counts = np.take_along_axis(np.asarray(pieces.weights), back, axis=1) * 8 * lengths[:, None]
    positive = np.take_along_axis(np.asarray(pieces.positive), back, axis=1) * counts
    for end in (5, 10, 15):  # pieces are single steps so far
        np.testing.assert_allclose(counts[end - 5 : end].sum(0), 40 * labels.weights, atol=1e-9)
        np.testing.assert_allclose(positive[end - 5 : end].sum(0), 40 * labels.weights * labels.positive, atol=1e-9)
    assert not np.allclose(counts[5:9].sum(0) / 32, labels.weights)
    assert not np.allclose(counts[:5], counts[5:10])


@pytest.mark.slow
def test_minibatches_of_everything_are_the_flow():
    """Enormous batches leave the flow on the same nodes."""
    descent = ns.GradientDescent(1.0, [2, 10])
    options = {"num_inits": 1, "step_tolerance": 1e-4, "dtype": "float64"}
    nearly = flow(MODEL, PRACTICE, descent, batch_size=10**9, **options)
    points = mixture_nodes(MODEL, 16)
    exact = flow_path(
        LawKernel(MODEL, PRACTICE),
        jax.random.split(KEY, 1),
        FlowPoints(*points, MODEL.class_expectation(points[0]), MODEL.probe_grid()),
        jnp.array([2.0, 10.0]),
        FlowRules(jnp.zeros(()), jnp.asarray(1e-4), "squared", False, False, 20_000, "float64"),
    )
    np.testing.assert_allclose(nearly.mean, exact.outputs[0], atol=2e-3)


SETTING = (0.8, 4.0, 0.3, 20.0)  # rho_s, alpha_s, sigma, time


def outputs_and_reliance(setting, network, **options):
    rho, alpha, sigma, time = setting
    options = {"num_inits": 1, "order": 8, "step_tolerance": 1e-5, "dtype": "float64", **options}
    p = flow(ns.GenerativeModel((rho, 0.9), (alpha, 1.0), sigma), network, ns.GradientFlow(time), **options)
    return p.mean, p.reliance


@pytest.mark.slow
@pytest.mark.branches
def test_derivatives_of_a_linear_model_are_those_of_its_closed_form():
    """In predictivity, amplification, correlation and time, by central differences of the closed form."""

    def exact(setting):
        model = ns.GenerativeModel((setting[0], 0.9), (setting[1], 1.0), setting[2])
        u = np.asarray(model.probe_grid()) * np.asarray(model.amplification)
        return u @ linear_weights(model, [setting[3]])[0]

    options = {"random_init": False, "orthogonal": True, "order": 16}
    with jax.enable_x64(True):
        slopes = jax.jit(jax.jacrev(lambda x: outputs_and_reliance(x, ns.MLP(0), **options)[0][::97]))(jnp.array(SETTING))
    for index, value in enumerate(SETTING):
        step = 1e-5 * value * np.eye(4)[index]
        expected = (exact(SETTING + step) - exact(SETTING - step))[::97] / (2e-5 * value)
        # Nodes of weight below 1e-5 are left out: 1e-4 of the second moments.
        np.testing.assert_allclose(slopes[:, index], expected, atol=5e-3 * np.abs(expected).max())
        assert not np.allclose(slopes[:, index], 1.05 * expected, atol=5e-3 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.branches
def test_derivatives_of_a_nonlinear_network_against_differences():
    network = ns.MLP(1, "tanh", width=16, parameterization="standard", weight_variance=1.5, bias_variance=0.1)

    def reliance(setting):
        drawn = eqx.tree_at(lambda n: n.weight_variance, network, setting[4])
        return outputs_and_reliance(setting[:4], drawn, num_inits=2)[1]

    with jax.enable_x64(True):
        setting, value = jnp.array([*SETTING, 1.5]), jax.jit(reliance)
        slopes = jax.jit(jax.grad(reliance))(setting)
        for index in range(5):
            step = 1e-4 * setting[index]
            difference = (value(setting.at[index].add(step)) - value(setting.at[index].add(-step))) / (2 * step)
            assert slopes[index] == pytest.approx(float(difference), rel=2e-3, abs=1e-4)


@pytest.mark.slow
@pytest.mark.branches
def test_derivatives_by_some_of_the_traced_parameters_only():
    """Descent of given rate is flow for rate x steps; the amplification alone is asked for, and all else is traced."""

    network = ns.MLP(1, "tanh", width=16, parameterization="standard")

    def reliance(alpha, rho, rate):
        model, options = ns.GenerativeModel((rho, 0.9), (alpha, 1.0)), {"num_inits": 1, "order": 6, "step_tolerance": 1e-4}
        return flow(model, network, ns.GradientDescent(rate, 40), dtype="float64", **options).reliance

    with jax.enable_x64(True):
        arguments = tuple(map(jnp.asarray, (4.0, 0.8, 0.5)))
        alone = jax.jit(jax.grad(reliance))(*arguments)
        together = jax.jit(jax.grad(reliance, argnums=(0, 1, 2)))(*arguments)
    # The solver's steps follow all tangents: each derivative is within its tolerance, not the same to rounding.
    assert float(alone) == pytest.approx(float(together[0]), rel=0.01)
    assert all(abs(float(slope)) > 1e-4 for slope in together)


@pytest.mark.slow
def test_inverse_questions_for_practised_networks():
    options = {"method": "population_flow", "key": KEY, "num_inits": 4}
    crossing = ns.analysis.critical_ratio(MODEL, PRACTICE, ns.GradientFlow(2.0), level=0.5, bracket=(0.5, 8.0), **options)
    at = ns.predict_bias(MODEL.with_shortcut(amplification_ratio=crossing.value), PRACTICE, ns.GradientFlow(2.0), **options)
    # The mean over four networks moves in steps of 0.0005.
    assert at.bias == pytest.approx(0.5, abs=2e-3) and 0.5 < crossing.value < 8
    bounds = {"amplification_ratio": (1.0, 16.0)}
    found = ns.analysis.most_biased(MODEL, PRACTICE, ns.GradientFlow(2.0), bounds=bounds, starts=2, **options)
    ratios = (1.0, 2.0, 4.0, 8.0, 16.0)
    models = [MODEL.with_shortcut(amplification_ratio=ratio) for ratio in ratios]
    biases = [ns.predict_bias(model, PRACTICE, ns.GradientFlow(2.0), **options).bias for model in models]
    assert found.bias >= max(biases) - 0.01


def test_momentum_is_flow_that_much_faster():
    options = {"num_inits": 2, "order": 6}
    fast = flow(MODEL, PRACTICE, ns.GradientFlow(2.0), momentum=0.9, **options)
    slow = flow(MODEL, PRACTICE, ns.GradientFlow(20.0), **options)
    np.testing.assert_allclose(fast.mean, slow.mean, atol=0.02)


def test_probes_on_the_boundary_are_said():
    """A linear model at equal predictivities ends on the diagonal, where 30 of 900 probes lie."""
    model, options = ns.GenerativeModel((0.9, 0.9)), {"num_inits": 1, "order": 6, "orthogonal": True, "random_init": False}
    with pytest.warns(ns.UntrustedPredictionWarning, match=r"of the decision boundary decide up to 0\.067 of the bias"):
        p = flow(model, ns.MLP(0), ns.GradientFlow(300.0), **options)
    assert p.diagnostics["undecided"] == pytest.approx(30 / 450) and abs(p.bias) <= 30 / 450
    with warnings.catch_warnings():
        warnings.simplefilter("error", ns.UntrustedPredictionWarning)
        beside = flow(model, ns.MLP(0), ns.GradientFlow(300.0), probes=model.probe_grid() * np.array([1, 1.2]), **options)
    assert beside.diagnostics["undecided"] == 0


@pytest.mark.slow
@pytest.mark.branches
def test_a_solver_out_of_steps_keeps_what_it_has():
    rule = ns.GradientFlow([0.0, 0.01, 200.0])
    with pytest.warns(ns.UntrustedPredictionWarning, match=r"ran out of max_steps=8 at time .* of 200"):
        p = flow(MODEL, PRACTICE, rule, num_inits=2, order=6, max_steps=8)
    assert np.isfinite(p.bias[:2]).all() and np.isnan(p.bias[2])
    assert np.isfinite(p.mean[:2]).all() and p.diagnostics["converged"] == 0 and 0 < p.diagnostics["time_reached"] < 200


@pytest.mark.slow
@pytest.mark.branches
def test_nodes_too_few_for_the_tolerance_are_a_warning(monkeypatch):
    monkeypatch.setattr(ns.GenerativeModel, "flow_orders", (2, 3))
    with pytest.warns(ns.UntrustedPredictionWarning, match=r"the bias still moved by .* more than tolerance=1e-06"):
        p = flow(MODEL, PRACTICE, ns.GradientFlow(10.0), num_inits=2, tolerance=1e-6)
    assert p.diagnostics["converged"] == 0 and p.diagnostics["discretization_error"] > 1e-6


@pytest.mark.slow
@pytest.mark.branches
def test_centred_outputs_start_at_zero_and_one_seed_has_no_spread():
    p = flow(MODEL, PRACTICE, ns.GradientFlow(0.0), num_inits=1, order=6, random_init=False)
    assert float(jnp.abs(p.mean).max()) == 0 and p.bias == pytest.approx(-p.optimal_reliance) and np.isnan(p.bias_std)


@pytest.mark.slow
@pytest.mark.branches
def test_outputs_within_the_rounding_of_those_subtracted_are_a_warning():
    with pytest.warns(ns.UntrustedPredictionWarning, match=r"outputs f - f_0 are within the rounding of f_0 in float32"):
        flow(MODEL, PRACTICE, ns.GradientFlow([1e-12, 1.0]), num_inits=1, order=6, random_init=False)


def test_nodes_have_the_moments_of_the_data_law():
    nodes, weights = mixture_nodes(MODEL, 12, 1e-12)
    second = MODEL.covariance + jnp.outer(MODEL.means, MODEL.means)
    np.testing.assert_allclose((weights[:, None] * nodes).T @ nodes, second, atol=1e-8)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)


def test_density_nodes_have_the_moments_of_the_law_and_of_its_labels():
    """Closed forms: E[z z^T] = Sigma + mu mu^T, E[y z] = mu, E[y z_s^3] = mu_s^3 + 3 mu_s."""
    nodes, weights, targets = density_nodes(MODEL, 12, 9, 1e-14)
    mu = np.asarray(MODEL.means)
    np.testing.assert_allclose((weights[:, None] * nodes).T @ nodes, MODEL.covariance + np.outer(mu, mu), atol=1e-10)
    np.testing.assert_allclose((weights * targets) @ nodes, mu, atol=1e-10)
    third = float((weights * targets) @ nodes[:, 0] ** 3)
    assert third == pytest.approx(mu[0] ** 3 + 3 * mu[0] * float(MODEL.covariance[0, 0]), abs=1e-9)
    # The tanh at the nodes themselves has no such accuracy.
    assert abs(float((weights * MODEL.class_expectation(nodes)) @ nodes[:, 0] ** 3) - third) > 1e-3
    # Nor has a rule of 3 nodes along, whose targets are exact up to the second degree.
    nodes, weights, targets = density_nodes(MODEL, 3, 9, 1e-14)
    np.testing.assert_allclose((weights * targets) @ nodes, mu, atol=1e-10)
    assert abs(float((weights * targets) @ nodes[:, 0] ** 3) - third) > 1e-3


def test_a_uniform_shortcut_has_its_rule_too():
    """Both features without information: a single normal, whose targets vanish."""
    nodes, weights, targets = density_nodes(ns.GenerativeModel((0.5, 0.5)), 8, 6, 1e-14)
    np.testing.assert_allclose((weights[:, None] * nodes).T @ nodes, ns.GenerativeModel((0.5, 0.5)).covariance, atol=1e-10)
    np.testing.assert_allclose(targets, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("network", "training", "options", "text"),
    [
        (ns.MLP(1), ns.GradientFlow(1.0), {}, r'width must be an integer with method="population_flow".*got None'),
        (PRACTICE, ns.GradientFlow(1.0), {"loss": "hinge"}, "loss must be one of squared, logistic; got 'hinge'"),
        (PRACTICE, ns.GradientFlow(np.inf), {}, "time must be finite.*got inf"),
        (PRACTICE, ns.Ridge(1.0), {}, "training must be GradientFlow or GradientDescent.*got 'Ridge'"),
        (PRACTICE, ns.GradientFlow(1.0), {"momentum": 1.0}, r"momentum must be in \[0, 1\); got 1.0"),
        (PRACTICE, ns.GradientFlow(1.0), {"weight_decay": -1.0}, "weight_decay must be >= 0"),
        (PRACTICE, ns.GradientFlow(1.0), {"num_inits": 0}, "num_inits must be an integer >= 1; got 0"),
        (PRACTICE, ns.GradientFlow(1.0), {"step_tolerance": 0.5}, r"step_tolerance must be in \(0, 0.1\]; got 0.5"),
        (PRACTICE, ns.GradientFlow(1.0), {"num_samples": 11}, "num_samples must be even.*got 11"),
        (PRACTICE, ns.GradientFlow(1.0), {"num_samples": 1}, "num_samples must be an integer >= 2; got 1"),
        (PRACTICE, ns.GradientFlow(1.0), {"batch_size": 8}, "training must be GradientDescent.*got 'GradientFlow'"),
        (PRACTICE, ns.GradientDescent(0.1, 3), {"batch_size": 0}, "batch_size must be an integer >= 1; got 0"),
        (PRACTICE, ns.GradientDescent(0.1, np.inf), {"batch_size": 8}, "time must be finite.*got inf"),
        (
            PRACTICE,
            ns.GradientDescent([0.1, 0.2], [3, 4]),
            {"batch_size": 8},
            "learning_rate must be one number with batch_size",
        ),
        (
            PRACTICE,
            ns.GradientDescent(0.1, 3),
            {"batch_size": 8, "num_samples": 4},
            "batch_size must be at most num_samples=4; got 8",
        ),
    ],
)
def test_bad_input(network, training, options, text):
    with pytest.raises(ValueError, match=text):
        flow(MODEL, network, training, **options)


def test_nesting_and_a_missing_key():
    nested = ns.GenerativeModel(nesting=(1, 0))
    with pytest.raises(ValueError, match=r"nesting must be \(0, 0\)"):
        flow(nested, PRACTICE, ns.GradientFlow(1.0))
    with pytest.raises(ValueError, match=r"key must be .* got None"):
        ns.predict_bias(MODEL, PRACTICE, ns.GradientFlow(1.0), method="population_flow")


@pytest.mark.slow
@pytest.mark.branches
def test_a_derivative_out_of_steps_is_said_when_it_runs():
    def bias(ratio, steps):
        options = {"method": "population_flow", "key": jax.random.key(0), "num_inits": 1, "max_steps": steps, "order": 4}
        return ns.predict_bias(ns.GenerativeModel(amplification=(ratio, 1.0)), PRACTICE, ns.GradientFlow(20.0), **options).bias

    for function in (jax.value_and_grad(bias), jax.jit(bias, static_argnums=1)):
        with pytest.warns(ns.UntrustedPredictionWarning, match=r"out of max_steps at time .* of 20: .* derivatives are NaN"):
            found = jax.block_until_ready(function(2.0, 8))
            jax.effects_barrier()
        assert np.isnan(found).all()
        with warnings.catch_warnings():
            warnings.simplefilter("error", ns.UntrustedPredictionWarning)
            found = jax.block_until_ready(function(2.0, 500))
            jax.effects_barrier()
        assert np.isfinite(found).all()
