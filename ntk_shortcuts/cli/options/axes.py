"""Axes of grids as words of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

METAVAR = "NAME=V,V,..."
"""What stands for an axis in the help; NAME=MIN:MAX:COUNT is taken too."""


def parsed_axes(option: str, given: Sequence[str]) -> dict[str, list[Any]]:
    """Axes from NAME=V,V,...: integers where all values are, else numbers, else words. NAME=MIN:MAX:COUNT are numbers evenly
    spaced, NAME=MIN:MAX:COUNT:log evenly in the logarithm.

    Args:
        option: what messages call it.

    Raises:
        ValueError: words that are no axis, or a name twice.

    Example:
        >>> parsed_axes("axis", ["depth=1,2", "time=1:100:3:log"])
        {'depth': [1, 2], 'time': [1.0, 10.0, 100.0]}
    """
    axes: dict[str, list[Any]] = {}
    for text in given:
        name, separator, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not (separator and name and values.strip()):
            raise ValueError(f"{option} must be NAME=VALUE,VALUE,... or NAME=MIN:MAX:COUNT; got {text!r}")
        if name in axes:
            raise ValueError(f"{option} must be given once for each name; got {name} twice")
        axes[name] = _spaced(option, values) if ":" in values else _values(values)
    return axes


def _spaced(option: str, text: str) -> list[float]:
    low, high, count, *scale = (word.strip() for word in f"{text}:::".split(":")[:4])
    try:
        ends, size = (float(low), float(high)), int(count)
    except ValueError:
        ends, size = (0.0, 0.0), 0
    if size < 1 or scale not in ([""], ["log"]) or (scale == ["log"] and min(ends) <= 0):
        raise ValueError(f"{option} must be NAME=MIN:MAX:COUNT, or NAME=MIN:MAX:COUNT:log of positive numbers; got {text!r}")
    import numpy as np

    return (np.geomspace if scale == ["log"] else np.linspace)(*ends, size).tolist()


def _values(text: str) -> list[Any]:
    words = [word.strip() for word in text.split(",")]
    for kind in (int, float):
        try:
            return [kind(word) for word in words]
        except ValueError:
            continue
    return words
