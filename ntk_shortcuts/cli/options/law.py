"""Options of the data law."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ntk_shortcuts import GenerativeModel
    from ntk_shortcuts.laws import DataLaw


@dataclass(frozen=True)
class LawOptions:
    """The law of the data: its fields are those of `GenerativeModel`."""

    predictivity: Annotated[tuple[float, float], typer.Option(metavar="S C", help="rho of shortcut and core, in [0.5, 1).")] = (
        0.85,
        0.90,
    )
    amplification: Annotated[tuple[float, float], typer.Option(metavar="S C", help="alpha of shortcut and core.")] = (1.0, 1.0)
    correlation: Annotated[float, typer.Option(help="sigma of the features within a class.")] = 0.6
    nesting: Annotated[tuple[int, int], typer.Option(metavar="S C", help="tanh layers that hide each feature.")] = (0, 0)
    input_dim: Annotated[int, typer.Option(help="Input dimension d.")] = 100

    def refuse_beside(self, other: str, **defaults: Any) -> None:
        """Of a law that something else says, none of these may be given.

        Args:
            **defaults: those of the command, where they are others.
        """
        for field in dataclasses.fields(self):
            if (value := getattr(self, field.name)) != defaults.get(field.name, field.default):
                raise ValueError(f"{field.name} must not be given with {other}; got {value}")

    def model(self) -> GenerativeModel:
        from ntk_shortcuts import GenerativeModel

        return GenerativeModel(**vars(self))


@dataclass(frozen=True)
class LawFileOptions:
    """A law that a file describes."""

    law: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='A law from a TOML file: law = "features" or "clusters", ..., and the arguments by name. Not with --pool.',
        ),
    ] = None

    def read(self) -> DataLaw:
        from ntk_shortcuts.laws.readers import read_law

        assert self.law is not None
        return read_law(self.law)

    def instead_of(self, law: LawOptions, **defaults: Any) -> DataLaw:
        """The law of the file, or without one that of the options; both are refused."""
        if self.law is None:
            return law.model()
        law.refuse_beside("--law, whose file has it", **defaults)
        return self.read()
