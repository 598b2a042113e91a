"""Trained networks of growing width against their predictions, as `ntk-shortcuts validate` compares them."""

from __future__ import annotations

import functools

import numpy as np
from step import Case, Row, Scale, Step

import ntk_shortcuts as ns
from ntk_shortcuts.experiments.comparison import Configuration, compare

# The ends first; all widths of the first depth before the next.
WIDTHS = (512, 8192, 2048, 1024, 4096)
NETWORKS = {
    Scale.FULL: [(depth, width) for depth in (1, 2) for width in WIDTHS],
    Scale.SMALL: [(1, width) for width in (512, 2048)],
    Scale.TINY: [(1, 8)],
}
TIMES = (3.0, 30.0, 300.0)
COLUMNS = ("trained", "trained_data_error", "own_init", "expected", "averaged", "single_gap", "ensemble_gap")


def measured(configuration: Configuration) -> list[Row]:
    """A row for each time: biases, trained and predicted three ways, and gaps of single networks and of their mean."""
    record = compare(configuration)
    shared = {"depth": configuration.network.depth, "width": configuration.network.width}
    shared |= {f"{name} seconds": record["seconds"][name] for name in ("train", "own_init", "averaged")}
    return [{**shared, "time": t, **{name: record[name][i] for name in COLUMNS}} for i, t in enumerate(record["times"])]


def cases(scale: Scale) -> list[Case]:
    model, found = ns.GenerativeModel((0.85, 0.9), (2.0, 0.5)), []
    times, *sizes = ((1.0,), 8, 2, 2) if scale is Scale.TINY else (TIMES, 100, 8, 4)
    for depth, width in NETWORKS[scale]:
        configuration = Configuration(model, ns.MLP(depth, width=width), times, *sizes)
        found.append(Case(f"depth {depth}, width {width}", functools.partial(measured, configuration)))
    return found


def headline(rows: list[Row]) -> str:
    widths = sorted({row["width"] for row in rows})
    gaps = {w: [row["single_gap"] for row in rows if row["width"] == w] for w in {widths[0]: None, widths[-1]: None}}
    sizes = ", ".join(f"{np.mean(gap):.3f} at width {width:.0f}" for width, gap in gaps.items())
    return f"bias of single networks from their own prediction: {sizes}"


STEP = Step("ensembles predicted against trained", 0.25, (), cases, headline)
