"""`ntk-shortcuts validate`: theory against training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.options import JsonOption, LawFileOptions, takes_options
from ntk_shortcuts.cli.options.names import PRESETS, name_option
from ntk_shortcuts.cli.printing import print_json, print_table, report_written
from ntk_shortcuts.progress import ProgressBar

_ROADS = {"own_init": "own initial output", "expected": "expected", "averaged": "averaged"}


@dataclass(frozen=True)
class ValidateOptions:
    """What is trained, and where it is written."""

    preset: Annotated[
        str,
        name_option(
            PRESETS,
            "quick (minutes), standard, paper, or accelerator: how many networks; with --law one of the first two.",
        ),
    ] = "quick"
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder of records and report; run again to resume.")] = Path(
        "validation"
    )
    seed: Annotated[int, typer.Option(help="Random seed of data sets and initialisations.")] = 0


@takes_options()
def validate(run: ValidateOptions, described: LawFileOptions, output: JsonOption) -> None:
    """Train networks and compare their bias with the predictions; with --law biases or accuracies of groups on that law.

    Writes DIR/records.jsonl, a line for each finished configuration, and DIR/report.md with its figures.
    """
    if run.output.exists() and not run.output.is_dir():
        raise ValueError(f"output must be a folder; got {str(run.output)!r}")
    from ntk_shortcuts.experiments import comparison

    if described.law is None:
        configurations, title = comparison.preset(run.preset), f"preset {run.preset}"
    else:
        configurations = comparison.law_preset(run.preset, described.read(), described.law.stem)
        title = f"{described.law.stem}, preset {run.preset}"
    lines = run.output / "records.jsonl"
    with ProgressBar("configurations") as progress:
        records = comparison.run(configurations, lines, run.seed, progress)
    paths = comparison.write_report(records, run.output, f"Theory against training: {title}")
    report_written(paths)
    summary = comparison.summarize(records)
    if output.json:
        shown = [{name: value for name, value in record.items() if name != "surface"} for record in records]
        files = [str(path) for path in (lines, *paths)]
        print_json(
            {
                "preset": run.preset,
                "law": described.law and str(described.law),
                "seed": run.seed,
                **summary,
                "records": shown,
                "outputs": files,
            }
        )
    else:
        print_table(_rows(summary))


def _rows(summary: dict[str, Any]) -> dict[str, str]:
    rows = {"configurations": str(summary["configurations"]), "networks": str(summary["networks"])}
    for name, label in _ROADS.items():
        found = summary["agreement"][name]
        z = "" if found["largest_z"] is None else f", largest z {found['largest_z']:+.1f}"
        rows[label] = f"mean error {found['mean_absolute_error']:.4f}, worst {found['worst']:+.3f}{z}"
    ratio = summary["time_ratio"]
    rows["training / predicting"] = f"{ratio['expected']:.3g} (expected), {ratio['averaged']:.3g} (averaged), in seconds"
    return rows
