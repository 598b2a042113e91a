"""What may be chosen on the page: for each field of a setting the values in order, in words, and where it matters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from ntk_shortcuts.validation import require


@dataclasses.dataclass(frozen=True)
class Control:
    """The choices for one field of a setting: numbers, on a slider, or words, in a list.

    - `label`: what it is, with its symbol.
    - `section`: the heading under which it stands.
    - `values`: in order. Numbers between the least and the largest are taken too, in a link.
    - `none`: the word for None, where that is among the values.
    - `when`: another field and its values for which this one matters; None: always.
    """

    label: str
    section: str
    values: tuple[Any, ...]
    none: str = "none"
    when: tuple[str, tuple[Any, ...]] | None = None

    @property
    def numbers(self) -> tuple[Any, ...]:
        """Values that are numbers; none of a choice of words."""
        return tuple(value for value in self.values if isinstance(value, int | float))

    def including(self, value: Any) -> tuple[Any, ...]:
        """The values, and a number between them at its place.

        Example:
            >>> Control("samples N", "Data", (10, 100, None)).including(30)
            (10, 30, 100, None)
        """
        if value in self.values:
            return self.values
        place = next(index for index, other in enumerate(self.values) if other is not None and other > value)
        return (*self.values[:place], value, *self.values[place:])

    def word(self, value: Any) -> str:
        """A value as the page shows it.

        Example:
            >>> Control("samples N", "Data", (10, 100, None), none="infinite").word(None)
            'infinite'
        """
        if value is None:
            return self.none
        return f"{value:.15g}" if isinstance(value, int | float) else str(value)

    def read(self, name: str, text: str) -> Any:
        """The value that a text stands for.

        Raises:
            ValueError: a word that is no choice, or a number out of range.

        Example:
            >>> control = Control("samples N", "Data", (10, 100, None), none="infinite")
            >>> control.read("num_samples", "30"), control.read("num_samples", "infinite")
            (30, None)
            >>> control.read("num_samples", "3")
            Traceback (most recent call last):
            ValueError: num_samples must be an integer from 10 to 100, or infinite; got '3'
        """
        if None in self.values and text == self.none:
            return None
        if not self.numbers:
            require(text in self.values, name, f"one of {', '.join(map(self.word, self.values))}", text)
            return text
        whole = all(isinstance(value, int) for value in self.numbers)
        low, high = min(self.numbers), max(self.numbers)
        other = f", or {self.none}" if None in self.values else ""
        allowed = f"{'an integer' if whole else 'a number'} from {low:g} to {high:g}{other}"
        value = _number(text)
        require(low <= value <= high and (not whole or value == round(value)), name, allowed, text)
        return int(value) if whole else value


def chosen(default: Any, label: str, section: str, values: Iterable[Any], **more: Any) -> Any:
    """A field of a setting, with its control; `more` are those of its other fields."""
    return dataclasses.field(default=default, metadata={"control": Control(label, section, tuple(values), **more)})


def evenly(low: float, high: float, step: float) -> tuple[float, ...]:
    """Numbers from low to high, as decimals say them.

    Example:
        >>> evenly(0.5, 0.9, 0.2)
        (0.5, 0.7, 0.9)
    """
    return tuple(round(low + i * step, 10) for i in range(round((high - low) / step) + 1))


def by_decades(first: int, last: int, digits: tuple[float, ...]) -> tuple[float, ...]:
    """The digits times 10^first, ..., and 10^last at the end.

    Example:
        >>> by_decades(-1, 1, (1, 3))
        (0.1, 0.3, 1.0, 3.0, 10.0)
    """
    return (*(float(f"{digit}e{power}") for power in range(first, last) for digit in digits), 10.0**last)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
