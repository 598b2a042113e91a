"""Options of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ntk_shortcuts.cli.options.names import ACTIVATIONS, INITIALIZATIONS, NORMALIZATIONS, PARAMETERIZATIONS, name_option

if TYPE_CHECKING:
    from ntk_shortcuts import MLP


@dataclass(frozen=True)
class NetworkOptions:
    """The network: its fields are those of `MLP`."""

    depth: Annotated[int, typer.Option(help="Hidden layers; 0 is a linear model.")] = 1
    activation: Annotated[str, name_option(ACTIVATIONS, f"{', '.join(ACTIVATIONS)}.")] = "relu"
    width: Annotated[int | None, typer.Option(help="Of hidden layers; infinite by default.")] = None
    weight_variance: Annotated[float, typer.Option(help="sigma_w^2.")] = 2.0
    bias_variance: Annotated[float, typer.Option(help="sigma_b^2; 0: no biases.")] = 0.0
    parameterization: Annotated[
        str | None, name_option(PARAMETERIZATIONS, "ntk, standard or mean_field; ntk by default, mean_field with --richness.")
    ] = None
    initialization: Annotated[str, name_option(INITIALIZATIONS, "normal or torch.")] = "normal"
    residual: Annotated[float | None, typer.Option(help="Factor of residual blocks; none by default.")] = None
    normalization: Annotated[str | None, name_option(NORMALIZATIONS, "layer, over the width; none by default.")] = None
    richness: Annotated[float | None, typer.Option(help="Of the mean-field parameterisation.")] = None

    def network(self) -> MLP:
        from ntk_shortcuts import MLP

        default = "ntk" if self.richness is None else "mean_field"
        return MLP(**{**vars(self), "parameterization": self.parameterization or default})
