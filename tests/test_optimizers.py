"""Optimisers on the population risk: their steps against explicit loops, and the counts of minibatches."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.two_features.mixture import density_nodes, mixture_nodes
from ntk_shortcuts.methods.flow import optimizers
from ntk_shortcuts.methods.flow.equation import FlowPoints, FlowRules, draw

MODEL, KEY = ns.GenerativeModel((0.8, 0.9), (4.0, 1.0), input_dim=6), jax.random.key(0)
NETWORK = ns.MLP(1, width=8, bias_variance=0.1)
COARSE = {"method": "population_flow", "key": KEY, "num_inits": 2, "order": 6, "dtype": "float64"}
RULES = FlowRules(jnp.asarray(0.0), jnp.asarray(0.0), "squared", False, False, 1, "float64")


def predict(training, model=MODEL, network=NETWORK, **options):
    return ns.predict_bias(model, network, training, **{**COARSE, **options})


def explicit(optimizer, steps, on_plane=False):
    """Outputs at the probes of the networks of `COARSE`: optax' steps on the risk over the same nodes, in a plain loop."""
    kernel, probes = LawKernel(MODEL, NETWORK), MODEL.probe_grid()
    nodes, weights, targets = density_nodes(MODEL, 8, 6)
    found = []
    for key in jax.random.split(KEY, 2):
        drawn = draw(kernel, key, RULES, on_plane=on_plane)
        params: Any = drawn.params
        inputs = nodes @ drawn.frame

        def risk(params: Any, inputs=inputs):
            f = NETWORK.apply(params, inputs)
            return weights @ (f**2 / 2 - f * targets)

        state, gradient = optimizer.init(params), jax.jit(jax.grad(risk))
        for _ in range(steps):
            updates, state = optimizer.update(gradient(params), state, params)
            params = optax.apply_updates(params, updates)
        found.append(NETWORK.apply(params, probes @ drawn.frame))
    return np.stack(found)


def outputs_of(p):
    return np.asarray(p.outputs.values)


@pytest.mark.slow
@pytest.mark.branches
def test_adam_takes_its_own_steps():
    """A function of the rate and a ready optimiser are one; other betas, and another rate, are not."""
    wanted = explicit(optax.adam(0.01), 15)
    p = predict(ns.GradientDescent(0.01, [3, 15]), optimizer=optax.adam)
    np.testing.assert_allclose(outputs_of(p)[:, 1], wanted, atol=1e-9)
    ready = predict(ns.GradientDescent(5.0, 15), optimizer=optax.adam(0.01))
    np.testing.assert_allclose(outputs_of(ready), wanted, atol=1e-9)
    assert np.max(np.abs(outputs_of(p)[:, 0] - wanted)) > 1e-2
    assert p.bias.shape == p.bias_std.shape == (2,) and p.diagnostics["solver_steps"] == 15
    reliance = np.mean(np.sign(wanted) @ (np.sign(MODEL.probe_grid()[:, 0]) - np.sign(MODEL.probe_grid()[:, 1])) / 900)
    np.testing.assert_allclose(p.reliance[1], reliance, atol=1e-9)


def test_plain_descent_is_that_on_the_plane_and_small_steps_are_the_flow():
    rule = ns.GradientDescent(0.02, 40)
    p = predict(rule, optimizer=optax.sgd)
    np.testing.assert_allclose(outputs_of(p), explicit(optax.sgd(0.02), 40, on_plane=True), atol=1e-8)
    flow = predict(ns.GradientFlow(0.8), step_tolerance=1e-5)
    fine = predict(ns.GradientDescent(0.0004, 2000), optimizer=optax.sgd)
    scale = np.max(np.abs(outputs_of(flow)))
    np.testing.assert_allclose(outputs_of(fine), outputs_of(flow), atol=3e-3 * scale)
    assert np.max(np.abs(outputs_of(p) - outputs_of(flow))) > 5e-3 * scale


@pytest.mark.slow
@pytest.mark.branches
def test_a_schedule_is_that_of_the_rule():
    rates = optax.piecewise_constant_schedule(0.01, {5: 0.1})
    p = predict(ns.GradientDescent(rates, 10), optimizer=lambda rate: optax.sgd(rate, momentum=0.9))
    np.testing.assert_allclose(outputs_of(p), explicit(optax.sgd(rates, momentum=0.9), 10), atol=1e-6)


def drawn_member(batch_size, num_samples, order=4):
    kernel = LawKernel(MODEL, NETWORK)
    nodes, weights = mixture_nodes(MODEL, order)
    points = FlowPoints(nodes, weights, MODEL.class_expectation(nodes), MODEL.probe_grid(2))
    count = None if num_samples is None else jnp.asarray(float(num_samples))
    rules = FlowRules(jnp.asarray(0.0), jnp.asarray(0.0), "squared", False, False, 1, "float64", count)
    descent = optimizers.Descent(NETWORK, jnp.asarray(0.1), rules, optax.sgd, batch_size, num_samples)
    drawn = jax.tree.map(lambda leaf: leaf[None], draw(kernel, KEY, rules, on_plane=False))
    members, states = optimizers.begin(descent, drawn, points)
    one = jax.tree.map(lambda leaf: leaf[0], (members, states))
    law = np.concatenate([weights * (1 + points.targets) / 2, weights * (1 - points.targets) / 2])
    return descent, *one, law, len(weights)


def counted(batches, count):
    """Weights of node and label, (steps, 2 nodes)."""
    table = np.zeros((len(batches.rows), 2 * count))
    steps = np.arange(len(table))[:, None]
    np.add.at(table, (steps, batches.rows), batches.positive)
    np.add.at(table, (steps, batches.rows + count), batches.negative)
    return table


@pytest.mark.parametrize("size", [5, pytest.param(64, marks=[pytest.mark.slow, pytest.mark.branches])])
def test_minibatches_have_the_mean_and_covariance_of_samples(size):
    """Counts of a multinomial: mean p, covariance (diag p - p p^T)/B, by their standard errors; fewer and more than nodes."""
    descent, member, state, law, count = drawn_member(size, None)
    number = 6000
    steps = jnp.arange(number)
    _, batches = jax.jit(jax.vmap(lambda step: optimizers.draw_batch(descent, step, member, state.order)))(steps)
    found = counted(jax.tree.map(np.asarray, batches), count)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-9)
    error = np.sqrt(law * (1 - law) / size / number)
    often = law * size * number > 30
    assert np.all(np.abs(found.mean(axis=0) - law)[often] < 5 * error[often])
    assert np.any(np.abs(found.mean(axis=0) - np.roll(law, 1)) > 20 * error)
    covariance = (np.diag(law) - np.outer(law, law)) / size
    largest = np.argsort(law)[-6:]
    spread = np.cov(found[:, largest].T)
    part = covariance[np.ix_(largest, largest)]
    scale = np.sqrt(np.outer(np.diag(part), np.diag(part)) / number)
    assert np.all(np.abs(spread - part) < 6 * scale)
    assert np.all(np.abs(np.diag(spread) - 1.3 * np.diag(part)) > 6 * np.diag(scale))


@pytest.mark.slow
@pytest.mark.branches
def test_a_data_set_is_gone_through_once_an_epoch():
    descent, member, state, _, count = drawn_member(4, 10)
    labels = member.start.labels
    whole = np.concatenate([labels.weights * labels.positive, labels.weights * (1 - labels.positive)])
    assert np.all(np.abs(10 * whole - np.round(10 * whole)) < 1e-9) and abs(whole.sum() - 1) < 1e-9
    order, epochs = state.order, []
    for epoch in range(2):
        found = []
        for batch in range(3):
            order, drawn = optimizers.draw_batch(descent, jnp.asarray(3 * epoch + batch), member, order)
            found.append(counted(jax.tree.map(lambda leaf: np.asarray(leaf)[None], drawn), count)[0])
        # Batches of 4, 4 and 2, each an average.
        np.testing.assert_allclose(np.array([0.4, 0.4, 0.2]) @ found, whole, atol=1e-9)
        epochs.append(found)
    assert not np.allclose(epochs[0], epochs[1])


@pytest.mark.slow
@pytest.mark.branches
def test_batches_train_and_do_not_depend_on_how_steps_are_cut(monkeypatch):
    options = {"optimizer": optax.adam, "batch_size": 8, "num_samples": 20}
    p = predict(ns.GradientDescent(0.01, [7, 12]), **options)
    monkeypatch.setattr(optimizers, "_AT_ONCE", 5)
    monkeypatch.setattr(optimizers, "_MEMBER_BYTES", 1)  # one network after another
    cut = predict(ns.GradientDescent(0.01, [12]), **options)
    np.testing.assert_allclose(outputs_of(cut)[:, 0], outputs_of(p)[:, 1], atol=1e-9)
    fresh = predict(ns.GradientDescent(0.01, [12]), optimizer=optax.adam, batch_size=8)
    assert np.max(np.abs(outputs_of(fresh) - outputs_of(cut))) > 1e-4


@pytest.mark.parametrize(
    ("training", "options", "text"),
    [
        (ns.GradientFlow(1.0), {"optimizer": optax.adam}, "training must be GradientDescent.*with optimizer="),
        (ns.Ridge(1.0), {"optimizer": optax.adam}, "training must be GradientDescent.*with optimizer="),
        (ns.GradientDescent(0.1, np.inf), {"optimizer": optax.adam}, "steps must be finite with optimizer="),
        (ns.GradientDescent([0.1, 0.2], 3), {"optimizer": optax.adam}, "learning_rate must be one number or schedule with"),
        (ns.GradientDescent(0.1, 3, 0.9), {"optimizer": optax.adam}, "momentum must be 0 with optimizer="),
        (ns.GradientDescent(0.1, 3), {"optimizer": optax.adam, "momentum": 0.9}, "momentum must be 0 with optimizer="),
        (ns.GradientDescent(0.1, 3), {"optimizer": optax.adam, "weight_decay": 0.1}, "weight_decay must be 0 with optimizer="),
        (ns.GradientDescent(0.1, 3), {"optimizer": "adam"}, "optimizer must be an optax optimiser, or a function"),
        (ns.GradientDescent(0.1, 3), {"optimizer": lambda rate: rate}, "optimizer must be an optax optimiser, or a function"),
        (ns.GradientDescent(0.1, 3), {"optimizer": optax.adam, "batch_size": 0}, "batch_size must be an integer >= 1"),
        (
            ns.GradientDescent(0.1, 3),
            {"optimizer": optax.adam, "batch_size": 30, "num_samples": 20},
            "batch_size must be at most num_samples=20",
        ),
        (ns.GradientFlow(1.0), {"batch_size": 8}, "training must be GradientDescent.*with batch_size"),
        (ns.GradientDescent(optax.constant_schedule(0.1), 3), {"batch_size": 8}, "learning_rate must be one number with batch"),
        (ns.GradientDescent(0.1, 3, weight_decay=0.1), {}, "weight_decay must be 0 in a rule for networks whose kernel moves"),
        (ns.GradientDescent(0.1, 3, 0.9), {"momentum": 0.9}, "momentum must be 0 beside that of the rule"),
    ],
)
def test_what_does_not_go_together_is_refused(training, options, text):
    with pytest.raises(ValueError, match=text):
        predict(training, **options)


def test_derivatives_are_refused():
    def bias(rate):
        return predict(ns.GradientDescent(rate, 3), optimizer=optax.adam).bias

    with pytest.raises(ValueError, match="optimizer must be None where derivatives are taken"):
        jax.grad(bias)(0.1)


def test_divergence_is_said():
    with pytest.raises(FloatingPointError, match="training diverged: by step 200 outputs are not finite"):
        predict(ns.GradientDescent(1e3, 200), optimizer=optax.sgd)


@pytest.mark.slow
def test_the_rule_s_momentum_is_that_of_the_flow():
    """Heavy ball in its limit of small rates: the flow at the rule's time, the optimiser's steps beside it."""
    rule = ns.GradientDescent(0.0002, 4000, 0.9)
    flow = predict(rule, step_tolerance=1e-4)
    same = predict(ns.GradientFlow(8.0), step_tolerance=1e-4)
    np.testing.assert_allclose(outputs_of(flow), outputs_of(same), atol=1e-6)
    method = predict(ns.GradientDescent(0.0002, 4000), momentum=0.9, step_tolerance=1e-4)
    np.testing.assert_allclose(outputs_of(method), outputs_of(same), atol=1e-6)
    steps = predict(ns.GradientDescent(0.0002, 4000), optimizer=functools.partial(optax.sgd, momentum=0.9))
    np.testing.assert_allclose(outputs_of(steps), outputs_of(flow), atol=0.03 * np.max(np.abs(outputs_of(flow))))


@pytest.mark.slow
def test_adam_at_the_paper_s_sizes_against_trained_networks():
    """Width 128, 3200 samples, batches of 64, learning rate 1e-3, after one and three epochs."""
    model = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
    network = ns.MLP(1, width=128, parameterization="standard", initialization="torch", bias_variance=1.0)
    rule = ns.GradientDescent(1e-3, [50, 150])
    p = ns.predict_bias(
        model, network, rule, method="population_flow", optimizer=optax.adam, batch_size=64, key=KEY, num_inits=8
    )
    trained = ns.train_ensemble(
        model, network, rule, 3200, 4, 2, key=jax.random.key(1), optimizer=optax.adam, batch_size=64, dtype="float32"
    )
    error = np.hypot(np.asarray(p.bias_std) / np.sqrt(8), trained.standard_error)
    assert np.all(np.abs(p.bias - trained.mean_bias) < np.maximum(0.12, 3 * error))
    assert np.abs(p.bias[0] - trained.mean_bias[1]) > 0.12
