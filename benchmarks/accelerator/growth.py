"""Exact predictions in the plane over the number of samples, through landmarks."""

from __future__ import annotations

import functools

import scaling
from step import Case, Row, Scale, Step

SIZES = {Scale.FULL: scaling.SIZES, Scale.SMALL: scaling.SIZES[:1], Scale.TINY: (60,)}
DEPTHS = {Scale.FULL: scaling.DEPTHS, Scale.SMALL: scaling.DEPTHS, Scale.TINY: (1,)}


def measured(depth: int, count: int) -> list[Row]:
    record = scaling.measure(depth, count)
    row = {"depth": depth, "num_samples": count, "seconds": round(record["seconds"], 2)}
    row |= {"rank": record["diagnostics"]["rank"], "low_rank_error": f"{record['diagnostics']['low_rank_error']:.2g}"}
    return [row | {f"bias {i}": round(bias, 4) for i, bias in enumerate(record["bias"])}]


def cases(scale: Scale) -> list[Case]:
    pairs = [(depth, count) for count in SIZES[scale] for depth in DEPTHS[scale]]
    return [Case(f"depth {depth}, {count}", functools.partial(measured, depth, count)) for depth, count in pairs]


def headline(rows: list[Row]) -> str:
    last = max(rows, key=lambda row: row["num_samples"])
    return f"{float(last['num_samples']):.0f} samples in {float(last['seconds']):.0f} s"


STEP = Step("scaling with the number of samples", 0.05, (), cases, headline)
