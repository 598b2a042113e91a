"""The repository's own tests of kernels and predictors, on this device and in processes of their own."""

from __future__ import annotations

import functools
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

from step import Case, Row, Scale, Step, cores

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ("kernels", "predictors", "empirical", "krylov", "population_flow", "dataset_averaged", "ensembles")
CHOSEN = {Scale.FULL: FILES, Scale.SMALL: FILES[1:4], Scale.TINY: ("axes",)}
# Processes that share the device.
MOST = 8

_running: set[subprocess.Popen] = set()


def tested(file: str) -> list[Row]:
    """Tests passed, failed and skipped, several at once, and the names of those that failed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        options = ["-n", str(min(MOST, cores())), "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, str(ROOT / "tests" / f"test_{file}.py")]
        said = _finished(command)
        found = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    if not found:
        raise RuntimeError(said[-500:])
    broken = [case.get("name", "") for case in found if {"failure", "error"} & {part.tag for part in case}]
    skipped = sum(part.tag == "skipped" for case in found for part in case)
    counts = {"passed": len(found) - len(broken) - skipped, "broken": len(broken), "skipped": skipped}
    return [{**counts, "seconds": round(time.monotonic() - began, 1), "failures": "; ".join(broken)}]


def _finished(command: list[str]) -> str:
    """What a process said by its end."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        _running.add(process)
        said, _ = process.communicate()
    _running.discard(process)
    return said


def abandon() -> None:
    """End the processes there are; their workers end with them."""
    for process in list(_running):
        process.terminate()


def cases(scale: Scale) -> list[Case]:
    return [Case(file, functools.partial(tested, file)) for file in CHOSEN[scale]]


def headline(rows: list[Row]) -> str:
    passed, broken, skipped = (sum(row[name] for row in rows) for name in ("passed", "broken", "skipped"))
    return f"{passed:.0f} passed, {broken:.0f} failed, {skipped:.0f} skipped"


STEP = Step("tests of kernels and predictors on the device", 0.2, ("failures",), cases, headline)
