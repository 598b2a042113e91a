"""A bar with an estimate for what turns out to take long; nothing off a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

_PATIENCE = 2.0


def steps(items: Sequence[Item], description: str) -> Iterator[Item]:
    """The items, one after another, with a bar on standard error once the whole is seen to take more than two seconds.

    Example:
        >>> sum(steps([1, 2, 3], "adding"))
        6
    """
    started = time.monotonic()
    bar: Bar | None = None
    try:
        for done, item in enumerate(items):
            passed = time.monotonic() - started
            if bar is None and done and passed / done * len(items) > _PATIENCE and sys.stderr.isatty():
                bar = Bar(f"{description}, about {passed / done * len(items):.0f} s", transient=True)
            if bar is not None:
                bar.update(done, len(items))
            yield item
    finally:
        if bar is not None:
            bar.stop()


class Bar:
    """A bar on standard error; `transient`: gone when it ends."""

    def __init__(self, description: str, transient: bool = False):
        # Imported where it is shown: most predictions are over before.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._progress = Progress(*columns, console=Console(stderr=True), transient=transient)
        self._task = self._progress.add_task(description, total=None)
        self._progress.start()

    def update(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def stop(self) -> None:
        self._progress.stop()
