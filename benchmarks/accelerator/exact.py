"""How large a data set is solved with its whole kernel: as one matrix, and in blocks."""

from __future__ import annotations

import functools

import jax
import large_samples
from step import Case, Row, Scale, Step

SIZES = {
    Scale.FULL: (2500, 5000, 10_000, 20_000, 40_000, 80_000),
    Scale.SMALL: (1000, 2500),
    Scale.TINY: (60,),
}


def solved(method: str, count: int) -> list[Row]:
    """Seconds, compilation included, and the device's peak memory, the largest so far where it tells."""
    *_, sizes, seconds = large_samples.solved(large_samples.METHODS[method], count)
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    row = {"method": method, "num_samples": count, "seconds": round(seconds, 2)}
    row |= {"peak GiB": round(large_samples.peak() if peak is None else peak / 2**30, 2)}
    return [row | {name: f"{sizes[name]:.3g}" for name in ("krylov_dimension", "krylov_error") if name in sizes}]


def cases(scale: Scale) -> list[Case]:
    pairs = [(method, count) for count in SIZES[scale] for method in ("direct", "blocks")]
    return [Case(f"{method}, {count}", functools.partial(solved, *(method, count))) for method, count in pairs]


def headline(rows: list[Row]) -> str:
    largest = {}
    for row in rows:
        count = row["num_samples"]
        if count >= largest.get(row["method"], (0, 0))[0]:
            largest[row["method"]] = (count, row["seconds"])
    return "; ".join(f"{method}: {count:.0f} samples in {seconds:.0f} s" for method, (count, seconds) in largest.items())


STEP = Step("largest exact data set", 0.15, ("method",), cases, headline)
