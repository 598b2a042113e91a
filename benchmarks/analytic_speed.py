"""Seconds of the analytic data-set average against seconds of the trained ensembles that would measure the same.

    python benchmarks/analytic_speed.py [--size 21] [--datasets 4] [--inits 2] [--steps 30] [--output FILE]

Times, in one run on one machine: a map of the bias over shortcut predictivity and amplification ratio (ReLU, depth 3, N = 1000,
t = 3, 30, 300), compilation included; single predictions after compilation, each of another model; and a small ensemble of
networks of width 512 trained by gradient descent. From its seconds per step and the spread of its biases follow the
seconds of an ensemble whose standard error is `--standard-error` at all three times: every network on a data set of
its own, seconds linear in the steps. Wall seconds and CPU seconds (all threads), since other work may share the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import ntk_shortcuts as ns

TIMES = np.array([3.0, 30.0, 300.0])
SAMPLES, WIDTH, DEPTH = 1000, 512, 3


class Clock:
    """Wall and CPU seconds of a call."""

    def __init__(self, name: str, call: Callable[[], Any]):
        wall, cpu = time.perf_counter(), time.process_time()
        self.result = jax.block_until_ready(call())
        self.wall, self.cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{name}: {self.wall:.2f} s, CPU {self.cpu:.2f} s, load {os.getloadavg()[0]:.1f}", flush=True)


def measure(size: int, datasets: int, inits: int, steps: int, standard_error: float) -> dict:
    model = ns.GenerativeModel(predictivity=(0.85, 0.90), amplification=(2.0, 1.0))
    network, training = ns.MLP(DEPTH), ns.GradientFlow(TIMES)
    load_before = os.getloadavg()[0]
    axes = (np.linspace(0.55, 0.9, size), np.geomspace(0.5, 8.0, size))
    compiling = Clock("first point", lambda: ns.predict_bias(model, network, training, SAMPLES).bias)
    full_map = Clock("map", lambda: ns.bias_map(model, network, training, *axes, num_samples=SAMPLES)["bias"].values)
    # A single time is a shape of its own: compiled once, then timed on other models.
    one_time = ns.GradientFlow(30.0)
    ns.predict_bias(model, network, one_time, SAMPLES)
    singles = [
        Clock("single", lambda r=r: ns.predict_bias(model.with_shortcut(0.8, r), network, one_time, SAMPLES).bias)
        for r in np.linspace(1.5, 2.5, 9)
    ]

    # The networks' own largest eigenvalue allows learning rate x lambda < 1.
    largest = float(ns.kernel_spectrum(model, network, modes=1).eigenvalues[0])
    rate = min(1.0, 2.0 ** np.floor(np.log2(1 / largest)))
    recorded = np.unique([max(1, steps // 10), steps])

    def train() -> Any:
        return ns.train_ensemble(
            model,
            ns.MLP(DEPTH, width=WIDTH),
            ns.GradientDescent(rate, recorded),
            SAMPLES,
            datasets,
            inits,
            key=jax.random.key(0),
        )

    first = Clock("ensemble", train)
    ensemble = Clock("ensemble", train)
    spread = np.asarray(ensemble.result.bias, np.float64).reshape(len(recorded), -1).std(axis=1, ddof=1)
    networks = float((spread.max() / standard_error) ** 2)
    count = datasets * inits
    to_the_end = TIMES[-1] / rate / steps
    points = size**2
    wall, cpu = (float(np.median([getattr(c, name) for c in singles])) for name in ("wall", "cpu"))
    record = {
        "map_points": points,
        "map_seconds": compiling.wall + full_map.wall,
        "map_cpu_seconds": compiling.cpu + full_map.cpu,
        "map_compiled_seconds": full_map.wall,
        "map_compiled_cpu_seconds": full_map.cpu,
        "single_seconds": wall,
        "single_cpu_seconds": cpu,
        "learning_rate": rate,
        "steps_measured": int(steps),
        "networks_measured": count,
        "ensemble_bias": ensemble.result.mean_bias.tolist(),
        "predicted_bias": np.asarray(ns.predict_bias(model, network, ns.GradientFlow(recorded * rate), SAMPLES).bias).tolist(),
        "bias_std_of_one_network": spread.tolist(),
        "seconds_compiling_ensemble": first.wall - ensemble.wall,
        "seconds_per_network": ensemble.wall / count * to_the_end,
        "cpu_seconds_per_network": ensemble.cpu / count * to_the_end,
        "networks_needed": networks,
    }
    per_point, per_point_cpu = networks * record["seconds_per_network"], networks * record["cpu_seconds_per_network"]
    return record | {
        "ensemble_seconds_per_point": per_point,
        "ratio_single": per_point / wall,
        "ratio_single_cpu": per_point_cpu / cpu,
        "ratio_map": per_point * points / record["map_seconds"],
        "ratio_map_cpu": per_point_cpu * points / record["map_cpu_seconds"],
        "standard_error": standard_error,
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"jax": jax.__version__, "python": platform.python_version(), "ntk_shortcuts": ns.__version__},
    }


def table(r: dict) -> str:
    small, last = (f"{value:.3f}" for value in r["bias_std_of_one_network"])
    rows = [
        (f"map of {r['map_points']} points x 3 times, compilation included", r["map_seconds"], r["map_cpu_seconds"]),
        ("the map without compilation", r["map_compiled_seconds"], r["map_compiled_cpu_seconds"]),
        ("single prediction after compilation, median", r["single_seconds"], r["single_cpu_seconds"]),
        ("one network of width 512 to t = 300", r["seconds_per_network"], r["cpu_seconds_per_network"]),
        (
            f"{r['networks_needed']:.0f} networks, for a standard error of {r['standard_error']:g}",
            r["ensemble_seconds_per_point"],
            r["networks_needed"] * r["cpu_seconds_per_network"],
        ),
    ]
    lines = ["| what | wall seconds | CPU seconds |", "| --- | --- | --- |"]
    lines += [f"| {name} | {wall:.3g} | {cpu:.3g} |" for name, wall, cpu in rows]
    lines += [
        f"| ratio, ensemble to single prediction | {r['ratio_single']:.2g} | {r['ratio_single_cpu']:.2g} |",
        f"| ratio, {r['map_points']} ensembles to map | {r['ratio_map']:.2g} | {r['ratio_map_cpu']:.2g} |",
        "",
        f"Ensemble measured: {r['networks_measured']} networks, {r['steps_measured']} steps at learning rate "
        f"{r['learning_rate']:g}; standard deviation of one network's bias {small} at first and {last} at the end; bias "
        f"{np.round(r['ensemble_bias'], 3)}, predicted {np.round(r['predicted_bias'], 3)}.",
        f"{r['machine']}, load average {r['load_before']:.1f} before and {r['load_after']:.1f} after; {r['versions']}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=21)
    parser.add_argument("--datasets", type=int, default=4)
    parser.add_argument("--inits", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--standard-error", type=float, default=0.004)
    parser.add_argument("--output", type=pathlib.Path)
    arguments = parser.parse_args()
    record = measure(arguments.size, arguments.datasets, arguments.inits, arguments.steps, arguments.standard_error)
    print(table(record))
    if arguments.output:
        arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
