"""Columns of labels and attributes: names become numbers by one rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ntk_shortcuts.validation import require


def value_codes(values: Any, name: str = "values") -> dict[str, int]:
    """The numbers of names: two names, in sorted order, are -1 and +1; k are 0 to k - 1.

    Args:
        values: names, as often as they come.
        name: what errors call them.

    Raises:
        ValueError: a single name: a label or an attribute that never varies says nothing.

    Example:
        >>> value_codes(["wren", "gull", "wren"])
        {'gull': -1, 'wren': 1}
    """
    names = sorted({str(value) for value in values})
    require(len(names) >= 2, name, "of at least two kinds", names)
    return dict(zip(names, (-1, 1) if len(names) == 2 else range(len(names)), strict=True))


def column_of(frame: Any, name: Any, argument: str) -> list:
    """A column of a data frame, or of a mapping, as a list that is not empty."""
    columns = list(getattr(frame, "columns", frame))
    listed = ", ".join(map(repr, columns)) or "none"
    require(name in columns, argument, f"a column of the table ({listed})", name)
    require(columns.count(name) == 1, argument, "the name of one column", f"{name!r}, which {columns.count(name)} have")
    found = list(frame[name])
    require(len(found) >= 1, "table", "of at least one row", f"no rows in {name!r}")
    return found


def coded(column: Any, name: str, codes: Mapping[Any, int] | None = None) -> np.ndarray:
    """Integers (P,): whole numbers as they are, also where they are text as in CSV files; names by :func:`value_codes`.

    `codes` has other numbers for the names, or for the numbers.

    Raises:
        ValueError: an empty cell, a number that is not whole, or a name that the codes lack.
    """
    values, called = np.asarray(column), f"column {name!r}"
    require(values.ndim == 1, called, "of one dimension", values)
    if values.dtype.kind not in "OUSTb":
        require(values.dtype.kind in "iuf", called, "of integers or names", f"dtype {values.dtype}")
        if codes is None:
            return _whole(values, called)
    for row, cell in enumerate(column):
        require(not _is_missing(cell), called, "without empty cells", f"one in row {row} (counted from 0)")
    names = [str(cell).strip() for cell in column]
    if codes is not None:
        return _by_codes(names, codes, f"codes[{name!r}]")
    try:
        numbers = np.array(names, float)
    except ValueError:
        codes = value_codes(names, called)
        return np.array([codes[cell] for cell in names])
    return _whole(numbers, called)


def _by_codes(names: list[str], codes: Mapping[Any, int], called: str) -> np.ndarray:
    known = {_word(key): code for key, code in codes.items()}
    require(len(known) == len(codes), called, "of one number for each name (1, 1.0 and '1' are one)", list(codes))
    words = [_word(name) for name in names]
    there = sorted(set(words))
    lacking = [word for word in there if word not in known]
    require(not lacking, called, f"a number for every name in the column ({there})", f"none for {lacking}")
    return _whole(np.array([known[word] for word in words]), called)


def _word(cell: Any) -> str:
    """A cell as text; whole numbers are the same in all their spellings, as 1, 1.0 and "1.0"."""
    text = str(cell).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def _whole(numbers: np.ndarray, called: str) -> np.ndarray:
    wrong = numbers[numbers != np.rint(numbers)]
    require(wrong.size == 0, called, "of integers or names", wrong[:3])
    return numbers.astype(int)


def _is_missing(cell: Any) -> bool:
    # Not by comparison: pandas' NA is neither equal to anything nor unequal.
    missing = cell is None or type(cell).__name__ in ("NAType", "NaTType")
    return missing or (isinstance(cell, float) and np.isnan(cell)) or str(cell).strip() == ""
