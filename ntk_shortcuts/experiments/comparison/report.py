"""The report on records of theory against training: Markdown with figures, and the same summary as plain numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts import plotting
from ntk_shortcuts.experiments.comparison.statistics import PREDICTIONS, PowerLaw, agreement, fit_power_law
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEANING = {
    "own_init": "same data sets, each network's own initial output",
    "expected": "same data sets, expectation over initialisations",
    "averaged": "analytic average over data sets and initialisations",
}
_SHOWN_SURFACES = 3


def summarize(records: Sequence[dict]) -> dict[str, Any]:
    """Agreement, seconds, exponents and misses, as plain values.

    Records of several data sets make `agreement` (see :func:`ntk_shortcuts.experiments.comparison.agreement`), `seconds` (in all),
    `time_ratio` (training over each prediction) and `misses`; records of one data set make `exponents`.

    Raises:
        ValueError: no record of several data sets.
    """
    table = _table(records)
    found = {name: agreement(table, name)._asdict() for name in PREDICTIONS}
    seconds = {name: sum(r["seconds"][name] for r in table) for name in ("train", *PREDICTIONS)}
    return {
        "configurations": len(table),
        "networks": sum(r["parameters"]["num_datasets"] * r["parameters"]["num_inits"] for r in records),
        "agreement": found,
        "seconds": seconds,
        "time_ratio": {name: seconds["train"] / seconds[name] for name in PREDICTIONS},
        "exponents": [
            {"depth": depth, "time": time, "gap": gap, **law._asdict()} for depth, time, gap, law in width_exponents(records)
        ],
        "misses": misses(table),
    }


def misses(records: Iterable[dict]) -> list[dict[str, Any]]:
    """Points of gap above 0.02 from `own_init` with its standard error, |z| above 3 from `expected`, or beyond max(0.05, 3.5
    standard errors) from `averaged`."""
    found = []
    for r in records:
        for i, t in enumerate(r["times"]):
            gap = r["ensemble_gap"][i]
            if abs(gap) > 0.02:
                found.append(_miss(r, t, "own_init", gap, gap / r["ensemble_gap_error"][i]))
            gap, z = r["trained"][i] - r["expected"][i], r["expected_z"][i]
            if abs(z) > 3:
                found.append(_miss(r, t, "expected", gap, z))
            if "averaged" in r:
                gap, z = r["trained"][i] - r["averaged"][i], r["averaged_z"][i]
                if abs(gap) > 0.05 and abs(z) > 3.5:
                    found.append(_miss(r, t, "averaged", gap, z))
    return found


def _miss(record: dict, time: float, prediction: str, gap: float, z: float) -> dict[str, Any]:
    return {"name": record["name"], "time": time, "prediction": prediction, "gap": gap, "z": z}


def width_exponents(records: Sequence[dict]) -> list[tuple[int, float, str, PowerLaw]]:
    """Fitted power laws (depth, time, gap, law) over records of one data set that differ in width.

    The gaps: "outputs, one network", "outputs, ensemble mean", "bias, one network", "bias, ensemble mean".
    """
    found = []
    for depth, rows in _studies(records).items():
        if len({r["parameters"]["width"] for r in rows}) < 3:
            continue
        widths = [r["parameters"]["width"] for r in rows]
        for i, time in enumerate(rows[0]["times"]):
            for gap, (squares, errors) in _squared_gaps(rows, i).items():
                found.append((depth, time, gap, fit_power_law(widths, squares, errors)))
    return found


def _squared_gaps(rows: Sequence[dict], i: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Squared gaps at the i-th time with their standard errors."""

    def column(name: str) -> np.ndarray:
        return np.array([r[name][i] for r in rows], float)

    inits = np.array([r["parameters"]["num_inits"] for r in rows])
    gap, error, single = column("ensemble_gap"), column("ensemble_gap_error"), column("single_gap")
    return {
        "outputs, one network": (column("single_output_gap"), column("single_output_gap_error")),
        "outputs, ensemble mean": (column("ensemble_output_gap"), column("ensemble_output_gap_error")),
        # The error of a mean square of about Gaussian differences.
        "bias, one network": (single**2, single**2 * np.sqrt(2 / inits)),
        # Without the noise's own square; a square of g +- e has variance 4 g^2 e^2 + 2 e^4.
        "bias, ensemble mean": (gap**2 - error**2, np.sqrt(4 * gap**2 * error**2 + 2 * error**4)),
    }


def write_report(records: Sequence[dict], folder: Path, title: str, missing: int = 0) -> list[Path]:
    """Write report.md and its figures into a folder, and return their paths.

    Args:
        records: from :func:`ntk_shortcuts.experiments.comparison.compare`.
        title: first line.
        missing: configurations that have no record yet, said in the report.

    Raises:
        ValueError: no record of several data sets.
    """
    figures = report_figures(records)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        figure.savefig(path, dpi=100)
    report = folder / "report.md"
    report.write_text(_markdown(records, summarize(records), title, missing, [path.name for path in paths]))
    return [report, *paths]


def report_figures(records: Sequence[dict]) -> dict[str, Figure]:
    """The figures of a report by name: "agreement" and "surfaces"; "width" and "depth_time" where there are studies.

    Raises:
        ValueError: no record of several data sets.
    """
    exponents = summarize(records)["exponents"]
    figures = {"agreement": plotting.plot_agreement([_scatter(_table(records), name) for name in PREDICTIONS])}
    if _studies(records):
        if exponents:
            figures["width"] = plotting.plot_gaps(_width_panels(records), "width", base=2)
        figures["depth_time"] = plotting.plot_gaps(_time_panels(records), plotting.TIME_LABEL)
    figures["surfaces"] = plotting.plot_surfaces(_surfaces(_table(records)))
    return figures


def _table(records: Iterable[dict]) -> list[dict]:
    table = [r for r in records if r["parameters"]["num_datasets"] > 1]
    require(len(table) > 0, "records", "at least one of several data sets", len(table))
    return table


def _studies(records: Iterable[dict]) -> dict[int, list[dict]]:
    """Records of one data set by depth, widths ascending."""
    rows = [r for r in records if r["parameters"]["num_datasets"] == 1]
    rows = sorted(rows, key=lambda r: (r["parameters"]["depth"], r["parameters"]["width"]))
    return {d: [r for r in rows if r["parameters"]["depth"] == d] for d in sorted({r["parameters"]["depth"] for r in rows})}


def _scatter(table: list[dict], prediction: str) -> plotting.Scatter:
    errors = {"own_init": "ensemble_gap_error", "expected": "trained_init_error", "averaged": "trained_data_error"}
    shown = {"own_init": "initialisations", "expected": "initialisations", "averaged": "data sets"}
    columns = [np.concatenate([r[name] for r in table]) for name in (prediction, "trained", errors[prediction], "times")]
    depths = np.concatenate([[r["parameters"]["depth"]] * len(r["times"]) for r in table])
    title = f"{_MEANING[prediction].replace(', ', chr(10))}\n(bars: standard error over {shown[prediction]})"
    return plotting.Scatter(title, *columns, depths)


def _width_panels(records: Sequence[dict]) -> dict[str, list[plotting.Gaps]]:
    """Gaps over width in the middle of the times, for the least and the greatest depth that has a fit."""
    laws = {(depth, time, gap): law for depth, time, gap, law in width_exponents(records)}
    panels: dict[str, list[plotting.Gaps]] = {"outputs": [], "bias": []}
    for depth, rows in _studies(records).items():
        time = rows[0]["times"][len(rows[0]["times"]) // 2]
        if not any(key[:2] == (depth, time) for key in laws):
            continue
        widths = np.array([r["parameters"]["width"] for r in rows])
        for gap, (squares, errors) in _squared_gaps(rows, len(rows[0]["times"]) // 2).items():
            law, (kind, what) = laws[depth, time, gap], gap.split(", ")
            sizes = np.sqrt(np.maximum(squares, 0))
            bars = errors / (2 * np.where(sizes > 0, sizes, 1))
            label = f"{what}, depth {depth}: exponent {law}".replace("+-", r"$\pm$")
            fit = (law.scale, law.exponent) if law.resolved else None
            panels[kind].append(plotting.Gaps(label, widths, sizes, bars, fit))
    time = next(iter(_studies(records).values()))[0]["times"]
    when = f"t = {time[len(time) // 2]:g}"
    return {f"gap of the {kind} ({'root mean square over probes, ' if kind == 'outputs' else ''}{when})": lines
            for kind, lines in panels.items()}  # fmt: skip


def _time_panels(records: Sequence[dict]) -> dict[str, list[plotting.Gaps]]:
    """Gaps of one network over time at the greatest width that most depths have, one line for each of them."""
    by_width: dict[int, dict[int, dict]] = {}
    for depth, rows in _studies(records).items():
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


def _markdown(records: Sequence[dict], summary: dict, title: str, missing: int, figures: Iterable[str]) -> str:
    table = _table(records)
    lines = [f"# {title}", ""]
    lines.append(
        f"{summary['configurations']} configurations in the table and {len(records) - len(table)} in the studies of width, "
        f"depth and time: {summary['networks']} networks, trained in float32 by full-batch gradient descent in the NTK "
        "parameterisation, on data whose two feature directions are exactly orthogonal (as they are for large d). Predictions "
        "are for infinite width. t is learning rate x steps."
    )
    if missing:
        lines.append(f"\n{missing} configurations of the preset have no record yet and are not in this report.")
    lines += ["", "## Agreement of the mean bias", ""]
    lines += [
        "| prediction | points | mean absolute error | worst | R^2 | largest z | rms z |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, a in summary["agreement"].items():
        z = " | ".join("" if a[key] is None else f"{a[key]:+.2f}" for key in ("largest_z", "rms_z"))
        errors = f"{a['mean_absolute_error']:.4f} | {a['worst']:+.3f} ({a['worst_at']}) | {a['r_squared']:.4f}"
        lines.append(f"| {_MEANING[name]} | {a['points']} | {errors} | {z} |")
    lines += [
        "",
        "z: (trained - predicted) / standard error; over initialisations with the data sets given for the expectation over "
        "initialisations, over data sets for the analytic average. "
        f"Points of the analytic average beyond max(0.05, 3.5 standard errors): {summary['agreement']['averaged']['beyond']}. "
        f"Mean standard error over data sets: {np.mean([r['trained_data_error'] for r in table]):.3f}, over initialisations: "
        f"{np.mean([r['trained_init_error'] for r in table]):.3f}.",
        "",
        "![Trained against predicted bias](agreement.png)",
        "",
    ]
    ratio, seconds = summary["time_ratio"], summary["seconds"]
    lines.append(
        f"Training the table took {seconds['train']:.0f} s, {ratio['expected']:.3g} times as long as predicting it on the same "
        f"data sets ({seconds['expected']:.0f} s) and {ratio['averaged']:.3g} times as long as the analytic average "
        f"({seconds['averaged']:.0f} s). Each first call of a shape includes its compilation."
    )
    lines += ["", "## By configuration", ""]
    lines += [
        "Trained: mean bias +- standard error over data sets (+- over initialisations with the data sets given). "
        "Own: each network's own initial output; expected and averaged with z.",
        "",
        "| configuration | D x I | rate | t | trained | own | expected (z) | averaged (z) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in table:
        p = r["parameters"]
        extra = "" if (p["predictivity"][0], p["correlation"]) == (0.85, 0.6) else (
            f", rho_s {p['predictivity'][0]:g}, sigma {p['correlation']:g}"
        )  # fmt: skip
        for i, t in enumerate(r["times"]):
            lines.append(
                f"| {r['name']}{extra} | {p['num_datasets']} x {p['num_inits']} | {r['learning_rate']:g} | {t:g} | "
                f"{r['trained'][i]:+.3f} +- {r['trained_data_error'][i]:.3f} (+- {r['trained_init_error'][i]:.3f}) | "
                f"{r['own_init'][i]:+.3f} | {r['expected'][i]:+.3f} ({r['expected_z'][i]:+.1f}) | "
                f"{r['averaged'][i]:+.3f} ({r['averaged_z'][i]:+.1f}) |"
            )
    lines += _study_lines(records, summary, figures)
    lines += ["", "## Decision surfaces", "", "Mean output on one data set; solid: boundary, dashed: Bayes.", ""]
    lines += ["![Decision surfaces, predicted and trained](surfaces.png)", "", "## Misses", ""]
    lines += [
        "Gaps above 0.02 with each network's own initial output, |z| above 3 in expectation over initialisations, and the "
        "analytic average beyond max(0.05, 3.5 standard errors).",
        "",
    ]
    lines += [
        f"- {m['name']}, t {m['time']:g}, {m['prediction']}: {m['gap']:+.3f}, z {m['z']:+.1f}" for m in summary["misses"]
    ] or ["None."]
    lines += ["", "## Where it ran", ""]
    keys = ("ntk_shortcuts_version", "commit", "jax_version", "numpy", "scipy", "python", "device", "num_devices")
    for values in sorted({tuple(str(r["environment"][key]) for key in keys) for r in records}):
        lines.append("- " + ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True)))
    lines.append(f"- seed {', '.join(sorted({str(r['seed']) for r in records}))}")
    return "\n".join(lines) + "\n"


def _study_lines(records: Sequence[dict], summary: dict, figures: Iterable[str]) -> list[str]:
    studies = _studies(records)
    if not studies:
        return []
    lines = ["", "## Gap over width", ""]
    any_study = next(iter(studies.values()))[0]
    lines.append(
        f"{any_study['parameters']['activation']}, ratio 1, N = {any_study['parameters']['num_samples']}, one data set. One "
        "network: root mean square gap from the prediction with its own initial output. Ensemble mean: the mean over networks "
        "of the same difference, with the square of its noise taken off. Fits weigh squared gaps by their errors."
    )
    if summary["exponents"]:
        lines += ["", "| depth | t | gap | exponent | chi^2 per degree of freedom |", "|---|---|---|---|---|"]
        for depth, time, gap, law in width_exponents(records):
            lines.append(f"| {depth} | {time:g} | {gap} | {law} | {law.reduced_chi_squared:.1f} |")
    if "width.png" in figures:
        lines += ["", "![Gap over width](width.png)"]
    needed = _networks_needed(records)
    if needed:
        lines += ["", *needed]
    lines += [
        "",
        "## Gap over depth and time",
        "",
        "| depth | width | t | outputs, one network | bias, one network | bias, mean |",
    ]
    lines.append("|---|---|---|---|---|---|")
    for rows in studies.values():
        for r in rows:
            p = r["parameters"]
            for i, t in enumerate(r["times"]):
                mean = f"{r['ensemble_gap'][i]:+.4f} +- {r['ensemble_gap_error'][i]:.4f}"
                single = f"{r['single_output_gap'][i] ** 0.5:.4f} | {r['single_gap'][i]:.4f}"
                lines.append(f"| {p['depth']} | {p['width']} | {t:g} | {single} | {mean} |")
    return [*lines, "", "![Gap over depth and time](depth_time.png)"]


def _networks_needed(records: Sequence[dict]) -> list[str]:
    """How many networks would show the ensemble's gap at the greatest width, where those trained do not."""
    lines = []
    for depth, rows in _studies(records).items():
        if len(rows) < 3:
            continue
        last, first = rows[-1], rows[0]
        i = len(last["times"]) // 2
        square, error = last["ensemble_output_gap"][i], last["ensemble_output_gap_error"][i]
        if square > 3 * error:
            continue
        ratio = first["parameters"]["width"] / last["parameters"]["width"]
        expected = max(first["ensemble_output_gap"][i], 0) * ratio**2
        if expected > 0:
            # Far below the noise the error of the estimated square falls as 1 / (number of networks).
            count = int(np.ceil(last["parameters"]["num_inits"] * 3 * error / expected))
            lines.append(
                f"Depth {depth}, width {last['parameters']['width']}, t = {last['times'][i]:g}: the ensemble's gap of the "
                "outputs is below three standard errors. A gap that falls as 1/width from width "
                f"{first['parameters']['width']} on would take about {count} networks."
            )
    return lines
