"""Results on standard output, as tables or JSON; what was written on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ERRORS = {
    "bias_standard_error": "standard error",
    "discretization_error": "refinement error",
    "laziness_gap": "laziness gap",
}


def print_table(rows: dict[str, str]) -> None:
    """Names and values."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    _print_rows(table, rows.items())


def print_columns(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Rows under the titles of their columns."""
    from rich import box
    from rich.table import Table

    _print_rows(Table(*titles, box=box.SIMPLE), rows)


def error_rows(errors: dict[str, float]) -> dict[str, str]:
    """The rows of a table for those error estimates that a reader of the bias needs."""
    return {label: f"{errors[name]:.1e}" for name, label in _ERRORS.items() if name in errors}


def print_json(values: dict[Any, Any]) -> None:
    """JSON of numbers, texts, arrays and what holds them; it has no NaN and no infinity: null, and "inf" or "-inf".

    Example:
        >>> print_json({"time": float("inf"), "error": float("nan")})
        {
          "time": "inf",
          "error": null
        }
    """
    constants = {"NaN": None, "Infinity": "inf", "-Infinity": "-inf"}
    text = json.dumps(values, default=lambda array: array.tolist())
    print(json.dumps(json.loads(text, parse_constant=constants.get), indent=2))


def report_written(paths: Iterable[Path]) -> None:
    """One line for each file or folder."""
    for path in paths:
        print(f"wrote {path}", file=sys.stderr)


def _print_rows(table: Any, rows: Iterable[Iterable[str]]) -> None:
    from rich.console import Console

    for row in rows:
        table.add_row(*row)
    Console().print(table)
