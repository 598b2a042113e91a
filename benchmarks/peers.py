"""Closed-form kernels against neural-tangents: seconds of both in one run, and the accuracy of both.

    python benchmarks/peers.py [--points 3000] [--rounds 3] [--only ACTIVATION] [--table] [--page docs/evidence/speed.md]

Both compiled, in turns, medians of seven or more; between two sets of points and of one set with itself. Every case has a
process of its own in each of three rounds; the table has the medians of these. neural-tangents' kernels are of its `stax` on
the same JAX. For tanh it integrates numerically, 25^2 nodes for a pair, and both get 300 points only. Accuracy: the largest
relative error of the NTK at pairs of points in the plane, generic, nearly parallel and nearly antiparallel, against the
recursion in 50 digits; for tanh the largest difference from ours in float64, or the bound of that, relative to the largest
entry. Records go to results/peers.jsonl as they are finished; `--only tanh` adds to them; `--page` puts the table between its
marks in a page.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import pathlib
import platform
import time
from concurrent.futures import ProcessPoolExecutor

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from agreement_neural_tangents import dense_kernel

import ntk_shortcuts as ns
from ntk_shortcuts.experiments.comparison import read_lines

RECORDS = pathlib.Path(__file__).parent / "results/peers.jsonl"
MARKS = ("<!-- peers -->\n", "\n<!-- end of peers -->")
# Activation, depth, bias variance, input dimension.
CASES = [
    ("relu", 8, 0.0, 2),
    ("relu", 3, 0.0, 2),
    ("relu", 1, 0.0, 2),
    ("relu", 3, 0.1, 2),
    ("erf", 3, 0.1, 2),
    ("linear", 3, 0.0, 2),
    ("relu", 3, 0.0, 100),
    ("relu", 1, 0.0, 100),
    ("relu", 3, 0.1, 100),
    ("erf", 3, 0.1, 100),
    ("tanh", 3, 0.1, 2),
]
NUMERICAL = 300  # points at most where neural-tangents integrates numerically, tanh
SETS = ("two sets", "one set")
ANGLES = np.array([1.0, 2.0, 1e-3, 1e-5, np.pi - 1e-3, np.pi - 1e-5])


def seconds(functions: dict) -> dict[str, float]:
    """Medians, measured in turns, seven or more and for two seconds at least: quick functions are those whose times scatter."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    began_all = time.perf_counter()
    while len(found[next(iter(found))]) < 7 or time.perf_counter() - began_all < 2:
        for name, function in functions.items():
            began = time.perf_counter()
            jax.block_until_ready(function())
            found[name].append(time.perf_counter() - began)
    return {name: float(np.median(values)) for name, values in found.items()}


def reference(depth: int, angle: float) -> float:
    """NTK of a bias-free ReLU network of weight variance 2 between unit vectors at this angle, times d = 2, in 50 digits."""
    with mpmath.workdps(50):
        cosine = mpmath.cos(mpmath.mpf(float(angle)))
        tangent = cosine
        for _ in range(depth):
            theta = mpmath.acos(cosine)
            slope = 1 - theta / mpmath.pi
            cosine = (mpmath.sin(theta) + (mpmath.pi - theta) * cosine) / mpmath.pi
            tangent = cosine + slope * tangent
        return float(2 * tangent)


def accuracy(depth: int, dtype: str) -> dict[str, float]:
    network, peer = ns.MLP(depth), dense_kernel(depth, "relu", 2.0, 0.0)
    first = jnp.asarray([[1.0, 0.0]], dtype)
    second = jnp.asarray(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1), dtype)
    # The angle that the rounded points have.
    exact = np.array([reference(depth, np.arctan2(*np.asarray(point, np.float64)[::-1])) for point in second])
    exact *= np.linalg.norm(np.asarray(second, np.float64), axis=1) / 2
    with jax.enable_x64(dtype == "float64"):
        theirs = np.asarray(peer(first, second).ntk, np.float64)[0]
    found = {"ours": np.asarray(network.kernels(first, second).ntk, np.float64)[0], "neural-tangents": theirs}
    return {name: float(np.max(np.abs(values / exact - 1))) for name, values in found.items()}


def measure(activation: str, depth: int, bias: float, dimension: int, count: int, dtype: str) -> dict:
    jax.config.update("jax_enable_x64", True)
    count = min(count, NUMERICAL) if activation == "tanh" else count
    network, peer = ns.MLP(depth, activation, bias_variance=bias), dense_kernel(depth, activation, 2.0, bias)
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(size=(count, dimension)), dtype) for _ in range(2))

    def theirs(*points):
        with jax.enable_x64(dtype == "float64"):
            return peer(*points)

    record = {"activation": activation, "depth": depth, "bias_variance": bias, "input_dim": dimension, "dtype": dtype}
    record["points"] = count
    for name, points in (("two sets", (x, y)), ("one set", (x, None))):
        record[name] = seconds({"neural-tangents": lambda p=points: theirs(*p), "ours": lambda p=points: network.kernels(*p)})
    if activation == "relu" and bias == 0 and dimension == 2:
        record["error"] = accuracy(depth, dtype)
    elif activation == "tanh":
        exact = network.kernels(x.astype("float64"), y.astype("float64"))
        errors = [jnp.max(jnp.abs(k.ntk - exact.ntk)) / jnp.max(exact.ntk) for k in (theirs(x, y), network.kernels(x, y))]
        bounds = [float(jnp.maximum(error, exact.quadrature_error)) for error in errors]
        record["error"] = dict(zip(("neural-tangents", "ours"), bounds, strict=True))
    machine = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "jax": jax.__version__}
    return {**record, **machine, "ntk_shortcuts": ns.__version__}


def medians(records: list[dict]) -> list[dict]:
    """One record for each case, with the medians over rounds."""
    cases: dict[tuple, list[dict]] = {}
    for r in records:
        cases.setdefault(tuple(r[name] for name in ("dtype", "activation", "depth", "bias_variance", "input_dim")), []).append(
            r
        )
    return [
        {**same[0], **{sets: {who: float(np.median([r[sets][who] for r in same])) for who in same[0][sets]} for sets in SETS}}
        for same in cases.values()
    ]


def table(records: list[dict]) -> str:
    """One table for each precision."""
    lines, records = [], medians(records)
    for dtype in dict.fromkeys(r["dtype"] for r in records):
        lines += ["" if lines else None, f"In {dtype}:", ""]
        lines += ["| network | inputs | theirs, s | ours, s | ratio | one set | worst error: theirs, ours |", "|---" * 7 + "|"]
        for r in (r for r in records if r["dtype"] == dtype):
            two, one = r["two sets"], r["one set"]
            ratios = [f"{pair['neural-tangents'] / pair['ours']:.1f}" for pair in (two, one)]
            errors = "" if "error" not in r else f"{r['error']['neural-tangents']:.0e}, {r['error']['ours']:.0e}"
            name = f"{r['activation']} {r['depth']}" + (", biases" if r["bias_variance"] else "")
            name += f", {r['points']} points" if r["points"] == NUMERICAL else ""
            times = f"{two['neural-tangents']:.3f} | {two['ours']:.3f}"
            lines.append(f"| {name} | R^{r['input_dim']} | {times} | {' | '.join(ratios)} | {errors} |")
    return "\n".join(line for line in lines if line is not None)


def put_into(page: str, text: str) -> str:
    """The page with this text between its marks."""
    before, rest = page.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return before + MARKS[0] + text + MARKS[1] + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="an activation: records of it are added to those that are there")
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    parser.add_argument("--page", type=pathlib.Path, help="a page with marks for the table, which is put between them")
    arguments = parser.parse_args()
    cases = [case for case in CASES if arguments.only in (None, case[0])]
    if not arguments.table:
        if arguments.only is None:
            RECORDS.unlink(missing_ok=True)
        # In a process that has done much else every call takes longer, ours and theirs not alike.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
            for dtype, case in itertools.product(("float64", "float32"), cases * arguments.rounds):
                record = pool.submit(measure, *case, arguments.points, dtype).result()
                with RECORDS.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                print(record, flush=True)
    found = table(read_lines(RECORDS))
    print(found)
    if arguments.page is not None:
        arguments.page.write_text(put_into(arguments.page.read_text(), found))


if __name__ == "__main__":
    main()
