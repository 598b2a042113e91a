"""Seconds and memory of the average over data sets drawn from a pool of MNIST images, each case in a process of its own.

    python benchmarks/pool_scaling.py    # writes results/pool_scaling.csv and prints it

The kernel of a ReLU network of one hidden layer is timed with its compilation; the average after it, random output at
initialisation included. Peak memory is the process', with Python, JAX and the images.
"""

from __future__ import annotations

import csv
import json
import pathlib
import resource
import subprocess
import sys
import time

RESULTS = pathlib.Path(__file__).parent / "results" / "pool_scaling.csv"
CASES = [(i, n, 30.0) for i, n in ((1250, 1000), (2500, 1000), (5000, 100), (5000, 300), (5000, 1000))]
CASES += [(i, 1000, 300.0) for i in (1250, 2500)]  # late times need nearly all modes, and P^3


def measure(images: int, num_samples: int, t: float) -> dict[str, float]:
    import jax

    import ntk_shortcuts as ns
    from ntk_shortcuts.networks.gram import gram_between

    pool, test = ns.images.mnist_patch(num_images=images).split(jax.random.key(0), 0.9)
    pool = pool.with_agreement(0.95)
    began = time.perf_counter()
    gram_between(ns.MLP(1), pool.inputs, test.inputs)
    kernel = time.perf_counter() - began
    began = time.perf_counter()
    found = ns.predict(pool, ns.MLP(1), ns.GradientFlow(t), num_samples=num_samples, test=test)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "pool": len(pool),
        "num_samples": num_samples,
        "time": t,
        "kernel seconds": round(kernel, 1),
        "average seconds": round(seconds, 1),
        "peak GiB": round(peak, 2),
        "modes": found.diagnostics["modes_kept"],
        "rare nodes": found.diagnostics.get("rare_nodes", 0.0),
    }


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
        return
    rows = []
    for case in CASES:
        done = subprocess.run([sys.executable, __file__, *map(str, case)], capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
        with RESULTS.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
