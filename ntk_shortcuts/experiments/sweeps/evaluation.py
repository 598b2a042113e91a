"""What is computed at a point of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ntk_shortcuts.compilation import make_room
from ntk_shortcuts.entry import predict_bias
from ntk_shortcuts.experiments.sweeps.grid import Point
from ntk_shortcuts.validation import require


def evaluate(point: Point, method: Any, compute: Callable | None, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The prediction's numbers by name, with its diagnostics, or those that `compute` returns."""
    if compute is None:
        found = predict_bias(*point, method, **options)
        return {name: np.asarray(value, np.float64) for name, value in {**found.numbers(), **found.diagnostics}.items()}
    make_room()
    values = compute(*point, **options)
    fits = isinstance(values, Mapping) and all(np.ndim(v) == 0 and np.asarray(v).dtype.kind in "biuf" for v in values.values())
    require(fits and len(values) > 0, "compute", "a function that returns at least one number by name", values)
    return {name: np.asarray(value, np.float64) for name, value in values.items()}
