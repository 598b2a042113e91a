"""What a finite number of samples adds: networks trained on N samples, the population flow, and the flow on N samples at nodes.

    python benchmarks/finite_samples.py [--minutes 20] [--table]

Width 128, PyTorch's initialisation, rho = (0.85, 0.9), ratio 4, alpha_c = 1, squared loss; trained by SGD of batch 64 at
learning rate 0.02 in the 1/(2N) convention (0.01 for PyTorch's mean squared error), at N = 300 and depth 1 by full batches as
well; 96 seeds, each with a data set, an embedding and an initialisation of its own, against 96 initialisations of the flows.
Records are written as they finish; a second run goes on where the first stopped.

"linearised" is the first-order correction beside it: the variance of the outputs over data sets from the linearised flow, and
each sign averaged over a Gaussian of that variance, minus the sign itself (8 initialisations, 8 draws of the noise each).
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import platform
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

import ntk_shortcuts as ns
from ntk_shortcuts.experiments.comparison import read_lines
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.laws.two_features.mixture import mixture_nodes
from ntk_shortcuts.methods.flow.equation import (
    FlowPoints,
    FlowRules,
    draw,
    draw_labels,
    integrate,
    probe_outputs,
    started,
    velocity,
)

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
OUTPUT = pathlib.Path(__file__).parent / "results" / "finite_samples.jsonl"
NETWORKS = (("relu", 1), ("linear", 1), ("tanh", 1), ("relu", 2))
TIMES, RATE, SEEDS, BATCH = np.array([1, 3, 10, 30, 100]), 0.02, 96, 64
# What is measured, and N.
QUANTITIES = [
    ("flow", None),
    *(("flow", n) for n in (300, 1000, 3200)),
    *(("minibatch", n) for n in (300, 1000, 3200)),
    ("full batch", 300),
    *(("linearised", n) for n in (300, 1000, 3200)),
]
DRAWS, LINEAR_INITS, LINEAR_ORDER, SCALE = 8, 8, 12, 1000


def practised(activation: str, depth: int) -> ns.MLP:
    return ns.MLP(depth, activation, width=128, parameterization="standard", initialization="torch")


def measure(activation: str, depth: int, kind: str, samples: int | None) -> dict:
    """Mean bias at the times, its standard error, the spread over seeds, and seconds with compilation."""
    network = practised(activation, depth)
    descent = ns.GradientDescent(RATE, np.rint(TIMES / RATE).astype(int))
    began = time.monotonic()
    if kind == "linearised":
        mean, spread = linearised_shift(activation, depth, samples)
        return {
            "bias": mean.tolist(),
            "standard_error": (spread / np.sqrt(LINEAR_INITS)).tolist(),
            "seconds": time.monotonic() - began,
        }
    if kind == "flow":
        options = {"method": "population_flow", "num_inits": SEEDS, "key": jax.random.key(0), "order": 16}
        flow = ns.predict_bias(MODEL, network, descent, samples, **options)
        mean, spread = np.asarray(flow.bias), np.asarray(flow.bias_std)
    else:
        batch = BATCH if kind == "minibatch" else None
        trained = ns.train_ensemble(MODEL, network, descent, samples, SEEDS, 1, key=jax.random.key(1), batch_size=batch)
        seeds = np.asarray(trained.bias)[..., 0]
        mean, spread = seeds.mean(1), seeds.std(1, ddof=1)
    return {
        "bias": mean.tolist(),
        "standard_error": (spread / np.sqrt(SEEDS)).tolist(),
        "spread": spread.tolist(),
        "seconds": time.monotonic() - began,
    }


@eqx.filter_jit
def linearised_flow(model: ns.GenerativeModel, network: ns.MLP, keys: jax.Array, points: FlowPoints, rules: FlowRules) -> tuple:
    """Outputs (inits, times, probes) and their moves (inits, times, draws, probes) under the noise of SCALE samples."""
    positive = (1 + model.class_expectation(points.nodes)) / 2
    laws = jnp.stack([points.weights * positive, points.weights * (1 - positive)])
    laws = laws / laws.sum(1, keepdims=True)

    def one(key: jax.Array) -> tuple:
        drawn = draw(LawKernel(model, network), key, rules)
        start = started(drawn, draw_labels(drawn.data_key, points, rules), network, points, rules)
        # The covariance of the counts of SCALE samples, half of either class, over SCALE.
        noise = jnp.sqrt(laws) * jax.random.normal(jax.random.fold_in(key, 3), (DRAWS, *laws.shape))
        moves = (noise - laws * noise.sum(-1, keepdims=True)) / np.sqrt(2 * SCALE)
        still = jax.tree.map(jnp.zeros_like, start)
        tilt = (moves[:, 0] * (1 - positive) - moves[:, 1] * positive) / points.weights
        directions = jax.vmap(lambda w, p: still._replace(labels=still.labels._replace(weights=w, positive=p)))(
            *(values.astype(rules.dtype) for values in (moves.sum(1), tilt))
        )

        def along(function, params, tangents):
            return jax.vmap(lambda t, d: jax.jvp(function, (params, start), (t, d))[1])(tangents, directions)

        def field(params, start):
            return velocity(0.0, params, start, network, rules)

        def outputs(params, start):
            return probe_outputs(params, start, network)

        tangents = jax.tree.map(lambda leaf: jnp.zeros((DRAWS, *leaf.shape), leaf.dtype), start.params)
        return integrate(
            (start.params, tangents),
            lambda time, state: (field(state[0], start), along(field, *state)),
            lambda state: (outputs(state[0], start), along(outputs, *state)),
            jnp.asarray(TIMES, float),
            rules,
        )[0]

    return jax.lax.map(one, keys)


@functools.cache
def linearised_moves(activation: str, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (inits, times, probes), and their variance over data sets of one sample, to first order in 1/N."""
    with jax.enable_x64(True):
        nodes, weights = mixture_nodes(MODEL, LINEAR_ORDER)
        points = FlowPoints(nodes, weights, MODEL.class_expectation(nodes), MODEL.probe_grid())
        rules = FlowRules(jnp.zeros(()), jnp.asarray(1e-2), "squared", False, False, 20_000, "float32")
        keys = jax.random.split(jax.random.key(0), LINEAR_INITS)
        outputs, moves = linearised_flow(MODEL, practised(activation, depth), keys, points, rules)
    return np.asarray(outputs, float), (np.asarray(moves, float) ** 2).mean(2) * SCALE


def linearised_shift(activation: str, depth: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """What the variance of the outputs over data sets adds to the bias, at the times: mean and spread over initialisations."""
    outputs, variance = linearised_moves(activation, depth)
    signs = np.sign(np.asarray(MODEL.probe_grid()))
    change = 2 * norm.cdf(outputs / np.sqrt(variance / samples)) - 1 - np.sign(outputs)
    shift = (change * (signs[:, 0] - signs[:, 1])).mean(-1)
    return shift.mean(0), shift.std(0, ddof=1)


def table(records: list[dict]) -> str:
    found = {(r["activation"], r["depth"], r["kind"], r["samples"]): r for r in records}
    lines = [
        "| network | N | trained / flow on N samples / population flow / the same with the linearised correction |",
        "|---|---|---|",
    ]
    errors: dict[int, list] = {}
    for activation, depth in NETWORKS:
        for samples in (300, 1000, 3200):
            keys = [("minibatch", samples), ("flow", samples), ("flow", None), ("linearised", samples)]
            chosen = [found.get((activation, depth, *key)) for key in keys]
            if None in chosen[:3]:
                continue
            biases = np.array([r["bias"] if r else np.full(len(TIMES), np.nan) for r in chosen])
            biases[3] += biases[2]
            columns = np.round(biases.T, 2) + 0.0
            cells = ", ".join("/".join("-" if np.isnan(v) else f"{v:.2f}" for v in column) for column in columns)
            lines.append(f"| {activation}, {depth} | {samples} | {cells} |")
            noise = [np.hypot(chosen[0]["standard_error"], r["standard_error"]) for r in chosen[1:3]]
            errors.setdefault(samples, []).append((np.abs(biases[1:] - biases[0]), noise))
    lines += [
        "",
        "Mean absolute errors, and mean standard errors of the first two differences:",
        "",
        "| N | flow on N samples | population flow | with the linearised correction | standard errors |",
        "|---|---|---|---|---|",
    ]
    for samples, rows in errors.items():
        gaps = np.nanmean([gap for gap, _ in rows], axis=(0, 2))
        noise = np.mean([error for _, error in rows], axis=(0, 2))
        lines.append(f"| {samples} | {gaps[0]:.3f} | {gaps[1]:.3f} | {gaps[2]:.3f} | {noise[0]:.3f}, {noise[1]:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = parser.parse_args()
    records = read_lines(OUTPUT)
    done = {(r["activation"], r["depth"], r["kind"], r["samples"]) for r in records}
    began = time.monotonic()
    for activation, depth in NETWORKS:
        for kind, samples in QUANTITIES:
            late = time.monotonic() - began > 60 * arguments.minutes
            if arguments.table or late or (activation, depth, kind, samples) in done or (kind == "full batch" and depth > 1):
                continue
            record = {"activation": activation, "depth": depth, "kind": kind, "samples": samples}
            record |= measure(**record)
            record |= {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "jax": jax.__version__}
            with OUTPUT.open("a") as file:
                file.write(json.dumps(record) + "\n")
            records.append(record)
            print(activation, depth, kind, samples, np.round(record["bias"], 3), f"{record['seconds']:.0f} s", flush=True)
    print(table(records))


if __name__ == "__main__":
    main()
