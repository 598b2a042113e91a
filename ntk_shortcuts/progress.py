"""A bar with an estimate for what turns out to take long, a word for what cannot say how long; nothing off a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import ClassVar, TypeVar

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

    _shown: ClassVar[list[Bar]] = []

    def __init__(self, description: str, transient: bool = False):
        # Imported where it is shown: most predictions are over before.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._progress = Progress(*columns, console=Console(stderr=True), transient=transient)
        self._description = description
        self._task = self._progress.add_task(description, total=None)
        self._progress.start()
        self._shown.append(self)

    def update(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def say(self, word: str) -> None:
        """A word behind the description; "" takes it away."""
        self._progress.update(self._task, description=f"{self._description}, {word}" if word else self._description)

    def stop(self) -> None:
        self._shown.remove(self)
        self._progress.stop()

    @classmethod
    def innermost(cls) -> Bar | None:
        """The bar that was shown last, if any is."""
        return cls._shown[-1] if cls._shown else None


class Spinner:
    """A word on standard error beside something that turns, or behind the bar that is there, until it is stopped."""

    def __init__(self, word: str):
        from rich.console import Console

        self._bar = Bar.innermost()
        self._status = None
        if self._bar is None:
            self._status = Console(stderr=True).status(word)
            self._status.start()
        else:
            self._bar.say(word)

    def stop(self) -> None:
        if self._status is not None:
            self._status.stop()
        elif self._bar is not None and self._bar is Bar.innermost():
            self._bar.say("")
