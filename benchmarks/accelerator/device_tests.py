"""The repository's own tests of kernels and predictors, on this device and in a process of their own."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

from step import Case, Row, Step

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ("test_predictors.py", "test_kernels.py", "test_empirical.py", "test_low_rank.py", "test_population_flow.py")
TINY = ("test_axes.py",)
SECONDS = 120.0


def tested(name: str) -> list[Row]:
    """Tests passed, failed and skipped of a file, and the names of those that failed; what takes too long is cut off."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        options = ["-n", "0", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, str(ROOT / "tests" / name)]
        try:
            done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return [{"passed": 0, "failed": 0, "skipped": 0, "seconds": SECONDS, "failures": "cut off"}]
        if not report.exists():
            raise RuntimeError(done.stdout[-500:] + done.stderr[-500:])
        found = list(ElementTree.parse(report).iter("testcase"))
    failed = [case.get("name", "") for case in found if {"failure", "error"} & {part.tag for part in case}]
    skipped = sum(part.tag == "skipped" for case in found for part in case)
    return [
        {
            "passed": len(found) - len(failed) - skipped,
            "failed": len(failed),
            "skipped": skipped,
            "seconds": round(time.perf_counter() - began, 1),
            "failures": "; ".join(failed),
        }
    ]


def headline(rows: list[Row]) -> str:
    passed, failed = (sum(int(row[name]) for row in rows) for name in ("passed", "failed"))
    return f"{passed} passed, {failed} failed"


STEP = Step(
    "tests of kernels and predictors on the device",
    ("failures",),
    lambda tiny: [Case(name, functools.partial(tested, name)) for name in (TINY if tiny else FILES)],
    headline,
)
