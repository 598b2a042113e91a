"""Population flow, and the frozen kernel, against networks trained as the paper trains them.

    python benchmarks/population_flow.py [--output FILE] [--minutes 40] [--table] [--flow] [--minibatches]

Width 128, PyTorch's initialisation, SGD of batch 64 on 3200 samples, mean squared error at learning rate 0.01 (0.02 in the
1/(2N) convention; logistic loss 0.01), bias recorded after 1, 3, 10, 30 and 100 epochs; 20 seeds, each with a data set,
an embedding and an initialisation of its own, against 32 initialisations of the flow. One record per configuration,
written as it is finished; a second run goes on where the first stopped. `--table` prints the summary of the records and
runs nothing. `--flow` makes the flow of the records anew where it was another version's, and keeps their trained networks,
for a change of the flow alone. Such records have no part in the ratio of seconds, whose two sides are of one run.
A record also has the flow with the noise of 3200 samples in batches of 64, from the same initialisations; `--minibatches` adds
it where it is missing.
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
from ntk_shortcuts.experiments.comparison import read_lines
from ntk_shortcuts.plotting import Scatter, plot_agreement

RECORDS = pathlib.Path(__file__).parent / "results" / "population_flow.jsonl"
EPOCHS = np.array([1, 3, 10, 30, 100])
SEEDS, INITS, SAMPLES, BATCH = 10, 16, 3200, 64
# Of the flow's rules of nodes and solver; a record of an earlier one is not of this flow.
VERSION = 3
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
# Calls of ten seeds and sixteen initialisations; the first is timed with compilation, the second without. More where a bias
# was three standard errors off with two.
REPEATS = {("relu", 5, 0.85, 4.0, 1.0, "squared"): 8}
NAMES = ("activation", "depth", "predictivity", "ratio", "core", "loss")


def keys_of(configuration: tuple) -> list:
    """One key for the trained networks and one for the flow of every repeat."""
    return [jax.random.split(jax.random.key(repeat + 1)) for repeat in range(REPEATS.get(configuration, 2))]


def setting(activation: str, depth: int, predictivity: float, ratio: float, core: float, loss: str) -> tuple:
    """Data law, network and training rule of a configuration."""
    return (
        ns.GenerativeModel((predictivity, 0.9), (ratio * core, core)),
        ns.MLP(depth, activation, width=128, parameterization="standard", initialization="torch"),
        ns.GradientDescent(0.02 if loss == "squared" else 0.01, EPOCHS * (SAMPLES // BATCH)),
    )


def flow_entries(flows: list) -> dict:
    """The entries of a record that come from the runs of the flow."""
    return {
        "flow": np.mean([p.bias for p in flows], axis=0).tolist(),
        "flow_standard_error": (np.mean([p.bias_std for p in flows], axis=0) / np.sqrt(len(flows) * INITS)).tolist(),
        "diagnostics": flows[-1].diagnostics,
        "version": VERSION,
    }


def flow_anew(configuration: tuple) -> dict:
    """The flow of a configuration, with the keys of `measure`; the trained networks are those of the record."""
    model, network, descent = setting(*configuration)
    options = {"method": "population_flow", "num_inits": INITS, "loss": configuration[-1]}
    flows = [ns.predict_bias(model, network, descent, key=key, **options) for _, key in keys_of(configuration)]
    return {**flow_entries(flows), "trained_kept": True}


def flow_with_minibatches(configuration: tuple) -> dict:
    """The flow with the noise of minibatches, from the initialisations of the flow without."""
    model, network, descent = setting(*configuration)
    options = {
        "method": "population_flow",
        "num_inits": INITS,
        "loss": configuration[-1],
        "num_samples": SAMPLES,
        "batch_size": BATCH,
    }
    flows, seconds = [], []
    for _, key in keys_of(configuration):
        began = time.monotonic()
        flows.append(ns.predict_bias(model, network, descent, key=key, **options))
        seconds.append(time.monotonic() - began)
    found = flow_entries(flows)
    return {
        "minibatches": found["flow"],
        "minibatches_standard_error": found["flow_standard_error"],
        "minibatches_seconds": seconds[0],
        "minibatches_seconds_again": seconds[1],
    }


def measure(configuration: tuple) -> dict:
    """Trained, flow and frozen bias of one configuration, with their errors and seconds."""
    model, network, descent = setting(*configuration)
    loss = configuration[-1]
    trained, flows, seconds = [], [], []
    for keys in keys_of(configuration):
        began = time.monotonic()
        trained.append(ns.train_ensemble(model, network, descent, SAMPLES, SEEDS, 1, key=keys[0], batch_size=BATCH, loss=loss))
        trained_at = time.monotonic()
        flows.append(
            ns.predict_bias(model, network, descent, method="population_flow", key=keys[1], num_inits=INITS, loss=loss)
        )
        seconds.append((trained_at - began, time.monotonic() - trained_at))
    seeds = np.concatenate([e.bias[..., 0] for e in trained], axis=1)  # (times, seeds)
    record = {
        "trained": seeds.mean(1).tolist(),
        "trained_standard_error": (seeds.std(1, ddof=1) / np.sqrt(seeds.shape[1])).tolist(),
        **flow_entries(flows),
        "repeats": len(flows),
        "train_seconds": seconds[0][0],
        "flow_seconds": seconds[0][1],
        "train_seconds_again": seconds[1][0],
        "flow_seconds_again": seconds[1][1],
    }
    if loss == "squared":
        times = ns.GradientFlow(np.asarray(descent.learning_rate) * np.asarray(descent.steps))
        record["frozen"] = np.asarray(
            ns.predict_bias(model, network, times, method="population", check_laziness=False).bias
        ).tolist()
    return record


def summary(records: list[dict]) -> str:
    """A Markdown table of the biases, and the errors over all."""
    lines = [
        "| network | rho_s | ratio, alpha_c | loss | "
        "trained / flow with minibatches / flow / frozen kernel at 1, 3, 10, 30, 100 epochs |",
        "|---|---|---|---|---|",
    ]
    for r in records:
        columns = zip(*(r.get(name, [None] * 5) for name in ("trained", "minibatches", "flow", "frozen")), strict=True)
        cells = ", ".join("/".join("-" if b is None else f"{b:.2f}" for b in column) for column in columns)
        where = f"{r['predictivity']:g} | {r['ratio']:g}, {r['core']:g} | {r['loss']}"
        lines.append(f"| {r['activation']}, {r['depth']} | {where} | {cells} |")
    for loss in ("squared", "logistic"):
        chosen = [r for r in records if r["loss"] == loss]
        if not chosen:
            continue
        for name, words in (("flow", "flow"), ("minibatches", "flow with minibatches")):
            if not all(name in r for r in chosen):
                continue
            trained, flow = (np.array([r[n] for r in chosen]) for n in ("trained", name))
            errors = np.hypot(*(np.array([r[f"{n}_standard_error"] for r in chosen]) for n in ("trained", name)))
            gap = np.abs(flow - trained)
            r2 = 1 - np.sum(gap**2) / np.sum((trained - trained.mean()) ** 2)
            beyond = int(np.sum(gap > np.maximum(0.12, 3 * errors)))
            lines.append(
                f"\n{loss} loss, {len(chosen)} configurations x 5: mean absolute error of the {words} {gap.mean():.3f}, "
                f"worst {gap.max():.3f}, R^2 {r2:.4f}; {beyond} points beyond max(0.12, 3 standard errors); "
                f"mean standard error {errors.mean():.3f}."
            )
        if loss == "squared":
            frozen = np.abs(np.array([r["frozen"] for r in chosen]) - trained)
            lines.append(f"Frozen infinite-width kernel: mean absolute error {frozen.mean():.3f}, worst {frozen.max():.3f}.")
    records = [r for r in records if not r.get("trained_kept")]
    if not records:
        return "\n".join(lines)
    ratios = [np.array([r[f"train_seconds{x}"] / r[f"flow_seconds{x}"] for r in records]) for x in ("", "_again")]
    totals = [
        sum(r[f"train_seconds{x}"] for r in records) / sum(r[f"flow_seconds{x}"] for r in records) for x in ("", "_again")
    ]
    # Errors differ: a flow of as many initialisations as give the standard error of the trained mean.
    needed = [np.mean(np.square(r["flow_standard_error"])) / np.mean(np.square(r["trained_standard_error"])) for r in records]
    equal = ratios[1] / np.array(needed)
    # Compilation takes what it takes, whatever the number of initialisations.
    first, again = (np.array([r[f"flow_seconds{x}"] for r in records]) for x in ("", "_again"))
    shorter = np.array(needed) * again
    totals += [
        sum(r["train_seconds"] for r in records) / np.sum(np.maximum(first - again, 0) + shorter),
        sum(r["train_seconds_again"] for r in records) / np.sum(shorter),
    ]
    lines.append(
        f"Seconds of training over seconds of the flow, in all: {totals[0]:.2f} with compilation, {totals[1]:.2f} without "
        f"(by configuration {ratios[1].min():.2f} to {ratios[1].max():.2f}, median {np.median(ratios[1]):.2f}; at equal "
        f"standard errors {equal.min():.2f} to {equal.max():.2f}, median {np.median(equal):.2f}). At equal standard errors, in "
        f"all: {totals[2]:.2f} with compilation, {totals[3]:.2f} without."
    )
    return "\n".join(lines)


def figures() -> dict:
    """Trained networks against the frozen kernel, and against the flow with minibatches."""
    records = [record for record in read_lines(RECORDS) if record["loss"] == "squared"]
    trained, errors = (np.array([r[name] for r in records]).ravel() for name in ("trained", "trained_standard_error"))
    times = np.tile(EPOCHS, len(records))
    depths = np.repeat([r["depth"] for r in records], len(EPOCHS))
    titles = {"frozen": "frozen kernel", "minibatches": "population flow"}
    predicted = {name: np.array([r[name] for r in records]).ravel() for name in titles}
    panels = [Scatter(titles[name], predicted[name], trained, errors, times, depths) for name in titles]
    return {"finite_networks": plot_agreement(panels)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=RECORDS)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--flow", action="store_true", help="make the flow of the records anew, and nothing else")
    parser.add_argument("--minibatches", action="store_true", help="add the flow with minibatches, and nothing else")
    arguments = parser.parse_args()
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    records = [json.loads(line) for line in lines]
    began = time.monotonic()

    def late() -> bool:
        return time.monotonic() - began > 60 * arguments.minutes

    def write(entry: str, record: dict) -> None:
        # Whole or not at all: a run that is killed leaves the file as it was.
        written = arguments.output.with_suffix(".new")
        written.write_text("".join(json.dumps(r) + "\n" for r in records))
        written.replace(arguments.output)
        shown = [f"{a:.2f}/{b:.2f}" for a, b in zip(record["trained"], record[entry], strict=True)]
        print(*(record[name] for name in NAMES), *shown, flush=True)

    for record in records if arguments.flow or arguments.minibatches else []:
        there = record.get("version") == VERSION if arguments.flow else "minibatches" in record
        if there or late():
            continue
        configuration = tuple(record[name] for name in NAMES)
        record.update(flow_anew(configuration) if arguments.flow else flow_with_minibatches(configuration))
        write("flow" if arguments.flow else "minibatches", record)
    for configuration in CONFIGURATIONS:
        found = [r for r in records if tuple(r[name] for name in NAMES) == configuration]
        done = any(r.get("repeats", 2) >= REPEATS.get(configuration, 2) for r in found)
        if arguments.table or arguments.flow or arguments.minibatches or done or late():
            continue
        machine = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "jax": jax.__version__}
        measured = {**measure(configuration), **flow_with_minibatches(configuration)}
        record = {**dict(zip(NAMES, configuration, strict=True)), **measured, **machine}
        records = [r for r in records if r not in found] + [record]
        records.sort(key=lambda r: CONFIGURATIONS.index(tuple(r[name] for name in NAMES)))
        write("flow", record)
    print(summary(records))


if __name__ == "__main__":
    main()
