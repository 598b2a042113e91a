"""`ntk-shortcuts audit`: what the attributes of a pool of samples offer a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ntk_shortcuts.cli.options import (
    FIGURE_SUFFIXES,
    AgreementOptions,
    FileOptions,
    JsonOption,
    NetworkOptions,
    read_file,
    takes_options,
)
from ntk_shortcuts.cli.printing import print_columns, print_json, report_written
from ntk_shortcuts.cli.records import save_netcdf


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
    from ntk_shortcuts.description import netcdf_value, spec_parameters, versions

    pool = weights.reweighted(read_file("pool", audited.pool))
    mlp = network.network()
    found = audited_by(pool, mlp, modes=audited.modes)
    about = {**spec_parameters(mlp), **found.attrs, "pool": str(audited.pool), "agreement": weights.agreement, **versions()}
    for path in paths:
        if path.suffix in FIGURE_SUFFIXES:
            found.plot().savefig(path)
        else:
            save_netcdf(found.assign_attrs({name: netcdf_value(value) for name, value in about.items()}), path)
    report_written(paths)
    if output.json:
        columns = {name: found[name].values.tolist() for name in ("function", *found.data_vars)}
        print_json({**columns, **about, "outputs": [str(path) for path in paths]})
        return
    titles = ["function", "predictivity", "learnt by", "relative", "alignment", "kernel"]
    rows = [
        [str(name), f"{told:.3f}", f"{time:.4g}", f"{ratio:.3g}", f"{share:.3f}", f"{kernel:.3f}"]
        for name, told, time, ratio, share, kernel in zip(
            found["function"].values, *(found[name].values for name in found.data_vars), strict=True
        )
    ]
    print_columns(titles, rows)
