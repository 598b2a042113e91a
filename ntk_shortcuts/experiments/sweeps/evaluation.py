"""What is computed at a point of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ntk_shortcuts.compilation import make_room
from ntk_shortcuts.entry import predict_each
from ntk_shortcuts.experiments.sweeps.grid import Point
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.validation import require


class Value(NamedTuple):
    """What is found at a point under one name: numbers, for all values of the inner axis or once for all of them, with the
    coordinates of further axes, which come last."""

    numbers: np.ndarray
    further: dict[str, list]

    @property
    def is_common(self) -> bool:
        """Whether it is said once for all values of the inner axis."""
        return self.numbers.ndim == len(self.further)


def evaluate(
    points: Iterable[Point], method: Any, compute: Callable | None, options: Mapping[str, Any]
) -> Iterator[dict[str, Value]]:
    """The numbers of the prediction at each point by name, with its diagnostics, or those that `compute` returns."""
    if compute is None:
        given = {name: value for name, value in options.items() if name != "key" or value is not None}
        return map(_read, predict_each(points, method, **given))
    return (_computed(compute, point, options) for point in points)


def _read(found: Prediction) -> dict[str, Value]:
    own = found.metric.coordinates(found.points)
    values = {name: Value(np.asarray(value, np.float64), own) for name, value in found.numbers().items()}
    values |= {name: _plain(value) for name, value in found.diagnostics.items()}
    if (groups := found.points.groups) is not None:
        axes = {name: list(known) for name, known in zip(groups.names, groups.values, strict=True)}
        values["group_accuracy"] = Value(found.group_accuracy.values, axes)
    return values


def _computed(compute: Callable, point: Point, options: Mapping[str, Any]) -> dict[str, Value]:
    make_room()
    values = compute(*point, **options)
    fits = isinstance(values, Mapping) and all(np.ndim(v) == 0 and np.asarray(v).dtype.kind in "biuf" for v in values.values())
    require(fits and len(values) > 0, "compute", "a function that returns at least one number by name", values)
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Value:
    return Value(np.asarray(value, np.float64), {})
