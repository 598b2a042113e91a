"""What the page shows a prediction of, as data: the network, how it is trained and on how much; laws and pools add what on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np

from ntk_shortcuts.explorer.calls import Call
from ntk_shortcuts.explorer.controls import Control, by_decades, chosen

NETWORK, TRAINING, DATA = "Network", "Training", "Data"
TIMES = by_decades(-1, 5, (1, 1.5, 2, 3, 5, 7))
STRENGTHS = by_decades(-6, 1, (1, 3))
SAMPLES = (10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, None)

AnySetting = TypeVar("AnySetting", bound="Setting")


@dataclasses.dataclass(frozen=True)
class Rule:
    """A training rule as the page offers it.

    - `extent`: the field that says how far training goes.
    - `call`: from a setting and one or several values of that field.
    - `axis`: of a figure over it; `reached`: what to draw there, from the rule and the values.
    """

    extent: str
    axis: str
    call: Callable[[Any, Any], Call]


def _flow(setting: Setting, time: Any) -> Call:
    return Call("GradientFlow", {"time": time})


def _descent(setting: Setting, time: Any) -> Call:
    steps = np.maximum(1, np.round(np.asarray(time) / setting.learning_rate))
    return Call("GradientDescent", {"learning_rate": setting.learning_rate, "steps": steps if steps.ndim else int(steps)})


def _ridge(setting: Setting, strength: Any) -> Call:
    return Call("Ridge", {"strength": strength})


_TIME = "time = learning rate × steps"
RULES = {
    "gradient flow": Rule("time", _TIME, _flow),
    "gradient descent": Rule("time", _TIME, _descent),
    "ridge": Rule("strength", "ridge strength", _ridge),
}
_TIMED = tuple(name for name, rule in RULES.items() if rule.extent == "time")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network, a training rule and a number of samples; every field has a control, and is a parameter of a link.

    Numbers are those of `ntk_shortcuts.MLP` and of the rules; `num_samples` None is infinite data.
    """

    sections: ClassVar[tuple[str, ...]] = (DATA, NETWORK, TRAINING)

    depth: int = chosen(1, "hidden layers", NETWORK, range(7))
    activation: str = chosen(
        "relu",
        "activation",
        NETWORK,
        ("relu", "erf", "tanh", "gelu", "linear"),
        when=("depth", tuple(range(1, 7))),
    )
    weight_variance: float = chosen(2.0, "weight variance σ²_w", NETWORK, (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0))
    bias_variance: float = chosen(0.0, "bias variance σ²_b", NETWORK, (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0))
    residual: float | None = chosen(
        None, "residual factor", NETWORK, (None, 0.1, 0.25, 0.5, 1.0, 2.0), when=("depth", tuple(range(2, 7)))
    )
    normalization: str | None = chosen(None, "normalization", NETWORK, (None, "layer"), when=("depth", tuple(range(1, 7))))
    rule: str = chosen("gradient flow", "rule", TRAINING, RULES)
    time: float = chosen(30.0, "time = learning rate × steps", TRAINING, TIMES, when=("rule", _TIMED))
    learning_rate: float = chosen(
        1.0, "learning rate", TRAINING, (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0), when=("rule", ("gradient descent",))
    )
    strength: float = chosen(0.01, "ridge strength", TRAINING, STRENGTHS, when=("rule", ("ridge",)))
    num_samples: int | None = chosen(None, "training samples N", TRAINING, SAMPLES, none="infinite")

    @classmethod
    def controls(cls) -> dict[str, Control]:
        """By field, in the order of the sections."""
        found = {field.name: field.metadata["control"] for field in dataclasses.fields(cls)}
        return dict(sorted(found.items(), key=lambda item: cls.sections.index(item[1].section)))

    def matters(self, name: str) -> bool:
        """Whether a field has any part in what is predicted: others may say that it has none.

        Example:
            >>> Setting(rule="ridge").matters("time"), Setting(rule="ridge").matters("strength")
            (False, True)
        """
        when = self.controls()[name].when
        return when is None or (self.matters(when[0]) and getattr(self, when[0]) in when[1])

    def plain(self: AnySetting, *names: str) -> AnySetting:
        """The setting with these fields, and all that do not matter, at their defaults: what an answer depends on.

        Example:
            >>> Setting(time=3.0, rule="ridge").plain() == Setting(time=10.0, rule="ridge").plain()
            True
        """
        left_out = [field for field in dataclasses.fields(self) if field.name in names or not self.matters(field.name)]
        return dataclasses.replace(self, **{field.name: field.default for field in left_out})

    @property
    def extent(self) -> str:
        """The field that says how far training goes: time, or the strength of a ridge."""
        return RULES[self.rule].extent

    def network(self) -> Call:
        """The network."""
        names = ("depth", "activation", "weight_variance", "bias_variance", "residual", "normalization")
        return Call("MLP", {name: getattr(self, name) for name in names if self.matters(name)})

    def training(self, extent: Any = None) -> Call:
        """The training rule, as far as chosen, or to another extent, or several."""
        return RULES[self.rule].call(self, getattr(self, self.extent) if extent is None else extent)
