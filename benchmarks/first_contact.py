"""What a person waits for: whole processes, with an empty cache of compiled programs and with a full one.

    python benchmarks/first_contact.py [--tree FOLDER] [--repeats 5] [--only NAME ...]

Seconds of wall time, medians, of commands and scripts in fresh processes, and how many programs each of them compiles or reads
from the cache. `--tree` is another checkout to be timed with the same Python, an earlier commit for instance. One CSV row is
written for each. An idle machine is taken for granted.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
OUTPUT = ROOT / "benchmarks" / "results" / "first_contact.csv"
FIELDS = ("tree", "name", "cache", "seconds", "least", "most", "programs")

# Counts what JAX compiles, and writes it down at the end.
COUNTED = """
import atexit, os
names = []
def listen(event, seconds, **about):
    if event == "/jax/core/compile/backend_compile_duration":
        names.append(about.get("fun_name"))
import jax
jax.monitoring.register_event_duration_secs_listener(listen)
atexit.register(lambda: open(os.environ["COUNT"], "w").write(str(len(names))))
"""
COMMAND = "from ntk_shortcuts.cli import main; sys.argv[1:] = %r; sys.exit(main())"
AVERAGES = """
import numpy as np, ntk_shortcuts as ns
ns.bias_map(ns.GenerativeModel(amplification=(4.0, 1.0)), ns.MLP(3), ns.GradientFlow([3.0, 30.0, 300.0]),
            np.linspace(0.55, 0.9, 21), np.geomspace(0.125, 8, 21), num_samples=200)
"""
NESTING = """
import ntk_shortcuts as ns
ns.predict_bias(ns.GenerativeModel(nesting=(0, 1)), ns.MLP(1), ns.GradientFlow(30.0), check_laziness=False)
"""
PREDICT = ["predict", "--amplification", "4", "1", "--time", "30"]
RUNS = {
    "help": COMMAND % ["--help"],
    "import": "import ntk_shortcuts",
    "predict": COMMAND % PREDICT,
    "predict, another depth and time": COMMAND % [*PREDICT[:-1], "70", "--depth", "2"],
    "map": COMMAND % ["map", "--depth", "3", "--time", "30", "--output", "map.png"],
    "map of averages, 21 x 21 x 3": AVERAGES,
    "nesting": NESTING,
    "validate": COMMAND % ["validate"],
    "derive --all": COMMAND % ["derive", "--all", "--output", "derived"],
}
# Their counts would need JAX where the process does without.
WITHOUT_JAX = ("help", "import")


def environment(tree: pathlib.Path, cache: pathlib.Path, count: pathlib.Path) -> dict[str, str]:
    """Of a process, which keeps what Python makes of modules, as it does where nobody forbids it."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**known, "PYTHONPATH": str(tree), "NTK_SHORTCUTS_CACHE": str(cache), "COUNT": str(count)}


def run(tree: pathlib.Path, program: str, cache: pathlib.Path, counted: bool) -> tuple[float, int | None]:
    """Seconds of one process in an empty folder, and the programs that it compiled or read."""
    with tempfile.TemporaryDirectory() as folder:
        count = pathlib.Path(folder) / "count"
        source = "import sys\n" + (COUNTED if counted else "") + program
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", source], cwd=folder, env=environment(tree, cache, count), capture_output=True, text=True
        )
        seconds = time.perf_counter() - began
        if done.returncode != 0:
            raise RuntimeError(f"{program}\n{done.stderr[-2000:]}")
        return seconds, int(count.read_text()) if counted else None


def measure(tree: pathlib.Path, name: str, repeats: int) -> list[dict[str, object]]:
    """A row with an empty cache before each process, and one with the cache that these left; the first process is not timed:
    it leaves what Python makes of modules."""
    rows, counted = [], name not in WITHOUT_JAX
    with tempfile.TemporaryDirectory() as folder:
        run(tree, RUNS[name], pathlib.Path(folder) / "untimed", False)
        for state in ("cold", "warm"):
            caches = [pathlib.Path(folder) / (f"{state}{i}" if state == "cold" else "cold0") for i in range(repeats)]
            seconds = [run(tree, RUNS[name], cache, False)[0] for cache in caches]
            programs = run(tree, RUNS[name], caches[0], True)[1] if counted and state == "warm" else None
            found = statistics.median(seconds), min(seconds), max(seconds)
            rows.append(dict(zip(FIELDS, (tree.name, name, state, *(round(s, 2) for s in found), programs), strict=True)))
            print(*rows[-1].values(), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=pathlib.Path, default=ROOT)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=RUNS, default=list(RUNS))
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    chosen = parser.parse_args()
    rows = [row for name in chosen.only for row in measure(chosen.tree.resolve(), name, chosen.repeats)]
    new = not chosen.output.exists()
    with chosen.output.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
