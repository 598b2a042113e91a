"""Several questions side by side: the answers, issues and errors that each has alone, and no more calls than it takes."""

import ast
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.batches import compiled_each, in_batches
from ntk_shortcuts.entry import predict_each
from ntk_shortcuts.methods import Population
from ntk_shortcuts.methods.refine import refine_each

MODELS = [ns.GenerativeModel((rho, 0.9), (alpha, 1.0)) for rho in (0.6, 0.85) for alpha in (1.0, 64.0)]
FLOW = ns.GradientFlow(30.0)


@pytest.mark.slow
@pytest.mark.branches
def test_predictions_side_by_side_are_those_one_by_one():
    """Of two networks and rules of two forms, one with several times; some are refined further than others."""
    asked = [(model, ns.MLP(1 + i % 2), FLOW, None) for i, model in enumerate(MODELS)]
    asked += [(model, ns.MLP(1), ns.Ridge([0.1, 1.0]), None) for model in MODELS[::2]]
    options = {"tolerance": 1e-4}
    together = list(predict_each(asked, "population", **options))
    nodes = [found.diagnostics["nodes"] for found in together]
    assert len(set(nodes)) > 1
    for (model, network, rule, _), found in zip(asked, together, strict=True):
        alone = ns.predict_bias(model, network, rule, **options)
        np.testing.assert_allclose(found.mean, alone.mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.bias, alone.bias, atol=1e-12)
        assert found.diagnostics == pytest.approx(alone.diagnostics, rel=1e-9, abs=1e-15)
        assert [type(issue) for issue in found.issues] == [type(issue) for issue in alone.issues]


@pytest.mark.parametrize("most", [1, 4])
def test_random_keys_are_stacked_like_other_arrays(most):
    """Networks from stax hold one, whatever their kernels take of it."""
    drawn = compiled_each(lambda key, size: size * jax.random.normal(key))
    keys = jax.random.split(jax.random.key(3), 2)
    found = in_batches(drawn, [(key, np.asarray(size)) for key, size in zip(keys, (1.0, 2.0), strict=True)], most)
    np.testing.assert_allclose(found, [jax.random.normal(keys[0]), 2 * jax.random.normal(keys[1])], rtol=1e-6)


def test_a_question_that_fails_leaves_those_before_it():
    asked = [(MODELS[0], ns.MLP(1), FLOW, None), (MODELS[1], ns.MLP(1), FLOW, 30), (MODELS[1], ns.MLP(1), FLOW, None)]
    answers = predict_each(asked, Population(random_init=False, tolerance=0.3))
    assert next(answers).bias == pytest.approx(ns.predict_bias(*asked[0][:3], random_init=False, tolerance=0.3).bias)
    with pytest.raises(ValueError, match='num_samples must be None for method="population"'):
        next(answers)


def test_a_sweep_asks_for_many_points_at_once_and_keeps_their_order(monkeypatch):
    asked, answers = [], Population.each

    def each(method, questions):
        asked.append(len(questions))
        return answers(method, questions)

    monkeypatch.setattr(Population, "each", each)
    progress = []
    axes = {"amplification_ratio": np.geomspace(0.5, 8.0, 35).tolist()}
    options = {"random_init": False, "tolerance": 0.3, "progress": lambda *counts: progress.append(counts)}
    result = ns.sweep(axes, ns.GenerativeModel(), ns.MLP(1), FLOW, **options)
    assert asked == [32, 3]
    assert progress == [(done, 35) for done in range(1, 36)]
    assert np.all(np.diff(result["reliance"]) >= 0)  # the more available, the more relied upon


def test_questions_that_have_converged_are_not_refined():
    """Answers 2^-level, watched to a tolerance of each one's own scale; one has a single rule, one runs out of rules."""
    asked, scales, levels = [], [1.0, 8.0, 1.0, 8.0], [6, 6, 1, 3]

    def at_level(level, numbers):
        asked.append(list(numbers))
        return [scales[i] / 2**level for i in numbers]

    refined = refine_each(at_level, levels, lambda found: found, 0.3)
    assert asked == [[0, 1, 2, 3], [0, 1, 3], [0, 1, 3], [1], [1], [1]]
    assert [(one.level, one.converged) for one in refined] == [(2, True), (5, True), (0, True), (2, False)]
    assert [one.found for one in refined] == [0.25, 0.25, 1.0, 2.0]


def test_problems_of_one_form_share_calls():
    calls = []
    twice = compiled_each(lambda factor, x: {"value": x * (2 if factor == "two" else 3)})

    def counted(present, *arguments):
        calls.append(np.asarray(present).tolist())
        return twice(present, *arguments)

    problems = [("two", np.full(2, float(i))) for i in range(5)] + [("three", np.ones(2)), ("two", np.ones(3))]
    found = in_batches(counted, problems, most=4)
    assert [one["value"].tolist() for one in found] == [*([2.0 * i] * 2 for i in range(5)), [3.0] * 2, [2.0] * 3]
    assert calls == [[True] * 4, [True, False, False, False], [True], [True]]


def test_a_single_problem_takes_the_program_that_is_there():
    rooms = []
    twice = compiled_each(lambda x: 2 * x)

    def counted(present, *arguments):
        rooms.append(len(present))
        return twice(present, *arguments)

    one, several = [(np.ones(2),)], [(np.full(2, float(i)),) for i in range(3)]
    for problems in (one, several, one, [(np.ones(5),)]):
        found = in_batches(counted, problems, most=4)
        assert [x.tolist() for x in found] == [(2 * x).tolist() for (x,) in problems]
    assert rooms == [1, 4, 4, 1]


THREADS = """
import threading, scipy.linalg
from threadpoolctl import ThreadpoolController
from ntk_shortcuts.lapack_threads import one_lapack_thread

def count():
    return max(library["num_threads"] for library in ThreadpoolController().info() if library["user_api"] == "blas")

counts, entered, left = [count()], threading.Event(), threading.Event()

def other():
    with one_lapack_thread():
        entered.set()
        left.wait()

worker = threading.Thread(target=other)
with one_lapack_thread():
    worker.start()
    entered.wait()
    counts.append(count())
left.set()
worker.join()
counts.append(count())
try:
    with one_lapack_thread():
        raise KeyError
except KeyError:
    counts.append(count())
print(counts)
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="LAPACK has one thread anyhow")
@pytest.mark.parametrize(("said", "expected"), [(None, [True, False, True, True]), ("2", [True] * 4)])
def test_lapack_has_one_thread_for_small_problems_and_then_what_it_had(said, expected):
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    environment |= {} if said is None else {"OPENBLAS_NUM_THREADS": said}
    done = subprocess.run([sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True)
    assert [count > 1 for count in ast.literal_eval(done.stdout)] == expected
