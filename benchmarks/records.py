"""Tables of measurements: rows of named cells as CSV files, which grow row by row or are written whole."""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]


def read(path: pathlib.Path, words: Sequence[str] = ()) -> list[Row]:
    """The rows of a file; none where there is no file.

    Args:
        words: columns that are text. All others are numbers, and an empty cell is no number, NaN.
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{k: v if k in words else float(v or "nan") for k, v in row.items()} for row in csv.DictReader(file)]


def add(path: pathlib.Path, rows: Sequence[Row], columns: Sequence[str] | None = None) -> None:
    """Rows behind those there are; a new file begins with the names of the columns, by default those of the first row."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]), restval="", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def put_into(page: str, name: str, text: str) -> str:
    """A page with this text, as a table of a script, between its marks of that name."""
    first, last = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    before, rest = page.split(first)
    return before + first + text + last + rest.split(last)[1]


def write(path: pathlib.Path, rows: Iterable[Row], columns: Sequence[str] | None = None) -> None:
    """The file anew, whole or not at all: a run that is killed leaves what there was. Columns are by default those of all
    rows."""
    rows = list(rows)
    columns = columns or list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
