"""Issues: each kind in a prediction that has it, said in one warning at the line of the call; none inside transformations."""

import functools
import inspect
import warnings

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts import issues
from ntk_shortcuts.issues import warn
from ntk_shortcuts.methods import krylov, large, low_rank

MODEL, FLOW, KEY = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)), ns.GradientFlow(30.0), jax.random.key(0)
END = ns.GradientFlow(np.inf)
NARROW = ns.MLP(1, width=8, parameterization="standard", initialization="torch")
COARSE = {"method": "population_flow", "key": KEY, "num_inits": 1, "order": 6}
FEW_PROBES = {"probes": MODEL.probe_grid(4)}


@functools.cache
def data(count=20):
    return MODEL.sample(KEY, count)


# Inputs that are told apart by their labels only.
TWICE = {
    "dataset": ns.Dataset.from_arrays([[1.0, 0.5], [1.0, 0.5], [-0.3, 1.0], [0.2, -1.0]], [1, -1, 1, -1]),
    "probe_inputs": np.asarray(FEW_PROBES["probes"]),
    **FEW_PROBES,
}
EQUAL, HIDDEN = ns.GenerativeModel((0.9, 0.9)), ns.GenerativeModel((0.9, 0.9), (1e4, 1.0), 1 - 1e-8)
BETTER, EVEN = ns.GenerativeModel((0.95, 0.85)), ns.MLP(1, ns.LeakyReLU(-1.0))

POOL_INPUTS, POOL_LABELS = np.random.default_rng(0).normal(size=(24, 3)), np.resize([-1, 1], 24)
POOL_ATTRIBUTE, BROKEN = np.resize([-1, -1, 1, 1], 24), np.where(np.arange(24)[:, None] == 3, 0.5, POOL_INPUTS)


def on_pool(first=16, tested=range(16, 24), inputs=POOL_INPUTS, attribute=POOL_ATTRIBUTE):
    """Options of a prediction for a small pool whose last samples are tested."""
    pool = ns.Pool(inputs, POOL_LABELS, attribute)
    test = pool.take(np.array(tested))
    return {"law": pool.take(np.arange(first)), "test": test, "num_samples": 8, "training": FLOW, "check_laziness": False}


OPPOSED = np.where(np.arange(24) % 8, -1, 1) * POOL_LABELS
HUGE = ns.MLP(0, weight_variance=1e12)


def nearly_one():
    """A network, two of whose six inputs are 1e-6 apart: labels, and where to predict."""
    rng = np.random.default_rng(0)
    inputs, probes = rng.normal(size=(6, 3)), rng.normal(size=(4, 3))
    inputs[1] = inputs[0] + 1e-6 * rng.normal(size=3)
    return ns.MLP(1, "erf", bias_variance=0.1), END, inputs, np.array([1.0, -1.0] * 3), probes


# fmt: off
PREDICTIONS = {
    "Unconverged": lambda: ns.predict_bias(MODEL, NARROW, FLOW, tolerance=1e-9, **{**COARSE, "order": None}),
    "Rounding": lambda: ns.predict_bias(MODEL, HUGE, END, dataset=data(), **FEW_PROBES),
    "UnresolvedDirection": lambda: ns.predict_bias(HIDDEN, ns.MLP(0), END, random_init=False),
    "UnresolvedLabels": lambda: ns.predict_bias(MODEL, ns.MLP(1), END, **TWICE),
    "FewSamples": lambda: ns.predict_bias(MODEL, ns.MLP(0), FLOW, 2),
    "UntrustedAverage": lambda: ns.predict_bias(MODEL, ns.MLP(0), FLOW, 100, tolerance=1e-12),
    "LowRank": lambda: ns.predict_bias(MODEL, ns.MLP(1), FLOW, dataset=data(), rank_tolerance=1e-9, **FEW_PROBES),
    "UnfinishedSolve": lambda: ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow(1e4), dataset=data(200), **FEW_PROBES),
    "LazinessGap": lambda: ns.predict_bias(MODEL, NARROW, FLOW, dataset=data(), random_init=False),
    "OutOfSteps": lambda: ns.predict_bias(MODEL, NARROW, ns.GradientFlow([0.0, 200.0]), max_steps=4, **COARSE),
    "LostOutputs": lambda: ns.predict_bias(MODEL, NARROW, ns.GradientFlow([1e-12, 1.0]), random_init=False, **COARSE),
    "UndecidedProbes": lambda: ns.predict_bias(EQUAL, ns.MLP(0), ns.GradientFlow(300.0), orthogonal=True, random_init=False, **COARSE),  # noqa: E501
    "UnseenTarget": lambda: ns.predict_bias(MODEL, EVEN, FLOW, method="leading_order"),
    "ShortcutIsOptimal": lambda: ns.predict_bias(BETTER, ns.MLP(0), FLOW, method="leading_order"),
    "Divergence": lambda: ns.predict_bias(MODEL, ns.MLP(0), ns.GradientDescent(100.0, 3), dataset=data(), **FEW_PROBES),
    "UnstableSteps": lambda: ns.predict_bias(MODEL, ns.MLP(0), ns.GradientDescent(lambda k: 99.0 / (1 + k), 9), dataset=data(), **FEW_PROBES),  # noqa: E501
    "SharedSamples": lambda: ns.predict(network=ns.MLP(1), **on_pool(first=18)),
    "ConstantInputs": lambda: ns.predict(network=ns.MLP(1), **on_pool(inputs=BROKEN)),
    "AttributeCodes": lambda: ns.predict(network=ns.MLP(1), **on_pool(attribute=np.resize([0, 0, 1, 1], 24))),
    "OpposedAttribute": lambda: ns.predict(network=ns.MLP(1), **on_pool(attribute=OPPOSED)),
    "AttributeIsLabel": lambda: ns.predict(network=ns.MLP(1), **on_pool(attribute=POOL_LABELS)),
    "EmptyGroups": lambda: ns.predict(network=ns.MLP(1), **on_pool(tested=(16, 17, 20, 21))),
    "WidthIgnored": lambda: ns.predict(network=ns.MLP(1, width=64), **on_pool()),
}
# What gives no prediction.
OTHERS = {
    "RoundedOutputs": lambda: ns.predict_outputs(*nearly_one()),
    "PoorFit": lambda: ns.GenerativeModel.from_latents(np.sign(data(200).latents), data(200).labels),
}
# fmt: on
KINDS = {name: kind for name, kind in vars(issues).items() if inspect.isclass(kind) and kind.__base__ is issues.Issue}


@pytest.fixture
def small(monkeypatch, request):
    """Rules and landmarks too few for the tolerances asked of them."""
    monkeypatch.setattr(ns.GenerativeModel, "flow_orders", (2, 3))
    if request.node.callspec.params["kind"] in ("LowRank", "UnfinishedSolve"):
        monkeypatch.setattr(low_rank, "_RANKS", (2, 4))
        monkeypatch.setattr(large, "DENSE_LIMIT", 10)
        monkeypatch.setattr(krylov, "_LANDMARKS", 1)
        monkeypatch.setattr(krylov, "_MOST", 20)


def said_by(call):
    """What a call returns, and its one warning, at its own line of this file."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = call()
    (warning,) = said
    lines = [line for *_, line in call.__code__.co_lines() if line is not None]
    assert warning.filename == __file__ and min(lines) <= warning.lineno <= max(lines)
    return found, warning


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("kind", PREDICTIONS)
def test_a_prediction_holds_its_issues_and_says_them_once_where_it_was_asked_for(kind, small):
    prediction, warning = said_by(PREDICTIONS[kind])
    assert isinstance(prediction.issues, tuple) and kind in [issue.kind for issue in prediction.issues]
    for issue in prediction.issues:
        assert type(issue) is KINDS[issue.kind] and isinstance(issue.size, float)
        assert issue.what and issue.advice and str(issue) == f"{issue.what}; {issue.advice}"
        assert issubclass(warning.category, issue.category)
    assert str(warning.message) == " | ".join(map(str, prediction.issues))
    assert (warning.category is ns.DivergenceWarning) == (kind in ("Divergence", "UnstableSteps"))


@pytest.mark.parametrize("kind", OTHERS)
def test_other_results_say_theirs_too(kind):
    _, warning = said_by(OTHERS[kind])
    assert warning.category is ns.UntrustedPredictionWarning


def test_every_kind_is_here():
    assert KINDS.keys() == PREDICTIONS.keys() | OTHERS.keys()


def test_several_issues_are_one_warning():
    def call():
        return ns.predict_bias(BETTER, EVEN, FLOW, method="leading_order")

    prediction, warning = said_by(call)
    assert [issue.kind for issue in prediction.issues] == ["UnseenTarget", "ShortcutIsOptimal"]
    assert str(warning.message).count(" | ") == 1


def test_a_sweep_says_each_kind_once_with_the_largest():
    """Of three points two have a better shortcut, and all a network that cannot see the target. An error silences nothing."""

    def call():
        axes = {"shortcut_predictivity": [0.8, 0.95, 0.9]}
        return ns.sweep(axes, ns.GenerativeModel((0.9, 0.85)), EVEN, FLOW, method="leading_order")

    _, warning = said_by(call)
    assert warning.category is ns.UntrustedPredictionWarning
    alone, _ = said_by(lambda: ns.predict_bias(ns.GenerativeModel((0.95, 0.85)), EVEN, FLOW, method="leading_order"))
    found = str(warning.message).split(" | ")
    counted = zip((3, 2), alone.issues, strict=True)
    assert found == [f"{count} predictions, of which the largest: {issue}" for count, issue in counted]

    def interrupted(done, total):
        raise KeyError

    def stopped():
        axes = {"shortcut_predictivity": [0.95]}
        with pytest.raises(KeyError):
            ns.sweep(axes, ns.GenerativeModel((0.9, 0.85)), ns.MLP(0), FLOW, method="leading_order", progress=interrupted)

    _, warning = said_by(stopped)
    assert str(warning.message).startswith("the shortcut is the more predictive feature")


def test_a_prediction_without_issues_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ns.predict_bias(MODEL, ns.MLP(0), FLOW, method="leading_order").issues == ()


TRACED = {
    "Rounding": lambda time: ns.predict_bias(MODEL, HUGE, ns.GradientFlow(time), dataset=data(), **FEW_PROBES),
    "UnresolvedLabels": lambda time: ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow(time), **TWICE),
    "UnseenTarget": lambda time: ns.predict_bias(MODEL, EVEN, ns.GradientFlow(time), method="leading_order"),
    "ShortcutIsOptimal": lambda time: ns.predict_bias(BETTER, ns.MLP(0), ns.GradientFlow(time), method="leading_order"),
    "Divergence": lambda rate: ns.predict_bias(
        MODEL, ns.MLP(0), ns.GradientDescent(100 * rate, 3), dataset=data(), **FEW_PROBES
    ),
}


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("kind", TRACED)
@pytest.mark.parametrize("transformation", [jax.jit, jax.grad, jax.vmap])
def test_nothing_is_said_inside_a_transformation(kind, transformation):
    at = np.array([3.0, 30.0]) if transformation is jax.vmap else 30.0
    with warnings.catch_warnings():
        # Of this package: older versions of JAX and equinox deprecate each other.
        warnings.simplefilter("error", UserWarning)
        transformation(lambda value: TRACED[kind](value).reliance)(at)


# Folders and files that have a name in common with those through which a call may pass.
@pytest.mark.parametrize("place", ["/home/me/jax/run.py", "/home/me/equinox/run.py", f"{warn._PACKAGE}_study.py"])
def test_the_line_is_the_users_wherever_it_stands(place):
    source = 'def ask(ns, model, network, rule):\n    return ns.predict_bias(model, network, rule, method="leading_order")\n'
    names = {}
    exec(compile(source, place, "exec"), names)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        names["ask"](ns, BETTER, ns.MLP(0), FLOW)
    assert [(warning.filename, warning.lineno) for warning in said] == [(place, 2)]
