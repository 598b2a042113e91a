"""Options of the output: JSON, and the files to write."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
DATA_SUFFIXES = (".nc", ".csv", ".json")
SUFFIXES = (*FIGURE_SUFFIXES, *DATA_SUFFIXES)


@dataclass(frozen=True)
class JsonOption:
    """Whether to print JSON instead of a table."""

    json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")] = False


@dataclass(frozen=True)
class FileOptions:
    """The files to write; their suffixes say what."""

    output: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help=f"Write {', '.join(SUFFIXES)}; may be repeated.")
    ] = None

    def paths(self, suffixes: tuple[str, ...] = SUFFIXES, purpose: str = "", default: str | None = None) -> list[Path]:
        """The files, their suffixes and folders checked: to be called before any work is done."""
        paths = self.output or ([] if default is None else [Path(default)])
        allowed = f"{'one of ' if len(suffixes) > 1 else ''}{', '.join(suffixes)}{purpose and f' for {purpose}'}"
        for path in paths:
            if path.suffix not in suffixes:
                raise ValueError(f"output must end in {allowed}; got {str(path)!r}")
            if not path.parent.is_dir():
                raise ValueError(f"output must lie in a folder that exists; got {str(path)!r}")
            if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
                raise ValueError(f"output must be a file that can be written; got {str(path)!r}")
        return paths


@dataclass(frozen=True)
class PageOptions(FileOptions):
    """The pages to write."""

    output: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Write .html; may be repeated. report.html by default.")
    ] = None
