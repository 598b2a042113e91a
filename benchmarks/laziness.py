"""Which cheap number says that a frozen-kernel bias is off by more than 0.1? Areas under the ROC curve, and costs.

    python benchmarks/laziness.py [--table]

The settings, trained biases and frozen biases are those of results/population_flow.jsonl (squared loss: the frozen kernel has
no other). Compared: the gap to a coarse flow (`ntk_shortcuts.analysis.laziness_gap`), and two numbers at the parameters that
the frozen theory reaches at the same time: the relative change of the network's kernel there, and the error of its linearised
output. Each is timed again after compilation, the full flow too; the frozen bias itself is known where the diagnostic is asked
for, and not in its time. Records are written as they finish; a second run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import time
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from sklearn.metrics import roc_auc_score

import ntk_shortcuts as ns
from ntk_shortcuts.laws.two_features.mixture import mixture_nodes
from ntk_shortcuts.laws.two_features.plane import plane_basis
from ntk_shortcuts.laziness import _COARSE

RESULTS = pathlib.Path(__file__).parent / "results"
EPOCHS = np.array([1, 3, 10, 30, 100])
NAMES = ("activation", "depth", "predictivity", "ratio", "core")
SCORES = {
    "coarse": "gap to a coarse flow",
    "kernel_change": "relative change of the kernel at the frozen theory's parameters",
    "linearization_error": "error of the linearised output there",
}
OFF = 0.1


@eqx.filter_jit
def naive(model, network, times, key):
    """Relative kernel change and relative error of the linearised outputs, (times,) each, of one network on the nodes."""
    embedding_key, init_key = jax.random.split(key)
    embedding = model.embedding(embedding_key)
    nodes, weights = mixture_nodes(model, 8)
    basis = plane_basis(embedding)
    inputs = network.plane_inputs(embedding(nodes), basis).astype("float32")
    start = network.on_plane(network.init(init_key, model.input_dim, "float32"), basis)
    flat, restore = ravel_pytree(start)
    root = jnp.sqrt(weights).astype("float32")

    def outputs(vector):
        return network.apply(restore(vector), inputs)

    jacobian = jax.jacrev(outputs)(flat) * root[:, None]
    kernel = jacobian @ jacobian.T
    values, vectors = jnp.linalg.eigh(kernel)
    values = jnp.maximum(values, 1e-7 * values[-1])
    residual = vectors.T @ (root * (model.class_expectation(nodes) - outputs(flat)))

    def at(t):
        moved = flat + jacobian.T @ (vectors @ (-jnp.expm1(-values * t) / values * residual))
        later = jax.jacrev(outputs)(moved) * root[:, None]
        linear = root * outputs(flat) + jacobian @ (moved - flat)
        error = jnp.linalg.norm(root * outputs(moved) - linear) / jnp.linalg.norm(linear)
        return jnp.linalg.norm(later @ later.T - kernel) / jnp.linalg.norm(kernel), error

    return jax.lax.map(at, times)


def timed(function):
    """The result, and the processor seconds of a second call."""
    function()
    began = time.process_time()
    result = function()
    return result, time.process_time() - began


def measure(setting: dict, frozen: list[float]) -> dict:
    model = ns.GenerativeModel((setting["predictivity"], 0.9), (setting["ratio"] * setting["core"], setting["core"]))
    arguments = {"width": 128, "parameterization": "standard", "initialization": "torch"}
    network = ns.MLP(setting["depth"], setting["activation"], **arguments)
    times = 0.02 * 50 * EPOCHS
    rule = ns.GradientFlow(times)
    keys = jax.random.split(jax.random.key(3), 4)
    # What `laziness_gap` takes beyond the frozen prediction, which is known here.
    coarse_flow = ns.PopulationFlow(key=jax.random.key(0), **_COARSE)
    coarse, coarse_seconds = timed(lambda: np.abs(ns.predict_bias(model, network, rule, method=coarse_flow).bias - frozen))
    both, naive_seconds = timed(lambda: np.mean([naive(model, network, jnp.asarray(times, "float32"), k) for k in keys], 0))
    options = {"method": "population_flow", "key": jax.random.key(4)}
    _, flow_seconds = timed(lambda: ns.predict_bias(model, network, rule, **options))
    return {
        "coarse": np.asarray(coarse).tolist(),
        "kernel_change": np.asarray(both[0], float).tolist(),
        "linearization_error": np.asarray(both[1], float).tolist(),
        "coarse_seconds": coarse_seconds,
        "naive_seconds": naive_seconds,
        "flow_seconds": flow_seconds,
    }


def table(records: list[dict]) -> str:
    off = np.array([np.abs(np.array(r["frozen"]) - r["trained"]) > OFF for r in records]).ravel()
    lines = [
        f"{len(records)} settings x {len(EPOCHS)} epochs, of which {off.sum()} frozen biases are off by more than {OFF:g}.",
        "",
        "| number | area under the ROC curve | processor seconds, all settings | of the full flow's |",
        "| --- | --- | --- | --- |",
    ]
    whole = sum(r["flow_seconds"] for r in records)
    for name, words in SCORES.items():
        area = roc_auc_score(off, np.array([r[name] for r in records]).ravel())
        seconds = sum(r["coarse_seconds" if name == "coarse" else "naive_seconds"] for r in records)
        lines.append(f"| {words} | {area:.3f} | {seconds:.1f} | {seconds / whole:.3f} |")
    lines.append(f"| full flow | | {whole:.1f} | 1 |")
    said = np.array([r["coarse"] for r in records]).ravel() > OFF
    lines += ["", f"At its threshold of {OFF:g} the coarse flow warns of {np.sum(said & off)} of the {off.sum()}, and of "]
    lines[-1] += f"{np.sum(said & ~off)} of the {np.sum(~off)} that are right."
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)
    output = RESULTS / "laziness.jsonl"
    records = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
    done = {tuple(r[name] for name in NAMES) for r in records}
    for line in (RESULTS / "population_flow.jsonl").read_text().splitlines():
        known = json.loads(line)
        setting = {name: known[name] for name in NAMES}
        if arguments.table or known["loss"] != "squared" or tuple(setting.values()) in done:
            continue
        where = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "jax": jax.__version__}
        record = {
            **setting,
            "trained": known["trained"],
            "frozen": known["frozen"],
            **measure(setting, known["frozen"]),
            **where,
        }
        with output.open("a") as file:
            file.write(json.dumps(record) + "\n")
        records.append(record)
        print(setting, np.round(record["coarse"], 2), flush=True)
    print(table(records))


if __name__ == "__main__":
    main()
