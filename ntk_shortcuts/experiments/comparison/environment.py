"""Versions, device and commit, for records."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy

from ntk_shortcuts.description import versions


def environment() -> dict[str, Any]:
    """Versions, device and commit that a record depends on."""
    device = jax.devices()[0]
    return {
        **versions(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "device": device.device_kind if device.platform != "cpu" else f"cpu, {platform.machine()}, {os.cpu_count()} cores",
        "num_devices": jax.device_count(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def commit() -> str | None:
    """The commit of a checkout, marked where it was changed; None for an installed package."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # A package installed inside another project's checkout is not tracked there.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
