"""The analytic average over data sets against brute force: exact solutions over sampled data sets.

    python benchmarks/dataset_average.py [--output FILE] [--configurations 64] [--minutes 40]

One record per configuration, written as it is finished; a second run goes on where the first stopped. The brute force uses
the large-d Gram on latents and draws data sets until the standard error of the bias is 0.006 at every time, or 1600 of
them. Kernels are compressed to their leading eigenfunctions (250 per sector at most), checked on one data set per
configuration against the full matrices (`compression_error`, of the bias).

    --redo       draws again where that left a standard error above 0.006 or a compression error above 0.02: up to 12000
                 data sets, full kernel matrices (`compression_error` is then 0) but for tanh. Predictions are kept.
                 `--only INDEX` with a smaller `--standard-error`: one doubtful record, up to 40000 data sets.
    --variants   adds to existing records what each step of the prediction buys. The brute force is kept; predictions that
                 are there already must come out the same.
    --table      prints the tables of what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf

import ntk_shortcuts as ns
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.laws.eigenfunctions import eigenbasis
from ntk_shortcuts.laws.two_features.polar import latent_rays
from ntk_shortcuts.plotting import Scatter, plot_agreement

RECORDS = pathlib.Path(__file__).parent / "results" / "dataset_average.jsonl"
TIMES = (3.0, 30.0, 300.0, 3000.0)
VARIANTS = {
    "full": {},
    "init-averaged": {"random_init": False},
    "scalar": {"form": "scalar"},
    "one step": {"form": "one_step"},
    "uniform noise": {"uniform_noise": True},
    "no feedback": {"feedback": False},
    "population": {},
}
NETWORKS = {
    "linear": lambda: ns.MLP(0),
    "relu-1": lambda: ns.MLP(1),
    "relu-2": lambda: ns.MLP(2),
    "relu-3": lambda: ns.MLP(3),
    "relu-5": lambda: ns.MLP(5),
    "relu-1 biases": lambda: ns.MLP(1, bias_variance=0.1),
    "relu-2 biases": lambda: ns.MLP(2, bias_variance=0.1),
    "relu-3 biases": lambda: ns.MLP(3, bias_variance=0.1),
    "relu-5 biases": lambda: ns.MLP(5, bias_variance=0.1),
    "erf-1": lambda: ns.MLP(1, "erf"),
    "erf-2": lambda: ns.MLP(2, "erf", bias_variance=0.1),
    "tanh-1": lambda: ns.MLP(1, "tanh"),
}


def configurations(count: int) -> list[dict]:
    """A seeded draw that visits every network, ratio, predictivity, correlation and size evenly."""
    rng = np.random.default_rng(0)
    axes = {
        "network": list(NETWORKS),
        "ratio": [0.5, 1.0, 2.0, 4.0, 8.0],
        "predictivity": [0.6, 0.7, 0.8, 0.85, 0.9],
        "correlation": [0.0, 0.3, 0.6, 0.6],
        "num_samples": [100, 300, 1000, 3000],
    }
    columns = {}
    for name, values in axes.items():
        repeated = np.resize(np.asarray(values, dtype=object), count)
        columns[name] = rng.permutation(repeated)
    chosen = [{name: columns[name][i] for name in axes} for i in range(count)]
    for entry in chosen:
        if entry["network"].startswith("tanh"):  # its Hermite series make kernels of 3000 points slow
            entry["num_samples"] = min(entry["num_samples"], 300)
    return chosen


class Compressed(eqx.Module):
    """Coordinates of latents in leading eigenfunctions of NTK and NNGP, both sectors side by side."""

    kernel: LawKernel
    nodes: jax.Array
    ntk_columns: tuple[jax.Array, jax.Array]
    nngp_columns: tuple[jax.Array, jax.Array]

    @eqx.filter_jit
    def __call__(self, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        pair = self.kernel.in_sectors()(latents, self.nodes)
        ntk = [k.ntk @ c for k, c in zip(pair, self.ntk_columns, strict=True)]
        nngp = [k.nngp @ c for k, c in zip(pair, self.nngp_columns, strict=True)]
        return jnp.concatenate(ntk, axis=1), jnp.concatenate(nngp, axis=1)


def merges_rays(kernel: LawKernel) -> bool:
    return kernel.law.merges_rays(kernel.network.facts)


def compress(kernel: LawKernel, modes: int = 250) -> Compressed:
    rays = latent_rays(kernel.law, 300, 24, True) if merges_rays(kernel) else latent_rays(kernel.law, 36, 14, False)
    pair = kernel.in_sectors()(rays.points, rays.points)

    def columns(kernel, largest):
        basis = jax.tree.map(lambda leaf: leaf[0], eigenbasis(kernel[None], rays.mass))
        kept = np.asarray(basis.eigenvalues) > 1e-12 * largest
        count = max(1, min(modes, int(kept.sum())))
        # An odd activation without biases has no even kernel: one column of zeros stands for it.
        scale = jnp.where(basis.eigenvalues[:count] > 1e-12 * largest, basis.eigenvalues[:count], jnp.inf)
        return jnp.sqrt(rays.mass)[:, None] * basis.vectors[:, :count] / jnp.sqrt(scale)

    def both(name):
        kernels = [getattr(kernel, name) for kernel in pair]
        largest = max(float(jnp.trace(kernel * rays.mass)) for kernel in kernels)
        return tuple(columns(kernel, largest) for kernel in kernels)

    return Compressed(kernel, rays.points, both("ntk"), both("nngp"))


def brute_force(ntk, nngp, ntk_probes, nngp_probes, labels) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over initialisations at the probes, (times, probes) each, from factors of both kernels."""
    count = len(labels)
    means, variances = [], []
    if count < ntk.shape[1]:
        values, vectors = np.linalg.eigh(ntk @ ntk.T / count)
        sides, targets, initial = (ntk_probes @ ntk.T) @ vectors / count, vectors.T @ labels, vectors.T @ nngp
    else:
        values, vectors = np.linalg.eigh(ntk.T @ ntk / count)
        rotated = ntk @ vectors
        sides, targets, initial = ntk_probes @ vectors, rotated.T @ labels / count, rotated.T @ nngp / count
    values = np.maximum(values, 1e-300)
    for t in TIMES:
        gains = -np.expm1(-values * t) / values
        means.append(sides @ (gains * targets))
        variances.append(np.sum((nngp_probes - (sides * gains) @ initial) ** 2, axis=1))
    return np.stack(means), np.stack(variances)


def sample(model, rng, count) -> tuple[np.ndarray, np.ndarray]:
    """Latents and labels of one balanced data set."""
    labels = np.repeat([1.0, -1.0], count // 2)
    noise = rng.normal(size=(count, 2)) @ np.asarray(model.whitening).T
    return labels[:, None] * np.asarray(model.means) + noise, labels


def law_of(entry: dict) -> tuple[ns.GenerativeModel, ns.MLP, int]:
    model = ns.GenerativeModel((entry["predictivity"], 0.9), (entry["ratio"], 1.0), entry["correlation"])
    return model, NETWORKS[entry["network"]](), int(entry["num_samples"])


def predict(entry: dict, variants: dict) -> dict:
    model, network, count = law_of(entry)
    training = ns.GradientFlow(np.asarray(TIMES))
    record, started = {}, time.perf_counter()
    for name, options in variants.items():
        if name == "population":
            prediction = ns.predict_bias(model, network, training, method="population")
        else:
            prediction = ns.predict_bias(model, network, training, count, method="dataset_averaged", **options)
        record[name] = np.asarray(prediction.bias).tolist()
        if name == "full":
            record["diagnostics"] = prediction.diagnostics
    record["seconds_predicting"] = time.perf_counter() - started
    return record


def sampled(entry: dict, target: float, most: int, full_matrices: bool) -> dict:
    """Brute force over data sets, until the standard error of the bias is below `target` at every time.

    Also the step from moments to signs: `gaussian_sign` is the bias of a Gaussian output with the sampled mean and variance
    over data sets and initialisations, less the sampled average of signs, with jackknife standard errors over blocks of 16.
    """
    model, network, count = law_of(entry)
    probes = model.probe_grid()
    optimum = float(ns.linear.optimal_reliance(model))
    signed = np.sign(np.asarray(probes))
    disagreement = (signed[:, 0] - signed[:, 1]) / len(signed)
    # Reliance counts only the probes at which the two features disagree.
    probes, disagreement = probes[disagreement != 0], disagreement[disagreement != 0]
    kernel = LawKernel(model, network)
    exact = Exact(kernel, probes)
    prior = np.asarray(exact.prior())
    record: dict = {"compression_error": 0.0, "full_matrices": full_matrices}
    if not full_matrices:
        compressed = compress(kernel)
        ntk_probes, nngp_probes = map(np.asarray, compressed(probes))

    def law(latents: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if full_matrices:
            return exact_brute_force(exact(latents), prior, labels)
        ntk, nngp = map(np.asarray, compressed(latents))
        return brute_force(ntk, nngp, ntk_probes, nngp_probes, labels)

    def gaussian(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return erf(mean / np.sqrt(2 * variance)) @ disagreement - optimum

    reliances, signs, blocks, block = [], [], [], []
    started, index, error = time.perf_counter(), 0, np.inf
    rng = np.random.default_rng(17)
    while index < most and (index < 16 or error > target):
        latents, labels = sample(model, rng, count)
        mean, variance = law(latents, labels)
        reliances.append(gaussian(mean, variance))
        signs.append(np.sign(mean) @ disagreement - optimum)
        block.append((mean, mean**2, variance))
        if index == 0 and not full_matrices:
            uncompressed = gaussian(*exact_brute_force(exact(latents), prior, labels))
            record["compression_error"] = float(np.max(np.abs(uncompressed - reliances[0])))
        index += 1
        if index % 16 == 0:
            error = max(np.max(np.std(r, axis=0, ddof=1)) for r in (reliances, signs)) / np.sqrt(index)
            blocks.append(np.mean(block, axis=0))
            block = []

    def gap(means: np.ndarray, averages: list[np.ndarray]) -> np.ndarray:
        """Bias from the moments less the average over data sets; rows: with the random output, and init-averaged."""
        first, second, over_inits = means
        over_data = np.maximum(second - first**2, 1e-30)
        return np.stack([gaussian(first, over_data + over_inits), gaussian(first, over_data)]) - np.stack(averages)

    both = np.stack([reliances, signs], axis=1)  # (data sets, 2, times)
    of_blocks, by_block = np.stack(blocks), both[: 16 * len(blocks)].reshape(len(blocks), 16, 2, -1).mean(axis=1)
    gaps = gap(of_blocks.mean(axis=0), list(by_block.mean(axis=0)))
    left_out = np.stack(
        [gap(np.delete(of_blocks, i, 0).mean(axis=0), list(np.delete(by_block, i, 0).mean(axis=0))) for i in range(len(blocks))]
        if len(blocks) > 1
        else [gaps]
    )
    jackknife = np.sqrt((len(left_out) - 1) * np.var(left_out, axis=0)) if len(blocks) > 1 else np.full_like(gaps, np.nan)
    averages, errors = both.mean(axis=0), both.std(axis=0, ddof=1) / np.sqrt(index)
    return record | {
        "num_datasets": index,
        "brute_force": averages[0].tolist(),
        "brute_force_error": errors[0].tolist(),
        "brute_force_init_averaged": averages[1].tolist(),
        "brute_force_init_averaged_error": errors[1].tolist(),
        "gaussian_sign": gaps[0].tolist(),
        "gaussian_sign_error": jackknife[0].tolist(),
        "gaussian_sign_init_averaged": gaps[1].tolist(),
        "gaussian_sign_init_averaged_error": jackknife[1].tolist(),
        "seconds_brute_force": time.perf_counter() - started,
    }


class Exact(eqx.Module):
    """Full kernel matrices of one data set: (train, train) and (probes, train) of NTK and NNGP, and the NNGP of the probes."""

    kernel: LawKernel
    probes: jax.Array

    @eqx.filter_jit
    def __call__(self, latents: jax.Array) -> tuple[jax.Array, ...]:
        train, cross = self._kernels(latents, latents), self._kernels(self.probes, latents)
        return train.ntk, train.nngp, cross.ntk, cross.nngp

    @eqx.filter_jit
    def prior(self) -> jax.Array:
        return jax.vmap(lambda z: self._kernels(z[None], z[None]).nngp[0, 0])(self.probes)

    def _kernels(self, z1: jax.Array, z2: jax.Array) -> Any:
        if not merges_rays(self.kernel):
            return self.kernel(z1, z2)
        odd, even = self.kernel.in_sectors()(z1, z2)  # the polynomial in the angle: 10 to 30 times faster
        return jax.tree.map(jnp.add, odd, even)


def exact_brute_force(matrices, prior, labels) -> tuple[np.ndarray, np.ndarray]:
    """As `brute_force`, from full matrices."""
    ntk, nngp, ntk_cross, nngp_cross = map(np.asarray, matrices)
    count = len(labels)
    values, vectors = np.linalg.eigh(ntk / count)
    values = np.maximum(values, 1e-300)
    sides, targets = ntk_cross @ vectors / count, vectors.T @ labels
    initial, crossing = vectors.T @ nngp @ vectors, 2 * nngp_cross @ vectors
    means, variances = [], []
    for t in TIMES:
        weighted = sides * (-np.expm1(-values * t) / values)
        means.append(weighted @ targets)
        variances.append(prior + np.sum((weighted @ initial - crossing) * weighted, axis=1))
    return np.stack(means), np.maximum(np.stack(variances), 1e-30)


def table(records: list[dict]) -> str:
    """Markdown: error of the bias by training time against brute force, and what each step of the prediction buys."""
    lines = [
        f"{len(records)} configurations: {', '.join(sorted({r['network'] for r in records}))}.",
        "",
        "| form | t | mean absolute error | worst | worst in standard errors | mean standard error, largest | misses |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for form in [name for name in VARIANTS if all(name in r for r in records)]:
        lines += rows(form, records)
    subset = [r for r in records if all(name in r for name in VARIANTS)]
    lines += ["", f"Every form, {len(subset)} configurations:", "", *lines[2:4]]
    for form in VARIANTS if subset else []:
        lines += rows(form, subset)
    signed = [r for r in records if "gaussian_sign" in r and r["num_datasets"] >= 64]
    lines += ["", f"Gaussian sign less sampled sign, {len(signed)} configurations:", ""]
    lines += ["| output | t | mean | mean absolute | worst | mean standard error |", "| --- | --- | --- | --- | --- | --- |"]
    for name in ("gaussian_sign", "gaussian_sign_init_averaged") if signed else []:
        for index, t in enumerate(TIMES):
            gaps = np.array([r[name][index] for r in signed])
            spread = np.mean([r[f"{name}_error"][index] for r in signed])
            lines.append(
                f"| {name} | {t:g} | {np.mean(gaps):.4f} | {np.mean(np.abs(gaps)):.4f} "
                f"| {gaps[np.argmax(np.abs(gaps))]:.4f} | {spread:.4f} |"
            )
    return "\n".join(lines)


def rows(form: str, records: list[dict]) -> list[str]:
    suffix = "_init_averaged" if form == "init-averaged" else ""
    lines = []
    for index, t in enumerate(TIMES):
        errors = np.array([r[form][index] - r[f"brute_force{suffix}"][index] for r in records])
        spread = np.array([r[f"brute_force{suffix}_error"][index] for r in records])
        allowed = np.maximum(0.025 if t <= 300 else 0.05, 3 * spread)
        standardized = np.max(np.abs(errors) / np.maximum(spread, 1e-4))
        missed = [r["index"] for r, miss in zip(records, np.abs(errors) > allowed, strict=True) if miss]
        lines.append(
            f"| {form} | {t:g} | {np.mean(np.abs(errors)):.4f} | {np.max(np.abs(errors)):.4f} | {standardized:.1f} "
            f"| {np.mean(spread):.4f}, {np.max(spread):.4f} | {missed or 0} |"
        )
    return lines


def largest_error(record: dict) -> float:
    return max(*record["brute_force_error"], *record["brute_force_init_averaged_error"])


def replace(path: pathlib.Path, record: dict) -> None:
    """Write the record in place of the line of the same index."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(record if r["index"] == record["index"] else r) for r in records]
    unfinished = path.with_suffix(".part")
    unfinished.write_text("".join(line + "\n" for line in lines))
    unfinished.replace(path)


def draw_again(path: pathlib.Path, target: float, minutes: float, only: list[int] | None) -> None:
    started = time.monotonic()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records = [r for r in records if only is None or r["index"] in only]
    # The bias of a single data set moves by the compression error; full matrices leave none.
    doubtful = [r for r in records if largest_error(r) > target or r["compression_error"] > 0.02]
    for record in sorted(doubtful, key=lambda r: r["num_samples"]):
        if time.monotonic() - started > 60 * minutes:
            break
        found = sampled(record, target, 12000 if only is None else 40000, "tanh" not in record["network"])
        moved = [round(a - b, 4) for a, b in zip(found["brute_force"], record["brute_force"], strict=True)]
        kept = {name: value for name, value in record.items() if name != "brute_force_variance"}  # of other draws
        replace(path, {**kept, **found, **environment()})
        print(record["index"], record["network"], found["num_datasets"], "moved by", moved, flush=True)


def add_variants(path: pathlib.Path, chosen: list[int], minutes: float) -> None:
    started = time.monotonic()
    for index in chosen:
        if time.monotonic() - started > 60 * minutes:
            break
        record = next(r for line in path.read_text().splitlines() if (r := json.loads(line))["index"] == index)
        if all(name in record for name in VARIANTS):
            continue
        found = predict(record, {name: VARIANTS[name] for name in VARIANTS if name == "full" or name not in record})
        moved = max(abs(a - b) for a, b in zip(found["full"], record["full"], strict=True))
        if moved > 1e-3:
            raise RuntimeError(f"record {index}: its prediction now comes out {moved:.2g} away; measure it anew")
        replace(path, {**record, **{name: found[name] for name in VARIANTS if name in found and name != "full"}})
        print(index, record["network"], f"{found['seconds_predicting']:.0f} s", flush=True)


def environment() -> dict:
    versions = {"jax": jax.__version__, "python": platform.python_version(), "ntk_shortcuts": ns.__version__}
    return {**versions, "cores": os.cpu_count()}


def figures() -> dict:
    """Predicted bias against that over sampled data sets, with its standard error."""
    records = [json.loads(line) for line in RECORDS.read_text().splitlines()]
    times = np.tile(TIMES, len(records))
    depths = np.repeat([int(r["network"].split()[0].partition("-")[2] or 0) for r in records], len(TIMES))
    sampled, errors = (np.array([r[name] for r in records]).ravel() for name in ("brute_force", "brute_force_error"))
    forms = {"full": "local form (the default)", "scalar": "scalar form"}
    predicted = {name: np.array([r[name] for r in records]).ravel() for name in forms}
    panels = [Scatter(title, predicted[name], sampled, errors, times, depths) for name, title in forms.items()]
    figure = plot_agreement(panels)
    figure.axes[0].set_ylabel("bias over sampled data sets")
    return {"dataset_average": figure}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=RECORDS)
    parser.add_argument("--configurations", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--standard-error", type=float, default=0.006)
    parser.add_argument("--all-variants", action="store_true", help="what each step buys; compiles twice as much")
    parser.add_argument("--redo", action="store_true")
    parser.add_argument("--only", type=int, nargs="+", metavar="INDEX", help="of the records that --redo draws again")
    parser.add_argument("--variants", type=int, nargs="+", metavar="INDEX")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    if arguments.table:
        print(table([json.loads(line) for line in arguments.output.read_text().splitlines()]))
        return
    if arguments.redo:
        draw_again(arguments.output, arguments.standard_error, arguments.minutes, arguments.only)
        return
    if arguments.variants:
        add_variants(arguments.output, arguments.variants, arguments.minutes)
        return
    variants = VARIANTS if arguments.all_variants else {name: VARIANTS[name] for name in ("full", "init-averaged", "scalar")}
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    done = {json.loads(line)["index"] for line in lines}
    started = time.monotonic()
    chosen = enumerate(configurations(arguments.configurations))
    slow = {"tanh": 40, "bias": 3}

    def cost(pair: tuple[int, dict]) -> float:
        return pair[1]["num_samples"] * max([1, *(factor for word, factor in slow.items() if word in pair[1]["network"])])

    # The quick ones first, whatever time there is.
    for index, entry in sorted(chosen, key=cost):
        if index in done:
            continue
        if time.monotonic() - started > 60 * arguments.minutes:
            break
        drawn = sampled(entry, arguments.standard_error, 1600, False)
        record = {"index": index, **entry, **predict(entry, variants), **drawn, **environment()}
        with arguments.output.open("a") as file:
            file.write(json.dumps(record) + "\n")
        worst = max(abs(a - b) for a, b in zip(record["full"], record["brute_force"], strict=True))
        print(
            index,
            entry,
            record["num_datasets"],
            f"{record['seconds_predicting']:.0f} s + {record['seconds_brute_force']:.0f} s, worst {worst:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
