"""Predictions for pools of images beside trained networks: accuracies, audits and mitigations.

    python benchmarks/pool_training.py accuracy [--minutes 30]     # each goes on where it stopped
    python benchmarks/pool_training.py textures
    python benchmarks/pool_training.py audit
    python benchmarks/pool_training.py mitigations
    python benchmarks/pool_training.py table

Rows of `results/pool_training_<part>.csv`, written as they are finished. Networks are trained by full-batch gradient descent on
data sets drawn from the pool; `exact` is the frozen kernel's answer on the very same data sets (method="dataset"), `predicted`
the average over all data sets. What separates trained from exact is width and step; what separates exact from predicted is the
choice of data sets and the average.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import time
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import records

import ntk_shortcuts as ns
from ntk_shortcuts.analysis.remedies.registry import MITIGATIONS, Case
from ntk_shortcuts.networks.base import as_network

RESULTS = pathlib.Path(__file__).parent / "results"
WIDTH = 512
CHANNELS = 64
GROUPS = ("--", "-+", "+-", "++")  # label, attribute
NAMES = ("predicted", "trained", "error")
SETTING = ("images", "network", "agreement", "num_samples")
KINDS = {"linear-0": "linear", "relu": "ReLU", **{f"relu-{depth}": f"ReLU {depth}" for depth in (1, 2, 3)}}
# Learning rate x largest eigenvalue is above 2 there: descent with a frozen kernel diverges.
DIVERGES = "bright patch"
COLORS = ("#0072b2", "#d55e00", "#009e73")


def mlp(depth: int) -> tuple[Any, Any]:
    """The infinite network and a finite one."""
    return ns.MLP(depth), ns.MLP(depth, width=WIDTH)


def convolution(pooled: bool) -> tuple[Any, Any]:
    """Two layers of 3 x 3 filters and ReLU, then all places in a row, or their mean."""
    from ntk_shortcuts.kernels import neural_tangents as interop

    stax = interop.load().stax
    filters = [part for _ in range(2) for part in (stax.Conv(CHANNELS, (3, 3), padding="SAME"), stax.Relu())]
    init_fn, apply_fn, kernel_fn = stax.serial(*filters, stax.GlobalAvgPool() if pooled else stax.Flatten(), stax.Dense(1))
    kernel_fn = jax.jit(kernel_fn, static_argnames="get")
    network = interop.from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn)
    return network, network


NETWORKS = {
    **{
        f"{name}-{depth}": (lambda depth=depth: mlp(depth))
        for depth, name in ((0, "linear"), (1, "relu"), (2, "relu"), (3, "relu"))
    },
    "convolution": lambda: convolution(False),
    "pooled": lambda: convolution(True),
}
IMAGES = {
    "patch": lambda: ns.images.digits_patch(brightness=1.5, num_images=400),
    "bright patch": lambda: ns.images.digits_patch(brightness=3.0, num_images=400),
    "border": lambda: ns.images.digits_border(brightness=0.5, num_images=400),
    "colour": lambda: ns.images.digits_color(num_images=400),
    "MNIST patch": lambda: ns.images.mnist_patch(num_images=400),
    "textures": lambda: ns.images.digits_textures(contrast=0.3, zoom=2, num_crops=4, num_images=400),
    "textures, own crops": lambda: ns.images.digits_textures(contrast=0.3, zoom=2, num_crops=None, num_images=400),
}
# Images, network, agreement of attribute and label, N, data sets, learning rate.
ACCURACY = [
    *[("patch", f"relu-{depth}", 0.9, 100, 24, 0.25) for depth in (1, 2, 3)],
    *[("MNIST patch", f"relu-{depth}", 0.9, 100, 24, 0.25) for depth in (1, 2)],
    *[("border", f"relu-{depth}", 0.9, 100, 24, 0.25) for depth in (1, 2)],
    *[("colour", f"relu-{depth}", 0.9, 100, 24, 0.25) for depth in (1, 2)],
    *[("patch", f"relu-{depth}", 0.8, 200, 16, 0.25) for depth in (1, 2)],
    ("bright patch", "relu-2", 0.9, 100, 24, 0.25),
    *[(images, "convolution", 0.9, 100, 32, 0.25) for images in ("patch", "border", "colour")],
]
TEXTURES = [
    (images, network, 0.9, 200, sets, rate)
    for (network, sets, rate), images in itertools.product(
        (("linear-0", 8, 0.25), ("relu-2", 8, 0.25), ("convolution", 12, 0.5)), ("textures", "textures, own crops")
    )
]
TIMES = np.array([3.0, 30.0, 150.0])  # convolutions, which take longest to train, to the second
AUDITS = [(images, network) for images in list(IMAGES)[:6] for network in ("linear-0", "relu-1", "relu-3")]


def halves(images: str) -> tuple[ns.Pool, ns.Pool]:
    return IMAGES[images]().split(jax.random.key(0), 0.7)


def named(prefix: str, values: Any) -> dict[str, float]:
    return {f"{prefix} {group}": round(float(v), 5) for group, v in zip(GROUPS, np.ravel(values), strict=True)}


def accuracy(images: str, network: str, agreement: float, num_samples: int, sets: int, rate: float) -> list[dict[str, Any]]:
    """Accuracies of the groups at each time: trained, on the same data sets by the kernel, and averaged over all."""
    pool, test = halves(images)
    pool = pool.with_agreement(agreement)
    infinite, finite = NETWORKS[network]()
    times = TIMES if "convolution" not in network else TIMES[:2]
    training = ns.GradientDescent(rate, np.round(times / rate).astype(int))
    options = {"num_datasets": sets, "num_inits": 1, "test": test, "key": jax.random.key(1), "dtype": jnp.float32}
    began = time.perf_counter()
    trained = ns.train_ensemble(pool, finite, training, num_samples, **options)
    trained_seconds = time.perf_counter() - began
    each = [ns.predict(trained.dataset(i), infinite, training, method="dataset", test=test) for i in range(sets)]
    exact = np.mean([np.asarray(p.group_accuracy) for p in each], axis=0)
    began = time.perf_counter()
    # In continuous time: where learning rate x largest eigenvalue is above 1 an average over descent takes many resolvents.
    found = ns.predict(pool, infinite, ns.GradientFlow(times), num_samples=num_samples, test=test)
    seconds = time.perf_counter() - began
    sd = np.sqrt(np.mean(np.square(np.asarray(found.std)), axis=-1))
    common = {"images": images, "network": network, "agreement": agreement, "num_samples": num_samples, "data_sets": sets}
    rows = []
    for index, t in enumerate(times):
        row = {**common, "time": t, "seconds": round(seconds, 1), "training seconds": round(trained_seconds, 1)}
        row |= named("predicted", found.group_accuracy[index]) | named("exact", exact[index])
        row |= named("trained", trained.mean_group_accuracy[index]) | named("error", trained.standard_error[index])
        rows.append({**row, "predicted std": round(float(sd[index]), 4)})
    return rows


def audit(images: str, network: str) -> list[dict[str, Any]]:
    """How early the attribute is learnt against the label, and how much trained networks then rely on it: the attribute says
    nothing of the label in the audited pool, and agrees with it for nine in ten where networks are trained."""
    pool, test = halves(images)
    infinite, finite = NETWORKS[network]()
    name = pool.attribute(None)
    found = ns.audit(pool, infinite)
    training = ns.GradientDescent(0.25, np.array([12, 40, 120]))
    options = {"num_datasets": 8, "num_inits": 1, "test": test, "key": jax.random.key(1), "dtype": jnp.float32}
    trained = ns.train_ensemble(pool.with_agreement(0.9), finite, training, 150, **options)
    by_data_set = np.asarray(trained.reliance).mean(axis=-1)
    reliance, error = by_data_set.mean(axis=-1), by_data_set.std(axis=-1, ddof=1) / np.sqrt(8)
    return [
        {
            "images": images,
            "network": network,
            "relative_availability": round(float(found.relative_availability.sel(function=name)), 4),
            "time": 0.25 * steps,
            "reliance": round(float(reliance[index]), 4),
            "error": round(float(error[index]), 4),
        }
        for index, steps in enumerate((12, 40, 120))
    ]


def mitigation(name: str) -> list[dict[str, Any]]:
    """Accuracy of the worst group under one mitigation: predicted at its best time, and trained to that time."""
    pool, test = halves("bright patch")
    pool, num_samples, rate = pool.with_agreement(0.9), 150, 0.25
    steps = np.array([4, 12, 40, 120, 400])
    attribute = pool.attribute(None)
    changed = MITIGATIONS[name](Case(pool, test, as_network(ns.MLP(1)), num_samples, attribute))
    rule = ns.GradientDescent(rate, steps)
    flow = ns.GradientFlow(rate * steps)
    found = ns.predict(changed.pool, changed.network, flow, num_samples=changed.num_samples, test=changed.test)
    worst = np.asarray(found.worst_group_accuracy)
    stop = int(np.argmax(worst)) if changed.stops else len(worst) - 1
    options = {"num_datasets": 24, "num_inits": 1, "key": jax.random.key(1), "dtype": jnp.float32}
    if name == "last_layer":
        trained_groups, error = _last_layer(changed, rate, steps, options)
    else:
        trained = ns.train_ensemble(
            changed.pool, ns.MLP(1, width=WIDTH), rule, changed.num_samples, test=changed.test, **options
        )
        trained_groups, error = np.asarray(trained.mean_group_accuracy), np.asarray(trained.standard_error)
    group = np.unravel_index(np.nanargmin(trained_groups[stop]), trained_groups[stop].shape)
    return [
        {
            "mitigation": name,
            "num_samples": changed.num_samples,
            "time": rate * int(steps[stop]),
            "predicted": round(float(worst[stop]), 4),
            "trained": round(float(trained_groups[stop][group]), 4),
            "error": round(float(error[stop][group]), 4),
        }
    ]


def _last_layer(changed: Case, rate: float, steps: np.ndarray, options: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Readouts over random ReLU features, trained by the same descent: a linear network on the features."""
    size = WIDTH * 4
    rows = changed.pool.inputs.reshape(len(changed.pool), -1)
    tested = changed.test.inputs.reshape(len(changed.test), -1)
    found = []
    for seed in range(options["num_datasets"]):
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=(rows.shape[1], size)) * np.sqrt(2 / rows.shape[1])
        of = changed.pool.draw(jax.random.key(seed), changed.num_samples)
        features, at = (np.maximum(x @ weights, 0) * np.sqrt(2 / size) for x in (rows[of], tested))
        readout = rng.normal(size=size)
        outputs, begun = [], 0
        targets = np.where(changed.pool.labels[of] > 0, 1.0, -1.0)
        for end in steps:
            for _ in range(end - begun):
                readout = readout - rate * features.T @ (features @ readout - targets) / len(of)
            begun = end
            outputs.append(at @ readout)
        right = np.sign(outputs) == np.where(changed.test.labels > 0, 1, -1)
        attribute = changed.test.attributes[changed.attribute]
        members = [(changed.test.labels == y) & (attribute == a) for y in (-1, 1) for a in (-1, 1)]
        found.append(np.stack([right[:, m].mean(axis=1) for m in members], axis=-1).reshape(len(steps), 2, 2))
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(len(found))


PARTS = {
    "accuracy": (accuracy, ACCURACY, SETTING),
    "textures": (accuracy, TEXTURES, SETTING),
    "audit": (audit, AUDITS, ("images", "network")),
    "mitigations": (mitigation, [(name,) for name in MITIGATIONS], ("mitigation",)),
}


def results(part: str) -> pathlib.Path:
    return RESULTS / f"pool_training_{part}.csv"


def read(part: str) -> list[dict[str, Any]]:
    return records.read(results(part), words=("images", "network", "mitigation"))


def accuracy_table(rows: list[dict[str, Any]]) -> str:
    """A line for every setting: the accuracy where attribute and label conflict, and the mean absolute error of all groups."""
    times = sorted({row["time"] for row in rows})
    heads = [f"conflicting, predicted / trained at t = {t:g}" if t == times[0] else f"t = {t:g}" for t in times]
    lines = [f"| images | network | agreement, N | {' | '.join(heads)} | error, standard error | same data sets |"]
    lines.append("| --- |" + " --- |" * (len(heads) + 4))
    for key, group in itertools.groupby(rows, lambda row: tuple(row[k] for k in SETTING)):
        of = list(group)
        accuracies = columns(of, "predicted")[:, 1:3].mean(axis=1), columns(of, "trained")[:, 1:3].mean(axis=1)
        pairs = {row["time"]: f"{p:.2f} / {q:.2f}" for row, p, q in zip(of, *accuracies, strict=True)}
        cells = [key[0], KINDS.get(key[1], key[1]), f"{key[2]:g}, {key[3]:g}", *(pairs.get(t, "") for t in times)]
        miss, same = np.abs(columns(of, "predicted") - columns(of, "trained")), missed_alike(of)
        cells += [f"{miss.mean():.3f}, {columns(of, 'error').mean():.3f}", f"{same.mean():.3f}" if same.size else ""]
        lines.append(f"| {' | '.join(cells)} |")
    kinds = [kind for kind in ("linear", "relu", "convolution") if any(kind in row["network"] for row in rows)]
    return "\n".join([*lines, *(summary(rows, kind) for kind in kinds)])


def columns(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """Of every row and group, (rows, 4)."""
    return np.array([[row[f"{name} {group}"] for group in GROUPS] for row in rows])


def missed_alike(rows: list[dict[str, Any]]) -> np.ndarray:
    """Trained less the frozen kernel's answer on the same data sets, where its descent does not diverge."""
    of = [row for row in rows if row["images"] != DIVERGES]
    return np.abs(columns(of, "exact") - columns(of, "trained")) if of else np.empty(0)


def summary(rows: list[dict[str, Any]], kind: str) -> str:
    """Errors of all settings of one kind of network."""
    of = [row for row in rows if kind in row["network"]]
    count = len({tuple(row[k] for k in SETTING) for row in of})
    miss, same = np.abs(columns(of, "predicted") - columns(of, "trained")), missed_alike(of)
    return (
        f"\n{count} settings of {KINDS.get(kind, kind)}: mean absolute error {miss.mean():.3f} (largest {miss.max():.2f}) at a"
        f" mean standard error of {columns(of, 'error').mean():.3f}; on the same data sets {same.mean():.3f} (largest"
        f" {same.max():.2f})."
    )


def audit_table(rows: list[dict[str, Any]]) -> str:
    """Rank correlation of the audit's availability with trained reliance, over cases, at each time."""
    from scipy.stats import spearmanr

    lines = []
    for t in dict.fromkeys(row["time"] for row in rows):
        of = [row for row in rows if row["time"] == t]
        rank: Any = spearmanr([row["relative_availability"] for row in of], [row["reliance"] for row in of])
        lines.append(f"t = {t:g}: {len(of)} cases, rank correlation {rank.statistic:.3f}")
    return "\n".join(lines)


def textures_figure(rows: list[dict[str, Any]]) -> Any:
    """Accuracies of agreeing and conflicting groups over time, a panel for each network: predicted lines, trained points."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    kinds = {"agreeing": ([0, 3], "--"), "conflicting": ([1, 2], "-")}
    crops = {"textures": "4 crops of each texture", "textures, own crops": "a crop for every image"}
    panels = {"linear-0": "linear", "relu-2": "ReLU, 2 hidden layers", "convolution": "convolution, 2 layers"}
    for axes, (network, title) in zip(drawing.subplots(1, 3, sharey=True), panels.items(), strict=True):
        measured = [of for of in crops if (of, network) in {(row["images"], row["network"]) for row in rows}]
        for (images, (kind, (groups, style))), color in zip(
            itertools.product(measured, kinds.items()), np.repeat(COLORS[:2], len(kinds)), strict=False
        ):
            of = [row for row in rows if (row["network"], row["images"]) == (network, images)]
            predicted, trained, error = (columns(of, name)[:, groups] for name in NAMES)
            times, label = [row["time"] for row in of], f"{crops[images]}, {kind}"
            axes.plot(times, predicted.mean(axis=1), style, color=color, label=label)
            bars = np.sqrt(np.sum(error**2, axis=1)) / len(groups)
            axes.errorbar(times, trained.mean(axis=1), bars, fmt="o", color=color, ms=4, mfc="none", lw=0.8)
        axes.set(xscale="log", xlabel="time (learning rate x steps)", ylim=(0, 1), title=title)
        axes.set_xticks(TIMES, [f"{t:g}" for t in TIMES])
        axes.minorticks_off()
    drawing.axes[0].set_ylabel("accuracy of the groups")
    drawing.legend(*drawing.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return drawing


def figures() -> dict[str, Any]:
    """Group accuracies, reliance against the audit, and mitigations: predicted and trained; and textures to three networks."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10, 3.7), dpi=150, layout="constrained")
    left, middle, right = drawing.subplots(1, 3)
    rows = read("accuracy")
    for kind, marker in (("conflicting", "o"), ("agreeing", "^")):
        of = GROUPS[1:3] if kind == "conflicting" else GROUPS[::3]
        predicted, trained, error = (np.array([[row[f"{name} {g}"] for g in of] for row in rows]).ravel() for name in NAMES)
        left.errorbar(predicted, trained, error, fmt=marker, ms=4, mfc="none", lw=0.7, label=kind)
    left.plot([0, 1], [0, 1], color="0.6", lw=0.8, zorder=0)
    left.set(xlabel="accuracy of a group, predicted", ylabel="trained", xlim=(0, 1), ylim=(0, 1))
    left.set_title("group accuracies")
    left.legend(frameon=False, title="attribute and label", loc="lower right")
    cases = [row for row in read("audit") if row["time"] == 10]
    for (network, marker), color in zip((("linear-0", "o"), ("relu-1", "s"), ("relu-3", "^")), COLORS, strict=True):
        of_network = [row for row in cases if row["network"] == network]
        at, reliance, error = (np.array([row[k] for row in of_network]) for k in ("relative_availability", "reliance", "error"))
        middle.errorbar(
            at,
            reliance,
            error,
            fmt=marker,
            color=color,
            ms=4,
            lw=0.7,
            label=network.removesuffix("-0").replace("relu-", "ReLU, depth "),
        )
    middle.axhline(0, color="0.7", lw=0.8, zorder=0)
    middle.set(
        xscale="log", xlabel="relative availability, from the audit", ylabel="reliance of trained networks", title="t = 10"
    )
    middle.set_xticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
    middle.minorticks_off()
    middle.set_ylim(bottom=-0.55)  # room for the legend below the axis
    middle.legend(frameon=False, loc="lower right")
    found = read("mitigations")
    places = np.arange(len(found))[::-1]
    right.plot([row["predicted"] for row in found], places, "d", color=COLORS[0], label="predicted")
    errors = [2 * row["error"] for row in found]
    right.errorbar(
        [row["trained"] for row in found], places, xerr=errors, fmt="o", mfc="none", color=COLORS[1], label="trained"
    )
    right.set_yticks(places, [row["mitigation"].replace("_", " ") for row in found])
    right.set(xlabel="accuracy of the worst group", xlim=(0, 1), title="mitigations")
    right.legend(frameon=False, loc="lower left")
    return {"pool_training": drawing, "textures": textures_figure(read("textures"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "table"])
    parser.add_argument("--minutes", type=float, default=60.0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)
    began = time.monotonic()
    if arguments.part != "table":
        jax.config.update("jax_enable_x64", True)
        measure, settings, keys = PARTS[arguments.part]
        done = {tuple(row[k] for k in keys) for row in read(arguments.part)}
        for setting in settings:
            if setting[: len(keys)] in done:
                continue
            if time.monotonic() - began > 60 * arguments.minutes:
                break
            rows = measure(*setting)
            records.add(results(arguments.part), rows)
            print(*setting, f"{(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    for part, table in (("accuracy", accuracy_table), ("textures", accuracy_table), ("audit", audit_table)):
        if read(part):
            print(f"\n{part}\n{table(read(part))}")
    for row in read("mitigations"):
        print(row)


if __name__ == "__main__":
    main()
