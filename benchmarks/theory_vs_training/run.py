"""Theory against training: `ntk-shortcuts validate` into this folder, and its report on the records there are.

    python benchmarks/theory_vs_training/run.py [--preset standard] [--report-only]

Records go to results/PRESET/records.jsonl as configurations finish, and a second run goes on where the first stopped.
`--report-only` runs nothing, and also reports on an unfinished run.
"""

from __future__ import annotations

import argparse
import json
import pathlib

from ntk_shortcuts import comparison
from ntk_shortcuts.cli import main as command_line

FOLDER = pathlib.Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=comparison.PRESETS, default="standard")
    parser.add_argument("--report-only", action="store_true")
    arguments = parser.parse_args()
    folder = FOLDER / arguments.preset
    if not arguments.report_only:
        return command_line(["validate", "--preset", arguments.preset, "--output", str(folder)])
    configurations = [json.dumps(c.parameters(), sort_keys=True) for c in comparison.preset(arguments.preset)]
    found = {json.dumps(r["parameters"], sort_keys=True): r for r in comparison.read(folder / "records.jsonl")}
    records = [found[c] for c in configurations if c in found]
    title = f"Theory against training: preset {arguments.preset}"
    for path in comparison.write_report(records, folder, title, missing=len(configurations) - len(records)):
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
