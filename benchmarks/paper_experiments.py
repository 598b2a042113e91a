"""The synthetic experiments of Hermann et al. (arXiv 2310.16228), with the predictions at the same times.

    python benchmarks/paper_experiments.py [--minutes 40] [--stage train|predict|average] [--table] [--figures docs/figures]

Width 128, PyTorch's initialisation and standard parameterisation, SGD of batch 64 on 3200 samples for 100 epochs, mean
squared error at learning rate 0.01 (0.02 in the 1/(2N) convention), 1000 validation samples; 5 seeds, each with a data set, an
embedding and an initialisation of its own. All configurations share the seeds, so that differences between them are
paired. The best-validation checkpoint is the first recorded epoch of highest validation accuracy.

Stage "train" trains; "predict" adds, for each trained configuration, the frozen infinite-width kernel on the population at the
same learning rate x steps, and at depth 1 and for rho_s = 0.85 the population flow; "average" adds, for some, the frozen kernel
averaged over data sets of the same size. One record per configuration and stage, written as it is finished; another run
goes on where the last one stopped. `--table` and `--figures` run nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import time
import warnings

import jax
import numpy as np

import ntk_shortcuts as ns

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
    *((("relu", 3), rho, 1.0) for rho in (0.7, 0.6, 0.8, 0.9)),
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
    ensembles = ns.train_ensembles(
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
    """Frozen kernel, and the flow where it is cheap."""
    began = time.monotonic()
    times = ns.GradientFlow(RATE * (SAMPLES // BATCH) * EPOCHS)
    frozen = ns.predict_bias(law(record), finite(record), times, method="population")
    found = {"frozen": np.round(frozen.bias, 4).tolist()}
    if record["depth"] == 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)  # its size is in the record
            flow = ns.predict_bias(
                law(record), finite(record), times, method="population_flow", key=jax.random.key(3), num_inits=16
            )
        found |= {"flow": np.round(flow.bias, 4).tolist(), "flow_std": np.round(flow.bias_std, 4).tolist()}
        found["flow_error"] = float(flow.diagnostics["discretization_error"])
    return {**found, "seconds": round(time.monotonic() - began, 2)}


def average(record: dict) -> dict:
    """Frozen kernel averaged over data sets of the same size, at fewer epochs."""
    began = time.monotonic()
    times = ns.GradientFlow(RATE * (SAMPLES // BATCH) * AVERAGED_EPOCHS)
    averaged = ns.predict_bias(law(record), finite(record), times, SAMPLES)
    return {"averaged": np.round(averaged.bias, 4).tolist(), "seconds": round(time.monotonic() - began, 2)}


def configuration_of(record: dict) -> tuple:
    return tuple(record[name] for name in NAMES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path(__file__).parent / "results/paper_experiments.jsonl"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--stage", choices=("train", "predict", "average"), default="train")
    arguments = parser.parse_args()
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    records = [json.loads(line) for line in lines]
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
    for record in [r for r in records if r["stage"] == "train"]:
        wanted = arguments.stage == "predict" or (record["predictivity"], record["core"]) == (0.85, 1.0)
        if wanted and configuration_of(record) not in done and time.monotonic() < stop:
            configuration = {name: record[name] for name in NAMES}
            found = {**configuration, "stage": arguments.stage, **stage(record)}
            write([found])
            print(*configuration.values(), f"{found['seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
