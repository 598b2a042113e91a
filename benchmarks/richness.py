"""Bias over richness and time, by population flows in the mean-field parameterisation.

    python benchmarks/richness.py [--minutes 20] [--table]

rho = (0.85, 0.9), ratio 4, sigma = 0.6, width 64, outputs counted from initialisation, 8 initialisations (64 where widths are
compared). Richness 1/8 = 1/sqrt(64) is the NTK parameterisation. Beside it the frozen kernel of infinite width; networks
of that width trained by full-batch gradient descent of rate 0.05, each on 3200 samples of its own; at two times the limit of
infinite width with flows of width 2048. Records are written as they finish; a second run goes on where the first stopped.
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
WIDTH, INITS, LIMIT_INITS = 64, 8, 64
NETWORKS = (("relu", 1), ("tanh", 1), ("relu", 2))
RICHNESS = np.array([0.125, 0.25, 0.5, 1.0, 2.0])
TIMES = np.geomspace(0.3, 100, 12)
LIMIT_TIMES = np.array([3.0, 10.0])
TRAINED_TIMES = TIMES[2::3]
RATE, SAMPLES = 0.05, 3200
SETTINGS = [
    *[("flow", *network, richness) for network in NETWORKS for richness in RICHNESS],
    *[("frozen", *network, 0.0) for network in NETWORKS],
    *[("limit", *network, 1.0) for network in NETWORKS[:2]],
    *[("trained", *network, richness) for richness in (0.125, 0.5, 2.0) for network in NETWORKS],
    *[("wide", *network, 1.0) for network in NETWORKS[:2]],
    *[(source, *network, richness) for richness in (0.5, 2.0) for network in NETWORKS[:2] for source in ("limit", "wide")],
]
FLOW = {"order": 8, "step_tolerance": 3e-3, "random_init": False}


def frozen(network: ns.MLP) -> tuple:
    rule = ns.GradientFlow(TIMES)
    biases = ns.predict_bias(MODEL, network, rule, method="population", tolerance=0.01).bias
    return TIMES, biases, np.zeros_like(TIMES)


def limit(network: ns.MLP) -> tuple:
    options = {"key": jax.random.key(0), "num_inits": LIMIT_INITS, **FLOW}
    found = ns.analysis.infinite_width_limit(MODEL, network, ns.GradientFlow(LIMIT_TIMES), **options)
    return LIMIT_TIMES, found.value, found.error


def flow(network: ns.MLP, times: np.ndarray = TIMES, seed: int = 0, inits: int = INITS) -> tuple:
    options = {"method": "population_flow", "key": jax.random.key(seed), "num_inits": inits, **FLOW}
    p = ns.predict_bias(MODEL, network, ns.GradientFlow(times), **options)
    return times, p.bias, np.asarray(p.bias_std) / np.sqrt(inits)


def wide(network: ns.MLP) -> tuple:
    return flow(network, LIMIT_TIMES, 1, LIMIT_INITS)


def trained(network: ns.MLP) -> tuple:
    """Each network on a data set of its own."""
    steps = np.round(TRAINED_TIMES / RATE).astype(int)
    descent, key = ns.GradientDescent(RATE, steps), jax.random.key(1)
    ensemble = ns.train_ensemble(MODEL, network, descent, SAMPLES, INITS, 1, key=key, centred=True)
    biases = ensemble.bias[..., 0]
    return TRAINED_TIMES, biases.mean(axis=1), biases.std(axis=1, ddof=1) / np.sqrt(INITS)


# Width of the networks of a source; infinite ones have none.
SOURCES = {
    "flow": (flow, WIDTH),
    "frozen": (frozen, None),
    "limit": (limit, None),
    "trained": (trained, WIDTH),
    "wide": (wide, 2048),
}


def measure(source: str, activation: str, depth: int, richness: float) -> list[dict]:
    call, width = SOURCES[source]
    network = ns.MLP(depth, activation, width, parameterization="mean_field", richness=richness)
    return [{"time": t, "bias": b, "error": e} for t, b, e in zip(*call(network), strict=True)]


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
    lines += ["", "| trained | richness | " + " | ".join(f"t = {t:.2g}" for t in times) + " |", "|---" * (2 + len(times)) + "|"]
    for activation, depth, richness in _settings(records, "trained"):
        pairs = zip(*(_at(records, s, activation, depth, richness) for s in ("trained", "flow")), strict=True)
        cells = [f"{one:.3f} +- {error:.3f}, flow {other:.3f} +- {spread:.3f}" for (one, error), (other, spread) in pairs]
        lines.append(f"| {activation}, depth {depth} | {richness} | {' | '.join(cells)} |")
    gaps = differences(records, "trained", "flow")
    if len(gaps):
        found = f"mean absolute difference {gaps[:, 0].mean():.3f}, largest {gaps[:, 0].max():.3f}"
        beyond = f"{np.mean(gaps[:, 0] > 2 * gaps[:, 1]):.0%} beyond two standard errors"
        lines += ["", f"Trained networks and flow, {len(gaps)} pairs: {found}, {beyond}."]
    lines += ["", "| network | richness | t | infinite width | width 2048 |", "|---" * 5 + "|"]
    for activation, depth, richness in _settings(records, "limit"):
        for index, t in enumerate(LIMIT_TIMES):
            ends = [_at(records, s, activation, depth, richness, LIMIT_TIMES) for s in ("limit", "wide")]
            cells = [f"{end[index][0]:.3f} +- {end[index][1]:.3f}" for end in ends]
            lines.append(f"| {activation}, depth {depth} | {richness} | {t:.2g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _settings(records: list[dict], source: str) -> list[tuple]:
    return list(dict.fromkeys((r["activation"], r["depth"], r["richness"]) for r in records if r["source"] == source))


def _at(
    records: list[dict], source: str, activation: str, depth: int, richness: float, times: np.ndarray = TRAINED_TIMES
) -> list:
    """Bias and error of a setting at the times, NaN where there is no record."""
    asked = (source, activation, depth, richness)
    found = {f"{r['time']:.4g}": (r["bias"], r["error"]) for r in records if tuple(r[name] for name in FIELDS[:4]) == asked}
    return [found.get(f"{t:.4g}", (np.nan, np.nan)) for t in times]


def differences(records: list[dict], one: str, other: str) -> np.ndarray:
    """Size of the difference and its standard error at each setting and time of one source, (pairs, 2)."""
    found = []
    for setting in _settings(records, one):
        pairs = zip(_at(records, one, *setting), _at(records, other, *setting), strict=True)
        found += [(abs(a - b), np.hypot(spread, error)) for (a, spread), (b, error) in pairs]
    return np.array(found)


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
