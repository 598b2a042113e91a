"""Reports: long tables are folded, and the records that figures are drawn from can be downloaded."""

from __future__ import annotations

import pathlib
import re
from typing import Any

from mkdocs.structure.files import File

_BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
RECORDS = [
    *sorted(path for path in (_BENCHMARKS / "results").rglob("*") if path.suffix in (".csv", ".json", ".jsonl")),
    *sorted(_BENCHMARKS.glob("*/results/*/records.jsonl")),
]
_TABLE = re.compile(r"<table>.*?</table>", re.S)
SHOWN = 6
"""Rows that a reader takes in at a glance; longer tables are folded."""


def on_files(files: Any, config: Any) -> Any:
    """Records lie in `data/`, those of a folder under the folder's name."""
    for path in RECORDS:
        files.append(File.generated(config, f"data/{name_of(path)}", content=path.read_bytes()))
    return files


def name_of(record: pathlib.Path) -> str:
    """By which it is downloaded."""
    parts = record.relative_to(_BENCHMARKS).with_suffix("").parts
    return "_".join(part for part in parts if part not in ("results", "records")) + record.suffix


def on_page_content(content: str, page: Any, config: Any, files: Any) -> str:
    """Fold what is long."""
    return _TABLE.sub(_folded, content) if page.file.src_uri.startswith("evidence/") else content


def _folded(found: re.Match[str]) -> str:
    table = found.group()
    rows = table.count("<tr>") - 1
    if rows <= SHOWN:
        return table
    columns = [re.sub(r"<(?!/?span).*?>", "", cell).strip() for cell in re.findall(r"<th\b[^>]*>(.*?)</th>", table, re.S)]
    named = ", ".join(column for column in columns if column)  # formulas keep their span, by which they are found
    return f"<details><summary>Table, {rows} rows: {named}</summary>{table}</details>"
