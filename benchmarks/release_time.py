"""When networks let go of the shortcut: the time at which the bias falls below half its maximum.

    python benchmarks/release_time.py [--minutes 20] [--table]

Population flow of ReLU networks in PyTorch's initialisation (rho = (0.85, 0.9), sigma = 0.6), by depth, width, alpha_c and
ratio, and at width 128 the frozen kernel of infinite width at the same learning rates beside it. Power laws
t = A alpha_c^-a ratio^r width^-b are fitted for each depth, to the bias averaged over initialisations. Records are written as
they finish; a second run goes on where the first stopped. `ntk-shortcuts derive --all` draws the figure of the docs.
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
from matplotlib.figure import Figure

import ntk_shortcuts as ns
from ntk_shortcuts.experiments.comparison import read_lines
from ntk_shortcuts.plotting import plot_release_times

OUTPUT = pathlib.Path(__file__).parent / "results" / "release_time.jsonl"
NAMES = ("depth", "width", "core", "ratio")
DEPTHS, CORES, INITS = (1, 2, 3), (1.0, 0.3, 0.1), 8
# By depth and width, each pair of which is compiled once; the ratios last.
SETTINGS = [
    *itertools.product(DEPTHS, (128,), CORES, (4.0,)),
    *itertools.product((1, 2), (32, 512), CORES, (4.0,)),
    *itertools.product(DEPTHS, (128,), (1.0,), (2.0, 8.0)),
    *itertools.product((3,), (32, 512), CORES, (4.0,)),
]
# Up to 100 epochs of the paper's descent at availability 1; a faint core feature takes longer.
TIMES = np.geomspace(0.1, 100, 40)


def release(times: np.ndarray, biases: np.ndarray, errors: np.ndarray | None = None) -> tuple[float | None, float | None]:
    """Where the bias, interpolated in log t, first falls below half its maximum after it, and the standard error of log t.

    None where it does not fall, or without errors.
    """
    top = int(np.argmax(biases))
    below = np.flatnonzero(biases[top:] < biases[top] / 2)
    if not below.size:
        return None, None
    after = top + int(below[0])
    pair, logs = slice(after - 1, after + 1), np.log(times[after - 1 : after + 1])
    found = float(np.exp(np.interp(-biases[top] / 2, -biases[pair], logs)))
    if errors is None:
        return found, None
    return found, float(errors[pair].mean() * np.diff(logs)[0] / -np.diff(biases[pair])[0])


def measure(depth: int, width: int, core: float, ratio: float) -> dict:
    model = ns.GenerativeModel((0.85, 0.9), (ratio * core, core))
    network = ns.MLP(depth, width=width, parameterization="standard", initialization="torch")
    times = TIMES / core
    began = time.monotonic()
    options = {"method": "population_flow", "key": jax.random.key(0), "num_inits": INITS, "order": 8}
    flow = ns.predict_bias(model, network, ns.GradientFlow(times), **options)
    seconds = time.monotonic() - began
    late = np.geomspace(times[0], 1e4 * times[-1], 60)
    options = {"method": "population", "check_laziness": False, "random_init": False, "tolerance": 0.03}
    frozen = None
    if width == 128:
        frozen = release(late, np.asarray(ns.predict_bias(model, network, ns.GradientFlow(late), **options).bias))[0]
    found, error = release(times, np.asarray(flow.bias), np.asarray(flow.bias_std) / np.sqrt(INITS))
    return {
        "times": times.tolist(),
        "bias": np.asarray(flow.bias).tolist(),
        "bias_std": np.asarray(flow.bias_std).tolist(),
        "release": found,
        "release_log_error": error,
        "frozen_release": frozen,
        "seconds": seconds,
        "frozen_seconds": time.monotonic() - began - seconds,
    }


def fit(records: list[dict], name: str) -> tuple[list[str], float]:
    """Powers a, r, b of t = A alpha_c^-a ratio^r width^-b with standard errors, as text, and the largest relative residual.

    Least squares in log t; the errors are those of the residuals, which the law's failure and the noise make together. Without
    a residual, or of what does not vary, there is none.
    """
    columns = np.array([[-np.log(r["core"]), np.log(r["ratio"]), -np.log(r["width"])] for r in records]).reshape(-1, 3)
    if not len(columns):
        return [""] * 3, float("nan")
    varied = np.ptp(columns, axis=0) > 0
    design = np.column_stack([np.ones(len(records)), columns[:, varied]])
    target = np.log([r[name] for r in records])
    if len(target) <= design.shape[1]:
        return [""] * 3, float("nan")
    found = np.linalg.lstsq(design, target, rcond=None)[0]
    residuals = design @ found - target
    scale = residuals @ residuals / (len(target) - design.shape[1])
    errors = np.sqrt(scale * np.diag(np.linalg.inv(design.T @ design)))
    powers = iter(f"{value:.2f} +- {error:.2f}" for value, error in zip(found[1:], errors[1:], strict=True))
    return [next(powers) if there else "" for there in varied], float(np.max(np.abs(np.expm1(residuals))))


def table(records: list[dict]) -> str:
    """Release times, those of the frozen kernel in brackets, and the fitted powers."""
    lines = ["| depth | width | ratio | alpha_c = 1 | 0.3 | 0.1 |", "|---|---|---|---|---|---|"]
    found = {tuple(r[name] for name in NAMES): r for r in records}
    for depth, width, ratio in sorted({(d, w, ratio) for d, w, _, ratio in found}, key=lambda row: (row[2] != 4, row)):
        cells = []
        for core in CORES:
            r = found.get((depth, width, core, ratio), {"release": None, "frozen_release": None})
            moving, frozen = (
                "" if r[name] is None else f"{float(f'{r[name]:.3g}'):g}" for name in ("release", "frozen_release")
            )
            cells.append(f"{moving} ({frozen})" if frozen else moving)
        lines.append(f"| {depth} | {width} | {ratio:g} | {' | '.join(cells)} |")
    lines += [
        "",
        "| depth | kernel | settings | power of 1/alpha_c | power of ratio | power of 1/width | largest residual |",
        "|---|---|---|---|---|---|---|",
    ]
    kernels = {"release": "moving", "frozen_release": "frozen"}
    for depth, name in itertools.product(DEPTHS, kernels):
        chosen = [r for r in records if r["depth"] == depth and r[name] is not None]
        powers, residual = fit(chosen, name)
        lines.append(f"| {depth} | {kernels[name]} | {len(chosen)} | {' | '.join(powers)} | {100 * residual:.0f} % |")
    lines += [
        "",
        "| depth | power of 1/alpha_c at width 32 | 128 | 512 | power of 1/width at alpha_c = 1 | 0.3 | 0.1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for depth in DEPTHS:
        chosen = [r for r in records if r["depth"] == depth and r["ratio"] == 4]
        cells = [fit([r for r in chosen if r["width"] == width], "release")[0][0] for width in (32, 128, 512)]
        cells += [fit([r for r in chosen if r["core"] == core], "release")[0][2] for core in CORES]
        lines.append(f"| {depth} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figures() -> dict[str, Figure]:
    """Of the records there are."""
    records = read_lines(OUTPUT)
    return {"release_times": plot_release_times([r for r in records if r["ratio"] == 4])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = parser.parse_args()
    records = read_lines(OUTPUT)
    done = {tuple(r[name] for name in NAMES) for r in records}
    began = time.monotonic()
    for setting in SETTINGS:
        if arguments.table or setting in done or time.monotonic() - began > 60 * arguments.minutes:
            continue
        where = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "jax": jax.__version__}
        record = {**dict(zip(NAMES, setting, strict=True)), **measure(*setting), **where}
        with OUTPUT.open("a") as file:
            file.write(json.dumps(record) + "\n")
        records.append(record)
        print(setting, record["release"], record["frozen_release"], flush=True)
    print(table(records))


if __name__ == "__main__":
    main()
