"""The synthetic experiments of Hermann et al. (arXiv 2310.16228), with the predictions at the same times.

    python benchmarks/paper_experiments.py [--minutes 40] [--stage train|predict|average] [--table]
        [--figures docs/figures]

Width 128, PyTorch's initialisation and standard parameterisation, SGD of batch 64 on 3200 samples for 100 epochs, mean
squared error at learning rate 0.01 (0.02 in the 1/(2N) convention), 1000 validation samples; 5 seeds, each with a data set, an
embedding and an initialisation of its own. All configurations share the seeds, so that differences between them are
paired. The best-validation checkpoint is the first recorded epoch of highest validation accuracy.

Stage "train" trains; "predict" adds, for each trained configuration, the frozen infinite-width kernel on the population at the
same learning rate x steps; "average" adds, for some, the frozen kernel averaged over data sets of the same size. One record per
configuration and stage, written as it is finished; another run goes on where the last one stopped. The population flow of the
base setting is in population_flow.jsonl, of benchmarks/population_flow.py. `--table` and `--figures` run nothing.
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
from matplotlib import colormaps
from matplotlib.figure import Figure

import ntk_shortcuts as ns
from ntk_shortcuts.experiments.comparison import read_lines
from ntk_shortcuts.plotting import BIAS_LABEL, PREDICTIVITY_LABEL, RATIO_LABEL

RECORDS = pathlib.Path(__file__).parent / "results/paper_experiments.jsonl"
EPOCHS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100])
AVERAGED_EPOCHS = np.array([1, 3, 10, 30, 100])
SEEDS, SAMPLES, VALIDATION, BATCH, RATE = 5, 3200, 1000, 64, 0.02
RATIOS = (1.0, 2.0, 4.0, 8.0)
SHALLOW = [("linear", 1), ("relu", 1), ("tanh", 1)]
MIDDLE = [("relu", 2), ("relu", 3), ("tanh", 3)]
DEEP = [("relu", 5), ("relu", 8), ("tanh", 8)]
# Network, rho_s, alpha_c; each with all ratios. The quick and the base setting first.
LOOPS = [
    *((network, 0.85, 1.0) for network in SHALLOW + MIDDLE + DEEP),
    *((network, rho, 1.0) for rho in (0.6, 0.7, 0.8, 0.9) for network in SHALLOW),
    *((network, rho, 0.1) for rho in (0.85, 0.7, 0.9) for network in SHALLOW),
    *((network, 0.85, 0.1) for network in MIDDLE),
    *((("relu", 3), rho, 1.0) for rho in (0.9, 0.8, 0.7, 0.6)),
    *((network, 0.85, 0.1) for network in DEEP),
]
NAMES = ("activation", "depth", "predictivity", "core", "ratio")


def law(record: dict) -> ns.GenerativeModel:
    return ns.GenerativeModel((record["predictivity"], 0.9), (record["ratio"] * record["core"], record["core"]))


def finite(record: dict) -> ns.MLP:
    return ns.MLP(record["depth"], record["activation"], width=128, parameterization="standard", initialization="torch")


def train(configurations: list[dict]) -> list[dict]:
    """Configurations of one network, trained in one loop."""
    began = time.monotonic()
    descent = ns.GradientDescent(RATE, EPOCHS * (SAMPLES // BATCH))
    laws = [law(c) for c in configurations]
    key = jax.random.key(20)
    ensembles = ns.experiments.train_ensembles(
        *(laws, finite(configurations[0]), descent, SAMPLES, SEEDS),
        key=key,
        batch_size=BATCH,
        num_validation=VALIDATION,
    )
    seconds = (time.monotonic() - began) / len(configurations)
    records = []
    for configuration, ensemble in zip(configurations, ensembles, strict=True):
        best = ensemble.at_best_validation()
        found = {
            "bias": np.asarray(ensemble.bias)[..., 0].T,  # (seeds, epochs)
            "validation_accuracy": np.asarray(ensemble.validation_accuracy).mean(axis=(1, 2)),
            "train_loss": np.asarray(ensemble.train_loss).mean(axis=(1, 2)),
            "best_bias": np.asarray(best.bias)[:, 0],
            "best_accuracy": np.asarray(best.validation_accuracy)[:, 0],
        }
        rounded = {name: np.round(np.asarray(value, np.float64), 4).tolist() for name, value in found.items()}
        epochs = (np.asarray(best.steps)[:, 0] // (SAMPLES // BATCH)).tolist()
        records.append({**configuration, "stage": "train", **rounded, "best_epoch": epochs, "seconds": round(seconds, 2)})
    return records


def predict(record: dict) -> dict:
    """Frozen infinite-width kernel on the population."""
    began = time.monotonic()
    times = ns.GradientFlow(RATE * (SAMPLES // BATCH) * EPOCHS)
    frozen = ns.predict_bias(law(record), finite(record), times, method="population", check_laziness=False)
    return {"frozen": np.round(frozen.bias, 4).tolist(), "seconds": round(time.monotonic() - began, 2)}


def average(record: dict) -> dict:
    """Frozen kernel averaged over data sets of the same size, at fewer epochs."""
    began = time.monotonic()
    times = ns.GradientFlow(RATE * (SAMPLES // BATCH) * AVERAGED_EPOCHS)
    averaged = ns.predict_bias(law(record), finite(record), times, SAMPLES, check_laziness=False)
    return {"averaged": np.round(averaged.bias, 4).tolist(), "seconds": round(time.monotonic() - began, 2)}


def merged(records: list[dict]) -> list[dict]:
    """One record per configuration, with what each stage found."""
    found: dict[tuple, dict] = {}
    for record in records:
        found.setdefault(configuration_of(record), {}).update(
            {k: v for k, v in record.items() if k not in ("stage", "seconds")}
        )
    trained = [{**r, "frozen_epochs": EPOCHS} for r in found.values() if "best_bias" in r]
    # Where the frozen kernel was not asked for at all epochs, the records of the flow have it at five.
    lines = (pathlib.Path(__file__).parent / "results/population_flow.jsonl").read_text().splitlines()
    few = {configuration_of(r): r["frozen"] for r in map(json.loads, lines) if r["loss"] == "squared"}
    for record in trained:
        if "frozen" not in record and configuration_of(record) in few:
            record |= {"frozen": few[configuration_of(record)], "frozen_epochs": AVERAGED_EPOCHS}
    return trained


def mean_and_error(values: list) -> tuple[np.ndarray, np.ndarray]:
    """Over seeds, the first axis."""
    array = np.asarray(values)
    return array.mean(axis=0), array.std(axis=0, ddof=1) / np.sqrt(array.shape[0])


def table(records: list[dict]) -> str:
    """Markdown: best-validation bias, and trained / frozen bias over epochs."""
    shown = [int(np.flatnonzero(epoch == EPOCHS)[0]) for epoch in AVERAGED_EPOCHS]
    lines = [
        "| network | rho_s | ratio, alpha_c | best validation: bias, epochs | trained / frozen at "
        f"{', '.join(map(str, AVERAGED_EPOCHS))} epochs |",
        "|---|---|---|---|---|",
    ]
    for r in merged(records):
        best, error = mean_and_error(r["best_bias"])
        trained, _ = mean_and_error(r["bias"])
        cells = []
        for place in shown:
            frozen = dict(zip(r["frozen_epochs"], r.get("frozen", ()), strict=False)).get(EPOCHS[place])
            cells.append(f"{trained[place]:.2f}/" + ("-" if frozen is None else f"{frozen:.2f}"))
        epochs = f"{min(r['best_epoch'])} to {max(r['best_epoch'])}"
        where = f"{r['predictivity']:g} | {r['ratio']:g}, {r['core']:g} | {best:.2f} +- {error:.2f}, {epochs}"
        lines.append(f"| {r['activation']}, {r['depth']} | {where} | {', '.join(cells)} |")
    return "\n".join(lines)


def release_table(records: list[dict], level: float = 0.5) -> str:
    """Markdown: epoch from which the mean bias stays below a level, at rho_s = 0.85: trained / frozen kernel."""

    def epoch(bias: np.ndarray, epochs: np.ndarray) -> str:
        above = np.flatnonzero(bias > level)
        if not len(above):
            return "1"
        if above[-1] == len(epochs) - 1:
            return "> 100"
        after, before = epochs[above[-1] + 1], epochs[above[-1]]
        return str(after) if len(epochs) == len(EPOCHS) else f"{before} to {after}"

    lines = [f"| network | alpha_c | {' | '.join(f'ratio {ratio:g}' for ratio in RATIOS)} |", "|---|---|---|---|---|---|"]
    for core in (1.0, 0.1):
        for network in SHALLOW + MIDDLE + DEEP:
            found = {r["ratio"]: r for r in merged(records) if _place(r) == (*network, 0.85, core)}
            if found:
                cells = [
                    epoch(np.mean(r["bias"], axis=0), EPOCHS)
                    + " / "
                    + (epoch(np.array(r["frozen"]), r["frozen_epochs"]) if "frozen" in r else "-")
                    for r in (found[ratio] for ratio in RATIOS)
                ]
                lines.append(f"| {network[0]}, {network[1]} | {core:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def checkpoint_table(records: list[dict]) -> str:
    """Markdown: bias at the best-validation checkpoint and at the end, over ratios at rho_s = 0.85, and against linear."""
    lines = [
        "| network | alpha_c | best validation | its epochs, median | epoch 100 | best validation minus linear |",
        "|---|---|---|---|---|---|",
    ]
    for core in (1.0, 0.1):
        linear = None
        for network in SHALLOW + MIDDLE + DEEP:
            chosen = [r for r in merged(records) if _place(r) == (*network, 0.85, core)]
            if not chosen:
                continue
            chosen = sorted(chosen, key=lambda r: r["ratio"])
            best = np.mean([r["best_bias"] for r in chosen], axis=0)  # (seeds,)
            last = np.mean([np.array(r["bias"])[:, -1] for r in chosen], axis=0)
            linear = best if linear is None else linear
            shown = [mean_and_error(best), mean_and_error(last), mean_and_error(best - linear)]
            cells = [f"{mean:.2f} +- {error:.2f}" for mean, error in shown]
            epochs = f"{np.median([r['best_epoch'] for r in chosen]):.0f}"
            row = [f"{network[0]}, {network[1]}", f"{core:g}", cells[0], epochs, cells[1]]
            lines.append(f"| {' | '.join(row)} | {'-' if network == SHALLOW[0] else cells[2]} |")
    return "\n".join(lines)


def _place(record: dict) -> tuple:
    return *_network(record), record["predictivity"], record["core"]


def figures() -> dict[str, Figure]:
    """Of the records there are."""
    records = read_lines(RECORDS)
    return {"paper_experiments_time": figure_over_time(records), "paper_experiments_map": figure_map(records)}


def figure_over_time(records: list[dict], ratio: float = 4.0) -> Figure:
    """Bias over epochs by depth, trained and frozen, at rho_s = 0.85."""
    figure = Figure(figsize=(10.6, 7.0), dpi=80, layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    shades = dict(zip((1, 2, 3, 5, 8), colormaps["viridis"](np.linspace(0.85, 0.0, 5)), strict=True))
    markers = dict(zip((1, 2, 3, 5, 8), "sD^vo", strict=True))
    chosen = sorted(merged(records), key=lambda r: r["depth"])
    chosen = [r for r in chosen if (r["predictivity"], r["ratio"]) == (0.85, ratio)]
    for row, core in zip(panels, (1.0, 0.1), strict=True):
        for axes, activation in zip(row, ("relu", "tanh"), strict=True):
            axes.axhline(0.0, color="0.6", linewidth=0.8)
            for r in chosen:
                if r["core"] != core or r["activation"] not in ("linear", activation):
                    continue
                linear = r["activation"] == "linear"
                colour = "black" if linear else shades[r["depth"]]
                mean, error = mean_and_error(r["bias"])
                label = "linear, depth 1" if linear else f"depth {r['depth']}"
                axes.plot(EPOCHS, mean, color=colour, marker="x" if linear else markers[r["depth"]], markersize=4, label=label)
                axes.fill_between(EPOCHS, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
                if "frozen" in r:
                    axes.plot(r["frozen_epochs"], r["frozen"], "--", color=colour, linewidth=1)
            name = {"relu": "ReLU", "tanh": "tanh"}[activation]
            axes.set(xscale="log", title=rf"{name}, $\alpha_c={core:g}$")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid(alpha=0.25)
    lines = {line.get_label(): line for axes in panels.flat for line in axes.lines if not line.get_label().startswith("_")}
    figure.legend(lines.values(), lines, loc="outside right center", frameon=False)
    for axes in panels[-1]:
        axes.set_xlabel("epochs of 50 steps")
    for axes in panels[:, 0]:
        axes.set_ylabel(BIAS_LABEL)
    figure.suptitle(
        rf"$\rho_s=0.85$, ratio {ratio:g}: trained (solid, $\pm$ 1 standard error), frozen infinite-width kernel (dashed)",
        fontsize="medium",
    )
    return figure


def figure_map(records: list[dict]) -> Figure:
    """Bias over predictivity and ratio at alpha_c = 1, after 3 epochs and at the best-validation checkpoint."""
    chosen = [r for r in merged(records) if r["core"] == 1.0]
    networks = [n for n in (*SHALLOW, ("relu", 3)) if len({r["predictivity"] for r in chosen if _network(r) == n}) > 1]
    figure = Figure(figsize=(2.9 * len(networks) + 1.0, 6.2), dpi=95, layout="constrained")
    panels = figure.subplots(2, len(networks), sharex=True, sharey=True, squeeze=False)
    predictivities = sorted({r["predictivity"] for r in chosen})
    third = int(np.flatnonzero(EPOCHS == 3)[0])
    for column, network in zip(panels.T, networks, strict=True):
        mine = [r for r in chosen if _network(r) == network]
        for axes, when in zip(column, ("after 3 epochs", "best validation"), strict=True):
            values = np.full((len(predictivities), len(RATIOS)), np.nan)
            for r in mine:
                bias = np.mean(r["best_bias"]) if when == "best validation" else np.mean(r["bias"], axis=0)[third]
                values[predictivities.index(r["predictivity"]), RATIOS.index(r["ratio"])] = bias
            mesh = axes.imshow(values, origin="lower", cmap="RdBu_r", vmin=-1.8, vmax=1.8, aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                if np.isfinite(value):
                    colour = "white" if abs(value) > 1.2 else "black"
                    axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
            axes.set_xticks(range(len(RATIOS)), [f"{ratio:g}" for ratio in RATIOS])
            axes.set_yticks(range(len(predictivities)), [f"{rho:g}" for rho in predictivities])
            axes.set_title(f"{network[0]}, depth {network[1]}: {when}", fontsize="small")
        column[-1].set_xlabel(RATIO_LABEL)
    for axes in panels[:, 0]:
        axes.set_ylabel(PREDICTIVITY_LABEL)
    figure.colorbar(mesh, ax=panels, label=BIAS_LABEL, shrink=0.7)
    return figure


def _network(record: dict) -> tuple[str, int]:
    return record["activation"], record["depth"]


def configuration_of(record: dict) -> tuple:
    return tuple(record[name] for name in NAMES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=RECORDS)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--stage", choices=("train", "predict", "average"), default="train")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    records = read_lines(arguments.output)
    if arguments.table:
        print(*(show(records) for show in (table, release_table, checkpoint_table)), sep="\n\n")
        return
    done = {configuration_of(r) for r in records if r["stage"] == arguments.stage}
    machine = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "jax": jax.__version__}
    machine |= {"ntk_shortcuts": ns.__version__, "date": time.strftime("%Y-%m-%d")}
    stop = time.monotonic() + 60 * arguments.minutes

    def write(new: list[dict]) -> None:
        with arguments.output.open("a") as file:
            file.writelines(json.dumps({**record, **machine}) + "\n" for record in new)

    if arguments.stage == "train":
        for network, rho, core in LOOPS:
            loop = [dict(zip(NAMES, (*network, rho, core, ratio), strict=True)) for ratio in RATIOS]
            loop = [c for c in loop if configuration_of(c) not in done]
            if loop and time.monotonic() < stop:
                write(train(loop))
                print(network, rho, core, flush=True)
        return
    stage = {"predict": predict, "average": average}[arguments.stage]
    # The base setting first, then its other ratios, then the maps.
    trained = sorted(
        (r for r in records if r["stage"] == "train"), key=lambda r: (r["predictivity"] != 0.85, r["ratio"] != 4, r["depth"])
    )
    for record in trained:
        base = (record["predictivity"], record["core"], record["ratio"], record["depth"]) == (0.85, 1.0, 4.0, 1)
        wanted = arguments.stage == "predict" or base
        if wanted and configuration_of(record) not in done and time.monotonic() < stop:
            configuration = {name: record[name] for name in NAMES}
            found = {**configuration, "stage": arguments.stage, **stage(record)}
            write([found])
            print(*configuration.values(), f"{found['seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
