"""A bar with an estimate for what turns out to take long, a word for what cannot say how long; nothing off a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import ClassVar, TypeVar

Item = TypeVar("Item")

_PATIENCE = 2.0


class ProgressBar:
    """A bar from where the whole is seen to take more than two seconds on; none off a terminal.

    Told of progress as `bar(done, total)`. What was done before the first call, as by a sweep that resumes, took no time.

    Example:
        >>> with ProgressBar("adding") as bar:
        ...     bar(1, 3)
    """

    def __init__(self, description: str, transient: bool = False):
        self._description, self._transient = description, transient
        self._started, self._before = time.monotonic(), -1
        self._bar: Bar | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._before < 0:
            self._before = max(done - 1, 0)
        if self._bar is None and self._before < done < total and sys.stderr.isatty():
            passed = time.monotonic() - self._started
            whole = passed * (1 + (total - done) / (done - self._before))
            if whole > _PATIENCE:
                self._bar = Bar(f"{self._description}, about {whole:.0f} s", self._transient)
        if self._bar is not None:
            self._bar.update(done, total)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def steps(items: Sequence[Item], description: str) -> Iterator[Item]:
    """The items, one after another, with a bar on standard error once the whole is seen to take more than two seconds.

    Example:
        >>> sum(steps([1, 2, 3], "adding"))
        6
    """
    with ProgressBar(description, transient=True) as bar:
        for done, item in enumerate(items):
            bar(done, len(items))
            yield item


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
