"""Architecture against bias: plain, residual and layer-normalised ReLU networks from depth 1 to 16.

    python benchmarks/architectures.py [--minutes 20] [--table]

Frozen kernels on infinite data (rho = (0.85, 0.9), ratio 4, sigma = 0.6), at critical variances (sigma_w^2 = 2, no biases) and
at common ones (sigma_w^2 = 1, sigma_b^2 = 0.1). Kernels of different architectures differ in size, so that times are counted in
the learning time of the leading eigenfunction, 1/lambda_max. Beside them trained networks of width 256 on samples, with the
prediction for the same samples. Records are written as they finish; a second run goes on where the first stopped.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import pathlib
import time

import jax
import numpy as np
from matplotlib.figure import Figure

import ntk_shortcuts as ns
from ntk_shortcuts.laws.kernel import LawKernel

OUTPUT = pathlib.Path(__file__).parent / "results" / "architectures.csv"
FIELDS = ("source", "variances", "kind", "depth", "learning_times", "time", "bias", "error", "predicted", "seconds")
MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
VARIANCES = {"critical": (2.0, 0.0), "common": (1.0, 0.1)}
KINDS = {"plain": {}, "residual": {"residual": 0.5}, "normalised": {"normalization": "layer"}}
DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16)
MULTIPLES = np.array([1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0])
TRAINED_MULTIPLES, WIDTH, SAMPLES, DATASETS, INITS = np.array([10.0, 100.0]), 256, 200, 3, 4
# With biases a node is a point of the plane, and no ray: fewer depths, since each takes minutes.
SETTINGS = [
    *[("predicted", "critical", *rest) for rest in itertools.product(KINDS, DEPTHS)],
    *[("trained", "critical", *rest) for rest in itertools.product(KINDS, (2, 4))],
    *[("predicted", "common", kind, depth) for depth, kind in itertools.product((2, 4, 1, 16), KINDS)],
    *[("trained", "common", *rest) for rest in itertools.product(KINDS, (2, 4))],
]


def network(variances: str, kind: str, depth: int, width: int | None = None) -> ns.MLP:
    return ns.MLP(depth, "relu", width, *VARIANCES[variances], **KINDS[kind])


def learning_time(wide: ns.MLP) -> float:
    """1/lambda_max of the kernel on 200 points of the law."""
    latents = MODEL.sample(jax.random.key(0), 200).latents
    return 200 / float(np.linalg.eigvalsh(np.asarray(LawKernel(MODEL, wide)(latents).ntk))[-1])


def predict(variances: str, kind: str, depth: int) -> list[dict]:
    wide = network(variances, kind, depth)
    times = MULTIPLES * learning_time(wide)
    p = ns.predict_bias(MODEL, wide, ns.GradientFlow(times), method="population", tolerance=0.02)
    return [{"time": t, "bias": b, "learning_times": m} for t, b, m in zip(times, p.bias, MULTIPLES, strict=True)]


def train(variances: str, kind: str, depth: int) -> list[dict]:
    wide = network(variances, kind, depth)
    unit = learning_time(wide)
    # Half the learning time of the leading eigenfunction is a stable step; data sets' own differ.
    training = ns.GradientDescent(unit / 2, 2 * TRAINED_MULTIPLES)
    e = ns.train_ensemble(
        MODEL,
        network(variances, kind, depth, WIDTH),
        training,
        SAMPLES,
        DATASETS,
        INITS,
        key=jax.random.key(1),
        dtype="float32",
    )
    predicted = [
        ns.predict_bias(MODEL, wide, training, method="dataset", dataset=e.dataset(index)).bias for index in range(DATASETS)
    ]
    columns = (unit * TRAINED_MULTIPLES, e.mean_bias, e.standard_error, np.mean(predicted, axis=0), TRAINED_MULTIPLES)
    names = ("time", "bias", "error", "predicted", "learning_times")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def read() -> list[dict]:
    if not OUTPUT.exists():
        return []
    with OUTPUT.open() as file:
        return [
            {name: value if name in FIELDS[:3] else float(value or "nan") for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def table(records: list[dict]) -> str:
    """Predicted biases by depth after 30 learning times, then trained networks with their predictions."""
    lines = ["| variances | network | " + " | ".join(f"depth {depth}" for depth in DEPTHS) + " |"]
    lines.append("|---" * (2 + len(DEPTHS)) + "|")
    for variances, kind in itertools.product(VARIANCES, KINDS):
        cells = [_bias(records, variances, kind, depth, 30.0) for depth in DEPTHS]
        lines.append(f"| {variances} | {kind} | {' | '.join('' if b is None else f'{b:.2f}' for b in cells)} |")
    trained = [r for r in records if r["source"] == "trained"]
    lines += ["", "| variances | network | depth | learning times | trained | predicted |", "|---|---|---|---|---|---|"]
    for r in trained:
        where = f"| {r['variances']} | {r['kind']} | {r['depth']:.0f} | {r['learning_times']:.0f} "
        lines.append(f"{where}| {r['bias']:.2f} +- {r['error']:.2f} | {r['predicted']:.2f} |")
    if trained:
        gaps = np.abs([r["bias"] - r["predicted"] for r in trained])
        lines += ["", f"mean absolute difference {gaps.mean():.3f}, largest {gaps.max():.3f}, of {len(gaps)}"]
    return "\n".join(lines)


def _bias(records: list[dict], variances: str, kind: str, depth: int, multiple: float) -> float | None:
    key = ("predicted", variances, kind, float(depth), multiple)
    names = ("source", "variances", "kind", "depth", "learning_times")
    return next((r["bias"] for r in records if tuple(r[name] for name in names) == key), None)


def figures() -> dict[str, Figure]:
    """Bias against depth after 10 and 100 learning times; lines predicted, circles trained on samples, crosses their
    predictions."""
    records = read()
    drawing = Figure(figsize=(7.2, 4.8), dpi=150, layout="constrained")
    grid = drawing.subplots(2, 2, sharex=True, sharey=True)
    for (row, variances), (column, multiple) in itertools.product(enumerate(VARIANCES), enumerate(TRAINED_MULTIPLES)):
        axes = grid[row, column]
        for colour, kind in enumerate(KINDS):
            found = [(depth, _bias(records, variances, kind, depth, multiple)) for depth in DEPTHS]
            found = [pair for pair in found if pair[1] is not None]
            axes.plot(*np.array(found).reshape(-1, 2).T, ".-", color=f"C{colour}", label=kind)
            for r in records:
                if (r["source"], r["variances"], r["kind"], r["learning_times"]) == ("trained", variances, kind, multiple):
                    place = r["depth"] * 1.03 ** (colour - 1)
                    axes.errorbar(place, r["bias"], r["error"], fmt="o", ms=4, color=f"C{colour}", mfc="none")
                    axes.plot(place, r["predicted"], "x", ms=4, color=f"C{colour}")
        axes.set(xscale="log", title=f"{variances} variances, {multiple:.0f} learning times")
        axes.set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
        axes.minorticks_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("shortcut bias")
    for axes in grid[1]:
        axes.set_xlabel("depth")
    grid[0, 0].legend(frameon=False)
    return {"architectures": drawing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = parser.parse_args()
    done = {(r["source"], r["variances"], r["kind"], int(r["depth"])) for r in read()}
    began = time.monotonic()
    for setting in SETTINGS:
        if arguments.table or setting in done or time.monotonic() - began > 60 * arguments.minutes:
            continue
        source, *rest = setting
        start = time.monotonic()
        rows = (predict if source == "predicted" else train)(*rest)
        fixed = {**dict(zip(FIELDS, setting, strict=False)), "seconds": round(time.monotonic() - start, 1)}
        fresh = not OUTPUT.exists()
        with OUTPUT.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, restval="")
            if fresh:
                writer.writeheader()
            writer.writerows({**fixed, **{name: f"{value:.6g}" for name, value in row.items()}} for row in rows)
        print(*setting, [f"{row['bias']:.3f}" for row in rows], fixed["seconds"], flush=True)
    print(table(read()))


if __name__ == "__main__":
    main()
