"""The tables of the script in one table and one figure."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from step import Row

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


def markdown(rows: list[Row]) -> str:
    lines = ["| step | cases | failed | result |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {r['what']} | {r['cases']} | {r['failed']} | {r['result']} |" for r in rows)])


def figure(tables: Mapping[str, list[Row]], machine: str) -> Figure:
    """Speed beside the peer, biases predicted and trained, and seconds over the number of samples."""
    drawing = Figure(figsize=(11.5, 3.8), dpi=150, layout="constrained")
    panels = {
        "kernels": (_speed, tables["kernels"]),
        "networks": (_biases, tables["ensembles"], tables["flows"]),
        "data sets": (_sizes, tables["exact"], tables["growth"]),
    }
    for axes, (title, (draw, *rows)) in zip(drawing.subplots(1, 3), panels.items(), strict=True):
        axes.set_title(title)
        if any(rows):
            draw(axes, *rows)
            axes.legend(frameon=False, fontsize="small")
        else:  # a logarithmic axis of nothing cannot be drawn
            axes.set_axis_off()
    drawing.suptitle(machine, fontsize=10)
    return drawing


def _speed(axes: Axes, rows: list[Row]) -> None:
    for dtype, marker, colour in zip(("float32", "float64"), "os", COLOURS, strict=False):
        of = [(place, row) for place, row in enumerate(rows) if row["dtype"] == dtype]
        axes.plot([row["ratio"] for _, row in of], [place for place, _ in of], marker, color=colour, label=dtype)
    axes.axvline(1, color="0.7", lw=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), [row["network"] for row in rows], fontsize=7)
    axes.set(xscale="log", xlabel="times as fast as neural-tangents")


def _biases(axes: Axes, ensembles: list[Row], flows: list[Row]) -> None:
    for number, width in enumerate(sorted({row["width"] for row in ensembles})):
        of = [row for row in ensembles if row["width"] == width]
        predicted, trained = ([row[name] for row in of] for name in ("own_init", "trained"))
        axes.plot(predicted, trained, "o", ms=4, mfc="none", color=COLOURS[number % 4], label=f"width {width:.0f}")
    axes.plot([row["flow"] for row in flows], [row["trained"] for row in flows], "kx", ms=4, label="population flow")
    axes.plot([-0.2, 1.8], [-0.2, 1.8], color="0.7", lw=0.8, zorder=0)
    axes.set(xlabel="shortcut bias, predicted", ylabel="trained")


def _sizes(axes: Axes, exact: list[Row], growth: list[Row]) -> None:
    lines = {f"{method}, R^100": [row for row in exact if row["method"] == method] for method in ("direct", "blocks")}
    lines |= {f"landmarks, plane, depth {d:.0f}": [r for r in growth if r["depth"] == d] for d in (1, 3)}
    for (label, rows), marker, colour in zip(lines.items(), "os^D", COLOURS, strict=True):
        if not rows:
            continue
        ordered = sorted(rows, key=lambda row: row["num_samples"])
        axes.plot(
            [r["num_samples"] for r in ordered], [r["seconds"] for r in ordered], f"{marker}-", ms=4, color=colour, label=label
        )
    axes.set(xscale="log", yscale="log", xlabel="training samples", ylabel="seconds, compilation included")
