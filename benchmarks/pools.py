"""The average over data sets drawn from a pool against brute force: exact solutions on sampled data sets of images.

    python benchmarks/pools.py [--minutes 12]   # goes on where it stopped
    python benchmarks/pools.py --table          # prints the summary of what is there

One row of `results/pools.csv` per setting and time, written as it is finished: accuracies of the four groups, label x patch,
predicted, sampled with their standard errors, and by the textbook form (Simon et al. 2021), in which one number stands for the
leverages of all samples and no sample comes twice. That form has no deviation at a single point: the prediction's is used.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import records
from scipy.stats import norm

import ntk_shortcuts as ns
from ntk_shortcuts.methods.average.deterministic_equivalent import scalar_kappa
from ntk_shortcuts.networks.gram import Gram, gram_between

RESULTS = pathlib.Path(__file__).parent / "results" / "pools.csv"
TIMES = np.array([3.0, 30.0, 300.0, 3000.0])
GROUPS = ("--", "-+", "+-", "++")  # label, patch
IMAGES = {
    "digits": lambda: ns.images.digits_patch(brightness=1.5, num_images=400),
    "mnist": lambda: ns.images.mnist_patch(brightness=1.0, num_images=400),
}
# Agreement of patch and label, and samples in a data set.
CHOICES = ((0.95, 100), (0.9, 300), (0.8, 50), (0.99, 1000), (0.95, 300))


def convolution() -> Any:
    from ntk_shortcuts.kernels import neural_tangents as interop

    stax = interop.load().stax
    layers = stax.Conv(1, (3, 3), padding="SAME"), stax.Relu(), stax.Flatten(), stax.Dense(1)
    return interop.from_stax(stax.serial(*layers)[2])


NETWORKS = {f"relu-{depth}": functools.partial(ns.MLP, depth) for depth in (1, 2, 3)} | {"convolution": convolution}


def settings() -> list[tuple[str, str, float, int]]:
    """The convolution, whose kernels take longest, on the smaller images only."""
    plain = [(i, n, *c) for c, n, i in itertools.product(CHOICES, list(NETWORKS)[:3], IMAGES)]
    return [*plain[:12], ("digits", "convolution", *CHOICES[1]), *plain[12:]]


@functools.cache
def problem(images: str, network: str) -> tuple[ns.Pool, ns.Pool, Gram]:
    pool, test = IMAGES[images]().split(jax.random.key(0), 0.7)
    return pool, test, gram_between(NETWORKS[network](), pool.inputs, test.inputs)


def solved(gram: Gram, counts: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over initialisations, (times, n), trained on samples that come `counts` times."""
    came = np.flatnonzero(counts)
    root = np.sqrt(counts[came] / counts.sum())
    values, vectors = np.linalg.eigh(root[:, None] * gram.ntk[np.ix_(came, came)] * root)
    values, vectors = np.maximum(values, 1e-12 * values[-1]), root[:, None] * vectors
    sides, learnt = gram.ntk_cross[:, came] @ vectors, vectors.T @ targets[came]
    initial, cross = vectors.T @ gram.nngp[np.ix_(came, came)] @ vectors, gram.nngp_cross[:, came] @ vectors
    means, variances = [], []
    for t in TIMES:
        gains = sides * (-np.expm1(-values * t) / values)
        means.append(gains @ learnt)
        variances.append(gram.nngp_own + np.sum((gains @ initial - 2 * cross) * gains, axis=1))
    return np.array(means), np.array(variances)


def scalar_mean(pool: ns.Pool, gram: Gram, num_samples: int) -> np.ndarray:
    """The textbook form's mean, (times, n), with the poles of gradient flow."""
    root = np.sqrt(pool.weights)
    values, vectors = np.linalg.eigh(root[:, None] * gram.ntk * root)
    kept = values > 1e-12 * values[-1]
    values, vectors = values[kept], root[:, None] * vectors[:, kept]
    learnt, at_points = vectors.T @ np.where(pool.labels > 0, 1.0, -1.0), gram.ntk_cross @ vectors
    filter_ = ns.GradientFlow(TIMES).rational(num_samples, values[-1], 6)
    means = []
    for poles, residues in zip(np.asarray(filter_.poles), np.asarray(filter_.residues), strict=True):
        kappas = [complex(scalar_kappa(jnp.asarray(pole), jnp.asarray(values), float(num_samples))) for pole in poles]
        gains = sum((c / (values + kappa)).real for c, kappa in zip(residues, kappas, strict=True))
        means.append(at_points @ (gains * learnt))
    return np.array(means)


def measure(images: str, network: str, agreement: float, num_samples: int) -> list[dict]:
    began = time.perf_counter()
    whole, test, gram = problem(images, network)
    pool = whole.with_agreement(agreement)
    truth, sides = np.where(test.labels > 0, 1.0, -1.0), test.attributes["patch"]
    members = [(test.labels == y) & (sides == a) for y in (-1, 1) for a in (-1, 1)]

    def groups(means: np.ndarray, std: np.ndarray) -> np.ndarray:
        right = norm.cdf(truth * means / std)
        return np.stack([right[..., of].mean(axis=-1) for of in members], axis=-1)

    options = {"num_samples": num_samples, "test": test, "method": "dataset_averaged", "num_draws": 60}
    found = ns.predict(pool, NETWORKS[network](), ns.GradientFlow(TIMES), **options)
    predicted, std = np.asarray(found.group_accuracy).reshape(len(TIMES), 4), np.asarray(found.std)
    seconds = time.perf_counter() - began
    sets = 100 if num_samples <= 300 else 40
    targets = np.where(pool.labels > 0, 1.0, -1.0)
    draws = [pool.draw(jax.random.key(1000 + i), num_samples) for i in range(sets)]
    laws = [solved(gram, np.bincount(draw, minlength=len(pool)), targets) for draw in draws]
    means, variances = (np.stack(part) for part in zip(*laws, strict=True))
    each = groups(means, np.sqrt(variances))
    sampled, error = each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(sets)
    ratio = np.median(std / np.sqrt(means.var(axis=0, ddof=1) + variances.mean(axis=0)), axis=-1)
    scalar = groups(scalar_mean(pool, gram, num_samples), std)
    common = {"images": images, "network": network, "agreement": agreement, "num_samples": num_samples, "data_sets": sets}
    rows = []
    for index, t in enumerate(TIMES):
        row = {**common, "time": t, "std_ratio": round(float(ratio[index]), 4), "seconds": round(seconds, 1)}
        for name, values in (("predicted", predicted), ("sampled", sampled), ("error", error), ("scalar", scalar)):
            row |= {f"{name} {g}": round(float(v), 5) for g, v in zip(GROUPS, values[index], strict=True)}
        rows.append(row)
    return rows


def read() -> list[dict]:
    return records.read(RESULTS, words=("images", "network"))


def columns(rows: list[dict], name: str, conflicting: bool) -> np.ndarray:
    return np.array([[row[f"{name} {g}"] for g in (GROUPS[1:3] if conflicting else GROUPS[::3])] for row in rows])


def table(rows: list[dict]) -> str:
    """Mean absolute error and worst, by time and kind of group, of the prediction and of the textbook form."""
    count = len({tuple(row[k] for k in ("images", "network", "agreement", "num_samples")) for row in rows})
    lines = [f"{count} settings x {len(TIMES)} times.", ""]
    lines += ["| t | groups | standard error | error, worst | textbook form: error, worst | std ratio, median (range) |"]
    lines += ["| --- |" + " --- |" * 5]
    for t, conflicting in itertools.product((*TIMES, None), (False, True)):
        of = [row for row in rows if t is None or row["time"] == t]
        sampled, error = columns(of, "sampled", conflicting), columns(of, "error", conflicting)
        cells = [f"{np.mean(error):.4f}"]
        for name in ("predicted", "scalar"):
            miss = np.abs(columns(of, name, conflicting) - sampled)
            cells.append(f"{miss.mean():.4f}, {miss.max():.3f}")
        ratio = np.array([row["std_ratio"] for row in of])
        cells.append(f"{np.median(ratio):.3f} ({ratio.min():.2f} to {ratio.max():.2f})")
        kind = "conflicting" if conflicting else "agreeing"
        lines.append(f"| {'all' if t is None else f'{t:g}'} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figures() -> dict[str, Any]:
    """Predicted against sampled accuracies of the groups in which patch and label conflict."""
    from matplotlib.figure import Figure

    rows = read()
    drawing = Figure(figsize=(8, 3.8), dpi=150, layout="constrained")
    for axes, name, title in zip(
        drawing.subplots(1, 2, sharey=True), ("predicted", "scalar"), ("prediction", "textbook form"), strict=True
    ):
        for t, marker in zip(TIMES, "os^D", strict=True):
            of = [row for row in rows if row["time"] == t]
            sampled, error = (columns(of, part, True).ravel() for part in ("sampled", "error"))
            axes.errorbar(
                sampled,
                columns(of, name, True).ravel(),
                xerr=2 * error,
                fmt=marker,
                ms=4,
                mfc="none",
                lw=0.7,
                label=f"t = {t:g}",
            )
        axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
        axes.set(xlabel="accuracy over sampled data sets", title=title, xlim=(0, 1), ylim=(0, 1))
    drawing.axes[0].set_ylabel("accuracy where patch and label conflict")
    drawing.axes[0].legend(frameon=False)
    return {"pools": drawing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    if not arguments.table:
        jax.config.update("jax_enable_x64", True)
        done = {tuple(row[k] for k in ("images", "network", "agreement", "num_samples")) for row in read()}
        for setting in settings():
            if setting in done:
                continue
            if time.monotonic() - began > 60 * arguments.minutes:
                break
            rows = measure(*setting)
            records.add(RESULTS, rows)
            print(*setting, rows[0]["seconds"], flush=True)
    print(table(read()))


if __name__ == "__main__":
    main()
