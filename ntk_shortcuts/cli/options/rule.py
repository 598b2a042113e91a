"""Options of the training rule."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ntk_shortcuts.cli.options.numbers import Numbers, numbers_option, values

if TYPE_CHECKING:
    from ntk_shortcuts.training import TrainingRule

_DEFAULT_TIME = 30.0
# Options of several values: as many predictions at once.
_SEVERAL = ("steps", "ridge")


@dataclass(frozen=True)
class RuleOptions:
    """The training rule, chosen by the options that are given: gradient flow, gradient descent or a ridge."""

    time: Annotated[
        list[Numbers] | None, numbers_option("T", "Gradient flow for this time, or several (default rule, 30); inf allowed.")
    ] = None
    learning_rate: Annotated[float | None, typer.Option(help="Gradient descent, with --steps.")] = None
    steps: Annotated[
        list[Numbers] | None, numbers_option("K", "Gradient descent for so many steps, with --learning-rate; or several.")
    ] = None
    momentum: Annotated[float | None, typer.Option(help="Of gradient descent, in [0, 1).")] = None
    nesterov: Annotated[bool, typer.Option("--nesterov", help="Nesterov's momentum.")] = False
    weight_decay: Annotated[float | None, typer.Option(help="Of gradient descent, towards the initial parameters.")] = None
    ridge: Annotated[
        list[Numbers] | None, numbers_option("LAMBDA", "Kernel ridge regression of this strength, or several.")
    ] = None

    def check(self) -> None:
        """One rule, and all of it."""
        descent = self.learning_rate is not None or bool(self.steps)
        given = {"--time": bool(self.time), "--learning-rate/--steps": descent, "--ridge": bool(self.ridge)}
        chosen = [name for name, is_given in given.items() if is_given]
        if len(chosen) > 1:
            raise ValueError(
                f"training rule must be one of --time, --learning-rate with --steps, --ridge; got {' and '.join(chosen)}"
            )
        if descent and (self.learning_rate is None or not self.steps):
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
        chosen = {option: axes[axis][0] for axis, option in options.items() if axis in axes and not getattr(self, option)}
        return dataclasses.replace(
            self, **{option: [Numbers([value])] if option in _SEVERAL else value for option, value in chosen.items()}
        )

    def several(self) -> dict[str, list[float]]:
        """What tells several predictions at once apart, by the option's name; of one nothing."""
        found = {name: values(given) for name in ("time", *_SEVERAL) if (given := getattr(self, name))}
        return {name: several for name, several in found.items() if isinstance(several, list)}

    def training(self) -> TrainingRule:
        from ntk_shortcuts import GradientDescent, GradientFlow, Ridge

        if self.ridge:
            return Ridge(values(self.ridge))
        if self.learning_rate is not None and self.steps:
            decay = self.weight_decay or 0.0
            return GradientDescent(self.learning_rate, values(self.steps), self.momentum or 0.0, self.nesterov, decay)
        return GradientFlow(values(self.time) if self.time else _DEFAULT_TIME)
