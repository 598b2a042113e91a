"""Records of a comparison in a file, one JSON object a line, written as they are finished; a second run goes on from there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ntk_shortcuts.experiments.comparison.configuration import Configuration
from ntk_shortcuts.experiments.comparison.laws import LawConfiguration
from ntk_shortcuts.validation import require_integer


def run(
    configurations: Sequence[Configuration | LawConfiguration],
    path: Path,
    seed: int = 0,
    progress: Callable[[int, int], Any] | None = None,
) -> list[dict[str, Any]]:
    """Compare each configuration and append its record to a file; those recorded with the same parameters are not run again.

    Args:
        configurations: in the order of the result.
        path: of the records, created with its folder. Records of other configurations in it are left alone.
        seed: of data sets and initialisations.
        progress: called as `progress(done, total)`, first with what was found.

    Returns:
        The records of the configurations.

    Raises:
        ValueError: seed not an integer >= 0; a file that does not hold records.
    """
    require_integer("seed", seed, 0)
    found = {record_identity(record["parameters"], record["seed"]): record for record in read(path)}
    wanted = [record_identity(configuration.parameters(), seed) for configuration in configurations]
    total, done = len(wanted), sum(identity in found for identity in wanted)
    path.parent.mkdir(parents=True, exist_ok=True)
    if progress is not None:
        progress(done, total)
    for identity, configuration in zip(wanted, configurations, strict=True):
        if identity in found:
            continue
        record = configuration.compare(seed)
        with path.open("a") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
        found[identity] = record
        done += 1
        if progress is not None:
            progress(done, total)
    return [found[identity] for identity in wanted]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON objects of a file, one a line, of any kind; none where it does not exist.

    A last line that a killed run left unfinished is removed.
    """
    return [json.loads(line) for line in _lines(path)]


def read(path: Path) -> list[dict[str, Any]]:
    """As :func:`read_lines`, for records of a comparison.

    Raises:
        ValueError: a line that is not a record.
    """
    records = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if not (isinstance(record, dict) and {"parameters", "seed", "trained"} <= record.keys()):
            raise ValueError(f"output must hold records of validate only; got {str(path)!r}, line {number}: {line[:60]!r}")
        records.append(record)
    return records


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    text = path.read_text()
    if not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        path.write_text(text)
    return text.splitlines()


def record_identity(parameters: dict[str, Any], seed: int) -> str:
    """What makes two records the same."""
    # What is not set is as good as not there: a network of today has fields that older records do not know.
    given = {name: value for name, value in parameters.items() if value is not None}
    return json.dumps({**given, "seed": seed}, sort_keys=True)
