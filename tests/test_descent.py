"""Momentum, weight decay and schedules: filters, their sums of resolvents, and the networks that are trained by such rules."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.cli import main
from ntk_shortcuts.issues import Divergence, UnstableSteps
from ntk_shortcuts.training.fitted_poles import fitted_poles
from ntk_shortcuts.training.schedules import Schedule

MODEL, KEY = ns.GenerativeModel((0.8, 0.9), (4.0, 1.0), input_dim=20), jax.random.key(0)
EIGENVALUES = np.array([0.0, 1e-12, 1e-3, 0.3, 1.0, 1.6])
COSINE = optax.cosine_decay_schedule(0.5, 60)
PIECEWISE = optax.piecewise_constant_schedule(0.5, {10: 0.5, 40: 0.1})
STEPS = [0, 1, 7, 60]
RULES = [
    *({"momentum": beta, "nesterov": nesterov} for beta, nesterov in itertools.product((0.5, 0.9), (False, True))),
    *({"weight_decay": 0.05, "decoupled": decoupled} for decoupled in (False, True)),
    *(
        {"momentum": 0.9, "weight_decay": 0.05, "decoupled": decoupled, "nesterov": nesterov}
        for decoupled, nesterov in itertools.product((False, True), (False, True))
    ),
]


def iterated(rate_of, steps, momentum=0.0, nesterov=False, weight_decay=0.0, decoupled=False, lam=EIGENVALUES):
    """g, step by step: the parameter along an eigenfunction over the target, with optax' and PyTorch's buffer."""
    g, buffer = np.zeros_like(lam), np.zeros_like(lam)
    for step in range(steps):
        gradient = lam * g - 1 + (0 if decoupled else weight_decay) * g
        buffer = momentum * buffer + gradient
        update = gradient + momentum * buffer if nesterov else buffer
        g = g - rate_of(step) * (update + (weight_decay * g if decoupled else 0))
    return g


@pytest.mark.parametrize("options", RULES)
def test_filters_are_the_iteration(options):
    for rate, rate_of in ((0.5, lambda step: 0.5), (COSINE, COSINE), (PIECEWISE, PIECEWISE)):
        rule = ns.GradientDescent(rate, STEPS, **options)
        got = np.asarray(rule.filter(jnp.asarray(EIGENVALUES)))
        wanted = np.stack([iterated(lambda step, r=rate_of: np.asarray(r(step)), steps, **options) for steps in STEPS])
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-12)
    # Some million steps are in the limit, g(0) and g'(0) those of the recursion at 0.
    lam = jnp.asarray(EIGENVALUES[2:])
    late = np.asarray(ns.GradientDescent(0.5, [3e6, np.inf], **options).filter(lam))
    np.testing.assert_allclose(late[0], late[1], rtol=1e-8)
    value, slope = ns.GradientDescent(0.5, 20, **options).expansion()
    near = iterated(lambda step: 0.5, 20, lam=np.array([0.0, 1e-6, -1e-6]), **options)
    np.testing.assert_allclose(np.array([value, slope]), [near[0], (near[1] - near[2]) / 2e-6], rtol=1e-8)


def test_plain_descent_is_where_they_meet():
    lam = jnp.asarray(EIGENVALUES[1:])
    plain = ns.GradientDescent(0.5, STEPS)
    scheduled = ns.GradientDescent(optax.constant_schedule(0.5), STEPS)
    assert plain.plain and not scheduled.plain
    np.testing.assert_allclose(scheduled.filter(lam), plain.filter(lam), rtol=1e-12)
    np.testing.assert_array_equal(scheduled.time, plain.time)
    # L2 decay adds to the eigenvalues.
    decayed = ns.GradientDescent(0.5, STEPS, weight_decay=0.05)
    np.testing.assert_allclose(decayed.filter(lam), plain.filter(lam + 0.05), rtol=1e-12)


@pytest.mark.parametrize("options", [{}, *RULES])
def test_steps_diverge_from_the_stated_rate_on(options):
    """Where the issue is, outputs grow: one per mille on either side of the bound."""
    rule = ns.GradientDescent(1.0, 1, **options)
    (issue,) = ns.GradientDescent(1e3, 1, **options).issues(0.5)
    assert isinstance(issue, Divergence)
    bound = issue.bound / 0.5
    for factor, diverges in ((0.999, False), (1.001, True)):
        rule = ns.GradientDescent(factor * bound, [20_000, 40_000], **options)
        gains = np.abs(np.asarray(rule.filter(jnp.array([0.5]))))[:, 0]
        assert (not gains[1] <= 1.01 * gains[0]) == diverges
        issues = rule.issues(0.5)
        assert bool(issues) == diverges
        if diverges:
            assert issues[0].kind == "Divergence" and f"{bound:.4g}" in issues[0].advice
            assert np.isinf(ns.GradientDescent(factor * bound, np.inf, **options).filter(jnp.array([0.5]))[0]) or rule.plain


def test_a_warm_schedule_says_which_steps_diverge():
    rates = optax.piecewise_constant_schedule(5.0, {3: 0.1})
    (issue,) = ns.GradientDescent(rates, [10, 50]).issues(1.0)
    assert isinstance(issue, UnstableSteps) and (issue.size, issue.steps) == (5.0, 3)
    # Worst after ten steps: (1 - 5)^3 (1 - 0.5)^7.
    np.testing.assert_allclose(issue.left, 4**3 * 0.5**7, rtol=1e-6)
    assert ns.GradientDescent(rates, [10, 50]).issues(0.3) == ()


def test_time_is_the_sum_of_rates_over_one_minus_momentum():
    np.testing.assert_allclose(ns.GradientDescent(0.1, [10, 20], 0.9).time, [10.0, 20.0])
    np.testing.assert_allclose(ns.GradientDescent(PIECEWISE, [10, 41]).time, [5.0, 5 + 30 * 0.25 + 0.025])
    # It is the time of the flow that small rates approximate.
    lam = jnp.array([1e-3, 0.01, 0.1])
    rule = ns.GradientDescent(optax.linear_schedule(2e-3, 0.0, 20_000), [5000, 20_000], 0.9)
    np.testing.assert_allclose(rule.filter(lam), ns.GradientFlow(rule.time).filter(lam), rtol=3e-3)


def test_schedules_are_known_by_their_rates():
    def by_hand(step):
        return 0.5 if step < 10 else 0.1  # takes no arrays

    rule = ns.GradientDescent(by_hand, 20)
    np.testing.assert_array_equal(rule.learning_rate.rates, [0.5] * 10 + [0.1] * 10)
    assert ns.GradientDescent(lambda step: by_hand(step), 20) == rule != ns.GradientDescent(by_hand, 21)
    assert hash(ns.GradientDescent(lambda step: by_hand(step), 20)) == hash(rule)
    assert ns.GradientDescent(COSINE, 20).learning_rate.name == "cosine_decay_schedule"
    longer = ns.GradientDescent(rule.learning_rate, 30)
    assert longer == ns.GradientDescent(by_hand, 30)
    assert float(Schedule.of(by_hand, 3)(100)) == 0.5  # the last that was asked for


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ns.GradientDescent(lambda step: -0.1, 3), "learning_rate must be a number, or a function"),
        (lambda: ns.GradientDescent(COSINE, np.inf), "steps must be an integer >= 0 with a schedule"),
        (lambda: ns.GradientDescent(0.1, 3, 1.0), r"momentum must be in \[0, 1\)"),
        (lambda: ns.GradientDescent(0.1, 3, weight_decay=-1.0), "weight_decay must be >= 0"),
        (lambda: jax.jit(lambda k: ns.GradientDescent(COSINE, k).steps)(3), "steps must be a plain number with a schedule"),
        (lambda: jax.jit(lambda m: ns.GradientDescent(0.1, 3, m).rational(None, 1.0).poles)(0.5), "training must be plain"),
        (lambda: ns.GradientDescent(3.0, 30, 0.1).rational(None, 1.0), "learning_rate must be below 2.2, where steps diverge"),
    ],
)
def test_bad_rules(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_traced_numbers_have_derivatives():
    def gains(rate, momentum, decay):
        return jnp.sum(ns.GradientDescent(rate, 9, momentum, weight_decay=decay).filter(jnp.array([0.1, 0.7])))

    at = (0.4, 0.8, 0.02)
    slopes = jax.jit(jax.grad(gains, (0, 1, 2)))(*at)
    for index, slope in enumerate(slopes):
        moved = [gains(*(value + sign * 1e-6 * (index == i) for i, value in enumerate(at))) for sign in (1, -1)]
        np.testing.assert_allclose(slope, (moved[0] - moved[1]) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "bound"),
    [
        (ns.GradientDescent(1.0, [0, 1, 10, 60, 100, 400], 0.9), 1e-5),
        (ns.GradientDescent(0.5, [300, np.inf], 0.5, nesterov=True, weight_decay=0.01, decoupled=True), 1e-5),
        (ns.GradientDescent(optax.cosine_decay_schedule(1.0, 100), [20, 100], 0.9), 1e-5),
        # Close to the bound of stability modes oscillate on: seen by the average's own error.
        (ns.GradientDescent(3.6, 200, 0.9), 1e-3),
    ],
)
def test_sums_of_resolvents(rule, bound, rng):
    lam = jnp.asarray(np.concatenate([rng.uniform(0, 1, 200), np.geomspace(1e-8, 1, 100)]))
    found = rule.rational(None, 1.0)
    assert found.poles.shape[-1] <= 64
    assert np.all((found.poles.imag > 0) | (found.poles.real < 0))
    error = np.max(np.abs(found(lam) - rule.filter(lam)) * lam)
    assert error < bound
    assert np.max(np.abs(found(lam) - 1.001 * rule.filter(lam)) * lam) > 5e-4 or np.ndim(rule.steps)
    # Parts do not cancel beyond what fixed points are solved to.
    assert np.max(np.abs(found.residues)) < 1e4


def test_the_limit_of_time_is_one_pole():
    np.testing.assert_array_equal(ns.GradientDescent(1.0, 1e11, 0.9).rational(None, 2.0).poles, [-2e-9])
    np.testing.assert_array_equal(ns.GradientDescent(0.5, np.inf, weight_decay=0.01).rational(None, 2.0).poles, [-0.01])
    decoupled = ns.GradientDescent(0.5, np.inf, 0.9, weight_decay=0.01, decoupled=True)
    np.testing.assert_allclose(decoupled.rational(None, 2.0).poles, [-0.001])


def test_a_fit_out_of_reach_says_its_error():
    assert fitted_poles(lambda lam: np.sin(300 * lam) ** 2, 1.0, 400, most=3).error > 1e-3


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("options", [RULES[-1]])
def test_a_data_set_against_optax_on_the_linearised_model(options):
    """f = features . theta with the features of the kernel: optax' own steps on theta, from theta = 0."""
    data, probes = MODEL.sample(KEY, 16), MODEL.probe_grid(3)
    rates = optax.cosine_decay_schedule(0.2, 60)
    rule = ns.GradientDescent(rates, [5, 60], **options)
    network = ns.MLP(1, bias_variance=0.1)
    p = ns.predict_bias(MODEL, network, rule, dataset=data, probes=probes, random_init=False)
    assert data.embedding is not None
    x = np.concatenate([np.asarray(data.inputs), np.asarray(data.embedding(probes))])
    values, vectors = np.linalg.eigh(np.asarray(network.kernels(x).ntk))
    features = jnp.asarray(vectors * np.sqrt(np.maximum(values, 0)))
    momentum, decay = options.get("momentum", 0.0), options.get("weight_decay", 0.0)
    parts = [optax.trace(momentum, options.get("nesterov", False)), optax.add_decayed_weights(decay)]
    parts = parts if options.get("decoupled") else parts[::-1]
    optimizer = optax.chain(*parts, optax.scale_by_learning_rate(rates))

    def step(_, carry):
        theta, state = carry
        gradient = features[:16].T @ (features[:16] @ theta - data.labels) / 16
        updates, state = optimizer.update(gradient, state, theta)
        return theta + updates, state

    theta = jnp.zeros(len(x))
    for index, steps in enumerate((5, 60)):
        found, _ = jax.lax.fori_loop(0, steps, step, (theta, optimizer.init(theta)))
        np.testing.assert_allclose(p.mean[index], features[16:] @ found, atol=1e-8)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(
            ns.GradientDescent(COSINE, [10, 60], 0.9, nesterov=True),
            id="cosine",
            marks=[pytest.mark.slow, pytest.mark.branches],
        ),
        pytest.param(ns.GradientDescent(0.5, [10, 60], 0.5, weight_decay=0.1, decoupled=True), id="decay"),
    ],
)
def test_trained_linear_networks_do_what_the_rule_says(rule):
    """A linear network's kernel does not move: the steps of an ensemble and the filter are one, at initialisation too."""
    network = ns.MLP(0)
    sizes = {"num_samples": 20, "num_inits": 2, "probes": MODEL.probe_grid(4), "dtype": "float64"}
    e = ns.train_ensemble(MODEL, network, rule, key=KEY, **sizes)
    given = (e.initial_train_outputs[0], e.initial_outputs[0])
    p = ns.predict_bias(MODEL, network, rule, dataset=e.dataset(0), probes=e.probes, initial_outputs=given)
    np.testing.assert_allclose(e.outputs[:, 0], p.mean, atol=1e-8)
    assert np.max(np.abs(e.outputs[1, 0] - e.outputs[0, 0])) > 1e-2
    assert e.plane


def test_an_optimizer_beside_a_rule_of_its_own_is_refused():
    rule = ns.GradientDescent(0.1, 3, 0.9)
    with pytest.raises(ValueError, match="momentum must be 0 with optimizer=, which says itself"):
        ns.train_ensemble(MODEL, ns.MLP(1, width=4), rule, 10, key=KEY, optimizer=optax.adam)
    with pytest.raises(ValueError, match=r"training must be GradientDescent.*without schedule, momentum"):
        ns.analysis.telescope(MODEL, ns.MLP(1, width=4), rule, 10, key=KEY)
    with pytest.raises(ValueError, match="momentum must be a number; got"):
        ns.train_ensemble(MODEL, ns.MLP(1, width=4), ns.GradientDescent(0.1, 3, [0.5, 0.9]), 10, key=KEY)


def test_the_command_line_has_momentum(capsys):
    command = "predict --learning-rate 0.5 --steps 60 --momentum 0.9 --nesterov --weight-decay 0.01 --tolerance 0.1 --json"
    assert main(command.split()) == 0
    found = json.loads(capsys.readouterr().out)
    rule = ns.GradientDescent(0.5, 60, 0.9, nesterov=True, weight_decay=0.01)
    model = ns.GenerativeModel((0.85, 0.9))
    np.testing.assert_allclose(found["bias"], ns.predict_bias(model, ns.MLP(1), rule, tolerance=0.1).bias, atol=1e-9)
    assert (found["momentum"], found["nesterov"], found["weight_decay"]) == (0.9, True, 0.01)
    for wrong, text in (("--time 3 --momentum 0.9", "momentum"), ("--learning-rate 1 --steps 3 --nesterov", "nesterov")):
        assert main([str(part) for part in f"predict {wrong}".split()]) == 2
        assert f"{text} must be given with" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    [
        ns.GradientDescent(0.5, [30, 120, 600], 0.9),
        ns.GradientDescent(optax.cosine_decay_schedule(0.3, 300), [50, 300], 0.9, nesterov=True, weight_decay=0.01),
    ],
    ids=["momentum", "cosine"],
)
def test_averages_over_data_sets_against_sampled_ones(rule):
    network = ns.MLP(1)
    average = ns.predict_bias(MODEL, network, rule, 200)
    sampled = ns.predict_bias(MODEL, network, rule, 200, "monte_carlo", key=KEY, num_datasets=60)
    error = 4 * sampled.diagnostics["bias_standard_error"] + average.diagnostics["finite_size_error"]
    np.testing.assert_allclose(average.bias, sampled.bias, atol=error)
    assert average.diagnostics["trusted"] == 1
    # Of 60 data sets a standard deviation is known to a tenth. While leading modes oscillate it is low (0.33 for 0.47 after 30
    # steps): influence is to first order in a data set's change, and the turns of a mode are not.
    spread = [np.sqrt(np.mean(np.asarray(p.std)[1:] ** 2, axis=-1)) for p in (average, sampled)]
    np.testing.assert_allclose(*spread, rtol=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    "rule",
    [
        ns.GradientDescent(0.1, [10, 40, 150], 0.9),
        ns.GradientDescent(optax.cosine_decay_schedule(0.3, 150), [10, 150], 0.9, nesterov=True),
        ns.GradientDescent(0.5, [10, 150], weight_decay=0.05),
    ],
    ids=["momentum", "cosine", "decay"],
)
def test_wide_networks_trained_by_the_rule(rule, depth):
    """Of width 1024 on their own data sets, from their own outputs at initialisation: within a few percent."""
    model = ns.GenerativeModel((0.8, 0.9), (2.0, 1.0), input_dim=20)
    e = ns.train_ensemble(model, ns.MLP(depth, width=1024), rule, 100, 1, 2, key=KEY, dtype="float32")
    options = {"dataset": e.dataset(0), "initial_outputs": (e.initial_train_outputs[0], e.initial_outputs[0])}
    p = ns.predict_bias(model, ns.MLP(depth), rule, **options)
    size = np.std(p.mean, axis=-1)
    assert np.all(np.sqrt(np.mean((e.outputs[:, 0] - p.mean) ** 2, axis=-1)) / size < 0.15)
    plain = ns.GradientDescent(0.1, np.asarray(rule.steps))
    other = ns.predict_bias(model, ns.MLP(depth), plain, **options).mean
    assert np.any(np.sqrt(np.mean((e.outputs[:, 0] - other) ** 2, axis=-1)) / size > 0.3)
    assert np.max(np.abs(e.bias[:, 0].mean(-1) - np.mean(p.bias, axis=-1))) < 0.1
