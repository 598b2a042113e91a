"""The analytic average over data sets against brute force: exact solutions over sampled data sets.

    python benchmarks/dataset_average.py --output benchmarks/results/dataset_average.jsonl [--configurations 64] [--minutes 40]

One record per configuration, written as it is finished; a second run goes on where the first stopped. The brute force uses
the large-d Gram on latents and draws data sets until the standard error of the bias is 0.006 at every time, or 1600 of
them. Kernels are compressed to their leading eigenfunctions (250 per sector at most), checked on one data set per
configuration against the full matrices (`compression_error`, of the bias).
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf

import ntk_shortcuts as ns
from ntk_shortcuts.kernels.sectors import is_angular, sector_kernels
from ntk_shortcuts.kernels.spectrum import eigenbasis
from ntk_shortcuts.quadrature import latent_rays

TIMES = (3.0, 30.0, 300.0, 3000.0)
VARIANTS = {
    "full": {},
    "init-averaged": {"random_init": False},
    "scalar": {"form": "scalar"},
    "one step": {"form": "one_step"},
    "uniform noise": {"uniform_noise": True},
    "no feedback": {"feedback": False},
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

    model: ns.GenerativeModel
    network: ns.MLP
    directions: jax.Array
    ntk_columns: tuple[jax.Array, jax.Array]
    nngp_columns: tuple[jax.Array, jax.Array]

    @eqx.filter_jit
    def __call__(self, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        pair = sector_kernels(self.model, self.network)(latents, self.directions)
        ntk = [k.ntk @ c for k, c in zip(pair, self.ntk_columns, strict=True)]
        nngp = [k.nngp @ c for k, c in zip(pair, self.nngp_columns, strict=True)]
        return jnp.concatenate(ntk, axis=1), jnp.concatenate(nngp, axis=1)


def compress(model, network, modes=250) -> Compressed:
    if is_angular(model, network):
        rays = latent_rays(model, 300, 24, True)
    else:
        rays = latent_rays(model, 36, 14, False)
    pair = sector_kernels(model, network)(rays.directions, rays.directions)

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

    return Compressed(model, network, rays.directions, both("ntk"), both("nngp"))


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


def measure(entry: dict, target: float, most: int, variants: dict) -> dict:
    model = ns.GenerativeModel((entry["predictivity"], 0.9), (entry["ratio"], 1.0), entry["correlation"])
    network, count = NETWORKS[entry["network"]](), int(entry["num_samples"])
    probes = model.probe_grid()
    optimum = float(ns.optimal_reliance(model))
    record = {**entry, "num_samples": count}

    started = time.perf_counter()
    for name, options in variants.items():
        prediction = ns.predict_bias(
            model, network, ns.GradientFlow(np.asarray(TIMES)), count, method="dataset_averaged", **options
        )
        record[name] = np.asarray(prediction.bias).tolist()
        if name == "full":
            record["diagnostics"] = prediction.diagnostics
            record["predicted_data_variance"] = np.mean(np.asarray(prediction.std) ** 2, axis=1).tolist()
    if variants is VARIANTS:
        population = ns.predict_bias(model, network, ns.GradientFlow(np.asarray(TIMES)), method="population")
        record["population"] = np.asarray(population.bias).tolist()
    record["seconds_predicting"] = time.perf_counter() - started

    compressed = compress(model, network)
    ntk_probes, nngp_probes = map(np.asarray, compressed(probes))
    reliances, signs, means, spreads = [], [], [], []
    signed = np.sign(np.asarray(probes))
    disagreement = (signed[:, 0] - signed[:, 1]) / len(signed)
    started, index, error = time.perf_counter(), 0, np.inf
    rng = np.random.default_rng(17)
    while index < most and (index < 16 or error > target):
        latents, labels = sample(model, rng, count)
        ntk, nngp = map(np.asarray, compressed(latents))
        mean, variance = brute_force(ntk, nngp, ntk_probes, nngp_probes, labels)
        reliances.append(erf(mean / np.sqrt(2 * variance)) @ disagreement - optimum)
        signs.append(np.sign(mean) @ disagreement - optimum)
        means.append(mean)
        spreads.append(np.mean(variance, axis=1))
        if index == 0:
            law = _full_law(network, model, latents, labels, probes)
            exact = np.asarray(ns.expected_reliance(law[0], np.sqrt(law[1]), probes)) - optimum
            record["compression_error"] = float(np.max(np.abs(exact - reliances[0])))
        index += 1
        if index % 16 == 0:
            error = max(np.max(np.std(r, axis=0, ddof=1)) for r in (reliances, signs)) / np.sqrt(index)
    record |= {
        "num_datasets": index,
        "brute_force": np.mean(reliances, axis=0).tolist(),
        "brute_force_error": (np.std(reliances, axis=0, ddof=1) / np.sqrt(index)).tolist(),
        "brute_force_init_averaged": np.mean(signs, axis=0).tolist(),
        "brute_force_init_averaged_error": (np.std(signs, axis=0, ddof=1) / np.sqrt(index)).tolist(),
        "brute_force_variance": (np.mean(np.var(means, axis=0, ddof=1), axis=1) + np.mean(spreads, axis=0)).tolist(),
        "seconds_brute_force": time.perf_counter() - started,
    }
    return record


def _full_law(network, model, latents, labels, probes):
    """The same data set through the package's exact predictor and full matrices."""
    from ntk_shortcuts.predictors.dataset import _outputs

    kernels = eqx.Partial(network.latent_kernels, model)
    law = _outputs(kernels, ns.GradientFlow(np.asarray(TIMES)), jnp.asarray(latents), jnp.asarray(labels), probes, True)
    return law.mean, law.variance


def table(records: list[dict]) -> str:
    """Markdown: error of the bias by training time, against brute force."""
    lines = [
        f"{len(records)} configurations: {', '.join(sorted({r['network'] for r in records}))}.",
        "",
        "| form | t | mean absolute error | worst | worst in standard errors | mean standard error | misses |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for form in [name for name in VARIANTS if all(name in r for r in records)]:
        suffix = "_init_averaged" if form == "init-averaged" else ""
        for index, t in enumerate(TIMES):
            errors = np.array([r[form][index] - r[f"brute_force{suffix}"][index] for r in records])
            spread = np.array([r[f"brute_force{suffix}_error"][index] for r in records])
            allowed = np.maximum(0.025 if t <= 300 else 0.05, 3 * spread)
            standardized = np.max(np.abs(errors) / np.maximum(spread, 1e-4))
            lines.append(
                f"| {form} | {t:g} | {np.mean(np.abs(errors)):.4f} | {np.max(np.abs(errors)):.4f} | {standardized:.1f} "
                f"| {np.mean(spread):.4f} | {int(np.sum(np.abs(errors) > allowed))} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--configurations", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--standard-error", type=float, default=0.006)
    parser.add_argument("--all-variants", action="store_true", help="what each step buys; compiles twice as much")
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = parser.parse_args()
    if arguments.table:
        print(table([json.loads(line) for line in arguments.output.read_text().splitlines()]))
        return
    variants = VARIANTS if arguments.all_variants else {name: VARIANTS[name] for name in ("full", "init-averaged", "scalar")}
    jax.config.update("jax_enable_x64", True)
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    done = {json.loads(line)["index"] for line in lines}
    started = time.monotonic()
    versions = {"jax": jax.__version__, "python": platform.python_version(), "ntk_shortcuts": ns.__version__}
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
        result = measure(entry, arguments.standard_error, 1600, variants)
        record = {"index": index, **result, **versions, "cores": os.cpu_count()}
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
