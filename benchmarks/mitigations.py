"""What a practitioner would try against a shortcut, predicted and trained: one panel and one or more trained checks each.

    python benchmarks/mitigations.py --output benchmarks/results/mitigations.jsonl [--minutes 40] [--table] [--figure FILE]

Rescaling a feature, whitening, early stopping, sample weights, depth and bias variance, each changed alone from one base: rho
(0.85, 0.9), sigma 0.6, amplifications (4, 1), ReLU with one hidden layer, N = 300, t = 30. Predictions are for infinite width,
averaged over data sets and initialisations; trained networks have width 512 in the NTK parameterisation, learning rate 0.5,
full batch. One record per curve or trained ensemble, written as it is finished; a second run goes on where the first stopped.
`--table` prints predicted against trained, `--figure` draws, and both run nothing.
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
import optax

import ntk_shortcuts as ns
from ntk_shortcuts.experiments.comparison import read_lines
from ntk_shortcuts.laws.two_features.mixture import mixture_nodes
from ntk_shortcuts.laws.two_features.plane import plane_basis

SAMPLES, TIME, RATE, WIDTH, DATASETS = 300, 30.0, 0.5, 512, 32
RECORDS = pathlib.Path(__file__).parent / "results/mitigations.jsonl"
TIMES = np.array([3.0, 10.0, 30.0, 100.0, 300.0])
CURVE_TIMES = np.array([1, 3, 6, 10, 18, 30, 55, 100, 200, 300, 1000.0])
RATIOS = np.array([0.25, 0.5, 1, 1.5, 2, 3, 4, 8])
# Two rules of nodes: they differ by far less than the trained networks can tell.
TOLERANCE = 0.03
BIASES = (0.0, 0.1, 0.3, 1.0, 3.0)
MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
# Where the features disagree, which label they carry aside; and where the shortcut disagrees with the label.
CONFLICTS = {
    "features": lambda latents, labels: latents[:, 0] * latents[:, 1] < 0,
    "label": lambda latents, labels: latents[:, 0] * labels < 0,
}


@functools.cache
def conflict_share(kind: str) -> float:
    """Fraction of samples in conflict, from two million: the weights have mean 1 over the law."""
    data = MODEL.sample(jax.random.key(99), 2_000_000, embedding=ns.GenerativeModel(input_dim=2).embedding(jax.random.key(0)))
    return float(np.mean(np.asarray(CONFLICTS[kind](data.latents, data.labels))))


def conflict_weight(kind: str, weight: float):
    """Samples in conflict count `weight` times as much as the others."""
    mean = 1 + (weight - 1) * conflict_share(kind)
    return lambda latents, labels: jnp.where(CONFLICTS[kind](latents, labels), weight, 1.0) / mean


def averaged(model, network, times) -> np.ndarray:
    """Traced, a prediction compiles once for all parameters, and uses one rule of nodes; `predict_time` refines its own."""
    with jax.enable_x64(True):
        return np.asarray(traced_bias(model, network, ns.GradientFlow(times)))


@eqx.filter_jit
def traced_bias(model, network, flow):
    return ns.predict_bias(model, network, flow, SAMPLES).bias


def predict_rescaling():
    biases = [averaged(MODEL.with_shortcut(amplification_ratio=r), ns.MLP(1), TIME) for r in RATIOS]
    return {"x": RATIOS, "bias": biases}


def predict_time():
    """Bias and accuracy on new data, from one call: the probes are the grid and nodes of the data law."""
    grid, (nodes, weights) = MODEL.probe_grid(), mixture_nodes(MODEL, 20, 1e-6)
    flow = ns.GradientFlow(CURVE_TIMES)
    p = ns.predict_bias(MODEL, ns.MLP(1), flow, SAMPLES, probes=np.concatenate([grid, nodes]), tolerance=TOLERANCE)
    mean, std = np.asarray(p.mean), np.asarray(p.std)
    reliance = ns.metrics.expected_reliance(mean[:, : len(grid)], std[:, : len(grid)], grid)
    target = np.asarray(MODEL.class_expectation(nodes))
    signs = np.asarray(jax.scipy.special.erf(mean[:, len(grid) :] / (std[:, len(grid) :] * np.sqrt(2))))
    accuracy = 0.5 + 0.5 * (signs * target) @ np.asarray(weights)
    bayes = 0.5 + 0.5 * np.abs(target) @ np.asarray(weights)
    return {
        "x": CURVE_TIMES,
        "bias": reliance - ns.linear.optimal_reliance(MODEL),
        "accuracy": accuracy,
        "bayes_accuracy": bayes,
        "diagnostics": p.diagnostics,
    }


def predict_whitening():
    network = ns.whitened(MODEL, ns.MLP(1))
    return {"x": CURVE_TIMES, "bias": averaged(MODEL, network, CURVE_TIMES)}


def predict_weights(kind: str, weight: float):
    """Exact over initialisations on the data sets of the trained networks: what remains is width and initialisation."""
    sample_weight, biases = conflict_weight(kind, weight), []
    for data, inputs, probes in plane_data(6, whiten=False):
        given = {
            "dataset": ns.Dataset.from_arrays(inputs.astype(float), data.labels),
            "probe_inputs": probes.astype(float),
            "sample_weight": np.asarray(sample_weight(data.latents, data.labels)),
        }
        biases.append(ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow(TIME), **given).bias)
    return {"x": [weight], "bias": [np.mean(biases)], "each": biases, "share": conflict_share(kind)}


def predict_depth(depth: int):
    return {"x": [depth], "bias": [averaged(MODEL, ns.MLP(depth), TIME)]}


def predict_bias_variance():
    return {"x": BIASES, "bias": [averaged(MODEL, ns.MLP(1, bias_variance=b), TIME) for b in BIASES]}


def summarise(bias: np.ndarray) -> dict:
    """Mean and standard error over data sets, the last axis."""
    return {"bias": bias.mean(-1), "standard_error": bias.std(-1, ddof=1) / np.sqrt(bias.shape[-1])}


def train(seed: int, model=MODEL, times=TIME, datasets: int = DATASETS, **network):
    """The package's ensembles: one network on each data set."""
    network = ns.MLP(**{"depth": 1, "width": WIDTH, **network})
    descent = ns.GradientDescent(RATE, np.rint(np.asarray(times) / RATE))
    e = ns.train_ensemble(model, network, descent, SAMPLES, datasets, 1, key=jax.random.key(seed), num_validation=2000)
    return e, summarise(np.asarray(e.bias)[..., 0])


def train_rescaling(ratio: float):
    return {"x": ratio, **train(1, MODEL.with_shortcut(amplification_ratio=ratio))[1]}


def train_time():
    e, summary = train(2, times=TIMES)
    accuracy = summarise(np.asarray(e.validation_accuracy)[..., 0])
    best = e.at_best_validation()
    stopped = summarise(np.asarray(best.bias)[..., 0])
    return {
        "x": TIMES,
        **summary,
        "accuracy": accuracy["bias"],
        "accuracy_standard_error": accuracy["standard_error"],
        "stopped": {**{k: float(v) for k, v in stopped.items()}, "time": float(np.median(best.steps) * RATE)},
    }


def train_start():
    """The first times again, on more data sets of their own: they are cheap."""
    return {"x": TIMES[:3], **train(8, times=TIMES[:3], datasets=3 * DATASETS)[1]}


def train_depth(depth: int):
    return {"x": depth, **train(3, datasets=12, depth=depth)[1]}


def train_bias_variance(value: float):
    return {"x": value, **train(4, bias_variance=value)[1]}


def plane_data(seed: int, whiten: bool):
    """Data sets as the exactly equivalent inputs of the plane; whitened by their own second moments, as one would."""
    network, grid = ns.MLP(1, width=WIDTH), MODEL.probe_grid()
    for index in range(DATASETS):
        data = MODEL.sample(jax.random.fold_in(jax.random.key(seed), index), SAMPLES)
        basis = plane_basis(data.embedding)
        inputs, probes = (np.asarray(network.plane_inputs(x, basis)) for x in (data.inputs, data.embedding(grid)))
        if whiten:
            root = np.linalg.inv(np.linalg.cholesky(inputs.T @ inputs / SAMPLES)) * np.sqrt(2 / MODEL.input_dim)
            inputs, probes = inputs @ root.T, probes @ root.T
        yield data, inputs.astype(np.float32), probes.astype(np.float32)


@eqx.filter_jit
def train_members(network, inputs, labels, weights, probes, keys, gaps):
    """Outputs at the probes (times, members, probes) after gradient descent on (1/(2N)) sum w (f - y)^2."""
    optimizer = optax.sgd(RATE)

    def loss(params, x, y, w):
        return jnp.mean(w * (network.apply(params, x) - y) ** 2) / 2

    def step(state, x, y, w):
        params, optimizer_state = state
        updates, optimizer_state = optimizer.update(jax.grad(loss)(params, x, y, w), optimizer_state)
        return optax.apply_updates(params, updates), optimizer_state

    def member(x, y, w, p, key):
        params = network.init(key, 2)
        state, outputs = (params, optimizer.init(params)), []
        for gap in gaps:
            state = jax.lax.fori_loop(0, gap, lambda _, s: step(s, x, y, w), state)
            outputs.append(network.apply(state[0], p))
        return jnp.stack(outputs)

    return jax.vmap(member)(inputs, labels, weights, probes, keys)


def train_on_plane(seed: int, times, whiten: bool = False, sample_weight=None):
    rows = []
    for data, inputs, probes in plane_data(seed, whiten):
        weight = np.ones(SAMPLES) if sample_weight is None else np.asarray(sample_weight(data.latents, data.labels))
        rows.append((inputs, np.asarray(data.labels, np.float32), weight.astype(np.float32), probes))
    batch = [np.stack(column) for column in zip(*rows, strict=True)]
    gaps = tuple(int(g) for g in np.diff(np.rint(np.atleast_1d(times) / RATE), prepend=0))
    keys = jax.random.split(jax.random.key(seed + 1000), len(rows))
    outputs = np.asarray(train_members(ns.MLP(1, width=WIDTH), *batch, keys, gaps)).swapaxes(0, 1)
    return np.asarray(ns.metrics.shortcut_bias(outputs, MODEL))


def train_whitening():
    bias = train_on_plane(5, TIMES, whiten=True)
    return {"x": TIMES, **summarise(bias)}


def train_weights(kind: str, weight: float):
    bias = train_on_plane(6, TIME, sample_weight=conflict_weight(kind, weight))[0]
    return {"x": weight, **summarise(bias), "each": bias}


# (panel, kind, label): what makes the record. Predictions of a panel stand beside what was trained for it.
TASKS = {
    ("time", "trained", ""): train_time,
    ("time", "trained", "96 data sets"): train_start,
    ("whitening", "trained", ""): train_whitening,
    **{("rescaling", "trained", f"{r:g}"): functools.partial(train_rescaling, r) for r in (1.0, 2.0)},
    **{("bias variance", "trained", f"{b:g}"): functools.partial(train_bias_variance, b) for b in (0.1, 1.0)},
    ("time", "predicted", ""): predict_time,
    ("rescaling", "predicted", ""): predict_rescaling,
    ("whitening", "predicted", ""): predict_whitening,
    ("bias variance", "predicted", ""): predict_bias_variance,
    ("depth", "predicted", "3"): functools.partial(predict_depth, 3),
    ("depth", "trained", "3"): functools.partial(train_depth, 3),
    **{
        ("weights", kind, f"{conflict} {w:g}"): functools.partial(make, conflict, w)
        for kind, make in (("trained", train_weights), ("predicted", predict_weights))
        for conflict in CONFLICTS
        for w in (4.0, 16.0)
    },
    **{("depth", "predicted", f"{depth}"): functools.partial(predict_depth, depth) for depth in (0, 2, 5)},
}


def find(records: list[dict], panel: str, kind: str, label: str = "") -> list[dict]:
    return [r for r in records if r["panel"] == panel and r["kind"] == kind and r["label"].startswith(label)]


def line_of(records: list[dict], panel: str, label: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Predicted points of a panel in order, the base setting, which is a point of the time panel, among them."""
    rows = [(x, bias) for r in find(records, panel, "predicted", label) for x, bias in zip(r["x"], r["bias"], strict=True)]
    base = {"weights": 1.0, "depth": 1}.get(panel)
    if base is not None:
        rows += [(base, bias) for x, bias in zip(*line_of(records, "time"), strict=True) if x == TIME]
    return tuple(np.array(sorted(rows)).T) if rows else (np.zeros(0), np.zeros(0))


def pairs(records: list[dict]):
    """(panel, label, x, predicted, trained, standard error of the gap) of every trained point."""
    for r in (r for r in records if r["kind"] == "trained"):
        label = r["label"].split()[0] if r["panel"] == "weights" else ""
        line = dict(zip(*(values.tolist() for values in line_of(records, r["panel"], label)), strict=True))
        for x, bias, error in zip(*(np.atleast_1d(r[name]).tolist() for name in ("x", "bias", "standard_error")), strict=True):
            if x not in line:
                continue
            if "each" in r:
                same = find(records, "weights", "predicted", r["label"])[0]["each"]
                error = np.std(np.subtract(r["each"], same), ddof=1) / np.sqrt(len(same))
            yield r["panel"], label, x, line[x], bias, error


def table(records: list[dict]) -> str:
    """Markdown: predicted against trained, with the gap in its standard errors."""
    lines = ["| change | at | predicted | trained | gap, standard errors |", "|---|---|---|---|---|"]
    gaps = []
    for panel, label, x, predicted, trained, error in pairs(records):
        gaps.append((abs(trained - predicted), (trained - predicted) / error))
        name = f"{panel}, {label}" if label else panel
        lines.append(f"| {name} | {x:g} | {predicted:.3f} | {trained:.3f} | {trained - predicted:+.3f} ({gaps[-1][1]:+.1f}) |")
    absolute, standardised = np.array(gaps).T
    lines.append(
        f"\n{len(gaps)} points: mean absolute gap {absolute.mean():.3f}, worst {absolute.max():.3f}; beyond 2 standard errors "
        f"{int(np.sum(np.abs(standardised) > 2))}, beyond 3 {int(np.sum(np.abs(standardised) > 3))}."
    )
    stop = find(records, "time", "trained")[0]["stopped"]
    lines.append(
        f"At the best validation accuracy (median t = {stop['time']:g}): {stop['bias']:.3f} +- {stop['standard_error']:.3f}."
    )
    return "\n".join(lines)


def figures() -> dict:
    """Of the records there are."""
    return {"mitigations": figure(read_lines(RECORDS))}


def figure(records: list[dict]):
    """Two rows of three panels; lines are predictions, points trained networks with their standard errors."""
    from matplotlib.figure import Figure

    blue, orange, green, grey = "#0072B2", "#D55E00", "#009E73", "#777777"
    made = Figure(figsize=(10.5, 6.2), dpi=110, layout="constrained")
    axes = made.subplots(2, 3)
    time_line = find(records, "time", "predicted")[0]
    time_points, *more_points = find(records, "time", "trained")

    def points(ax, rows, colour, **style):
        x, y, error = (np.concatenate([np.atleast_1d(r[n]) for r in rows]) for n in ("x", "bias", "standard_error"))
        ax.errorbar(x, y, error, fmt="o", color=colour, markersize=4.5, capsize=2.5, linestyle="none", **style)

    def base(ax, x):
        """The base setting, trained: t = 30 of the time panel."""
        index = int(np.flatnonzero(np.array(time_points["x"]) == TIME)[0])
        row = {"x": x, "bias": time_points["bias"][index], "standard_error": time_points["standard_error"][index]}
        points(ax, [row], blue, markerfacecolor="white")

    ax = axes[0, 0]
    ax.plot(*line_of(records, "rescaling"), color=blue)
    points(ax, find(records, "rescaling", "trained"), blue)
    base(ax, 4.0)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set(title="Rescaling", xlabel=r"amplification ratio $\alpha_s/\alpha_c$")

    ax = axes[0, 1]
    ax.plot(time_line["x"], time_line["bias"], color=grey, label="as they are")
    ax.plot(*line_of(records, "whitening"), color=blue, label="whitened")
    points(ax, [time_points], grey)
    points(ax, find(records, "whitening", "trained"), blue)
    ax.set_xscale("log")
    ax.legend(frameon=False, fontsize=8)
    ax.set(title="Whitening", xlabel=r"time = learning rate $\times$ steps")

    ax = axes[0, 2]
    ax.plot(time_line["x"], time_line["bias"], color=blue)
    points(ax, [time_points], blue)
    points(ax, more_points, blue, alpha=0.5)
    ax.set_xscale("log")
    ax.set(title="Early stopping", xlabel=r"time = learning rate $\times$ steps")
    right = ax.twinx()
    right.plot(time_line["x"], time_line["accuracy"], color=orange)
    right.errorbar(
        time_points["x"],
        time_points["accuracy"],
        time_points["accuracy_standard_error"],
        fmt="s",
        color=orange,
        markersize=4.5,
        capsize=2.5,
    )
    right.axhline(time_line["bayes_accuracy"], color=orange, linestyle=":", linewidth=1)
    right.set_ylabel("accuracy on new data (dotted: Bayes)", color=orange)
    ax.set_ylabel("shortcut bias", color=blue)

    ax = axes[1, 0]
    for kind, colour, text in (("features", blue, "features disagree"), ("label", green, "shortcut against label")):
        share = 100 * conflict_share(kind)
        ax.plot(*line_of(records, "weights", kind), color=colour, marker=".", label=f"{text} ({share:.0f} %)")
        points(ax, find(records, "weights", "trained", kind), colour)
    base(ax, 1.0)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.legend(frameon=False, fontsize=8)
    ax.set(title="Sample weights", xlabel="weight of conflicting samples")

    ax = axes[1, 1]
    ax.plot(*line_of(records, "depth"), color=blue, marker=".")
    points(ax, find(records, "depth", "trained"), blue)
    base(ax, 1)
    ax.set(title="Depth", xlabel="hidden layers")

    ax = axes[1, 2]
    ax.plot(*line_of(records, "bias variance"), color=blue, marker=".")
    points(ax, find(records, "bias variance", "trained"), blue)
    base(ax, 0.0)
    ax.set_xscale("symlog", linthresh=0.01, linscale=0.5)
    ax.set_xticks([0, 0.01, 0.1, 1], ["0", "0.01", "0.1", "1"])
    ax.set(title="Bias variance", xlabel=r"$\sigma_b^2$")

    for ax in axes.flat:
        ax.set_ylim(min(ax.get_ylim()[0], 0), None)
        ax.spines[["top"]].set_visible(False)
        if ax is not axes[0, 2]:
            ax.spines[["right"]].set_visible(False)
    for ax in (axes[0, 0], axes[1, 0]):
        ax.set_ylabel("shortcut bias")
    right.spines[["top"]].set_visible(False)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=RECORDS)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = parser.parse_args()
    records = read_lines(arguments.output)
    if arguments.table:
        print(table(records))
        return
    done = {(r["panel"], r["kind"], r["label"]) for r in records}
    versions = {"jax": jax.__version__, "python": platform.python_version(), "ntk_shortcuts": ns.__version__}
    began = time.monotonic()
    for (panel, kind, label), make in TASKS.items():
        if (panel, kind, label) in done or time.monotonic() - began > 60 * arguments.minutes:
            continue
        started = time.monotonic()
        made = make()
        result = {name: value if isinstance(value, dict) else np.asarray(value).tolist() for name, value in made.items()}
        record = {"panel": panel, "kind": kind, "label": label, **result, "seconds": time.monotonic() - started}
        with arguments.output.open("a") as file:
            file.write(json.dumps({**record, **versions, "cores": os.cpu_count()}) + "\n")
        print(panel, kind, label, np.round(result["bias"], 3).tolist(), f"{record['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
