"""Population flow, and the frozen kernel, against networks trained as the paper trains them.

    python benchmarks/population_flow.py --output benchmarks/results/population_flow.jsonl [--minutes 40] [--table]

Width 128, PyTorch's initialisation, SGD of batch 64 on 3200 samples, mean squared error at learning rate 0.01 (0.02 in the
1/(2N) convention; logistic loss 0.01), bias recorded after 1, 3, 10, 30 and 100 epochs; 10 seeds, each with a data set,
an embedding and an initialisation of its own. One record per configuration, written as it is finished; a second run goes on
where the first stopped. Seconds include compilation. `--table` prints the summary of the records and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import time

import jax
import numpy as np

import ntk_shortcuts as ns

EPOCHS = np.array([1, 3, 10, 30, 100])
SEEDS, INITS, SAMPLES, BATCH = 10, 16, 3200, 64
# activation, depth, rho_s, ratio, alpha_c, loss; the cheap ones first, so that an interrupted run has some of each kind.
CONFIGURATIONS = [
    ("linear", 1, 0.85, 4.0, 1.0, "squared"),
    ("relu", 1, 0.85, 4.0, 1.0, "squared"),
    ("tanh", 1, 0.85, 4.0, 1.0, "squared"),
    ("relu", 1, 0.85, 8.0, 0.1, "squared"),
    ("relu", 1, 0.85, 4.0, 1.0, "logistic"),
    ("relu", 2, 0.85, 4.0, 1.0, "squared"),
    ("relu", 3, 0.85, 4.0, 1.0, "squared"),
    ("relu", 1, 0.6, 4.0, 1.0, "squared"),
    ("relu", 1, 0.7, 2.0, 1.0, "squared"),
    ("tanh", 1, 0.85, 4.0, 1.0, "logistic"),
    ("linear", 2, 0.85, 8.0, 0.3, "squared"),
    ("relu", 2, 0.85, 4.0, 0.3, "squared"),
    ("tanh", 2, 0.85, 4.0, 0.3, "squared"),
    ("relu", 2, 0.75, 8.0, 1.0, "logistic"),
    ("linear", 1, 0.85, 4.0, 1.0, "logistic"),
    ("relu", 3, 0.85, 4.0, 0.1, "squared"),
    ("relu", 3, 0.75, 2.0, 1.0, "squared"),
    ("tanh", 3, 0.85, 4.0, 1.0, "squared"),
    ("relu", 3, 0.85, 1.0, 1.0, "squared"),
    ("relu", 2, 0.85, 4.0, 1.0, "logistic"),
    ("relu", 1, 0.85, 8.0, 0.3, "logistic"),
    ("relu", 3, 0.85, 4.0, 1.0, "logistic"),
    ("tanh", 2, 0.7, 4.0, 1.0, "logistic"),
    ("linear", 3, 0.85, 4.0, 1.0, "squared"),
    ("tanh", 1, 0.7, 8.0, 1.0, "squared"),
    ("tanh", 2, 0.6, 2.0, 1.0, "squared"),
    ("relu", 2, 0.6, 8.0, 0.3, "squared"),
    ("relu", 2, 0.85, 1.0, 0.3, "squared"),
    ("relu", 5, 0.85, 4.0, 1.0, "squared"),
    ("tanh", 5, 0.85, 4.0, 1.0, "squared"),
    ("relu", 5, 0.75, 8.0, 0.3, "squared"),
    ("relu", 8, 0.85, 4.0, 1.0, "squared"),
    ("tanh", 8, 0.75, 4.0, 1.0, "squared"),
]


def measure(activation: str, depth: int, predictivity: float, ratio: float, core: float, loss: str) -> dict:
    """Trained, flow and frozen bias of one configuration, with their errors and seconds."""
    model = ns.GenerativeModel((predictivity, 0.9), (ratio * core, core))
    network = ns.MLP(depth, activation, width=128, parameterization="standard", initialization="torch")
    descent = ns.GradientDescent(0.02 if loss == "squared" else 0.01, EPOCHS * (SAMPLES // BATCH))
    began = time.monotonic()
    trained = ns.train_ensemble(model, network, descent, SAMPLES, SEEDS, 1, key=jax.random.key(1), batch_size=BATCH, loss=loss)
    trained_at = time.monotonic()
    flow = ns.predict_bias(model, network, descent, method="population_flow", key=jax.random.key(2), num_inits=INITS, loss=loss)
    flow_at = time.monotonic()
    record = {
        "trained": trained.mean_bias.tolist(),
        "trained_standard_error": trained.standard_error.tolist(),
        "flow": np.asarray(flow.bias).tolist(),
        "flow_standard_error": (np.asarray(flow.bias_std) / np.sqrt(INITS)).tolist(),
        "diagnostics": flow.diagnostics,
        "train_seconds": trained_at - began,
        "flow_seconds": flow_at - trained_at,
    }
    if loss == "squared":
        times = ns.GradientFlow(np.asarray(descent.learning_rate) * np.asarray(descent.steps))
        record["frozen"] = np.asarray(ns.predict_bias(model, network, times, method="population").bias).tolist()
    return record


def summary(records: list[dict]) -> str:
    """A Markdown table of the biases, and the errors over all."""
    lines = [
        "| network | rho_s | ratio, alpha_c | loss | trained / flow / frozen kernel at 1, 3, 10, 30, 100 epochs |",
        "|---|---|---|---|---|",
    ]
    for r in records:
        columns = zip(r["trained"], r["flow"], r.get("frozen", [None] * 5), strict=True)
        cells = ", ".join(f"{a:.2f}/{b:.2f}/" + ("-" if c is None else f"{c:.2f}") for a, b, c in columns)
        where = f"{r['predictivity']:g} | {r['ratio']:g}, {r['core']:g} | {r['loss']}"
        lines.append(f"| {r['activation']}, {r['depth']} | {where} | {cells} |")
    for loss in ("squared", "logistic"):
        chosen = [r for r in records if r["loss"] == loss]
        if not chosen:
            continue
        trained, flow = (np.array([r[name] for r in chosen]) for name in ("trained", "flow"))
        errors = np.hypot(*(np.array([r[f"{name}_standard_error"] for r in chosen]) for name in ("trained", "flow")))
        gap = np.abs(flow - trained)
        r2 = 1 - np.sum(gap**2) / np.sum((trained - trained.mean()) ** 2)
        beyond = int(np.sum(gap > np.maximum(0.12, 3 * errors)))
        lines.append(
            f"\n{loss} loss, {len(chosen)} configurations x 5: mean absolute error of the flow {gap.mean():.3f}, "
            f"worst {gap.max():.3f}, R^2 {r2:.4f}; {beyond} points beyond max(0.12, 3 standard errors); "
            f"mean standard error {errors.mean():.3f}."
        )
        if loss == "squared":
            frozen = np.abs(np.array([r["frozen"] for r in chosen]) - trained)
            lines.append(f"Frozen infinite-width kernel: mean absolute error {frozen.mean():.3f}, worst {frozen.max():.3f}.")
    ratio = sum(r["train_seconds"] for r in records) / sum(r["flow_seconds"] for r in records)
    lines.append(f"Seconds of training over seconds of the flow, all configurations, compilation included: {ratio:.2f}.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent / "results/population_flow.jsonl")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    records = [json.loads(line) for line in lines]
    names = ("activation", "depth", "predictivity", "ratio", "core", "loss")
    done = {tuple(r[name] for name in names) for r in records}
    began = time.monotonic()
    for configuration in CONFIGURATIONS:
        if arguments.table or configuration in done or time.monotonic() - began > 60 * arguments.minutes:
            continue
        machine = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "jax": jax.__version__}
        record = {**dict(zip(names, configuration, strict=True)), **measure(*configuration), **machine}
        with arguments.output.open("a") as file:
            file.write(json.dumps(record) + "\n")
        records.append(record)
        print(configuration, [f"{a:.2f}/{b:.2f}" for a, b in zip(record["trained"], record["flow"], strict=True)], flush=True)
    print(summary(records))


if __name__ == "__main__":
    main()
