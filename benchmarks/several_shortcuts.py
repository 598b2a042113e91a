"""Do two shortcuts add up? Biases towards both, predicted and trained, as the second becomes more available.

    python benchmarks/several_shortcuts.py

trains what `benchmarks/results/several_shortcuts.csv` does not hold, and predicts it. `ntk-shortcuts derive --all` draws it.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import jax
import numpy as np
import records
from matplotlib.figure import Figure

import ntk_shortcuts as ns

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "benchmarks" / "results" / "several_shortcuts.csv"
COLUMNS = ["amplification", "predicted_0", "predicted_1", "trained_0", "trained_1", "error_0", "error_1"]
AMPLIFICATIONS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
NUM_SAMPLES, TIME, DATASETS = 300, 30, 100


def law(amplification: float) -> ns.GaussianFeatures:
    """Two shortcuts of predictivity 0.85 and a core of 0.9; the first is amplified twice."""
    return ns.GaussianFeatures((0.85, 0.85, 0.9), (2.0, amplification, 1.0), correlation=0.4)


def measured(amplification: float) -> dict[str, float]:
    """Biases towards both shortcuts: of the average, and of networks of width 512 on 100 data sets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)
        descent = ns.GradientDescent(1.0, TIME)
        predicted = ns.predict(law(amplification), ns.MLP(1), descent, num_samples=NUM_SAMPLES, tolerance=5e-3)
    key = jax.random.key(0)
    trained = ns.train_ensemble(law(amplification), ns.MLP(1, width=512), descent, NUM_SAMPLES, DATASETS, 1, key=key)
    numbers = (predicted.bias, trained.mean_bias, trained.bias_standard_error)
    return dict(zip(COLUMNS, [amplification, *np.ravel([np.asarray(part) for part in numbers]).round(5).tolist()], strict=True))


def interaction(rows: list[dict[str, float]]) -> Figure:
    """Biases against the availability of the second shortcut."""
    drawing = Figure(figsize=(5.2, 3.3), dpi=150, layout="constrained")
    axes = drawing.subplots()
    at = [row["amplification"] for row in rows]
    for i, name in ((0, "first shortcut, amplified 2 times"), (1, "second shortcut")):
        axes.plot(at, [row[f"predicted_{i}"] for row in rows], color=f"C{i}", label=name)
        points, errors = ([row[f"{kind}_{i}"] for row in rows] for kind in ("trained", "error"))
        axes.errorbar(at, points, errors, fmt="o", color=f"C{i}", ms=4, capsize=2)
    axes.axhline(0, color="0.7", lw=0.8, zorder=0)
    axes.set(xscale="log", xlabel="amplification of the second shortcut", ylabel="shortcut bias")
    axes.set_xticks(AMPLIFICATIONS, [f"{value:g}" for value in AMPLIFICATIONS])
    axes.minorticks_off()
    axes.legend(loc="center left", frameon=False, fontsize="small")
    return drawing


def read() -> list[dict[str, float]]:
    return records.read(OUTPUT)


def figures() -> dict[str, Figure]:
    return {"several_shortcuts": interaction(read())}


def main() -> None:
    rows = read()
    for amplification in AMPLIFICATIONS:
        if amplification not in {row["amplification"] for row in rows}:
            rows = sorted([*rows, measured(amplification)], key=lambda row: row["amplification"])
            print(amplification, flush=True)
            records.write(OUTPUT, rows, COLUMNS)


if __name__ == "__main__":
    main()
