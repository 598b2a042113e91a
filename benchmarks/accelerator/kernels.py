"""Kernels and empirical kernels against neural-tangents, in both precisions."""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import empirical_kernels
import jax
import jax.numpy as jnp
import numpy as np
import peers
from agreement_neural_tangents import dense_kernel
from step import Case, Row, Scale, Step

import ntk_shortcuts as ns

# Activation, depth, bias variance, dimension; depth and width.
INFINITE = [("relu", 3, 0.0, 100), ("relu", 3, 0.0, 2), ("erf", 3, 0.1, 100), ("relu", 3, 0.1, 100)]
FINITE = [(3, 512), (1, 1024), (3, 2048)]
# Points at which both kernels are compared.
PAIRS = 256


class Sizes(NamedTuple):
    """Networks, points of the infinite ones, seconds for which these are timed at least, and repeats of the others."""

    infinite: list[tuple]
    finite: list[tuple]
    points: int
    least: float = 1.0
    repeats: int = 5
    dtypes: tuple[str, ...] = ("float32", "float64")


SIZES = {
    Scale.FULL: Sizes(INFINITE, FINITE, 8000),
    Scale.SMALL: Sizes(INFINITE, [(2, 128)], 1000, repeats=1),
    Scale.TINY: Sizes([("relu", 1, 0.1, 3)], [(1, 8)], 20, 0.0, 1, ("float64",)),
}


def infinite(case: tuple, dtype: str, points: int, least: float) -> list[Row]:
    """Seconds of both, ours and theirs, and how far they are apart on fewer points, relative to the largest entry."""
    with jax.enable_x64(True):
        record = peers.measure(*case, points, dtype, least)
        difference = _difference(case, dtype, min(points, PAIRS))
    times = {who: record["two sets"][who] for who in ("neural-tangents", "ours")}
    network = f"{case[0]} {case[1]}" + (", biases" if case[2] else "") + f", R^{case[3]}"
    return [_row("infinite", network, dtype, record["points"], times, difference)]


def _difference(case: tuple, dtype: str, count: int) -> float:
    activation, depth, bias, dimension = case
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(size=(count, dimension)), dtype) for _ in range(2))
    ours = np.asarray(ns.MLP(depth, activation, bias_variance=bias).kernels(x, y).ntk, np.float64)
    theirs = np.asarray(dense_kernel(depth, activation, 2.0, bias)(x, y).ntk, np.float64)
    return float(np.max(np.abs(ours - theirs)) / np.max(np.abs(ours)))


def finite(depth: int, width: int, dtype: str, repeats: int) -> list[Row]:
    """The empirical kernel of one network, against the fastest of their implementations that runs."""
    with jax.enable_x64(True):
        found = [record for record in empirical_kernels.compare(depth, width, dtype, repeats) if record["works"]]
    ours = next(record for record in found if record["implementation"] == "ours")
    best = min((r for r in found if not r["implementation"].startswith("ours")), key=lambda r: r["median"])
    times = {"neural-tangents": best["median"], "ours": ours["median"]}
    return [_row("empirical", f"relu {depth}, width {width}", dtype, ours["points"], times, best["difference"])]


def _row(kind: str, network: str, dtype: str, points: int, times: dict[str, float], difference: float) -> Row:
    return {
        **{"kind": kind, "network": network, "dtype": dtype, "points": points},
        **{"theirs seconds": f"{times['neural-tangents']:.4g}", "ours seconds": f"{times['ours']:.4g}"},
        **{"ratio": f"{times['neural-tangents'] / times['ours']:.4g}", "difference": f"{difference:.2g}"},
    }


def cases(scale: Scale) -> list[Case]:
    chosen, found = SIZES[scale], []
    for of_inputs, of_network in itertools.zip_longest(chosen.infinite, chosen.finite):
        for dtype in chosen.dtypes:
            inputs = functools.partial(infinite, of_inputs, dtype, chosen.points, chosen.least)
            found.append(Case(f"infinite {of_inputs}, {dtype}", inputs))
            if of_network is not None:
                network = functools.partial(finite, *of_network, dtype, chosen.repeats)
                found.append(Case(f"empirical {of_network}, {dtype}", network))
    return found


def headline(rows: list[Row]) -> str:
    parts = []
    for kind in ("infinite", "empirical"):
        ratios = [row["ratio"] for row in rows if row["kind"] == kind]
        if ratios:
            parts.append(f"{kind}: {min(ratios):.1f} to {max(ratios):.1f} times as fast as neural-tangents")
    return "; ".join(parts)


STEP = Step("kernels and empirical kernels against neural-tangents", 0.2, ("kind", "network", "dtype"), cases, headline)
