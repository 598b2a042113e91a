"""What the script is made of: steps, each a table, of cases, each some rows of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Row = dict[str, Any]


class Case(NamedTuple):
    """One measurement: its name in the table, and what makes its rows."""

    name: str
    measure: Callable[[], list[Row]]


class Step(NamedTuple):
    """A table.

    - `share`: of the budget, in the first round, which leaves something for every step.
    - `words`: columns that are text.
    - `cases`: in the order in which they are measured; few and tiny ones where asked so.
    - `headline`: of the rows there are, in a few words.
    """

    title: str
    share: float
    words: tuple[str, ...]
    cases: Callable[[bool], list[Case]]
    headline: Callable[[list[Row]], str]
