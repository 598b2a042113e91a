"""Numbers along an axis, which come a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np


class Curve(NamedTuple):
    """Values (n,) of a number at `x` (n,), in order, and whether each is trusted (n,)."""

    x: np.ndarray
    values: np.ndarray
    trusted: np.ndarray


def in_parts(count: int, parts: int) -> list[slice]:
    """Every so-many-th place of a list, each part half-way between those before: coarse first.

    Example:
        >>> [list(range(8))[part] for part in in_parts(8, 4)]
        [[0, 4], [2, 6], [1, 5], [3, 7]]
    """
    order = sorted(range(parts), key=lambda part: f"{part:016b}"[::-1])
    return [slice(part, count, parts) for part in order]


def growing(parts: Sequence[Any], curve_of: Callable[[Any], Curve]) -> Iterator[Curve]:
    """The curve of all parts so far, after each of them."""
    found: list[Curve] = []
    for part in parts:
        found.append(curve_of(part))
        joined = [np.concatenate(columns) for columns in zip(*found, strict=True)]
        places = np.unique(joined[0], return_index=True)[1]
        yield Curve(*(column[places] for column in joined))
