"""Bias over richness and time, by population flows in the mean-field parameterisation.

    python benchmarks/richness.py [--minutes 20] [--table]

rho = (0.85, 0.9), ratio 4, sigma = 0.6, width 64, outputs counted from initialisation, 8 initialisations. At richness 1/8 =
1/sqrt(64) this is the NTK parameterisation. Beside it the frozen kernel of infinite width, and at some times the limit of
infinite width at richness 1. Records are written as they finish; a second run goes on where the first stopped.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
import time

import jax
import numpy as np
from matplotlib.figure import Figure

import ntk_shortcuts as ns

OUTPUT = pathlib.Path(__file__).parent / "results" / "richness.csv"
FIELDS = ("source", "activation", "depth", "richness", "time", "bias", "error", "seconds")
MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
WIDTH, INITS = 64, 8
NETWORKS = (("relu", 1), ("tanh", 1), ("relu", 2))
RICHNESS = np.array([0.125, 0.25, 0.5, 1.0, 2.0])
TIMES = np.geomspace(0.3, 100, 12)
LIMIT_TIMES = np.array([3.0, 10.0])
SETTINGS = [
    *[("flow", *network, richness) for network in NETWORKS for richness in RICHNESS],
    *[("frozen", *network, 0.0) for network in NETWORKS],
    *[("limit", *network, 1.0) for network in NETWORKS[:2]],
]
FLOW = {"order": 8, "step_tolerance": 3e-3, "random_init": False}


def measure(source: str, activation: str, depth: int, richness: float) -> list[dict]:
    key = jax.random.key(0)
    options = {"parameterization": "mean_field", "richness": richness}
    if source == "frozen":
        p = ns.predict_bias(
            MODEL, ns.MLP(depth, activation, **options), ns.GradientFlow(TIMES), method="population", tolerance=0.01
        )
        return [{"time": t, "bias": b, "error": 0.0} for t, b in zip(TIMES, p.bias, strict=True)]
    if source == "limit":
        limit = ns.analysis.infinite_width_limit(
            MODEL, ns.MLP(depth, activation, **options), ns.GradientFlow(LIMIT_TIMES), key=key, num_inits=INITS, **FLOW
        )
        return [{"time": t, "bias": b, "error": e} for t, b, e in zip(LIMIT_TIMES, limit.value, limit.error, strict=True)]
    network = ns.MLP(depth, activation, WIDTH, **options)
    flow = {"method": "population_flow", "key": key, "num_inits": INITS, **FLOW}
    p = ns.predict_bias(MODEL, network, ns.GradientFlow(TIMES), **flow)
    errors = np.asarray(p.bias_std) / np.sqrt(INITS)
    return [{"time": t, "bias": b, "error": e} for t, b, e in zip(TIMES, p.bias, errors, strict=True)]


def read() -> list[dict]:
    if not OUTPUT.exists():
        return []
    with OUTPUT.open() as file:
        rows = [{k: v if k in FIELDS[:2] else float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return [{**row, "depth": int(row["depth"])} for row in rows]


def surface(records: list[dict], activation: str, depth: int) -> np.ndarray:
    """Biases (richness, times), the frozen kernel first; NaN where there is no record yet."""
    found = {(r["source"], r["activation"], r["depth"], r["richness"], f"{r['time']:.4g}"): r["bias"] for r in records}
    rows = [("frozen", 0.0), *(("flow", richness) for richness in RICHNESS)]
    return np.array([[found.get((s, activation, depth, g, f"{t:.4g}"), np.nan) for t in TIMES] for s, g in rows])


def table(records: list[dict]) -> str:
    """Biases at every third time."""
    times = TIMES[2::3]
    lines = ["| network | richness | " + " | ".join(f"t = {t:.2g}" for t in times) + " |", "|---" * (2 + len(times)) + "|"]
    for activation, depth in NETWORKS:
        for name, row in zip(("frozen", *RICHNESS), surface(records, activation, depth)[:, 2::3], strict=True):
            lines.append(f"| {activation}, depth {depth} | {name} | {' | '.join(f'{b:.2f}' for b in row)} |")
    lines += ["", "| network, richness 1 | t | infinite width |", "|---|---|---|"]
    for r in records:
        if r["source"] == "limit":
            lines.append(f"| {r['activation']}, depth {r['depth']} | {r['time']:.2g} | {r['bias']:.2f} +- {r['error']:.2f} |")
    return "\n".join(lines)


def figures() -> dict[str, Figure]:
    """One map a network; the lowest row is the frozen kernel."""
    records = read()
    drawing = Figure(figsize=(8.4, 3.2), dpi=150, layout="constrained")
    grid = drawing.subplots(1, len(NETWORKS), sharey=True)
    rows = np.arange(len(RICHNESS) + 1)
    for axes, (activation, depth) in zip(grid, NETWORKS, strict=True):
        image = axes.pcolormesh(TIMES, rows, surface(records, activation, depth), vmin=0, vmax=1.6, cmap="viridis")
        axes.set(xscale="log", xlabel="time", title=f"{activation}, depth {depth}")
    grid[0].set_yticks(rows, ["frozen", *(f"{g:g}" for g in RICHNESS)])
    grid[0].set_ylabel("richness")
    drawing.colorbar(image, ax=grid, label="shortcut bias")
    return {"richness": drawing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = parser.parse_args()
    done = {(r["source"], r["activation"], r["depth"], r["richness"]) for r in read()}
    began = time.monotonic()
    for setting in SETTINGS:
        if arguments.table or setting in done or time.monotonic() - began > 60 * arguments.minutes:
            continue
        start = time.monotonic()
        rows = measure(*setting)
        fixed = {**dict(zip(FIELDS, setting, strict=False)), "seconds": round(time.monotonic() - start, 1)}
        fresh = not OUTPUT.exists()
        with OUTPUT.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            if fresh:
                writer.writeheader()
            writer.writerows({**fixed, **{name: f"{value:.6g}" for name, value in row.items()}} for row in rows)
        print(*setting, [f"{row['bias']:.2f}" for row in rows], fixed["seconds"], flush=True)
    print(table(read()))


if __name__ == "__main__":
    main()
