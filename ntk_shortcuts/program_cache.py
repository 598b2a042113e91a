"""Compiled programs on disk: what one process compiled, the next one reads.

Compiling takes most of a first call. JAX's persistent compilation cache is switched on when this package first computes, in the
user's cache directory, unless the program, or an environment variable of JAX's, has chosen a place itself. It is bounded (the
programs not used for longest go) and locked, so that several processes share it. `NTK_SHORTCUTS_CACHE=off` leaves it off, any
other value is the place.

A process that waits too long for the lock compiles for itself, which costs time and nothing else: JAX's warning of that is
silenced.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform
import warnings
from typing import Any, NamedTuple

import jax
import platformdirs

VARIABLE = "NTK_SHORTCUTS_CACHE"
LIMIT = 512 * 2**20
_BUSY = "Error (reading|writing) persistent compilation cache entry for .*: Timeout: The file lock"
# Reading a program that compiles faster than this gains nothing.
_SECONDS = 0.1


class Cache(NamedTuple):
    """Where compiled programs are kept (None: nowhere), how many bytes they take, and how many they may take."""

    place: pathlib.Path | None
    size: int
    limit: int


def keep_programs() -> None:
    """Switch the cache on, once for a process, unless it is off or JAX has a place already."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() == "off" or _of_jax("jax_compilation_cache_dir"):
        return
    root = pathlib.Path(chosen) if chosen else platformdirs.user_cache_path("ntk_shortcuts")
    place = root / f"programs-{_processor()}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written to: as if it were off
        return
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_compilation_cache_max_size", LIMIT)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _SECONDS)
    warnings.filterwarnings("ignore", _BUSY, UserWarning)


def kept_programs() -> Cache:
    """The cache as it is now.

    Example:
        >>> kept_programs().limit > 0
        True
    """
    keep_programs()
    place = _of_jax("jax_compilation_cache_dir")
    if not place:
        return Cache(None, 0, LIMIT)
    found = pathlib.Path(place)
    size = sum(path.stat().st_size for path in found.glob("*") if path.is_file())
    return Cache(found, size, _of_jax("jax_compilation_cache_max_size"))


def _of_jax(name: str) -> Any:
    return getattr(jax.config, name)


def _processor() -> str:
    """A name for what the processor can do: programs for one must not run on another that shares the home directory."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        features = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:12]
