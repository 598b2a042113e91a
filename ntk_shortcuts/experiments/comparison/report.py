"""The report on records of theory against training: Markdown with figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ntk_shortcuts.experiments.comparison.figures import measure_of, report_figures
from ntk_shortcuts.experiments.comparison.statistics import PREDICTIONS
from ntk_shortcuts.experiments.comparison.summary import studies_of, summarize, table_of, width_exponents


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


def _markdown(records: Sequence[dict], summary: dict, title: str, missing: int, figures: Iterable[str]) -> str:
    table = table_of(records)
    lines = [f"# {title}", ""]
    several = summary["configurations"]
    lines.append(
        f"{several} configurations in the table and {len(records) - several} in the studies of width, depth and time: "
        f"{summary['networks']} networks, trained in float32 by full-batch gradient descent in the NTK "
        "parameterisation, on data whose feature directions are exactly orthogonal (as they are for large d). Predictions "
        "are for infinite width. t is learning rate x steps."
    )
    if missing:
        lines.append(f"\n{missing} configurations of the preset have no record yet and are not in this report.")
    lines += _agreement_lines(table, summary)
    lines += _configuration_lines(table)
    lines += _study_lines(records, summary, figures)
    if "surfaces.png" in figures:
        lines += ["", "## Decision surfaces", "", "Mean output on one data set; solid: boundary, dashed: Bayes.", ""]
        lines += ["![Decision surfaces, predicted and trained](surfaces.png)"]
    lines += ["", "## Misses", ""]
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


def _agreement_lines(table: Sequence[dict], summary: dict) -> list[str]:
    lines = ["", f"## Agreement of the mean {' and '.join(dict.fromkeys(measure_of(r) for r in table))}", ""]
    lines += [
        "| prediction | points | mean absolute error | worst | R^2 | largest z | rms z |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, a in summary["agreement"].items():
        z = " | ".join("" if a[key] is None else f"{a[key]:+.2f}" for key in ("largest_z", "rms_z"))
        errors = f"{a['mean_absolute_error']:.4f} | {a['worst']:+.3f} ({a['worst_at']}) | {a['r_squared']:.4f}"
        lines.append(f"| {PREDICTIONS[name]} | {a['points']} | {errors} | {z} |")
    lines += [
        "",
        "z: (trained - predicted) / standard error; over initialisations with the data sets given for the expectation over "
        "initialisations, over data sets for the analytic average. "
        f"Points of the analytic average beyond max(0.05, 3.5 standard errors): {summary['agreement']['averaged']['beyond']}. "
        f"Mean standard error over data sets: {np.mean([r['trained_data_error'] for r in table]):.3f}, over initialisations: "
        f"{np.mean([r['trained_init_error'] for r in table]):.3f}.",
        "",
        "![Trained against predicted](agreement.png)",
        "",
    ]
    ratio, seconds = summary["time_ratio"], summary["seconds"]
    lines.append(
        f"Training the table took {seconds['train']:.0f} s, {ratio['expected']:.3g} times as long as predicting it on the same "
        f"data sets ({seconds['expected']:.0f} s) and {ratio['averaged']:.3g} times as long as the analytic average "
        f"({seconds['averaged']:.0f} s). Each first call of a shape includes its compilation."
    )
    return lines


def _configuration_lines(table: Sequence[dict]) -> list[str]:
    lines = ["", "## By configuration", ""]
    lines += [
        "Trained: mean +- standard error over data sets (+- over initialisations with the data sets given). "
        "Own: each network's own initial output; expected and averaged with z.",
        "",
        "| configuration | D x I | rate | t | trained | own | expected (z) | averaged (z) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in table:
        p = r["parameters"]
        usual = "entries" in r or (p["predictivity"][0], p["correlation"]) == (0.85, 0.6)
        extra = "" if usual else f", rho_s {p['predictivity'][0]:g}, sigma {p['correlation']:g}"
        for i, t in enumerate(r["times"]):
            lines.append(
                f"| {r['name']}{extra} | {p['num_datasets']} x {p['num_inits']} | {r['learning_rate']:g} | {t:g} | "
                f"{r['trained'][i]:+.3f} +- {r['trained_data_error'][i]:.3f} (+- {r['trained_init_error'][i]:.3f}) | "
                f"{r['own_init'][i]:+.3f} | {r['expected'][i]:+.3f} ({r['expected_z'][i]:+.1f}) | "
                f"{r['averaged'][i]:+.3f} ({r['averaged_z'][i]:+.1f}) |"
            )
    return lines


def _study_lines(records: Sequence[dict], summary: dict, figures: Iterable[str]) -> list[str]:
    studies = studies_of(records)
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
    for depth, rows in studies_of(records).items():
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
