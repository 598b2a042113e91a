"""`ntk-shortcuts audit`: what the attributes of a pool of samples offer a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ntk_shortcuts.cli.answer import Answer
from ntk_shortcuts.cli.options import AgreementOptions, FileOptions, JsonOption, NetworkOptions, read_file, takes_options
from ntk_shortcuts.cli.printing import print_columns


@dataclass(frozen=True)
class AuditOptions:
    """What is audited."""

    pool: Annotated[Path, typer.Argument(metavar="FILE", help="An .npz with inputs, labels and attributes by name.")]
    modes: Annotated[int, typer.Option(help="Leading eigenfunctions that the alignment counts.")] = 10


@takes_options()
def audit(
    audited: AuditOptions, weights: AgreementOptions, network: NetworkOptions, output: JsonOption, files: FileOptions
) -> None:
    """How well each attribute of a pool of samples tells the label, and how early a network learns it."""
    paths = files.paths()
    from ntk_shortcuts import audit as audited_by
    from ntk_shortcuts.description import spec_parameters, versions

    pool = weights.reweighted(read_file("pool", audited.pool))
    mlp = network.network()
    found = audited_by(pool, mlp, modes=audited.modes)
    about = {**spec_parameters(mlp), **found.attrs, "pool": str(audited.pool), "agreement": weights.agreement, **versions()}
    columns = {str(name): found[name].values.tolist() for name in ("function", *found.data_vars)}
    values = {**columns, **about, "outputs": [str(path) for path in paths]}
    Answer(values, lambda: found.to_xarray().assign_attrs(about), found.plot, lambda: _show(columns)).give(output, paths)


def _show(columns: dict[str, list]) -> None:
    titles = ["function", "predictivity", "learnt by", "relative", "alignment", "kernel"]
    forms = ["{}", "{:.3f}", "{:.4g}", "{:.3g}", "{:.3f}", "{:.3f}"]
    rows = [[form.format(value) for form, value in zip(forms, row, strict=True)] for row in zip(*columns.values(), strict=True)]
    print_columns(titles, rows)
