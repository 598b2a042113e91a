"""Which training gives the biases of Hermann et al. (2024)? A search over what the paper leaves open, by population flows.

    python benchmarks/paper_search.py [--minutes 20]   # goes on where it stopped
    python benchmarks/paper_search.py --table          # prints what was found

rho = (0.85, 0.9), sigma = 0.6, ratio 4, width 128. From one base (squared loss, gradient flow, PyTorch's initialisation,
infinite data, alpha_c = 1) each axis is moved alone, then some two together: the loss, the optimiser (Adam's own steps), the
initial scale (weights of a given variance, biases of none), the number of samples, the scale of the inputs. Learning rate
and stopping epoch are one axis for a flow, its time, of which every run has all; t = 2 x rate x steps of PyTorch's mean squared
error, rate x steps of Adam. One row of `results/paper_search.csv` per training, network and time, written as it is finished:
the bias over 4 initialisations, its standard error, and the accuracy under the law, as validation without its noise has it.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import pathlib
import time
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import ntk_shortcuts as ns
from ntk_shortcuts.linear import optimal_reliance
from ntk_shortcuts.metrics import reliance

RESULTS = pathlib.Path(__file__).parent / "results" / "paper_search.csv"
NETWORKS = (("linear", 1), ("relu", 1), ("relu", 3), ("tanh", 1))
WIDTH, INITS, RATIO = 128, 4, 4.0
TIMES = np.geomspace(0.3, 1000, 16).round(4)
# Of Adam: rate x steps, at a rate of 1e-3.
RATE = 1e-3
STEPS = np.array([50, 100, 200, 400, 800, 1600, 3200])
# What the paper's figures say: the nonlinear network of its Figure 2, and how far from it counts as that; a linear network
# that is "relatively unbiased".
PAPER, NEAR, UNBIASED = 0.53, 0.13, 0.1
# Of an accuracy of 0.9 on 1000 validation instances.
VALIDATION_ERROR = 0.009


class Training(NamedTuple):
    """What the paper leaves open. `variance`: of the weights, times the fan-in; 0: PyTorch's initialisation. `samples`: 0 is
    infinitely many."""

    loss: str = "squared"
    optimizer: str = "flow"
    variance: float = 0.0
    samples: int = 0
    core: float = 1.0


AXES: dict[str, tuple] = {
    "loss": ("logistic",),
    "core": (0.1, 0.3, 3.0),
    "variance": (0.5, 1.0, 2.0, 4.0),
    "samples": (300, 1000),
    "optimizer": ("adam",),
}


def trainings() -> list[Training]:
    """The base, each axis alone, and every two together at the first values of each."""
    alone = [Training(**{axis: value}) for axis, values in AXES.items() for value in values]
    pairs = itertools.combinations(AXES, 2)
    together = [Training(**{a: x, b: y}) for a, b in pairs for x, y in itertools.product(AXES[a][:2], AXES[b][:2])]
    return [Training(), *alone, *together]


def measure(training: Training, activation: str, depth: int) -> list[dict]:
    """Bias, its error and the accuracy along one training."""
    model = ns.GenerativeModel((0.85, 0.9), (RATIO * training.core, training.core))
    practice: dict[str, Any] = {"parameterization": "standard", "initialization": "torch"}
    if training.variance:
        practice = {"parameterization": "standard", "weight_variance": training.variance}
    network = ns.MLP(depth, activation, WIDTH, **practice)
    options: dict[str, Any] = {"key": jax.random.key(0), "num_inits": INITS, "loss": training.loss, "order": 10}
    rule: Any = ns.GradientFlow(TIMES)
    if training.optimizer == "adam":
        rule = ns.GradientDescent(RATE, STEPS)
        options |= {"optimizer": optax.adam, "batch_size": 64}
    latents = np.asarray(model.sample(jax.random.key(1), 4000).latents)
    grid = np.asarray(model.probe_grid())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)
        samples = training.samples or None
        probes = np.concatenate([grid, latents])
        p = ns.predict(model, network, rule, num_samples=samples, method=ns.PopulationFlow(**options), probes=probes)
    sampled: Any = p.outputs
    outputs = np.asarray(sampled.values)
    biases = np.asarray(reliance(outputs[..., : len(grid)], grid)) - float(optimal_reliance(model))
    accuracy = (1 + np.mean(np.sign(outputs[..., len(grid) :]) * np.asarray(model.class_expectation(latents)), axis=-1)) / 2
    error = biases.std(axis=0, ddof=1) / np.sqrt(INITS)
    columns = zip(np.asarray(rule.time), biases.mean(axis=0), error, accuracy.mean(axis=0), strict=True)
    return [dict(zip(("time", "bias", "error", "accuracy"), (round(float(v), 4) for v in row), strict=True)) for row in columns]


def read() -> list[dict]:
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return [{k: v if k in _WORDS else float(v) for k, v in row.items()} for row in csv.DictReader(file)]


_WORDS = ("loss", "optimizer", "activation")


def key_of(row: dict) -> tuple:
    return (*Training(*(row[name] for name in Training._fields)), row["activation"], int(row["depth"]))


class Curve(NamedTuple):
    """Bias and accuracy of one network over the times of one training."""

    times: np.ndarray
    bias: np.ndarray
    accuracy: np.ndarray

    @property
    def best(self) -> float:
        """The bias where the accuracy is highest."""
        return float(self.bias[np.nanargmax(self.accuracy)])

    @property
    def plausible(self) -> tuple[float, float]:
        """Least and largest bias where a validation of 1000 instances may find the accuracy highest."""
        within = self.bias[self.accuracy >= np.nanmax(self.accuracy) - VALIDATION_ERROR]
        return float(within.min()), float(within.max())


def curves(rows: list[dict]) -> dict[tuple, dict[tuple, Curve]]:
    """Of every finished training, the curve of every network."""
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault(key_of(row), []).append(row)
    by_training: dict[tuple, dict[tuple, Curve]] = {}
    for key, points in found.items():
        columns = (np.array([p[name] for p in points]) for name in ("time", "bias", "accuracy"))
        by_training.setdefault(key[:-2], {})[key[-2:]] = Curve(*columns)
    return {training: nets for training, nets in by_training.items() if len(nets) == len(NETWORKS)}


def holds(linear: float, shallow: float, deep: float) -> bool:
    """Whether three biases are as the paper's: linear networks nearly unbiased, one hidden layer near 0.5, more with depth."""
    return abs(linear) < UNBIASED and abs(shallow - PAPER) < NEAR and deep >= shallow


def window(*networks: Curve) -> str:
    """Between which times, the same for all, three networks' biases are as the paper's, read between those of the grid."""
    start, stop = networks[0].times[[0, -1]]
    times = np.geomspace(start, stop, 400)
    biases = zip(*(np.interp(np.log(times), np.log(net.times), net.bias) for net in networks), strict=True)
    inside = [t for t, found in zip(times, biases, strict=True) if holds(*found)]
    return f"{inside[0]:.2g} to {inside[-1]:.2g}" if inside else "never"


def verdicts(nets: dict[tuple, Curve]) -> dict[str, str]:
    """Where biases are as the paper's, of ReLU networks and of tanh ones: at the best validation, and at one time for all."""
    linear, shallow, deep, tanh = (nets[name] for name in NETWORKS)
    found = {}
    for name, (first, second) in {"ReLU": (shallow, deep), "tanh": (tanh, tanh)}.items():
        found[f"{name}, best"] = "yes" if holds(linear.best, first.best, second.best) else "no"
        found[f"{name}, one time"] = window(linear, first, second)
    return found


def words(training: tuple) -> str:
    moved = {n: v for (n, v), usual in zip(zip(Training._fields, training, strict=True), Training(), strict=True) if v != usual}
    return (
        ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in moved.items())
        or "base"
    )


def table(rows: list[dict]) -> str:
    """Per training: the bias of each network at the best validation, what noise allows, and whether it is as the paper's."""
    names = [f"{activation}, {depth}" for activation, depth in NETWORKS]
    columns = ["training", *names, "ReLU, best", "ReLU, one time", "tanh, best", "tanh, one time"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for training, nets in curves(rows).items():
        cells = [f"{nets[n].best:.2f} ({nets[n].plausible[0]:.2f} to {nets[n].plausible[1]:.2f})" for n in NETWORKS]
        lines.append("| " + " | ".join([words(training), *cells, *verdicts(nets).values()]) + " |")
    return "\n".join(lines)


KEY: dict[str, dict[str, Any]] = {
    "base": {"color": "black", "lw": 1.6},
    "logistic loss": {"color": "C1"},
    "all else, without Adam": {"color": "C0"},
    "highest accuracy": {"color": "0.4", "marker": "o", "mfc": "white", "ls": "", "ms": 4},
}


def figures() -> dict[str, Any]:
    """Bias over time, one panel a network and one line a training; circles where the accuracy is highest."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(11, 3.5), dpi=150, layout="constrained")
    panels = drawing.subplots(1, len(NETWORKS), sharey=True)
    found = curves(read())
    for axes, network in zip(panels, NETWORKS, strict=True):
        axes.axhspan(PAPER - NEAR, PAPER + NEAR, color="0.9", zorder=0, label="as in the paper")
        for training, nets in found.items():
            if training[1] == "adam":
                continue
            curve, base = nets[network], training == tuple(Training())
            color = "black" if base else "C1" if training[0] == "logistic" else "C0"
            axes.plot(curve.times, curve.bias, "-", color=color, lw=1.6 if base else 0.6, zorder=3 if base else 2)
            best = int(np.nanargmax(curve.accuracy))
            axes.plot(curve.times[best], curve.bias[best], "o", color=color, ms=4, mfc="white", zorder=4)
        axes.set(xscale="log", xlabel="time = learning rate x steps", title=f"{network[0]}, depth {network[1]}")
    panels[0].set_ylabel("shortcut bias")
    for label, style in KEY.items():
        panels[-1].plot([], [], label=label, **style)
    drawing.legend(loc="outside lower center", ncols=len(KEY) + 1, handles=panels[-1].get_legend_handles_labels()[0])
    return {"paper_search": drawing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    began, done = time.monotonic(), {key_of(row) for row in read()}
    for training, network in itertools.product(trainings(), NETWORKS):
        late = time.monotonic() - began > 60 * arguments.minutes
        if arguments.table or late or (*training, *network) in done:
            continue
        fixed = {**training._asdict(), "activation": network[0], "depth": network[1]}
        rows = [{**fixed, **row} for row in measure(training, *network)]
        fresh = not RESULTS.exists()
        with RESULTS.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerows(rows)
        print(words(training), *network, [row["bias"] for row in rows[::3]], flush=True)
    print(table(read()))


if __name__ == "__main__":
    main()
