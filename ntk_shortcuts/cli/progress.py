"""Progress on standard error."""

from __future__ import annotations

from typing import Any

from ntk_shortcuts.progress import Bar


class ProgressBar:
    """A bar, shown from the first finished point on: a bad argument prints one line."""

    def __init__(self, description: str):
        self._description = description
        self._bar: Bar | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = Bar(self._description)
        self._bar.update(done, total)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
