"""What a population flow costs beside training, at equal standard errors, and what makes it cheaper.

    python benchmarks/flow_speed.py [--minutes 10]   # goes on where it stopped
    python benchmarks/flow_speed.py --table          # prints the summary of what is there

Every third setting of population_flow.py, ten of them: width 128, PyTorch's initialisation, 100 epochs of 3200 samples in
batches of 64, bias at 5 epochs. Processor seconds of all threads, after a call that compiles: of training 20 networks, and of
the flow of 16 initialisations, four calls with keys of their own. Errors are squared standard errors of the mean bias,
averaged over epochs (and calls). The ratio is that of the products, seconds x squared error, which do not depend on how many
networks either has. Of the flow with its default options, `economical`, `mirrored`, and both.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from population_flow import CONFIGURATIONS, FULL, NAMES, setting

import ntk_shortcuts as ns
from ntk_shortcuts.metrics import Reliance

RESULTS = pathlib.Path(__file__).parent / "results" / "flow_speed.csv"
SETTINGS = CONFIGURATIONS[::3][:10]
INITS, CALLS, NETWORKS = 16, 4, 20
VARIANTS = {
    "flow": {},
    "economical": {"economical": True},
    "mirrored": {"mirrored": True},
    "both": {"economical": True, "mirrored": True},
}


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    found = call()
    return found, time.process_time() - began


def trained(configuration: tuple) -> dict:
    """Seconds and squared error of networks trained in one loop."""
    model, network, descent = setting(configuration)
    options: dict[str, Any] = {"batch_size": FULL.batch, "loss": configuration[-1]}

    def train(seed: int, sets: int) -> Any:
        return ns.train_ensemble(model, network, descent, FULL.samples, sets, 1, key=jax.random.key(seed), **options)

    train(0, NETWORKS // 2)
    halves = [timed(lambda seed=seed: train(seed, NETWORKS // 2)) for seed in (1, 2)]
    biases = np.concatenate([e.bias[..., 0] for e, _ in halves], axis=1)
    return {
        "seconds": sum(seconds for _, seconds in halves),
        "squared_error": float(np.mean(biases.var(axis=1, ddof=1))) / NETWORKS,
        "scatter": np.nan,
        "bias": biases.mean(axis=1),
    }


def flowed(configuration: tuple, options: dict) -> dict:
    """Seconds of a call and its squared error; and the scatter of calls over what their errors say, in variance."""
    model, network, descent = setting(configuration)

    def call(seed: int, inits: int = INITS, order: int | None = None) -> Any:
        method = ns.PopulationFlow(key=jax.random.key(seed), num_inits=inits, loss=configuration[-1], order=order, **options)
        return ns.predict_bias(model, network, descent, method=method)

    call(0)
    for order in model.flow_orders:  # some calls refine further than others, by programs that are to be there
        call(0, 1, order)
    calls = [timed(lambda seed=seed: call(seed)) for seed in range(1, CALLS + 1)]
    squares = np.mean([np.square(p.standard_error(Reliance())) for p, _ in calls], axis=0)
    biases = np.stack([p.bias for p, _ in calls])
    return {
        "seconds": sum(seconds for _, seconds in calls) / CALLS,
        "squared_error": float(np.mean(squares)),
        "scatter": float(np.mean(biases.var(axis=0, ddof=1)) / np.mean(squares)),
        "bias": biases.mean(axis=0),
    }


def measure(configuration: tuple) -> list[dict]:
    rows = [{"what": "training", **trained(configuration)}]
    rows += [{"what": name, **flowed(configuration, options)} for name, options in VARIANTS.items()]
    named = dict(zip(NAMES, configuration, strict=True))
    return [
        {
            **named,
            **{
                name: row[name] if name == "what" else f"{row[name]:.4g}"
                for name in ("what", "seconds", "squared_error", "scatter")
            },
            "bias": " ".join(f"{b:.4f}" for b in row["bias"]),
        }
        for row in rows
    ]


def read() -> list[dict]:
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return list(csv.DictReader(file))


def ratios(rows: list[dict]) -> dict[str, np.ndarray]:
    """Of every variant, seconds x squared error of training over its own, by setting."""
    products: dict[str, list[float]] = {}
    for row in rows:
        products.setdefault(row["what"], []).append(float(row["seconds"]) * float(row["squared_error"]))
    return {name: np.array(products["training"]) / np.array(products[name]) for name in VARIANTS}


def table(rows: list[dict]) -> str:
    """Ratios by setting, and what they come to."""
    names = list(VARIANTS)
    lines = [
        "| network | rho_s | ratio, alpha_c | loss | training, s | flow, s | " + " | ".join(names) + " |",
        "|---" * 10 + "|",
    ]
    found = ratios(rows)
    of = {name: [row for row in rows if row["what"] == name] for name in ("training", "flow")}
    for index, (train, flow) in enumerate(zip(of["training"], of["flow"], strict=True)):
        where = f"{train['activation']}, {train['depth']} | {train['predictivity']} | {train['ratio']}, {train['core']}"
        cells = [f"{found[name][index]:.1f}" for name in names]
        seconds = f"{float(train['seconds']):.1f} | {float(flow['seconds']):.2f}"
        lines.append(f"| {where} | {train['loss']} | {seconds} | " + " | ".join(cells) + " |")
    for name in names:
        scatter = np.mean([float(row["scatter"]) for row in rows if row["what"] == name])
        numbers = f"median {np.median(found[name]):.1f}, least {found[name].min():.1f}, most {found[name].max():.1f}"
        lines.append(f"\n{name}: {numbers}; variance of calls over what their errors say: {scatter:.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    began, rows = time.monotonic(), read()
    for configuration in SETTINGS:
        done = any(tuple(row[name] for name in NAMES) == tuple(map(str, configuration)) for row in rows)
        if arguments.table or done or time.monotonic() - began > 60 * arguments.minutes:
            continue
        rows += measure(configuration)
        with RESULTS.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print(*configuration, f"{(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
