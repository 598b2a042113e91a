"""Results on standard output: tables on a terminal, tab-separated lines off one, or JSON."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_ERRORS = {
    "bias_standard_error": "standard error",
    "discretization_error": "refinement error",
    "laziness_gap": "laziness gap",
}
_TITLES = {"bias": "shortcut bias", "bias_std": "spread over initialisations"}
# Beyond so many rows a terminal shows the first ones only.
_ROWS_SHOWN = 40


def print_table(rows: Mapping[str, str]) -> None:
    """Names and values, a line each."""
    _print(None, [list(row) for row in rows.items()])


def print_columns(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under the titles of their columns."""
    _print(titles, list(rows))


def print_numbers(numbers: Mapping[str, Any], along: Mapping[str, Any], beside: Mapping[str, str]) -> None:
    """What is read off a prediction: a line for each number, or, of several settings of the rule, a row for each of them.

    Args:
        numbers: by name; arrays that have further axes are labelled ones.
        along: what tells the settings apart, (T,) by name; of one setting nothing.
        beside: what else there is to say; left out off a terminal where there are rows.
    """
    found = _titled(numbers, along)
    if not along:
        print_table({**{title: _number(title, value) for title, value in found.items()}, **beside})
        return
    import numpy as np

    settings = {name.replace("_", " "): [f"{value:g}" for value in values] for name, values in along.items()}
    count = len(next(iter(settings.values())))
    columns = {title: [_number(title, value) for value in np.broadcast_to(values, count)] for title, values in found.items()}
    print_columns([*settings, *columns], list(zip(*settings.values(), *columns.values(), strict=True)))
    if sys.stdout.isatty():
        print_table(beside)


def error_rows(errors: Mapping[str, float]) -> dict[str, str]:
    """The rows of a table for those error estimates that a reader of the bias needs."""
    return {label: f"{errors[name]:.1e}" for name, label in _ERRORS.items() if name in errors}


def grid_rows(result: Any, variable: str) -> dict[str, str]:
    """The rows of a table that say of a number on a grid how far it ranges, and where it is worst: of a bias its largest
    size, of an accuracy the least; with the largest of each error estimate."""
    values, title = result[variable], variable.replace("_", " ")
    rows = {"points": " x ".join(f"{size} {name}" for name, size in values.sizes.items())}
    if bool(values.notnull().any()):
        form, word = ("", f"least {title}") if "accuracy" in variable else ("+", f"largest |{title}|")
        worst = values.isel(values.argmin(...) if "accuracy" in variable else abs(values).argmax(...))
        rows[f"{title}, range"] = f"{float(values.min()):{form}.4f} to {float(values.max()):{form}.4f}"
        rows[f"{word} at"] = ", ".join(f"{name} {_short(worst[name].item())}" for name in values.dims)
    return {**rows, **error_rows({name: float(result[name].max()) for name in result.data_vars})}


def json_text(values: Mapping[Any, Any]) -> str:
    """JSON of numbers, texts, arrays and what holds them; it has no NaN and no infinity: null, and "inf" or "-inf".

    Example:
        >>> print(json_text({"time": float("inf"), "error": float("nan")}))
        {
          "time": "inf",
          "error": null
        }
    """
    constants = {"NaN": None, "Infinity": "inf", "-Infinity": "-inf"}
    text = json.dumps(values, default=lambda array: array.tolist())
    return json.dumps(json.loads(text, parse_constant=constants.get), indent=2)


def print_json(values: Mapping[Any, Any]) -> None:
    print(json_text(values))


def report_written(paths: Iterable[Path]) -> None:
    """One line for each file or folder."""
    for path in paths:
        print(f"wrote {path}", file=sys.stderr)


def _titled(numbers: Mapping[str, Any], along: Iterable[str]) -> dict[str, Any]:
    """Each number under its title; one with further axes under as many, such as "accuracy of label +1, patch -1"."""
    found = {}
    for name, values in numbers.items():
        further = [axis for axis in getattr(values, "dims", ()) if axis not in along]
        words = name.replace("_", " ")
        title = words if further else _TITLES.get(name, words)
        for place in itertools.product(*(values[axis].values.tolist() for axis in further)):
            at = dict(zip(further, place, strict=True))
            where = ", ".join(f"{axis} {_signed(value, values[axis].values)}" for axis, value in at.items())
            found[f"{title} {where}".strip()] = values.sel(at) if at else values
    return found


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _signed(value: Any, among: Any) -> str:
    return f"{value:+d}" if set(among) <= {-1, 1} else str(value)


def _number(title: str, value: Any) -> str:
    """Biases and reliances have a sign."""
    unsigned = any(word in title for word in ("accuracy", "spread", "error"))
    return f"{float(value):.4f}" if unsigned else f"{float(value):+.4f}"


def _print(titles: Sequence[str] | None, rows: list[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        for row in [titles, *rows] if titles else rows:
            print("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(*(titles or (Column(style="bold"), Column())), box=box.SIMPLE, show_header=titles is not None)
    shown = rows[:_ROWS_SHOWN] if titles else rows
    for row in shown:
        table.add_row(*row)
    Console().print(table)
    if len(shown) < len(rows):
        print(f"  ... and {len(rows) - len(shown)} more rows: --output FILE.csv has them all")
