"""The repository's own tests of kernels and predictors, on this device and in processes of their own."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

from step import Case, Row, Step

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ("test_kernels.py", "test_predictors.py", "test_krylov.py", "test_empirical.py", "test_population_flow.py")
TINY = ("test_axes.py",)
SECONDS = 100.0


def tested(names: tuple[str, ...]) -> list[Row]:
    """A row for each file, of which as many run side by side as there are cores; what is not through in time is cut off."""
    deadline = time.monotonic() + SECONDS
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda name: _of_file(name, deadline), names))


def _of_file(name: str, deadline: float) -> Row:
    """Tests passed, failed and skipped, and the names of those that failed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        options = ["-n", "0", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, str(ROOT / "tests" / name)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(1.0, deadline - began))
        except subprocess.TimeoutExpired:
            return {"file": name, "failures": "cut off"}
        if not report.exists():
            raise RuntimeError(done.stdout[-500:] + done.stderr[-500:])
        found = list(ElementTree.parse(report).iter("testcase"))
    broken = [case.get("name", "") for case in found if {"failure", "error"} & {part.tag for part in case}]
    skipped = sum(part.tag == "skipped" for case in found for part in case)
    counts = {"passed": len(found) - len(broken) - skipped, "broken": len(broken), "skipped": skipped}
    return {"file": name, **counts, "seconds": round(time.monotonic() - began, 1), "failures": "; ".join(broken)}


def headline(rows: list[Row]) -> str:
    through = [row for row in rows if row["failures"] != "cut off"]
    passed, broken = (sum(row[name] for row in through) for name in ("passed", "broken"))
    late = f", {len(rows) - len(through)} files cut off" if len(rows) > len(through) else ""
    return f"{passed:.0f} passed, {broken:.0f} failed{late}"


STEP = Step(
    "tests of kernels and predictors on the device",
    0.2,
    ("file", "failures"),
    lambda tiny: [Case("all files", functools.partial(tested, TINY if tiny else FILES))],
    headline,
)
