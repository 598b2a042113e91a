"""What each remedy against a shortcut would do to the worst group, predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.analysis.remedies.registry import MITIGATIONS, Case, Mitigation
from ntk_shortcuts.entry import predict
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.metrics.groups import GroupAccuracy
from ntk_shortcuts.metrics.sample_noise import Rightness, deviations_by_sample
from ntk_shortcuts.networks.base import as_network
from ntk_shortcuts.progress import steps
from ntk_shortcuts.results.arrays import TIME_UNITS, coordinate, variable
from ntk_shortcuts.results.base import origin_of
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.training.gradient_flow import GradientFlow
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.validation import require, require_integer, required

if TYPE_CHECKING:
    from ntk_shortcuts.analysis.tables import Mitigations

_LONG_NAMES = {
    "worst_group_accuracy": "accuracy of the worst group",
    "standard_error": "of the worst group's accuracy",
    "accuracy": "accuracy under the test weights",
    "final": "worst group at the end",
    "best": "worst group at the best time, at the end for none",
    "best_error": "standard error of best, over draws",
    "best_error_test_samples": "standard error of best, over test samples",
    "num_samples": "samples of a data set",
}


def mitigations(
    pool: Pool,
    network: Any,
    training: Any,
    *,
    num_samples: int,
    test: Pool,
    attribute: str | None = None,
    only: Sequence[str] | None = None,
    more: Mapping[str, Mitigation] | None = None,
    **options: Any,
) -> Mitigations:
    """Predict the worst group's accuracy under each mitigation, over training times, without training.

    - `none`: trained to the last time. `early_stopping`: until the worst group is best.
    - `group_weights`: every group as often in the draws as any other. The pool is all there is: with few samples of a rare
      group in it, draws repeat them.
    - `subsampling`: every group cut to what a data set has of the rarest, on average.
    - `attribute_removed`: inputs without the attribute's mean difference within the classes.
    - `whitening`: inputs whitened by the pool's covariance, with a small ridge.
    - `last_layer`: the last layer alone, over random features, on the data of `subsampling`. Features that training has made
      are not predicted by a frozen kernel; this one is a lower line for retraining it on them.

    Each but `none` stops at its own best time, which takes labels of the attribute on held-out samples.

    Args:
        pool: samples with labels, attributes and weights.
        network: an infinitely wide `MLP`, a stax network, or anything with `kernels(x1, x2)`.
        training: times of gradient flow, an array (T,); or a rule with one array of parameters.
        num_samples: N, of a data set before any mitigation.
        test: samples that are not in the pool, some of each group.
        attribute: which one is removed, where there are several. Groups are those of all.
        only: names of the mitigations wanted; all by default.
        more: mitigations of your own by name, functions of an `ntk_shortcuts.analysis.Case` that return it changed.
        **options: of :func:`ntk_shortcuts.predict`: `method`, `key`, `random_init`, ...

    Returns:
        An `xarray.Dataset` with a `.plot()` that draws it, over `mitigation` and `time` (or what the rule's array is):
        `worst_group_accuracy`, its `standard_error` over draws where there are any, and `accuracy`; by mitigation `final`,
        `best` and `best_time`, standard errors `best_error` over draws and `best_error_test_samples` over test samples (NaN
        where the worst group has one), and `num_samples`. For `none`, `best` is `final`. Attributes: `recommendation` in words,
        with `margin` over the runner-up and `margin_error`, its standard error over both: draws as if the two had their own,
        test samples as they share them (mitigations of your own that change `test` must keep its rows). That `best` is the
        largest of several numbers, and a worst group the smallest, is not in it.

    Raises:
        ValueError: a pool without attributes, an unknown name, or what :func:`ntk_shortcuts.predict` refuses.

    Example:
        >>> import jax
        >>> from ntk_shortcuts import MLP
        >>> rng = np.random.default_rng(0)
        >>> label, patch = np.repeat([-1, 1], 40), np.tile([-1, 1], 40)
        >>> inputs = np.stack([label, 3 * patch, *rng.normal(size=(2, 80))], axis=1)
        >>> pool, test = Pool(inputs, label, {"patch": patch}).split(jax.random.key(0), 0.6)
        >>> options = {"num_samples": 40, "test": test, "method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 4}
        >>> found = mitigations(pool.with_agreement(0.9), MLP(0), [3.0], only=["none", "attribute_removed"], **options)
        >>> found.attrs["recommendation"][:17], bool(found.attrs["margin"] > 0.2)
        ('attribute_removed', True)
    """
    require(isinstance(pool, Pool), "pool", "a Pool", type(pool).__name__)
    require(bool(pool.attributes), "attributes", "given to the pool: without them there are no groups", "none")
    require_integer("num_samples", num_samples, len(pool.classes))
    rule = training if isinstance(training, TrainingRule) else GradientFlow(np.atleast_1d(np.asarray(training, float)))
    axis, values = _axis_of(rule)
    known = {**MITIGATIONS, **(more or {})}
    names = list(known) if only is None else list(only)
    for name in names:
        require(name in known, "only", f"of {', '.join(known)}", name)
    # Which of several attributes is asked only where it matters.
    matters = attribute is not None or "attribute_removed" in names
    chosen = pool.attribute(attribute) if matters else next(iter(pool.attributes))
    case = Case(pool, test, as_network(network), num_samples, chosen)

    rows: list[_Row] = []
    evaluated: list[tuple[Case, Prediction]] = []
    for name in steps(names, "mitigations"):
        changed = known[name](case)
        found = next((p for other, p in evaluated if _same(other, changed)), None)
        if found is None:
            found = predict(changed.pool, changed.network, rule, num_samples=changed.num_samples, test=changed.test, **options)
            evaluated.append((changed, found))
        rows.append(_row(found, changed))
    asked = {"model": pool, "network": case.network, "training": rule, "method": evaluated[0][1].origin.specs["method"]}
    about = origin_of(asked, num_samples=num_samples, attribute=chosen).attributes
    return _table(names, axis, values, rows, about)


def _same(one: Case, two: Case) -> bool:
    """Whether they differ in where training stops only."""
    return one._replace(stops=False) == two._replace(stops=False)


def _axis_of(rule: TrainingRule) -> tuple[str, np.ndarray]:
    """The name and the values of the rule's array; of a rule without one, its first parameter."""
    parameters = {field.name: np.asarray(getattr(rule, field.name), float) for field in dataclasses.fields(rule)}
    name = next((name for name, value in parameters.items() if value.ndim == 1), next(iter(parameters)))
    return name, np.atleast_1d(parameters[name])


class _Row(NamedTuple):
    """A mitigation: numbers at each time, the `stop` at which training ends, what each test sample adds to the error of the
    worst group's accuracy there, and the test samples' groups."""

    along: dict[str, np.ndarray]
    stop: int
    num_samples: int
    deviations: np.ndarray
    groups: np.ndarray

    @property
    def test_error(self) -> float:
        return float(np.linalg.norm(self.deviations))

    def gap_error(self, other: _Row) -> float:
        """Of the difference of two accuracies, over test samples: the same ones, if their groups are."""
        if not np.array_equal(self.groups, other.groups):
            return float(np.hypot(self.test_error, other.test_error))
        return float(np.linalg.norm(self.deviations - other.deviations))


def _row(prediction: Prediction, case: Case) -> _Row:
    groups = np.atleast_2d(np.asarray(prediction.read(GroupAccuracy())))
    errors = np.atleast_2d(np.asarray(prediction.standard_error(GroupAccuracy())))
    place = np.nanargmin(groups, axis=1)[:, None]
    worst = np.take_along_axis(groups, place, axis=1)[:, 0]
    along = {
        "worst_group_accuracy": worst,
        "standard_error": np.take_along_axis(errors, place, axis=1)[:, 0],
        "accuracy": np.atleast_1d(prediction.accuracy),
    }
    stop = int(np.argmax(worst)) if case.stops else len(worst) - 1
    right = np.atleast_2d(np.asarray(prediction.read(Rightness())))[stop]
    deviations = deviations_by_sample(right, prediction.points, int(place[stop, 0]))
    numbers = required(prediction.points.groups, "test", "samples of groups").number
    return _Row(along, stop, case.num_samples, deviations, np.asarray(numbers))


def _table(names: list[str], axis: str, values: np.ndarray, rows: list[_Row], about: dict[str, Any]) -> Mitigations:
    along = {name: np.stack([row.along[name] for row in rows]) for name in rows[0].along}
    stops = np.array([row.stop for row in rows])
    every = np.arange(len(names))
    best, errors = along["worst_group_accuracy"][every, stops], along["standard_error"][every, stops]
    single = {
        "final": along["worst_group_accuracy"][:, -1],
        "best": best,
        "best_error": errors,
        "best_error_test_samples": np.array([row.test_error for row in rows]),
        "num_samples": np.array([row.num_samples for row in rows]),
    }
    data = {name: variable(("mitigation", axis), value, _LONG_NAMES[name]) for name, value in along.items()}
    data |= {name: variable(("mitigation",), value, _LONG_NAMES[name]) for name, value in single.items()}
    units = TIME_UNITS if axis == "time" else "1"
    data[f"best_{axis}"] = variable(("mitigation",), values[stops], f"{axis} at which it is best", units)
    from ntk_shortcuts.analysis.tables import Mitigations

    said = _recommended(names, axis, values[stops], best, errors, rows)
    return Mitigations(data, {"mitigation": names, axis: coordinate(axis, values)}, {**said, **about})


def _recommended(
    names: list[str], axis: str, at: np.ndarray, best: np.ndarray, errors: np.ndarray, rows: list[_Row]
) -> dict[str, Any]:
    order = np.argsort(-best, kind="stable")
    first = order[0]
    words = f"{names[first]} at {axis} {at[first]:.4g}: worst group {best[first]:.3f}"
    if len(names) == 1:
        return {"recommendation": words}
    second = order[1]
    margin = float(best[first] - best[second])
    error = float(np.linalg.norm([errors[first], errors[second], rows[first].gap_error(rows[second])]))
    words += f", {margin:.3f} above {names[second]}"
    if np.isnan(error):
        words += " (the worst group has one test sample: no standard error)"
    elif error == 0:  # each test sample of the group is right for certain, or wrong for certain
        words += ", on all test samples alike: no standard error" if margin > 0 else ": no difference"
    else:
        within = ", within what draws and test samples decide" if margin < 2 * error else ""
        words += f" (standard error {error:.3f}{within})"
    return {"recommendation": words, "margin": margin, "margin_error": error}
