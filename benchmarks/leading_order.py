"""Closed forms of leading order against the exact infinite-data bias, over amplification ratio and training time.

    python benchmarks/leading_order.py

Init-averaged output, rho = (0.85, 0.90), correlation 0.6, gradient flow. `quadratic` replaces the kernel by a quadratic
polynomial of the inner product, `short_time` the filter by its first two terms. Prints a table of the errors by time, of the
diagnostics that state the validity, and of what becomes of two findings: that the bias grows with the ratio, and that it
outlives training.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib

import numpy as np
from matplotlib.figure import Figure

import ntk_shortcuts as ns

RECORDS = pathlib.Path(__file__).parent / "results/leading_order.json"
NETWORKS = {
    "ReLU, depth 1, biases": lambda: ns.MLP(1, bias_variance=0.1),
    "ReLU, depth 3": lambda: ns.MLP(3),
    "tanh, depth 1": lambda: ns.MLP(1, "tanh"),
    "erf, depth 1": lambda: ns.MLP(1, "erf"),
}
RATIOS = np.geomspace(0.5, 8.0, 9)
TIMES = np.geomspace(0.3, 3000.0, 17)
BANDS = ((0, 1), (1, 10), (10, 100), (100, 1000), (1000, 1e9))


def measure(name: str) -> dict:
    network, training = NETWORKS[name](), ns.GradientFlow(TIMES)
    record: dict = {"exact": [], "quadratic": [], "short_time": [], "kernel_error": [], "largest_eigenvalue": []}
    for ratio in RATIOS:
        model = ns.GenerativeModel((0.85, 0.90), (float(ratio), 1.0))
        exact = ns.predict_bias(model, network, training, random_init=False)
        record["exact"].append(np.asarray(exact.bias).tolist())
        record["largest_eigenvalue"].append(exact.diagnostics["largest_eigenvalue"])
        for regime in ("quadratic", "short_time"):
            found = ns.predict_bias(model, network, training, method="leading_order", regime=regime, random_init=False)
            record[regime].append(np.asarray(found.bias).tolist())
            if regime == "quadratic":
                record["kernel_error"].append(found.diagnostics["kernel_error"])
    return record


def table(records: dict[str, dict]) -> str:
    bands = [f"t <= {BANDS[0][1]:g}", *(f"{low:g} < t <= {high:g}" for low, high in BANDS[1:-1]), f"t > {BANDS[-1][0]:g}"]
    lines = [
        "| network | form | kernel error | " + " | ".join(bands) + " |",
        "| " + " | ".join(["---"] * (3 + len(bands))) + " |",
    ]
    for name, r in records.items():
        exact = np.array(r["exact"])
        error = f"{min(r['kernel_error']):.2f} to {max(r['kernel_error']):.2f}"
        for form in ("quadratic", "short_time"):
            gap = np.abs(np.array(r[form]) - exact)
            cells = []
            for low, high in BANDS:
                part = gap[:, (TIMES > low) & (TIMES <= high)]
                cells.append(f"{part.mean():.3f}, {part.max():.2f}")
            lines.append(f"| {name} | {form} | {error if form == 'quadratic' else ''} | " + " | ".join(cells) + " |")
    lines += ["", "Short time, by the expansion parameter t lambda_max: mean absolute error, worst", ""]
    edges = (0, 0.3, 1, 3, np.inf)
    lines += ["| network | " + " | ".join(f"{a:g} to {b:g}" for a, b in itertools.pairwise(edges)) + " |"]
    lines += ["| " + " | ".join(["---"] * len(edges)) + " |"]
    for name, r in records.items():
        parameter = np.array(r["largest_eigenvalue"])[:, None] * TIMES
        gap = np.abs(np.array(r["short_time"]) - np.array(r["exact"]))
        cells = []
        for low, high in itertools.pairwise(edges):
            part = gap[(parameter > low) & (parameter <= high)]
            cells.append(f"{part.mean():.3f}, {part.max():.2f}" if part.size else "none")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "Findings: bias at ratio 1, 8 at t near 3, 30, 300, 3000; exact / quadratic", ""]
    for name, r in records.items():
        exact, quadratic = np.array(r["exact"]), np.array(r["quadratic"])
        at = [int(np.argmin(np.abs(np.log(TIMES / t)))) for t in (3, 30, 300, 3000)]
        cells = [f"{exact[i, j]:.3f} / {quadratic[i, j]:.3f}" for i in (2, 8) for j in at]
        rises = [f"{np.min(np.diff(m, axis=0)[2:]):.3f}" for m in (exact, quadratic)]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | least step with the ratio above 1: {' / '.join(rises)} |")
    return "\n".join(lines)


def figures() -> dict[str, Figure]:
    """Of the records there are."""
    records = json.loads(RECORDS.read_text())
    figure = Figure(figsize=(9.5, 8.2), dpi=105, layout="constrained")
    axes = figure.subplots(len(records), 4, sharex=True, sharey=True)
    titles = ("exact bias", "quadratic kernel", "quadratic - exact", "short time - exact")
    for row, (name, r) in zip(axes, records.items(), strict=True):
        exact, quadratic, short = (np.array(r[form]) for form in ("exact", "quadratic", "short_time"))
        for column, (axis, values) in enumerate(zip(row, (exact, quadratic, quadratic - exact, short - exact), strict=True)):
            options = {"cmap": "viridis", "vmin": -0.5, "vmax": 2} if column < 2 else {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
            mesh = axis.pcolormesh(TIMES, RATIOS, values, shading="nearest", rasterized=True, **options)
            axis.set(xscale="log", yscale="log")
            axis.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
            axis.minorticks_off()
            if column % 2:
                figure.colorbar(mesh, ax=axis, label="bias" if column == 1 else "difference", pad=0.02)
        row[3].plot(1 / np.array(r["largest_eigenvalue"]), RATIOS, color="black", lw=1.2)
        row[0].set_ylabel(f"{name}\nratio $\\alpha_s/\\alpha_c$", fontsize=9)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("time t")
    return {"leading_order": figure}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=pathlib.Path, default=RECORDS)
    arguments = parser.parse_args()
    records = json.loads(arguments.records.read_text()) if arguments.records.exists() else {}
    for name in NETWORKS:
        if name in records:
            continue
        records[name] = measure(name)
        print(name, "done", flush=True)
        arguments.records.write_text(json.dumps(records) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()
