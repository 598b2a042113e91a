"""Options of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ntk_shortcuts import MLP


@dataclass(frozen=True)
class NetworkOptions:
    """The network: its fields are those of `MLP`."""

    depth: Annotated[int, typer.Option(help="Hidden layers; 0 is a linear model.")] = 1
    activation: Annotated[str, typer.Option(help="relu, linear, erf, tanh, gelu, ...")] = "relu"
    width: Annotated[int | None, typer.Option(help="Of hidden layers; infinite by default.")] = None
    weight_variance: Annotated[float, typer.Option(help="sigma_w^2.")] = 2.0
    bias_variance: Annotated[float, typer.Option(help="sigma_b^2; 0: no biases.")] = 0.0
    parameterization: Annotated[str, typer.Option(help="ntk or standard.")] = "ntk"
    initialization: Annotated[str, typer.Option(help="normal or torch.")] = "normal"

    def network(self) -> MLP:
        from ntk_shortcuts import MLP

        return MLP(**vars(self))
