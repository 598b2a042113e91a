"""Theory against training: `ntk-shortcuts validate` into this folder, and its report on the records there are.

    python benchmarks/theory_vs_training/run.py [--preset standard] [--report-only]

Records go to results/PRESET/records.jsonl as configurations finish, and a second run goes on where the first stopped.
`--report-only` runs nothing, and also reports on an unfinished run.
"""

from __future__ import annotations

import argparse
import pathlib

from matplotlib.figure import Figure

from ntk_shortcuts.cli import main as command_line
from ntk_shortcuts.experiments import comparison
from ntk_shortcuts.experiments.comparison.records import record_identity

FOLDER = pathlib.Path(__file__).parent / "results"


def figures() -> dict[str, Figure]:
    """Of the standard records, for the docs."""
    made = comparison.report_figures(records_of("standard"))
    return {"validate_agreement": made["agreement"], "validate_width": made["width"]}


def records_of(preset: str) -> list[dict]:
    """Those of the preset as it stands now."""
    configurations = [record_identity(c.parameters(), 0) for c in comparison.preset(preset)]
    found = {record_identity(r["parameters"], 0): r for r in comparison.read(FOLDER / preset / "records.jsonl")}
    return [found[c] for c in configurations if c in found]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=comparison.PRESETS, default="standard")
    parser.add_argument("--report-only", action="store_true")
    arguments = parser.parse_args()
    folder = FOLDER / arguments.preset
    if not arguments.report_only:
        return command_line(["validate", "--preset", arguments.preset, "--output", str(folder)])
    records = records_of(arguments.preset)
    title = f"Theory against training: preset {arguments.preset}"
    for path in comparison.write_report(
        records, folder, title, missing=len(comparison.preset(arguments.preset)) - len(records)
    ):
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
