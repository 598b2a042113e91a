"""The figures of a report on theory against training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntk_shortcuts import plotting
from ntk_shortcuts.experiments.comparison.statistics import PREDICTIONS
from ntk_shortcuts.experiments.comparison.summary import squared_gaps, studies_of, summarize, table_of, width_exponents
from ntk_shortcuts.laws.two_features.model import GenerativeModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN_SURFACES = 3


def report_figures(records: Sequence[dict]) -> dict[str, Figure]:
    """The figures of a report by name: "agreement"; "width" and "depth_time" where there are studies; "surfaces" of models of
    two features.

    Raises:
        ValueError: no record of several data sets.
    """
    exponents = summarize(records)["exponents"]
    table = table_of(records)
    measures = " or ".join(dict.fromkeys(measure_of(r) for r in table))
    figures = {"agreement": plotting.plot_agreement([_scatter(table, name) for name in PREDICTIONS], measure=measures)}
    if studies_of(records):
        if exponents:
            figures["width"] = plotting.plot_gaps(_width_panels(records), "width", base=2)
        figures["depth_time"] = plotting.plot_gaps(_time_panels(records), plotting.TIME_LABEL)
    if with_surface := [r for r in table if "surface" in r]:
        figures["surfaces"] = plotting.plot_surfaces(_surfaces(with_surface))
    return figures


def measure_of(record: dict) -> str:
    """What a record compares."""
    return record.get("measure", "shortcut bias")


def _scatter(table: list[dict], prediction: str) -> plotting.Scatter:
    errors = {"own_init": "ensemble_gap_error", "expected": "trained_init_error", "averaged": "trained_data_error"}
    shown = {"own_init": "initialisations", "expected": "initialisations", "averaged": "data sets"}
    names = (prediction, "trained", errors[prediction], "times")
    predicted, trained, error, times = (np.concatenate([r[name] for r in table]) for name in names)
    depths = np.concatenate([[r["parameters"]["depth"]] * len(r["times"]) for r in table])
    title = f"{PREDICTIONS[prediction].replace(', ', chr(10))}\n(bars: standard error over {shown[prediction]})"
    return plotting.Scatter(title, predicted, trained, error, times, depths)


def _width_panels(records: Sequence[dict]) -> dict[str, list[plotting.Gaps]]:
    """Gaps over width in the middle of the times, for each depth that has a fit; the title names the time, or the lines do."""
    laws = {(depth, time, gap): law for depth, time, gap, law in width_exponents(records)}
    fitted = {depth: rows for depth, rows in studies_of(records).items() if any(key[0] == depth for key in laws)}
    middles = {depth: len(rows[0]["times"]) // 2 for depth, rows in fitted.items()}
    times = {depth: rows[0]["times"][middles[depth]] for depth, rows in fitted.items()}
    one_time = len(set(times.values())) == 1
    panels: dict[str, list[plotting.Gaps]] = {"outputs": [], "bias": []}
    for depth, rows in fitted.items():
        widths = np.array([r["parameters"]["width"] for r in rows])
        where = f"depth {depth}" if one_time else f"depth {depth}, t = {times[depth]:g}"
        for gap, (squares, errors) in squared_gaps(rows, middles[depth]).items():
            law, (kind, what) = laws[depth, times[depth], gap], gap.split(", ")
            sizes = np.sqrt(np.maximum(squares, 0))
            bars = errors / (2 * np.where(sizes > 0, sizes, 1))
            label = f"{what}, {where}: exponent {law}".replace("+-", r"$\pm$")
            fit = (law.scale, law.exponent) if law.resolved else None
            panels[kind].append(plotting.Gaps(label, widths, sizes, bars, fit))
    notes = {"outputs": ["root mean square over probes"], "bias": []}
    when = f"t = {next(iter(times.values())):g}" if one_time else "each in the middle of its times"
    return {f"gap of the {kind} ({', '.join([*notes[kind], when])})": lines for kind, lines in panels.items()}


def _time_panels(records: Sequence[dict]) -> dict[str, list[plotting.Gaps]]:
    """Gaps of one network over time at the greatest width that most depths have, one line for each of them."""
    by_width: dict[int, dict[int, dict]] = {}
    for depth, rows in studies_of(records).items():
        for r in rows:
            by_width.setdefault(r["parameters"]["width"], {})[depth] = r
    # In a finished run all depths have it.
    width, chosen = max(by_width.items(), key=lambda item: (len(item[1]), item[0]))
    outputs, biases = [], []
    for depth, r in chosen.items():
        times, squares, errors = (np.array(r[n], float) for n in ("times", "single_output_gap", "single_output_gap_error"))
        outputs.append(plotting.Gaps(f"depth {depth}", times, np.sqrt(squares), errors / (2 * np.sqrt(squares)), joined=True))
        gaps = np.array(r["single_gap"], float)
        biases.append(
            plotting.Gaps(f"depth {depth}", times, gaps, gaps / np.sqrt(2 * r["parameters"]["num_inits"]), joined=True)
        )
    return {f"outputs of one network, width {width}": outputs, f"bias of one network, width {width}": biases}


def _surfaces(table: list[dict]) -> list[plotting.Surfaces]:
    """The first configuration of each depth, or the first few of one depth."""
    first = {r["parameters"]["depth"]: r for r in reversed(table)}
    rows = [first[depth] for depth in sorted(first)] if len(first) > 1 else table
    shown = []
    for r in rows[:_SHOWN_SURFACES]:
        p = r["parameters"]
        model = GenerativeModel(p["predictivity"], p["amplification"], p["correlation"])
        values = [np.array(r["surface"][name]) for name in ("predicted", "trained")]
        time = r["times"][len(r["times"]) // 2]
        name = r["name"].replace(f", width {p['width']}", "")
        shown.append(plotting.Surfaces(f"{name}, t = {time:g}", model, *values))
    return shown
