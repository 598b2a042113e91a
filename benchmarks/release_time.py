"""When networks let go of the shortcut: the time at which the bias falls below half its maximum, by width, depth, availability.

    python benchmarks/release_time.py [--minutes 20] [--table]

Population flow of ReLU networks in PyTorch's initialisation (rho = (0.85, 0.9), sigma = 0.6, ratio 4), and the frozen
kernel beside it. Power laws t = A alpha_c^-a width^b are fitted for each depth, to the bias averaged over initialisations.
Records are written as they finish; a second run goes on where the first stopped. The figure goes to docs/figures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import platform
import time

import jax
import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts.plotting import plot_release_times

HERE = pathlib.Path(__file__).parent
OUTPUT = HERE / "results" / "release_time.jsonl"
FIGURE = HERE.parent / "docs" / "figures" / "release_time.png"
NAMES = ("depth", "width", "core")
DEPTHS, WIDTHS, CORES = (1, 2, 3), (32, 128, 512), (1.0, 0.3, 0.1)
# Up to 400 epochs of the paper's descent at availability 1; a faint core feature takes longer.
TIMES = np.geomspace(0.2, 400, 48)


def release(times: np.ndarray, biases: np.ndarray) -> float | None:
    """Where the bias, interpolated in log t, first falls below half its maximum after it; None if it does not."""
    top = int(np.argmax(biases))
    below = np.flatnonzero(biases[top:] < biases[top] / 2)
    if not below.size:
        return None
    after = top + int(below[0])
    return float(np.exp(np.interp(-biases[top] / 2, -biases[after - 1 : after + 1], np.log(times[after - 1 : after + 1]))))


def measure(depth: int, width: int, core: float) -> dict:
    model = ns.GenerativeModel((0.85, 0.9), (4 * core, core))
    network = ns.MLP(depth, width=width, parameterization="standard", initialization="torch")
    times = TIMES / core
    began = time.monotonic()
    options = {"method": "population_flow", "key": jax.random.key(0), "num_inits": 8, "order": 8}
    flow = ns.predict_bias(model, network, ns.GradientFlow(times), **options)
    seconds = time.monotonic() - began
    late = np.geomspace(times[0], 1e4 * times[-1], 120)
    frozen = ns.predict_bias(model, network, ns.GradientFlow(late), method="population", check_laziness=False)
    return {
        "times": times.tolist(),
        "bias": np.asarray(flow.bias).tolist(),
        "bias_std": np.asarray(flow.bias_std).tolist(),
        "release": release(times, np.asarray(flow.bias)),
        "frozen_release": release(late, np.asarray(frozen.bias)),
        "seconds": seconds,
    }


def fit(records: list[dict], name: str) -> tuple[np.ndarray, float]:
    """(log A, a, b) of t = A alpha_c^-a width^b, and the largest relative residual."""
    chosen = [r for r in records if r[name] is not None]
    design = np.array([[1.0, -np.log(r["core"]), np.log(r["width"])] for r in chosen])
    target = np.log([r[name] for r in chosen])
    found = np.linalg.lstsq(design, target, rcond=None)[0]
    return found, float(np.max(np.abs(np.expm1(design @ found - target))))


def table(records: list[dict]) -> str:
    lines = [
        "| depth | width | alpha_c | release | release of the frozen kernel | ratio |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in sorted(records, key=lambda r: tuple(r[name] for name in NAMES)):
        both = [r["release"], r["frozen_release"]]
        cells = ["later" if value is None else f"{value:.3g}" for value in both]
        ratio = "" if None in both else f"{both[1] / both[0]:.1f}"
        lines.append(f"| {r['depth']} | {r['width']} | {r['core']:g} | {cells[0]} | {cells[1]} | {ratio} |")
    lines += [
        "",
        "| depth | kernel | power of 1/alpha_c | power of width | largest residual |",
        "| --- | --- | --- | --- | --- |",
    ]
    for depth, name in itertools.product(DEPTHS, ("release", "frozen_release")):
        chosen = [r for r in records if r["depth"] == depth]
        if sum(r[name] is not None for r in chosen) < 4:
            continue
        (_, core, width), residual = fit(chosen, name)
        kernel = "moving" if name == "release" else "frozen"
        lines.append(f"| {depth} | {kernel} | {core:.2f} | {width:.2f} | {100 * residual:.0f} % |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = parser.parse_args()
    records = [json.loads(line) for line in OUTPUT.read_text().splitlines()] if OUTPUT.exists() else []
    done = {tuple(r[name] for name in NAMES) for r in records}
    began = time.monotonic()
    for setting in itertools.product(DEPTHS, WIDTHS, CORES):
        if arguments.table or setting in done or time.monotonic() - began > 60 * arguments.minutes:
            continue
        where = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "jax": jax.__version__}
        record = {**dict(zip(NAMES, setting, strict=True)), **measure(*setting), **where}
        with OUTPUT.open("a") as file:
            file.write(json.dumps(record) + "\n")
        records.append(record)
        print(setting, record["release"], record["frozen_release"], flush=True)
    print(table(records))
    if records and not arguments.table:
        plot_release_times(records).savefig(FIGURE, metadata={"Software": None})


if __name__ == "__main__":
    main()
