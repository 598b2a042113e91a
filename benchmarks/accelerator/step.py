"""What the script is made of: steps, each a table, of cases, each some rows of it."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

Row = dict[str, Any]


class Scale(enum.StrEnum):
    """Sizes: of an accelerator; of a processor of two cores, which is through with them within the budget; of a smoke test."""

    FULL = "full"
    SMALL = "small"
    TINY = "tiny"


class Case(NamedTuple):
    """One measurement: its name in the table, and what makes its rows."""

    name: str
    measure: Callable[[], list[Row]]


class Step(NamedTuple):
    """A table.

    - `share`: of the budget, in the first round, which leaves something for every step.
    - `words`: columns that are text.
    - `cases`: in the order in which they are measured.
    - `headline`: of the rows there are, in a few words.
    """

    title: str
    share: float
    words: tuple[str, ...]
    cases: Callable[[Scale], list[Case]]
    headline: Callable[[list[Row]], str]


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
