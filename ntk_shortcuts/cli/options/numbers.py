"""Options that take one number or several: of a training rule in which an array asks for several answers at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer


class Numbers(tuple[float, ...]):
    """One number, or several as in 3,30."""


def numbers(text: str) -> Numbers:
    """The numbers that an option is given.

    Raises:
        BadParameter: a word that is no number.

    Example:
        >>> numbers("3,30,inf")
        (3.0, 30.0, inf)
    """
    try:
        return Numbers(float(word) for word in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"must be a number, or several as in 3,30; got {text!r}") from None


def numbers_option(metavar: str, help: str) -> Any:
    """An option for Typer of one number or several, which may also be repeated."""
    return typer.Option(metavar=f"{metavar}[,{metavar}]...", parser=numbers, help=help)


def all_values(given: Sequence[Numbers]) -> list[float]:
    """All numbers of an option.

    Example:
        >>> all_values([numbers("3,30"), numbers("300")])
        [3.0, 30.0, 300.0]
    """
    return [number for several in given for number in several]


def values(given: Sequence[Numbers]) -> float | list[float]:
    """The same; a single one is no list, and neither is its answer.

    Example:
        >>> values([numbers("3,30")]), values([numbers("3")])
        ([3.0, 30.0], 3.0)
    """
    found = all_values(given)
    return found[0] if len(found) == 1 else found
