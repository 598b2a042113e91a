"""How much memory is left, and matrices that would not fit into it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntk_shortcuts.validation import require

# Where Linux says how much there is: of the machine, and of the process' control group.
_MACHINE, _GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
# Bytes for which nobody need be asked.
_LITTLE = 2**28


def free_memory(devices: Collection[Any] | None = None) -> int:
    """Bytes that devices have left, by default JAX's first; of a processor those of the machine, and of its control group where
    that has fewer."""
    stats = [device.memory_stats() or {} for device in devices or jax.devices()[:1]]
    if all("bytes_limit" in of_one for of_one in stats):
        return sum(of_one["bytes_limit"] - of_one.get("bytes_in_use", 0) for of_one in stats)
    limit, used = (_number(_GROUP / name) for name in ("memory.max", "memory.current"))
    if limit is None or used is None:
        return _of_machine()
    # What a group has read from files is counted as used, and is given up when it is wanted.
    return max(0, min(_of_machine(), limit - used + (_entry(_GROUP / "memory.stat", "inactive_file") or 0)))


def require_room(
    rows: int, columns: int, way_out: str, dtype: Any = np.float64, devices: Collection[Any] | None = None
) -> None:
    """Refuse two kernels (rows, columns), NNGP and NTK, that are larger than the memory that is left.

    Args:
        devices: where the kernels would be, as for :func:`free_memory`.

    Raises:
        ValueError: naming "points", with the size of both kernels, the memory there is and the way out.

    Example:
        >>> require_room(1000, 1000, "take some of them")
        >>> require_room(10**7, 10**7, "take some of them")
        Traceback (most recent call last):
        ValueError: points must be so few that their kernels, 10000000 x 10000000, fit into memory: 1490116.1 GiB, of which ...
    """
    wanted = 2 * rows * columns * np.dtype(dtype).itemsize
    if wanted < _LITTLE:
        return
    free = free_memory(devices)
    sizes = f"{wanted / 2**30:.1f} GiB, of which {free / 2**30:.1f} are free"
    allowed = f"so few that their kernels, {rows} x {columns}, fit into memory: {sizes} ({way_out})"
    require(wanted <= free, "points", allowed, rows)


def _of_machine() -> int:
    """What is available; where only that is known, what there is at all, and else 16 GiB."""
    available = _entry(_MACHINE, "MemAvailable:")
    if available is not None:
        return 1024 * available
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**34


def _entry(path: Path, name: str) -> int | None:
    """The number behind a name in a file of names and numbers."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return None
    return next((int(words[1]) for words in lines if words[0] == name), None)


def _number(path: Path) -> int | None:
    """What a file of one number says; None without it, or where it says "max"."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
