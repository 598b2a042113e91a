"""Several shortcuts and clusters: averages over data sets beside exact solutions on sampled ones.

    python benchmarks/laws.py [--minutes M] [--law "5 features"] [--network "ReLU, 1"]

runs what `benchmarks/results/laws.csv` does not hold yet, all or of one law or network, until the minutes are over, and prints
the table.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import records

import ntk_shortcuts as ns

OUTPUT = Path(__file__).parent / "results" / "laws.csv"
TIMES = (3.0, 30.0, 100.0)
NETWORKS = {"ReLU, 1": ns.MLP(1), "ReLU, 2, biases": ns.MLP(2, bias_variance=0.1)}
# Biases of five features and more scatter by 0.01 over 100 data sets, as much as there is to be seen.
DATASETS, FROM_FIVE_FEATURES = 100, 400
COLUMNS = [
    *("law", "features", "ratio", "network", "num_samples", "time", "error", "standard_error", "within_three", "std_error"),
    *("nodes", "discretization_error", "seconds", "sampled_seconds"),
]


def features(count: int, ratio: float) -> ns.GaussianFeatures:
    """Predictivities from 0.8 to 0.9, amplifications from the ratio to 1, in geometric steps; the core last."""
    return ns.GaussianFeatures(np.linspace(0.8, 0.9, count), np.geomspace(ratio, 1.0, count), correlation=0.5)


def settings() -> list[tuple[str, float, ns.laws.DataLaw, str, int]]:
    """Law by name, ratio, law, network, N."""
    found = []
    for ratio in (4.0, 1.0):
        for size in (200, 500):
            for network in NETWORKS:
                clusters = {
                    "waterbirds": ns.Clusters.waterbirds(0.9, amplification=(ratio, 1.0)),
                    "waterbirds, 1 in 4": ns.Clusters.waterbirds(0.9, positive=0.25, amplification=(ratio, 1.0)),
                    "xor core": ns.Clusters.xor_core(amplification=(ratio, 1.0, 1.0)),
                    "imbalanced": ns.Clusters.imbalanced(amplification=(ratio, 1.0)),
                }
                found += [(name, ratio, law, network, size) for name, law in clusters.items()]
                found += [(f"{count} features", ratio, features(count, ratio), network, size) for count in (3, 5, 8)]
    return found


def measured(name: str, ratio: float, law: ns.laws.DataLaw, network: str, size: int) -> list[dict]:
    """A row for each time: biases of shortcuts, or accuracies of groups, of the average against those of sampled data sets."""
    dimension = law.test_points().points.shape[1]
    flow, start = ns.GradientFlow(list(TIMES)), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)
        average = ns.predict(law, NETWORKS[network], flow, num_samples=size)
        between = time.perf_counter()
        num_datasets = FROM_FIVE_FEATURES if dimension >= 5 else DATASETS
        options = {"method": "monte_carlo", "key": jax.random.key(7), "num_datasets": num_datasets}
        sampled = ns.predict(law, NETWORKS[network], flow, num_samples=size, **options)
    end = time.perf_counter()
    metric = law.metric if isinstance(law, ns.GaussianFeatures) else ns.metrics.GroupAccuracy()
    errors = np.abs(average.read(metric) - sampled.read(metric))
    standard = np.asarray(sampled.standard_error(metric))
    outputs = np.abs(average.mean - sampled.mean) / (sampled.std / np.sqrt(num_datasets))
    spread = np.median(np.abs(average.std / sampled.std - 1), axis=1)
    shared = {
        **{"law": name, "features": dimension, "ratio": ratio, "network": network},
        **{"num_samples": size, "nodes": int(average.diagnostics["nodes"])},
        "discretization_error": f"{average.diagnostics['discretization_error']:.5f}",
        **{"seconds": f"{between - start:.1f}", "sampled_seconds": f"{end - between:.1f}"},
    }
    rows = []
    for i, moment in enumerate(TIMES):
        worst = int(np.nanargmax(errors[i]))
        numbers = {
            "error": f"{errors[i][worst]:.4f}",
            "standard_error": f"{standard[i][worst]:.4f}",
            "within_three": f"{np.mean(outputs[i] < 3):.3f}",
            "std_error": f"{spread[i]:.3f}",
        }
        rows.append({**shared, "time": moment, **numbers})
    return rows


def table(rows: list[dict]) -> str:
    """By kind of law: points, and mean and largest errors."""
    lines = [
        "| law | points | error: mean, worst | standard error: mean | outputs within 3 | sd, median | nodes' error | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["law"] for row in rows):
        chosen = [row for row in rows if row["law"] == name]
        column = {key: np.array([row[key] for row in chosen]) for key in COLUMNS[5:]}
        lines.append(
            f"| {name} | {len(chosen)} | {column['error'].mean():.4f}, {column['error'].max():.4f} | "
            f"{column['standard_error'].mean():.4f} | {column['within_three'].mean():.3f} | "
            f"{np.median(column['std_error']):.3f} | {column['discretization_error'].mean():.4f} | "
            f"{np.median(column['seconds']):.0f} |"
        )
    return "\n".join(lines)


def read() -> list[dict]:
    return records.read(OUTPUT, words=("law", "network"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=np.inf, help="start no setting after this many minutes")
    parser.add_argument("--law", help="this one only, by its name in the table")
    parser.add_argument("--network", choices=NETWORKS, help="this one only")
    arguments, begun = parser.parse_args(), time.monotonic()
    done = {tuple(row[name] for name in ("law", "ratio", "network", "num_samples")) for row in read()}
    for name, ratio, law, network, size in settings():
        left_out = arguments.law not in (None, name) or arguments.network not in (None, network)
        if left_out or (name, ratio, network, size) in done:
            continue
        if time.monotonic() - begun > 60 * arguments.minutes:
            break
        rows = measured(name, ratio, law, network, size)
        records.add(OUTPUT, rows, COLUMNS)
        print(name, ratio, network, size, [row["error"] for row in rows], flush=True)
    print(table(read()))


if __name__ == "__main__":
    main()
