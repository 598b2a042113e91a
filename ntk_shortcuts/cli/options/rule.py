"""Options of the training rule."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ntk_shortcuts.training import TrainingRule

_DEFAULT_TIME = 30.0


@dataclass(frozen=True)
class RuleOptions:
    """The training rule, chosen by the options that are given: gradient flow, gradient descent or a ridge."""

    time: Annotated[float | None, typer.Option(help="Gradient flow for this time (default rule, 30); inf allowed.")] = None
    learning_rate: Annotated[float | None, typer.Option(help="Gradient descent, with --steps.")] = None
    steps: Annotated[float | None, typer.Option(help="Gradient descent, with --learning-rate.")] = None
    momentum: Annotated[float | None, typer.Option(help="Of gradient descent, in [0, 1).")] = None
    nesterov: Annotated[bool, typer.Option("--nesterov", help="Nesterov's momentum.")] = False
    weight_decay: Annotated[float | None, typer.Option(help="Of gradient descent, towards the initial parameters.")] = None
    ridge: Annotated[float | None, typer.Option("--ridge", help="Kernel ridge regression of this strength.")] = None

    def check(self) -> None:
        """One rule, and all of it."""
        descent = self.learning_rate is not None or self.steps is not None
        given = {"--time": self.time is not None, "--learning-rate/--steps": descent, "--ridge": self.ridge is not None}
        chosen = [name for name, is_given in given.items() if is_given]
        if len(chosen) > 1:
            raise ValueError(
                f"training rule must be one of --time, --learning-rate with --steps, --ridge; got {' and '.join(chosen)}"
            )
        if descent and (self.learning_rate is None or self.steps is None):
            missing, other = ("learning-rate", "steps") if self.learning_rate is None else ("steps", "learning-rate")
            raise ValueError(f"{missing} must be given with --{other}; got none")
        further = {"momentum": self.momentum is not None, "weight-decay": self.weight_decay is not None}
        for name, is_given in further.items():
            if is_given and not descent:
                raise ValueError(f"{name} must be given with --learning-rate and --steps only; got another rule")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov must be given with --momentum; got none")

    def along(self, axes: dict[str, list[Any]]) -> RuleOptions:
        """The rule that the axes of a sweep ask for: an axis of another than gradient flow chooses it.

        The first value of the axis stands in for the option.
        """
        same = {name: name for name in ("learning_rate", "steps", "momentum", "weight_decay")}
        options = {**same, "strength": "ridge"}
        chosen = {option: axes[axis][0] for axis, option in options.items() if axis in axes and getattr(self, option) is None}
        return dataclasses.replace(self, **chosen)

    def training(self) -> TrainingRule:
        from ntk_shortcuts import GradientDescent, GradientFlow, Ridge

        if self.ridge is not None:
            return Ridge(self.ridge)
        if self.learning_rate is not None and self.steps is not None:
            decay = self.weight_decay or 0.0
            return GradientDescent(self.learning_rate, self.steps, self.momentum or 0.0, self.nesterov, decay)
        return GradientFlow(_DEFAULT_TIME if self.time is None else self.time)
