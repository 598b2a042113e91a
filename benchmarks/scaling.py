"""Exact predictions for large data sets: seconds and peak memory over the number of samples.

    python benchmarks/scaling.py [--table]

`method="dataset"` with `rank_tolerance=1e-4` at t = 3, 30 and 300, rho = (0.85, 0.9), ratio 4, inputs in R^100: each size in a
process of its own, compilation included. Records go to results/scaling.jsonl as they are finished.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import time

import jax
import numpy as np
from matplotlib.figure import Figure

import ntk_shortcuts as ns
from ntk_shortcuts.experiments.comparison import read_lines

RECORDS = pathlib.Path(__file__).parent / "results/scaling.jsonl"
SIZES = (3000, 10_000, 30_000, 100_000)
DEPTHS = (1, 3)


def measure(depth: int, count: int) -> dict:
    model, training = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)), ns.GradientFlow(np.array([3.0, 30.0, 300.0]))
    data = model.sample(jax.random.key(0), count)
    began = time.monotonic()
    p = ns.predict_bias(model, ns.MLP(depth), training, method="dataset", dataset=data, rank_tolerance=1e-4)
    return {
        "depth": depth,
        "num_samples": count,
        "seconds": time.monotonic() - began,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "bias": np.asarray(p.bias).tolist(),
        "diagnostics": p.diagnostics,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "jax": jax.__version__,
        "ntk_shortcuts": ns.__version__,
    }


def growth(rows: list[dict]) -> float:
    """Exponent of the seconds in the number of samples, from the two largest sizes, where compilation counts least."""
    a, b = sorted(rows, key=lambda r: r["num_samples"])[-2:]
    return float(np.log(b["seconds"] / a["seconds"]) / np.log(b["num_samples"] / a["num_samples"]))


def by_depth() -> dict[int, list[dict]]:
    rows = sorted(read_lines(RECORDS), key=lambda r: r["num_samples"])
    return {depth: [r for r in rows if r["depth"] == depth] for depth in DEPTHS if any(r["depth"] == depth for r in rows)}


def figures() -> dict[str, Figure]:
    """Of the records there are."""
    figure = Figure(figsize=(9.5, 4.0), dpi=110, layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for (depth, rows), colour, marker in zip(by_depth().items(), ("#0072B2", "#D55E00"), "os", strict=False):
        sizes = [r["num_samples"] for r in rows]
        label = f"ReLU, depth {depth}" + (f", N^{growth(rows):.2f} at the end" if len(rows) > 1 else "")
        time_axes.plot(sizes, [r["seconds"] for r in rows], marker=marker, color=colour, label=label)
        memory_axes.plot(sizes, [r["peak_gib"] for r in rows], marker=marker, color=colour)
    time_axes.set(
        xscale="log", yscale="log", xlabel="training samples N", ylabel="seconds, compilation included", ylim=(10, 200)
    )
    memory_axes.set(xscale="log", xlabel="training samples N", ylabel="peak memory of the process [GiB]", ylim=(0, 2))
    time_axes.legend(frameon=False)
    for axes in (time_axes, memory_axes):
        axes.grid(alpha=0.25)
    return {"scaling": figure}


def table() -> str:
    lines = [
        "| network | N | seconds | peak, GiB | rank | estimated error | bias at t = 3, 30, 300 |",
        "|---|---|---|---|---|---|---|",
    ]
    for depth, rows in by_depth().items():
        for r in rows:
            d, bias = r["diagnostics"], ", ".join(f"{b:.3f}" for b in r["bias"])
            sizes = f"{r['seconds']:.0f} | {r['peak_gib']:.1f} | {d['rank']:.0f} | {d['low_rank_error']:.0e}"
            lines.append(f"| ReLU, depth {depth} | {r['num_samples']} | {sizes} | {bias} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=int, nargs=2, metavar=("DEPTH", "N"), help="measure one size, and print its record")
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return
    done = {(r["depth"], r["num_samples"]) for r in read_lines(RECORDS)}
    for depth, count in [] if arguments.table else [(d, n) for d in DEPTHS for n in SIZES if (d, n) not in done]:
        run = subprocess.run([sys.executable, __file__, "--one", str(depth), str(count)], capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stderr)
        with RECORDS.open("a") as file:
            file.write(run.stdout.splitlines()[-1] + "\n")
        print(run.stdout.splitlines()[-1], flush=True)
    print(table())
    for depth, rows in by_depth().items():
        if len(rows) > 1:
            print(f"depth {depth}: seconds grow as N^{growth(rows):.2f} between the two largest")


if __name__ == "__main__":
    main()
