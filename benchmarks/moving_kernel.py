"""Where the kernel at initialisation stops predicting a network, and what re-linearising it along the path repairs.

    python benchmarks/moving_kernel.py

Two ReLU networks of three hidden layers, each on one data set of 400 samples, rho = (0.85, 0.9), ratio 4, alpha_c = 1, trained
by full-batch descent: one of width 512 in the NTK parameterisation, and the paper's (width 128, PyTorch's initialisation,
learning rate 0.01 for the mean squared error). Prints a table of biases and kernel movement at some of the steps, appends one
record per network as it is finished.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import time
from types import SimpleNamespace

import jax
import numpy as np
from matplotlib.figure import Figure

import ntk_shortcuts as ns
from ntk_shortcuts.experiments.comparison import read_lines
from ntk_shortcuts.plotting import plot_telescope

RECORDS = pathlib.Path(__file__).parent / "results/moving_kernel.jsonl"
SAMPLES, SEGMENTS = 400, (1, 2, 4, 8, 16, 32)
MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
CASES = {
    "width 512, NTK parameterisation": (ns.MLP(3, width=512), 0.5, 600),
    "width 128, PyTorch's initialisation": (
        ns.MLP(3, width=128, parameterization="standard", initialization="torch"),
        *(0.02, 5000),
    ),
}
SHOWN = (4, 8, 12, 16, 20, 24, 28, 32)  # places in the steps


def log_steps(last: int, count: int = 32) -> np.ndarray:
    """Distinct steps, evenly spaced in log time as far as integers allow."""
    first = 1
    while len(steps := np.unique(np.rint(np.geomspace(first, last, count)).astype(int))) < count:
        first += 1
    return steps


def on_the_kernels_clock(network: ns.MLP, result: ns.analysis.Telescope) -> np.ndarray:
    """Bias of the frozen initial kernel at time int |Theta_t| / |Theta_0| dt: a kernel that grows, and turns nowhere."""
    change, alignment = result.kernel_change, result.kernel_alignment
    norm = alignment + np.sqrt(np.maximum(alignment**2 - 1 + change**2, 0))  # |Theta_t| / |Theta_0|, as it grows
    clock = np.concatenate([[0], np.cumsum(np.diff(result.times) * (norm[1:] + norm[:-1]) / 2)])
    outputs = ns.analysis.linearized_outputs(
        *(network, result.params_at(0), ns.GradientFlow(clock)),
        *(result.inputs, result.dataset.labels, result.probe_inputs),
    )
    return np.asarray(ns.metrics.shortcut_bias(outputs, MODEL))


def figures() -> dict[str, Figure]:
    """Of the records there are."""
    results, frozen = {}, {}
    for r in read_lines(RECORDS):
        names = ("times", "kernel_change", "kernel_alignment", "target_alignment")
        results[r["network"]] = SimpleNamespace(
            segments=SEGMENTS,
            trained_bias=np.array(r["trained"]),
            telescoped_bias=np.array([r["telescoped"][str(segments)] for segments in SEGMENTS]),
            **{name: np.array(r[name]) for name in names},
        )
        frozen[r["network"]] = SimpleNamespace(bias=r["infinite_width"])
    return {"moving_kernel": plot_telescope(results, frozen)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=RECORDS)
    arguments = parser.parse_args()
    arguments.output.unlink(missing_ok=True)
    for title, (network, rate, last) in CASES.items():
        began = time.monotonic()
        training = ns.GradientDescent(rate, log_steps(last))
        result = ns.analysis.telescope(MODEL, network, training, SAMPLES, SEGMENTS, key=jax.random.key(0))
        frozen = ns.predict_bias(MODEL, network, ns.GradientFlow(result.times[1:]), dataset=result.dataset)
        # The same network linearised from later points on, to the end of training.
        later = {}
        for place in SHOWN[:-1]:
            remaining = ns.GradientDescent(rate, int(result.steps[-1] - result.steps[place]))
            outputs = ns.analysis.linearized_outputs(
                *(network, result.params_at(place), remaining),
                *(result.inputs, result.dataset.labels, result.probe_inputs),
            )
            later[f"{result.times[place]:.3g}"] = float(ns.metrics.shortcut_bias(outputs, MODEL))
        record = {
            "network": title,
            "times": result.times.tolist(),
            "trained": result.trained_bias.tolist(),
            "telescoped": dict(zip(map(str, SEGMENTS), np.asarray(result.telescoped_bias).tolist(), strict=True)),
            "error": dict(zip(map(str, SEGMENTS), result.error.tolist(), strict=True)),
            "infinite_width": np.asarray(frozen.bias).tolist(),
            "kernel_change": result.kernel_change.tolist(),
            "kernel_alignment": result.kernel_alignment.tolist(),
            "target_alignment": result.target_alignment.tolist(),
            "frozen_on_the_kernels_clock": on_the_kernels_clock(network, result).tolist(),
            "final_bias_linearised_from": later,
            "seconds": time.monotonic() - began,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "jax": jax.__version__,
            "ntk_shortcuts": ns.__version__,
        }
        with arguments.output.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{title}, {record['seconds']:.0f} s; final bias when linearised from t: {later}", flush=True)
        names = " | ".join(str(s) for s in SEGMENTS)
        print(f"| t | trained | infinite width | {names} segments | change | alignment | with target |")
        for place in SHOWN:
            biases = [frozen.bias[place - 1], *result.telescoped_bias[:, place]]
            moved = [result.kernel_change[place], result.kernel_alignment[place], result.target_alignment[place]]
            cells = [f"{value:.2f}" for value in (result.trained_bias[place], *biases, *moved)]
            print(f"| {result.times[place]:.3g} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
