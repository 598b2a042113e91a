"""What an accelerator is worth: tests, kernels, ensembles, flows and sizes on JAX's default device, in order of value.

    benchmarks/accelerator/run [--budget 480] [--only STEP] [--tiny]

Every case is written to its step's table, results/<machine>/<step>.csv, as it ends; the next run begins with the first that is
missing, and tries those that failed again at the end. Every step has a share of the budget, and what is left over goes to those
that were not through. When the budget is spent, whatever is under way is left, and a summary of the tables, summary.csv and
summary.png, is made. `--tiny` is the same code at sizes that a laptop has done in a minute, with tables of their own.
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
from step import Case, Row, Step

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
STEPS: dict[str, Step] = {
    "tests": device_tests.STEP,
    "kernels": kernels.STEP,
    "ensembles": ensembles.STEP,
    "flows": flows.STEP,
    "exact": exact.STEP,
    "growth": growth.STEP,
}
WORDS = ("case", "error", "device", "jax")


def machine() -> str:
    """The kind and number of devices, as the name of a folder."""
    kind = jax.devices()[0].device_kind.lower().replace(" ", "-")
    if kind == "cpu":
        return f"cpu-{os.cpu_count()}-cores"
    return kind if jax.device_count() == 1 else f"{jax.device_count()}-{kind}"


def table(folder: pathlib.Path, name: str) -> list[Row]:
    """The rows there are of a step."""
    return records.read(folder / f"{name}.csv", words=(*WORDS, *STEPS[name].words))


def missing(folder: pathlib.Path, name: str, tiny: bool) -> list[Case]:
    """Cases without rows, and then those that failed."""
    failed = {row["case"]: bool(row["error"]) for row in table(folder, name)}
    cases = STEPS[name].cases(tiny)
    return [case for case in cases if case.name not in failed] + [case for case in cases if failed.get(case.name)]


def measured(case: Case) -> list[Row]:
    """The rows of a case, with the device; or one that says why there are none, as where memory does not suffice."""
    device = {"device": machine(), "jax": jax.__version__}
    try:
        return [{"case": case.name, "error": "", **row, **device} for row in case.measure()]
    except Exception as error:
        return [{"case": case.name, "error": f"{type(error).__name__}: {error}".splitlines()[0][:200], **device}]


def run(folder: pathlib.Path, names: list[str], tiny: bool, budget: float) -> None:
    """Steps one after another, each for its share of the budget, and then those with cases left until it is spent."""
    end, tried = time.monotonic() + budget, set()
    for rest in (False, True):
        for name in names:
            until = end if rest or len(names) == 1 else min(end, time.monotonic() + STEPS[name].share * budget)
            for case in missing(folder, name, tiny):
                if time.monotonic() >= until:
                    break
                if (name, case.name) not in tried:
                    tried.add((name, case.name))
                    _add(folder, name, case)


def _add(folder: pathlib.Path, name: str, case: Case) -> None:
    """Measure a case, and put it into its table in place of what failed before."""
    began = time.monotonic()
    rows = measured(case)
    others = [row for row in table(folder, name) if row["case"] != case.name]
    records.write(folder / f"{name}.csv", [*others, *rows])
    print(f"{name}: {case.name}: {rows[0]['error'] or f'{time.monotonic() - began:.1f} s'}", flush=True)


def finish(folder: pathlib.Path, tiny: bool) -> None:
    """The summary of all tables, printed and drawn."""
    rows, tables = [], {name: [row for row in table(folder, name) if not row["error"]] for name in STEPS}
    for name, step in STEPS.items():
        found = tables[name]
        done, failed = ({row["case"] for row in part} for part in (found, table(folder, name)))
        told = step.headline(found) if found else ""
        cases = f"{len(done)} of {len(step.cases(tiny))}"
        rows.append({"step": name, "what": step.title, "cases": cases, "failed": len(failed - done), "result": told})
    device = {"device": machine(), "jax": jax.__version__}
    records.write(folder / "summary.csv", [row | device for row in rows])
    summary.figure(tables, machine()).savefig(folder / "summary.png", metadata={"Software": None})
    print(summary.markdown(rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=480.0, help="seconds, of all together")
    parser.add_argument("--only", choices=STEPS, help="one step")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--output", type=pathlib.Path, help="a folder in place of results/<machine>")
    arguments = parser.parse_args()
    folder = arguments.output or RESULTS / (machine() + ("-tiny" if arguments.tiny else ""))

    def stop() -> None:
        print(f"{arguments.budget:g} seconds are over", flush=True)
        try:
            finish(folder, arguments.tiny)
        finally:
            os._exit(0)  # what is under way may be a program that is being compiled, which nothing interrupts

    watch = threading.Timer(arguments.budget, stop)
    watch.daemon = True
    watch.start()
    run(folder, [arguments.only] if arguments.only else list(STEPS), arguments.tiny, arguments.budget)
    watch.cancel()
    finish(folder, arguments.tiny)


if __name__ == "__main__":
    main()
