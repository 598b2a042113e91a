"""The entries: a law, a network and training rule in; a prediction out, and one warning with all that keeps it from being
trusted."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ntk_shortcuts.compilation import make_room
from ntk_shortcuts.issues import Issue, ShortcutIsOptimal, UnseenTarget, give
from ntk_shortcuts.laws.kernel import meet
from ntk_shortcuts.laziness import laziness_notes
from ntk_shortcuts.methods import Method, resolve
from ntk_shortcuts.methods.base import Question
from ntk_shortcuts.networks.base import as_network
from ntk_shortcuts.numerics import in_float64, is_traced
from ntk_shortcuts.outputs import Outputs
from ntk_shortcuts.results.base import origin_of
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.training.rules import TrainingRule, require_rule
from ntk_shortcuts.validation import require


def default_method(num_samples: int | None) -> str:
    """The method where none is named: the analytic average over data sets, or infinite data without num_samples."""
    return "population" if num_samples is None else "dataset_averaged"


def predict(
    law: Any,
    network: Any,
    training: TrainingRule,
    *,
    num_samples: int | None = None,
    method: str | Method | None = None,
    probes: Any = None,
    test: Any = None,
    cache: Any = None,
    check_laziness: bool = True,
    **options: Any,
) -> Prediction:
    """Predict the outputs of a network trained on data of a law, without training it.

    Args:
        law: the data law, a `GenerativeModel` for instance.
        network: an infinitely wide `MLP`, a stax network through `ntk_shortcuts.kernels.neural_tangents.from_stax`, anything
            with `kernels(x1, x2)`; a network of finite width with method="population_flow".
        training: `GradientFlow`, `GradientDescent` or `Ridge` (squared loss (1/(2N)) sum (f - y)^2 unless `loss=` is another,
            time = learning rate x steps). Array parameters give several answers in one pass.
        num_samples: N; None for infinite data.
        method: a method object, `Population(tolerance=1e-3)` for instance, or its name for one with default options:
            "dataset_averaged" (the analytic average over data sets of N samples; the default with num_samples), "population"
            (infinite data; the default without), "dataset" (one given data set; the default with one), "monte_carlo" (averaged
            over sampled data sets), "leading_order" (closed forms, infinite data), "population_flow" (networks of finite width,
            whose kernel moves; infinite data, or a data set of N samples each); see `known_methods()`.
        probes: points of the law (n, ...) at which outputs are predicted; by default where its metric is read.
        test: where to predict, for a law without a default: of a `Pool` another one, of samples that are not in it.
        cache: a folder where a pool's kernels are kept, block by block, for this and later processes.
        check_laziness: where a network of finite width is given to a frozen-kernel method, compare with a coarse flow of such
            networks (:func:`ntk_shortcuts.analysis.laziness_gap`; seconds, most of them compilation): diagnostic
            `laziness_gap`, and an issue above 0.1.
        **options: of the method, such as `random_init`, `loss`, `tolerance`, `key`, `dataset`; an unknown one is an error that
            lists those there are.

    Returns:
        A `Prediction`: mean and std at the points, diagnostics, issues; for two features bias, reliance, optimal_reliance.

    Raises:
        ValueError: unknown method or option, or an argument out of range, before any work is done.

    Warns:
        UntrustedPredictionWarning: once, with all of the prediction's issues.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow, predict
        >>> model = GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0))
        >>> prediction = predict(model, MLP(depth=1), GradientFlow(time=30.0), random_init=False)
        >>> round(prediction.bias, 2), prediction.issues
        (1.13, ())
    """
    chosen = _default(num_samples, options) if method is None else method
    asked = [(law, network, training, num_samples)]
    return next(predict_each(asked, chosen, probes=probes, test=test, cache=cache, check_laziness=check_laziness, **options))


Asked = tuple[Any, Any, TrainingRule, Any]


def predict_each(
    asked: Iterable[Asked],
    method: str | Method,
    *,
    probes: Any = None,
    test: Any = None,
    cache: Any = None,
    check_laziness: bool = True,
    **options: Any,
) -> Iterator[Prediction]:
    """The predictions of several laws, networks, rules and numbers of samples by one method, side by side where it can.

    Args:
        asked: (law, network, training, num_samples) for each. Other arguments, errors and warnings are those of
            :func:`predict`.

    Yields:
        The predictions in order; where one fails, those before it come first.
    """
    chosen = resolve(method, options, also=("probes", "test", "cache", "check_laziness"))
    require(probes is None or test is None, "test", "None with probes: both say where to predict", type(test).__name__)
    where = probes if test is None else test
    remaining = iter(asked)
    while some := list(itertools.islice(remaining, chosen.together)):
        for one, question, outputs in _answers(some, chosen, where, cache):
            prediction = _prediction(one, question, outputs, chosen, check_laziness)
            if not is_traced(prediction):
                give(prediction.issues)
            yield prediction


def _answers(some: Sequence[Asked], method: Method, where: Any, cache: Any) -> Iterator[tuple[Asked, Question, Outputs]]:
    """Outputs for all at once; one by one where that fails, so that only the one at fault does."""
    for _, _, training, _ in some:
        require_rule(training)
    if not is_traced(some, method):
        make_room()
    try:
        found: Iterable[Any] = _answered(some, method, where, cache)
    except Exception:
        if len(some) == 1:
            raise
        found = (answer for one in some for answer in _answered([one], method, where, cache))
    yield from found


def predict_bias(
    model: Any,
    network: Any,
    training: TrainingRule,
    num_samples: int | None = None,
    method: str | Method | None = None,
    *,
    key: Any = None,
    **options: Any,
) -> Prediction:
    """Predict the shortcut bias of a network trained on two-feature data, without training it.

    :func:`predict` with `num_samples` and `method` by position, and a `key` that may be None. Arguments, options, errors and
    warnings are those of :func:`predict`.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow
        >>> model = GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0))
        >>> prediction = predict_bias(model, MLP(depth=1), GradientFlow(time=30.0), random_init=False)
        >>> round(prediction.bias, 2)
        1.13
    """
    if key is not None:
        options["key"] = key
    return predict(model, network, training, num_samples=num_samples, method=method, **options)


def _default(num_samples: int | None, options: dict[str, Any]) -> str:
    return "dataset" if "dataset" in options else default_method(num_samples)


@in_float64
def _answered(some: Sequence[Asked], method: Method, where: Any, cache: Any) -> list[tuple[Asked, Question, Outputs]]:
    questions = []
    for law, network, training, num_samples in some:
        kernel, points = meet(law, network, where, cache)
        if not method.moves_kernel:
            kernel.law.require_resolved(kernel.network)
        questions.append(Question(kernel, training, num_samples, points))
    return list(zip(some, questions, method.each(questions), strict=True))


@in_float64
def _prediction(asked: Asked, question: Question, outputs: Outputs, method: Method, check_laziness: bool) -> Prediction:
    """The outputs with what there is to say of them."""
    (law, network, training, num_samples), kernel, points = asked, question.kernel, question.points
    if not kernel.sees_target and method.learns_the_law:
        outputs = outputs.silenced(UnseenTarget(0.0))
    if check_laziness:
        outputs = outputs.with_notes(*laziness_notes(outputs, kernel, training, method, points))
    specs = {"model": law, "network": as_network(network), "training": training, "method": method}
    origin = origin_of(specs, num_samples=num_samples)
    prediction = Prediction(outputs, points, method.name, kernel.law.metric, training.coordinates, origin=origin)
    found = (*kernel.law.issues, *_of_the_law(prediction))
    return dataclasses.replace(prediction, outputs=outputs.with_notes(issues=found))


def _of_the_law(prediction: Prediction) -> tuple[Issue, ...]:
    """What a reader of the bias must know of the law: that its shortcut may be the better feature."""
    points = prediction.points
    two = {"shortcut", "core"} <= points.attributes.keys()
    if is_traced(points, prediction.outputs) or points.optimal is None or not two:
        return ()
    optimal = float(prediction.optimal_reliance)
    if optimal <= 0:
        return ()
    return (ShortcutIsOptimal(optimal, float(np.min(prediction.accuracy_conflicting))),)
