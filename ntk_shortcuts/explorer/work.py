"""Work off the event loop: a thread that does the newest of what it is given, piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator


class Newest:
    """A thread for work that is superseded by newer work.

    Work comes in pieces, as an iterator. Between two pieces the thread looks whether something newer has come, and leaves the
    rest of the older one; of several that come during one piece, only the last is done.

    Example:
        >>> import queue
        >>> done, worker = queue.Queue(), Newest("example")
        >>> worker.put(done.put(i) for i in range(3))
        >>> [done.get(timeout=10) for _ in range(3)]
        [0, 1, 2]
        >>> worker.stop()
    """

    def __init__(self, name: str):
        self._given = threading.Condition()
        self._next: Iterator[object] | None = None
        self._stopped = False
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, work: Iterable[object]) -> None:
        """Do this next, and nothing of what was given before."""
        with self._given:
            self._next = iter(work)
            self._given.notify()

    def stop(self) -> None:
        """End the thread, after the piece that it is at."""
        with self._given:
            self._stopped = True
            self._given.notify()

    @property
    def superseded(self) -> bool:
        """Whether something newer waits."""
        return self._next is not None or self._stopped

    def _run(self) -> None:
        while True:
            with self._given:
                self._given.wait_for(lambda: self.superseded)
                if self._stopped:
                    return
                work, self._next = self._next, None
            assert work is not None
            for _ in work:
                if self.superseded:
                    break
