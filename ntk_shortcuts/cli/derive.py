"""`ntk-shortcuts derive`: formulas from sympy, checked against the code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.engine import many_small_problems
from ntk_shortcuts.cli.options import JsonOption, takes_options
from ntk_shortcuts.cli.options.names import completed, derivation_labels
from ntk_shortcuts.cli.printing import print_json, print_table, report_written
from ntk_shortcuts.progress import ProgressBar


@dataclass(frozen=True)
class DeriveOptions:
    """What is derived, and where it is written."""

    labels: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LABEL]...", help="Such as D1.1, or D1 for a group.", autocompletion=completed(derivation_labels)
        ),
    ] = None
    everything: Annotated[bool, typer.Option("--all", help="All labels; prints one row for each.")] = False
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Made if missing.")] = Path("derived")
    gallery: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="With --all: draw the gallery too, into this folder.")
    ] = None

    def check(self) -> None:
        if self.everything and self.labels:
            raise ValueError(f"label must not be given with --all; got {' '.join(self.labels)}")
        if self.gallery is not None and not self.everything:
            raise ValueError(f"gallery must be given with --all; got {str(self.gallery)!r}")
        for name, folder in (("output", self.output), ("gallery", self.gallery)):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise ValueError(f"{name} must be a folder; got {str(folder)!r}")


@takes_options()
def derive(chosen: DeriveOptions, output: JsonOption) -> None:
    """Derive formulas symbolically, check them against the code, and draw them; without a label, list what there is.

    Writes LABEL.md and LABEL.png into the output folder, and the row of its index.md if there is one; --all writes that page.
    Exit status 1 if a check fails.
    """
    if chosen.everything:
        many_small_problems()
    from ntk_shortcuts import derivation as derivations

    chosen.check()
    if not (chosen.everything or chosen.labels):
        titles = {label: entry.title for label, entry in derivations.load_derivations().items()}
        if output.json:
            print_json({"derivations": titles})
        else:
            print_table(titles)
        return
    done = _derived(chosen)
    index = chosen.output / "index.md"
    page = derivations.index_markdown(done, index.read_text() if index.exists() else "")
    if chosen.everything or index.exists():
        index.write_text(page)
    if output.json:
        print_json({"derivations": [result.summary() for result in done], "outputs": str(chosen.output)})
    elif chosen.everything:
        print(page, end="")
    else:
        print("\n".join(result.page for result in done), end="")
    report_written([chosen.output])
    failed = [f"{result.derivation.label} ({check.name})" for result in done for check in result.checks if not check.passed]
    if failed:
        print(f"error: checks failed: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)


def _derived(chosen: DeriveOptions) -> list[Any]:
    """The derivations, written to the output folder, and the figures of the gallery where a folder for them is given."""
    from ntk_shortcuts import derivation as derivations

    with ProgressBar("deriving") as progress:
        if not chosen.labels:
            return derivations.derive_all(chosen.output, chosen.gallery, progress)
        entries, done = derivations.select(chosen.labels), []
        chosen.output.mkdir(parents=True, exist_ok=True)
        for number, entry in enumerate(entries, 1):
            done.append(derivations.derive(entry, chosen.output))
            progress(number, len(entries))
        return done
