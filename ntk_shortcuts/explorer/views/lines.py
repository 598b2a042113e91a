"""Lines in the plane, as Bokeh has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from contourpy import contour_generator


def columns_of(lines: Sequence[np.ndarray]) -> dict[str, Any]:
    """Lines, (n, 2) each, as the columns of a source.

    Example:
        >>> columns_of([np.array([[0, 1], [2, 3]])])
        {'xs': [array([0, 2])], 'ys': [array([1, 3])]}
    """
    return {"xs": [line[:, 0] for line in lines], "ys": [line[:, 1] for line in lines]}


def zero_lines(x: np.ndarray, y: np.ndarray, values: np.ndarray) -> list[Any]:
    """Where values (len(y), len(x)) over a grid cross zero: lines (n, 2).

    Example:
        >>> zero_lines(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([[-1.0, 1.0], [-1.0, 1.0]]))[0][:, 0]
        array([0.5, 0.5])
    """
    return list(contour_generator(x, y, values).lines(0.0))
