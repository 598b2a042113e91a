"""`ntk-shortcuts spectrum`: what a network can learn from a law, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.answer import Answer
from ntk_shortcuts.cli.options import FileOptions, JsonOption, LawOptions, NetworkOptions, takes_options
from ntk_shortcuts.cli.printing import print_columns

_COLUMNS = (
    *("eigenvalues", "learning_times", "odd"),
    *("target_coefficients", "shortcut_alignments", "core_alignments"),
)


@dataclass(frozen=True)
class SpectrumOptions:
    """How much of the spectrum."""

    modes: Annotated[int, typer.Option(help="Eigenfunctions, of both parities together; at most 32.")] = 12


@takes_options()
def spectrum(law: LawOptions, network: NetworkOptions, part: SpectrumOptions, output: JsonOption, files: FileOptions) -> None:
    """Eigenfunctions of the NTK under the data law: what is learnt, when, and which feature it follows."""
    paths = files.paths()
    from ntk_shortcuts import kernel_spectrum
    from ntk_shortcuts.description import spec_parameters
    from ntk_shortcuts.version import __version__

    model, mlp = law.model(), network.network()
    result = kernel_spectrum(model, mlp, part.modes)
    columns = {name: getattr(result, name) for name in _COLUMNS}
    totals = {"trace": float(result.trace), "label_noise": float(result.label_noise)}
    parameters = {**spec_parameters(model), **spec_parameters(mlp), "modes": part.modes}
    about = {"diagnostics": result.diagnostics, "ntk_shortcuts_version": __version__}
    values = {**columns, **totals, **parameters, **about}
    Answer(values, result.to_xarray, result.plot, lambda: _show(columns)).give(output, paths)


def _show(columns: dict[str, Any]) -> None:
    rows = []
    for _, time, odd, *overlaps in zip(*columns.values(), strict=True):
        rows.append([f"{float(time):.4g}", "odd" if odd else "even", *(f"{float(v):+.3f}" for v in overlaps)])
    print_columns(["learning time", "parity", "target", "shortcut", "core"], rows)
