"""Compiled programs: as many as a process can hold, and a word on the terminal where compiling them takes long.

Linux gives a process 65530 memory mappings. A program of XLA for processors takes six, large ones hundreds, and JAX keeps it.
Beyond the limit compilation ends the process with a segmentation fault: after some thousand programs, as in a long session, or
in a sweep whose points have networks of different shapes.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from ntk_shortcuts.progress import Spinner

_LIMIT = Path("/proc/sys/vm/max_map_count")
_MAPPINGS = Path("/proc/self/maps")
# Counting takes milliseconds: it is done after so many new programs.
_EVERY = 50
_CROWDED = 0.7
# JAX says when it has written a program down, which is when it begins to compile it, and when it has compiled it.
_WRITTEN = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"
# Seconds of compilation before a word about it; programs that follow each other within the second number count as one.
_PATIENCE, _PAUSE = 1.0, 0.3
_GLANCE = 0.1


class _Programs:
    """What JAX tells of the programs it compiles.

    - `new`: how many there were since the mappings were counted.

    Outside of the calls of this package that are going on nothing is shown.
    """

    def __init__(self) -> None:
        self.new = 0
        self._calls = 0
        self._compiling = False
        self._since = self._last = -float("inf")
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._glance: threading.Thread | None = None
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: Any) -> None:
        if event == _COMPILED:
            self.new += 1
            if self._compiling:
                self._compiling, self._last = False, time.monotonic()
        elif event == _WRITTEN and self._calls:
            now = time.monotonic()
            if now - self._last > _PAUSE:
                self._since = now
            self._compiling = True
            if sys.stderr.isatty() and (self._glance is None or not self._glance.is_alive()):
                self._glance = threading.Thread(target=self._look_on, daemon=True)
                self._glance.start()

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            self._calls += 1
            self._ended.clear()

    def end(self) -> None:
        """A call ends; with the last one goes the word, before anything else is written."""
        with self._lock:
            self._calls -= 1
            if self._calls == 0:
                self._ended.set()
                if self._glance is not None:
                    self._glance.join()
                    self._glance = None
            self._compiling = self._compiling and self._calls > 0

    def _look_on(self) -> None:
        """Show the word while programs are compiled, once that has taken long."""
        spinner: Spinner | None = None
        while not self._ended.wait(_GLANCE) and (self._compiling or time.monotonic() - self._last <= _PAUSE):
            if spinner is None and time.monotonic() - self._since > _PATIENCE:
                spinner = Spinner("compiling")
        if spinner is not None:
            spinner.stop()


_programs = _Programs()


@contextlib.contextmanager
def compiling_shown() -> Iterator[None]:
    """Around calls that may compile: "compiling" on a terminal's standard error wherever that takes longer than a second."""
    _programs.begin()
    try:
        yield
    finally:
        _programs.end()


def make_room() -> bool:
    """Let JAX forget its compiled programs where the process is near its limit of memory mappings; whether it did.

    Nothing but time is lost: what is needed again is compiled again. Without Linux's list of mappings, nothing is done.
    """
    if _programs.new < _EVERY:
        return False
    _programs.new = 0
    try:
        limit, used = int(_LIMIT.read_text()), _MAPPINGS.read_bytes().count(b"\n")
    except (OSError, ValueError):
        return False
    if used < _CROWDED * limit:
        return False
    jax.clear_caches()
    return True
