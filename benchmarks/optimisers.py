"""Adam and SGD with momentum at the sizes of Hermann et al. (2024): predicted by steps at nodes, beside trained networks.

    python benchmarks/optimisers.py [--minutes 12] [--epochs 30]   # goes on where it stopped
    python benchmarks/optimisers.py --table                        # prints the summary of what is there

One row of `results/optimisers.csv` per setting and epoch, written as the setting is finished: the shortcut bias predicted by
`population_flow(optimizer=...)` and of networks trained on sampled data, each with its standard error. Width 128, PyTorch's
initialisation, 3200 samples, batches of 64; Adam at 1e-3, SGD with momentum 0.9 at 0.01 on the mean squared error, that is 0.02
in the convention of the loss (1/(2N)) sum (f - y)^2.
"""

from __future__ import annotations

import argparse
import csv
import functools
import itertools
import pathlib
import time
from typing import Any

import jax
import numpy as np
import optax

import ntk_shortcuts as ns

RESULTS = pathlib.Path(__file__).parent / "results" / "optimisers.csv"
SAMPLES, BATCH, NETWORKS = 3200, 64, 8
EPOCHS = (1, 3, 10, 30, 100)
OPTIMIZERS = {"adam": (optax.adam, 1e-3), "momentum": (functools.partial(optax.sgd, momentum=0.9), 0.02)}
# Amplifications of shortcut and core.
AVAILABILITIES = ((4.0, 1.0), (0.8, 0.1), (1.0, 1.0))
SETTING = ("optimizer", "depth", "activation", "shortcut", "core")


def settings() -> list[tuple]:
    """By depth, activation and availability, both optimisers of each side by side."""
    kinds = itertools.product(AVAILABILITIES, ((1, "relu"), (1, "tanh"), (3, "relu"), (3, "tanh")), OPTIMIZERS)
    return [(optimizer, depth, activation, *amplification) for amplification, (depth, activation), optimizer in kinds]


def measure(setting: tuple, epochs: list[int]) -> list[dict]:
    optimizer, depth, activation, shortcut, core = setting
    make, rate = OPTIMIZERS[optimizer]
    model = ns.GenerativeModel((0.85, 0.9), (shortcut, core))
    network = ns.MLP(depth, activation, width=128, bias_variance=1.0, parameterization="standard", initialization="torch")
    training = ns.GradientDescent(rate, np.array(epochs) * (SAMPLES // BATCH))
    common: dict[str, Any] = {"optimizer": make, "batch_size": BATCH}
    began = time.monotonic()
    method = ns.PopulationFlow(key=jax.random.key(0), num_inits=NETWORKS, **common)
    predicted = ns.predict_bias(model, network, training, SAMPLES, method)
    seconds = time.monotonic() - began
    trained = ns.train_ensemble(
        model, network, training, SAMPLES, NETWORKS, 1, key=jax.random.key(1), dtype="float32", **common
    )
    found = {
        "predicted": predicted.bias,
        "predicted_error": np.asarray(predicted.bias_std) / np.sqrt(NETWORKS),
        "trained": trained.mean_bias,
        "trained_error": trained.standard_error,
    }
    named = dict(zip(SETTING, setting, strict=True))
    took = {"seconds": round(seconds, 1), "seconds_trained": round(time.monotonic() - began - seconds, 1)}
    numbers = ({name: round(float(values[i]), 4) for name, values in found.items()} for i in range(len(epochs)))
    return [{**named, "epoch": epoch, **row, **took} for epoch, row in zip(epochs, numbers, strict=True)]


def read() -> list[dict]:
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if text.isdigit() else number


def write(rows: list[dict]) -> None:
    """In place of what there was of the setting."""
    key = tuple(rows[0][name] for name in SETTING)
    kept = [row for row in read() if tuple(row[name] for name in SETTING) != key]
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        order = settings()
        writer.writerows(sorted([*kept, *rows], key=lambda row: (order.index(tuple(row[n] for n in SETTING)), row["epoch"])))


def table(rows: list[dict]) -> str:
    """The bias, predicted / trained, by setting and epoch."""
    lines = ["| optimiser | network | amplification | " + " | ".join(f"epoch {epoch}" for epoch in EPOCHS) + " |"]
    lines += ["| --- |" * 1 + " --- |" * (2 + len(EPOCHS))]
    for key in dict.fromkeys(tuple(row[name] for name in SETTING) for row in rows):
        of = {row["epoch"]: row for row in rows if tuple(row[name] for name in SETTING) == key}
        cells = [f"{of[e]['predicted']:.2f} / {of[e]['trained']:.2f}" if e in of else "" for e in EPOCHS]
        optimizer, depth, activation, shortcut, core = key
        lines.append(f"| {optimizer} | {activation}, {depth} | {shortcut:g}, {core:g} | " + " | ".join(cells) + " |")
    miss = np.array([row["predicted"] - row["trained"] for row in rows])
    error = np.array([np.hypot(row["predicted_error"], row["trained_error"]) for row in rows])
    if len(miss):
        lines += ["", f"{len(miss)} points: mean absolute difference {np.abs(miss).mean():.3f}, largest"]
        lines[-1] += f" {np.abs(miss).max():.3f}; mean standard error of the difference {error.mean():.3f}."
    return "\n".join(lines)


def figures() -> dict[str, Any]:
    """Bias over epochs, one panel a network and availability: lines predicted, markers trained."""
    from matplotlib.figure import Figure

    rows = read()
    panels = list(dict.fromkeys(tuple(row[name] for name in SETTING[1:]) for row in rows))
    columns = min(4, len(panels))
    panels = panels[: len(panels) // columns * columns]  # an availability whose networks are not all there waits
    drawing = Figure(figsize=(1.8 * columns + 0.4, 2.4 * -(-len(panels) // columns) + 0.3), dpi=150, layout="constrained")
    grid = drawing.subplots(-(-len(panels) // columns), columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        for optimizer, color in zip(OPTIMIZERS, ("C0", "C1"), strict=True):
            of = [row for row in rows if tuple(row[name] for name in SETTING) == (optimizer, *panel)]
            epochs = [row["epoch"] for row in of]
            axes.plot(epochs, [row["predicted"] for row in of], "-", color=color, label=f"{optimizer}, predicted")
            trained, error = ([row[name] for row in of] for name in ("trained", "trained_error"))
            axes.errorbar(
                epochs, trained, 2 * np.array(error), fmt="o", color=color, ms=4, mfc="none", label=f"{optimizer}, trained"
            )
        depth, activation, shortcut, core = panel
        axes.axhline(0, color="0.8", lw=0.8, zorder=0)
        axes.set_title(f"{activation}, depth {depth},\namplification {shortcut:g}, {core:g}", fontsize="small")
        axes.set(xscale="log", xlabel="epoch")
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("shortcut bias")
    grid[0, 0].legend(frameon=False, fontsize="x-small")
    return {"optimisers": drawing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--epochs", type=int, default=EPOCHS[-1], help="the last one recorded")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    began, epochs = time.monotonic(), [epoch for epoch in EPOCHS if epoch <= arguments.epochs]
    if not arguments.table:
        for setting in settings():
            there = {row["epoch"] for row in read() if tuple(row[name] for name in SETTING) == setting}
            if there >= set(epochs):
                continue
            if time.monotonic() - began > 60 * arguments.minutes:
                break
            rows = measure(setting, epochs)
            write(rows)
            print(*setting, rows[0]["seconds"], rows[0]["seconds_trained"], flush=True)
    print(table(read()))


if __name__ == "__main__":
    main()
