"""The whole kernel of a large data set, solved in blocks: seconds, memory and error over the number of samples.

    python benchmarks/large_samples.py [--sizes 2500 5000 10000 20000] [--direct 5000] [--again]    # goes on where it stopped
    python benchmarks/large_samples.py --table                                            # prints what is there

Generic inputs, standard normal in R^100, that no plane holds; labels are signs of a quadratic function of ten of their
directions, one in ten turned around. A ReLU network of two hidden layers with biases, gradient flow to t = 30 and 300, mean
and standard deviation over initialisations at 200 other inputs. Each size is measured in a process of its own, compilation
included: in blocks, through landmarks, and, up to `--direct` samples, by the eigendecomposition of the whole matrix, against
which the errors of the other two are taken. Rows of results/large_samples.csv are written as they are finished.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import records

import ntk_shortcuts as ns
from ntk_shortcuts.methods.exact import exact_outputs, loss_weights
from ntk_shortcuts.methods.krylov import projected_outputs
from ntk_shortcuts.methods.low_rank import Problem, low_rank_outputs
from ntk_shortcuts.numerics import in_float64

RESULTS = pathlib.Path(__file__).parent / "results" / "large_samples.csv"
SIZES, DIMENSION, PROBES = (2500, 5000, 10_000, 20_000), 100, 200
TIMES = np.array([30.0, 300.0])


def problem(count: int) -> Problem:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(count + PROBES, DIMENSION))
    values = inputs[:, 0] + inputs[:, 1:6].sum(axis=1) / 2 + (inputs[:, 6:8] ** 2 - inputs[:, 8:10] ** 2).sum(axis=1) / 2
    labels = np.sign(values) * np.where(rng.random(count + PROBES) < 0.1, -1, 1)
    network = ns.MLP(2, bias_variance=0.1)
    samples, probes = jax.numpy.asarray(inputs[:count]), jax.numpy.asarray(inputs[count:])
    return Problem(
        network, ns.GradientFlow(TIMES), samples, jax.numpy.asarray(labels[:count]), probes, loss_weights(samples, None)
    )


@in_float64
def solved(method: Callable[..., Any], count: int) -> tuple[np.ndarray, np.ndarray, dict[str, float], float]:
    """Mean, standard deviation, sizes of what was left out, and seconds."""
    began = time.perf_counter()
    law, sizes = method(problem(count))
    outputs = np.asarray(law.mean), np.sqrt(np.asarray(law.variance))
    return *outputs, sizes, time.perf_counter() - began


METHODS = {
    "blocks": lambda of: projected_outputs(of, True, 1e-4)[:2],
    "landmarks": lambda of: low_rank_outputs(of, True, 1e-4),
    "direct": lambda of: (exact_outputs(of, True), {}),
}


def measure(count: int, direct: int) -> dict[str, float]:
    names = list(METHODS) if count <= direct else list(METHODS)[:2]
    row, found = {"num_samples": float(count)}, {}
    for name in names:
        *found[name], sizes, seconds = solved(METHODS[name], count)
        row |= {f"{name} seconds": round(seconds, 1), f"{name} peak GiB": round(peak(), 2)}  # the largest so far
        row |= {key: sizes[key] for key in ("krylov_dimension", "krylov_error", "rank", "low_rank_error") if key in sizes}
    for name in names[:2] if "direct" in found else ():
        gaps = [np.max(np.abs(own - exact)) for own, exact in zip(found[name], found["direct"], strict=True)]
        row |= {f"{name} error of mean": float(gaps[0]), f"{name} error of std": float(gaps[1])}
    return row


def peak() -> float:
    """Peak resident memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| N | in blocks: seconds, peak GiB | dimension | bound | error | landmarks: seconds, estimate | error | direct: s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        errors = {name: max(row[f"{name} error of mean"], row[f"{name} error of std"]) for name in ("blocks", "landmarks")}
        shown = {name: "" if np.isnan(error) else f"{error:.0e}" for name, error in errors.items()}
        direct = "" if np.isnan(row["direct seconds"]) else f"{row['direct seconds']:.0f}"
        lines.append(
            f"| {row['num_samples']:.0f} | {row['blocks seconds']:.0f}, {row['blocks peak GiB']:.1f} "
            f"| {row['krylov_dimension']:.0f} | {row['krylov_error']:.0e} | {shown['blocks']} "
            f"| {row['landmarks seconds']:.0f}, {row['low_rank_error']:.0e} | {shown['landmarks']} | {direct} |"
        )
    return "\n".join(lines)


COLUMNS = [
    "num_samples",
    *(f"{name} {what}" for name in METHODS for what in ("seconds", "peak GiB")),
    *("krylov_dimension", "krylov_error", "rank", "low_rank_error"),
    *(f"{name} error of {what}" for name in ("blocks", "landmarks") for what in ("mean", "std")),
    *("machine", "jax"),
]


def read() -> list[dict[str, Any]]:
    """What there is, from few samples to many."""
    return sorted(records.read(RESULTS, words=("machine", "jax")), key=lambda row: row["num_samples"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--direct", type=int, default=5000, help="samples up to which the whole matrix is decomposed too")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--again", action="store_true", help="measure anew what is there")
    parser.add_argument("--page", type=pathlib.Path, help="a page with marks for the table, which is put between them")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # what a child is called with
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.direct)))
        return

    if arguments.again:
        RESULTS.unlink(missing_ok=True)
    done = {row["num_samples"] for row in read()}
    for size in () if arguments.table else [size for size in arguments.sizes if size not in done]:
        command = [sys.executable, __file__, "--one", str(size), "--direct", str(arguments.direct)]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        machine = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "jax": jax.__version__}
        records.add(RESULTS, [{**json.loads(child.stdout.splitlines()[-1]), **machine}], COLUMNS)
    found = table(read())
    print(found)
    if arguments.page is not None:
        arguments.page.write_text(records.put_into(arguments.page.read_text(), "large samples", found))


if __name__ == "__main__":
    main()
