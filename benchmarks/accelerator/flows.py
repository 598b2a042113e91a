"""The population flow against networks trained as the paper trains them."""

from __future__ import annotations

import functools

import numpy as np
import population_flow
from step import Case, Row, Scale, Step

# The first ones are the cheap ones.
CONFIGURATIONS = {Scale.FULL: None, Scale.SMALL: 3, Scale.TINY: 1}
TINY = population_flow.Sizes(epochs=(1, 2), seeds=2, inits=2, samples=32, batch=16)


def measured(configuration: tuple, sizes: population_flow.Sizes) -> list[Row]:
    """A row for each epoch."""
    record = population_flow.measure(configuration, sizes)
    shared = {**dict(zip(population_flow.NAMES, configuration, strict=True))}
    shared |= {name: round(record[name], 2) for name in ("train_seconds_again", "flow_seconds_again")}
    names = ("trained", "trained_standard_error", "flow", "flow_standard_error")
    return [
        {**shared, "epoch": epoch, **{name: round(record[name][i], 4) for name in names}}
        for i, epoch in enumerate(sizes.epochs)
    ]


def cases(scale: Scale) -> list[Case]:
    sizes = TINY if scale is Scale.TINY else population_flow.FULL
    chosen = population_flow.CONFIGURATIONS[: CONFIGURATIONS[scale]]
    return [Case(", ".join(map(str, c)), functools.partial(measured, c, sizes)) for c in chosen]


def headline(rows: list[Row]) -> str:
    gap = np.array([abs(row["flow"] - row["trained"]) for row in rows])
    faster = np.median([row["train_seconds_again"] / row["flow_seconds_again"] for row in rows])
    return f"mean error of the bias {gap.mean():.3f}, worst {gap.max():.3f}; training takes {faster:.1f} times as long (median)"


STEP = Step("population flow against training", 0.15, ("activation", "loss"), cases, headline)
