"""Progress of a run, for the caller's bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ntk_shortcuts.validation import require


class Meter:
    """Counts network steps."""

    def __init__(self, progress: Callable[[int, int], Any] | None, total: int):
        require(progress is None or callable(progress), "progress", "None or a function of (done, total)", progress)
        self.progress, self.total, self.done = progress, total, 0

    def advance(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)
