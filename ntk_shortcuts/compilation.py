"""Compiled programs: as many as a process can hold.

Linux gives a process 65530 memory mappings. A program of XLA for processors takes six, large ones hundreds, and JAX keeps it.
Beyond the limit compilation ends the process with a segmentation fault: after some thousand programs, as in a long session, or
in a sweep whose points have networks of different shapes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

_LIMIT = Path("/proc/sys/vm/max_map_count")
_MAPPINGS = Path("/proc/self/maps")
# Counting takes milliseconds: it is done after so many new programs.
_EVERY = 50
_CROWDED = 0.7
_COMPILED = "/jax/core/compile/backend_compile_duration"


class _Programs:
    """How many programs were compiled since the mappings were counted."""

    def __init__(self) -> None:
        self.new = 0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: Any) -> None:
        self.new += event == _COMPILED


_programs = _Programs()


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
