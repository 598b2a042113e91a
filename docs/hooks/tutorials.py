"""Tutorials and examples are percent-format scripts: one source is the script that tests run, the page, and a notebook."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

from mkdocs.structure.files import File

FOLDERS = ("start/tutorials", "howto/examples")
_CELL = re.compile(r"^# %%( \[markdown\])?\n", re.M)
_DOCS = pathlib.Path(__file__).parents[1]


def on_files(files: Any, config: Any) -> Any:
    """A page and a notebook for each script."""
    for path in sorted(path for folder in FOLDERS for path in (_DOCS / folder).glob("*.py")):
        parts, uri = cells(path.read_text()), path.relative_to(_DOCS).with_suffix("").as_posix()
        files.append(File.generated(config, f"{uri}.md", content=as_page(parts, path.stem)))
        files.append(File.generated(config, f"{uri}.ipynb", content=as_notebook(parts)))
    return files


def cells(script: str) -> list[tuple[str, str]]:
    """Kind ("markdown" or "code") and text of each cell."""
    parts = _CELL.split(script)[1:]
    found = []
    for mark, text in zip(parts[::2], parts[1::2], strict=True):
        prose = re.sub(r"^# ?", "", text, flags=re.M)
        found.append(("markdown", prose.strip()) if mark else ("code", text.strip()))
    return found


def as_page(parts: list[tuple[str, str]], name: str) -> str:
    """Markdown, with the downloads below the title."""
    shown = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in parts]
    title, _, rest = shown[0].partition("\n")
    downloads = f"As a [script]({name}.py) or a [notebook]({name}.ipynb); the tests run it whole."
    return "\n\n".join([title, downloads, rest.strip(), *shown[1:]]) + "\n"


def as_notebook(parts: list[tuple[str, str]]) -> str:
    """Jupyter's format, version 4."""
    written = []
    for number, (kind, text) in enumerate(parts):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
        written.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}, indent=1)
