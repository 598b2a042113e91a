"""The empirical NTK of fully connected networks against neural-tangents, and its time and memory at many points.

    python benchmarks/empirical_kernels.py --output benchmarks/results/empirical_kernels.jsonl [--repeats 15]

Every implementation gets the same parameters and inputs and is compiled before it is timed. The implementations take turns,
so that other work on the machine meets all of them; a turn repeats the call for some 0.3 s and gives its mean, and the time
is the median over turns. The large case runs in a process of its own, whose peak resident memory is that of the whole
process. The output is written anew; --table prints it again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts.kernels import neural_tangents

INPUT_DIM = 100
COUNT = 200
NETWORKS = ((1, 1024), (3, 512))  # depth, width
LARGE = (4000, 3, 1024)  # points, depth, width
TURN = 0.3  # seconds
DTYPES = ("float32", "float64")
IMPLEMENTATIONS = ("JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES")
# With vmap_axes=0 neural-tangents is told that outputs depend on their own inputs alone; None is its default.
VMAP_AXES = (0, None)


def setting(count: int, depth: int, width: int, dtype: str):
    network = ns.MLP(depth, "relu", width)
    params = network.init(jax.random.key(0), INPUT_DIM, jnp.dtype(dtype))
    return network, params, jax.random.normal(jax.random.key(1), (count, INPUT_DIM), jnp.dtype(dtype))


def candidates(network: ns.MLP, params, x) -> dict:
    """Functions without arguments, each the kernel of x, ours first; or the error that says why there is none."""
    nt = neural_tangents.load()
    functions = {
        "ours": lambda: ns.empirical_ntk(network, params, x),
        "ours, any function": lambda: ns.empirical_ntk(network.apply, params, x),
    }

    def outputs(params, x):
        return network.apply(params, x)[:, None]

    for name in IMPLEMENTATIONS:
        for axes in VMAP_AXES:
            implementation = getattr(nt.NtkImplementation, name)
            try:
                kernel = jax.jit(nt.empirical_ntk_fn(outputs, vmap_axes=axes, implementation=implementation))
            except NotImplementedError as refusal:
                functions[f"{name}, vmap_axes={axes}"] = refusal
                continue
            functions[f"{name}, vmap_axes={axes}"] = lambda kernel=kernel: kernel(x, None, params)
    return functions


def compare(depth: int, width: int, dtype: str, repeats: int) -> list[dict]:
    """One record per implementation."""
    functions = candidates(*setting(COUNT, depth, width, dtype))
    case = {"points": COUNT, "depth": depth, "width": width, "input_dim": INPUT_DIM, "dtype": dtype}
    reference, records, working = None, [], {}
    for name, function in functions.items():
        if isinstance(function, NotImplementedError):
            records.append({**case, "implementation": name, "works": False, "error": str(function)})
            continue
        kernel = np.asarray(jax.block_until_ready(function()), np.float64)
        assert kernel.shape == (COUNT, COUNT)
        reference = kernel if reference is None else reference
        difference = float(np.max(np.abs(kernel - reference)) / np.max(np.abs(reference)))
        working[name] = {**case, "implementation": name, "works": True, "difference": difference, "seconds": []}
    for name, record in working.items():
        record["calls_per_turn"] = max(1, round(TURN / timed(functions[name], 1)))
    for _ in range(repeats):
        for name, record in working.items():
            record["seconds"].append(timed(functions[name], record["calls_per_turn"]))
    for record in working.values():
        record["median"] = float(np.median(record["seconds"]))
    return [*working.values(), *records]


def timed(function, calls: int) -> float:
    """Mean seconds of a call."""
    started = time.perf_counter()
    for _ in range(calls):
        jax.block_until_ready(function())
    return (time.perf_counter() - started) / calls


def large(dtype: str) -> dict:
    """Time and peak memory of this process, for the large case."""
    count, depth, width = LARGE
    network, params, x = setting(count, depth, width, dtype)
    jax.block_until_ready((params, x))
    before = peak()
    seconds = [timed(lambda: ns.empirical_ntk(network, params, x), 1) for _ in range(3)]
    after = peak()
    kernel = ns.empirical_ntk(network, params, x)
    # Rows of the kernel, by another road: the product of Jacobians.
    rows = np.asarray(ns.empirical_ntk(network.apply, params, x[:3]))
    difference = float(np.max(np.abs(rows - np.asarray(kernel[:3, :3]))) / np.max(np.abs(rows)))
    case = {"points": count, "depth": depth, "width": width, "input_dim": INPUT_DIM, "dtype": dtype}
    return {
        **case,
        "implementation": "ours",
        "difference": difference,
        "seconds": seconds[1:],
        "first_call_seconds": seconds[0],
        "median": float(np.median(seconds[1:])),
        "peak_memory_GiB": after,
        "memory_before_GiB": before,
    }


def peak() -> float:
    """Peak resident memory of this process in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def table(records: list[dict]) -> str:
    """Markdown: every implementation's time and what it takes relative to ours, then the large case."""
    rows = [
        f"N = {COUNT} points in $R^{{{INPUT_DIM}}}$, ReLU:",
        "",
        "| depth | width | precision | implementation | time (ms) | times ours | difference |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    small = [r for r in records if r["points"] == COUNT]
    for depth, width in NETWORKS:
        for dtype in DTYPES:
            group = [r for r in small if (r["depth"], r["width"], r["dtype"]) == (depth, width, dtype)]
            ours = next((r for r in group if r["implementation"] == "ours"), None)
            theirs = [r["median"] for r in group if r["works"] and not r["implementation"].startswith("ours")]
            for r in group:
                case = f"| {depth} | {width} | {dtype} | {r['implementation']} |"
                if not r["works"]:
                    rows.append(f"{case} does not run | | |")
                    continue
                ratio = f"{r['median'] / ours['median']:.0f}"
                ratio = f"**{ratio}**" if theirs and r["median"] == min(theirs) else ratio
                rows.append(f"{case} {1e3 * r['median']:.1f} | {ratio} | {r['difference']:.0e} |")
    rows += [
        "",
        f"N = {LARGE[0]}, ReLU, depth {LARGE[1]}, width {LARGE[2]}, in a process of its own:",
        "",
        "| precision | time (s) | peak memory of the process (GiB) | of which before | difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for r in records:
        if r["points"] == LARGE[0]:
            rows.append(
                f"| {r['dtype']} | {r['median']:.1f} | {r['peak_memory_GiB']:.2f} | {r['memory_before_GiB']:.2f} "
                f"| {r['difference']:.0e} |"
            )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    parser.add_argument("--large", choices=DTYPES, help=argparse.SUPPRESS)  # what the child process is called with
    arguments = parser.parse_args()
    if arguments.table:
        print(table([json.loads(line) for line in arguments.output.read_text().splitlines()]))
        return
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore", DeprecationWarning)
    if arguments.large:
        print(json.dumps(large(arguments.large)))
        return
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "neural-tangents", "numpy")}
    machine = {"python": platform.python_version(), **versions, "ntk_shortcuts": ns.__version__}
    machine |= {"device": jax.devices()[0].platform, "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
    # The children first: on Linux a process starts with the peak of the one that started it.
    records = []
    for dtype in DTYPES:
        command = [sys.executable, __file__, "--output", str(arguments.output), "--large", dtype]
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        records.append({**json.loads(child.stdout.splitlines()[-1]), **machine})
    for depth, width in NETWORKS:
        for dtype in DTYPES:
            records += [{**record, **machine} for record in compare(depth, width, dtype, arguments.repeats)]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text("".join(json.dumps(record) + "\n" for record in records))
    print(table(records))


if __name__ == "__main__":
    main()
