"""What an accelerator is worth: tests, kernels, ensembles, flows and sizes on JAX's default device, in order of value.

    benchmarks/accelerator/run [--budget 450] [--only STEP] [--scale full|small|tiny] [--output FOLDER]

Every case is written to its step's table, results/<machine>/<step>.csv, as it ends; the next run begins with what was cut off,
goes on with what is missing, and tries again at the end what failed. Every step has a share of the budget, and what is left
over goes to those that were not through. When the budget is spent, whatever is under way is left, and a summary of the tables,
summary.csv and summary.png, is made. On a processor the sizes are small ones, in tables of their own; tiny ones are the smoke
test's. The default budget leaves half a minute for start and summary: eight minutes in all.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import threading
import time

import device_tests
import ensembles
import exact
import flows
import growth
import jax
import kernels
import records
import summary
from step import Case, Row, Scale, Step, cores
from tables import Tables

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
STEPS: dict[str, Step] = {
    "tests": device_tests.STEP,
    "kernels": kernels.STEP,
    "ensembles": ensembles.STEP,
    "flows": flows.STEP,
    "exact": exact.STEP,
    "growth": growth.STEP,
}


def machine() -> str:
    """The kind and number of devices, as the name of a folder."""
    kind = jax.devices()[0].device_kind.lower().replace(" ", "-")
    if kind == "cpu":
        return f"cpu-{cores()}-core{'s' * (cores() > 1)}"
    return kind if jax.device_count() == 1 else f"{jax.device_count()}-{kind}"


class Run:
    """Steps one after another, each for its share of the budget, and then those with cases left until it is spent."""

    def __init__(self, tables: Tables, budget: float):
        self.tables, self.budget = tables, budget
        self.under_way: tuple[str, Case] | None = None

    def through(self, names: list[str]) -> None:
        end, tried, names = time.monotonic() + self.budget, set(), self.tables.in_turn(names)
        for rest in (False, True):
            for name in names:
                alone = rest or len(names) == 1
                until = end if alone else min(end, time.monotonic() + STEPS[name].share * self.budget)
                for case in self.tables.missing(name):
                    if time.monotonic() >= until:
                        break
                    if (name, case.name) not in tried:
                        tried.add((name, case.name))
                        self._measure(name, case)

    def _measure(self, name: str, case: Case) -> None:
        began, self.under_way = time.monotonic(), (name, case)
        rows = measured(case)
        self.under_way = None
        self.tables.put(name, case, rows)
        told = rows[0].get("error") or f"{time.monotonic() - began:.1f} s"
        print(f"{name}: {case.name}: {told}", flush=True)

    def stop(self) -> None:
        """The time is over: what is under way is noted, the summary made, and the process left, whatever it does."""
        try:
            print(f"{self.budget:g} seconds are over", flush=True)
            if self.under_way is not None:
                self.tables.cut(*self.under_way)
            device_tests.abandon()
            finish(self.tables)
        finally:
            os._exit(0)  # what is under way may be a program that is being compiled, which nothing interrupts


def measured(case: Case) -> list[Row]:
    """The rows of a case; or one that says why there are none, as where memory does not suffice.

    In JAX's own precision, float32, whatever another case has set: only a case that asks for float64 has it.
    """
    try:
        with jax.enable_x64(False):
            return case.measure()
    except Exception as error:
        return [{"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}]


def finish(tables: Tables) -> None:
    """The summary of all tables, printed and drawn."""
    found = {name: tables.found(name) for name in STEPS}
    rows = []
    for name, step in STEPS.items():
        done, left = {row["case"] for row in found[name]}, [case.name for case in tables.missing(name)]
        failed = sum(case in left for case in tables.errors(name))
        told = step.headline(found[name]) if found[name] else ""
        cases = f"{len(done)} of {len(done) + len(left)}"
        rows.append({"step": name, "what": step.title, "cases": cases, "failed": failed, "result": told})
    records.write(tables.folder / "summary.csv", [row | tables.device for row in rows])
    summary.figure(found, machine()).savefig(tables.folder / "summary.png", metadata={"Software": None})
    print(summary.markdown(rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=450.0, help="seconds, of all together")
    parser.add_argument("--only", choices=STEPS, help="one step")
    usual = Scale.SMALL if jax.default_backend() == "cpu" else Scale.FULL
    parser.add_argument("--scale", type=Scale, choices=list(Scale), default=usual, help="full sizes are the accelerator's")
    parser.add_argument("--output", type=pathlib.Path, help="a folder in place of results/<machine>")
    arguments = parser.parse_args()
    suffix = "" if arguments.scale is Scale.FULL else f"-{arguments.scale}"
    folder = arguments.output or RESULTS / (machine() + suffix)
    tables = Tables(folder, STEPS, arguments.scale, {"device": machine(), "jax": jax.__version__})
    run = Run(tables, arguments.budget)
    watch = threading.Timer(arguments.budget, run.stop)
    watch.daemon = True
    watch.start()
    run.through([arguments.only] if arguments.only else list(STEPS))
    watch.cancel()
    finish(tables)


if __name__ == "__main__":
    main()
