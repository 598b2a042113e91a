"""Prediction methods as objects: their fields are their options; a name stands for the object with default options.

A new method is one file with a subclass of :class:`Method` that names itself, `name: ClassVar[str] = "mine"`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.metrics.base import Metric, Reading
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.outputs import Outputs
from ntk_shortcuts.spec import Spec
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.validation import require, require_values

METHODS: dict[str, type[Method]] = {}


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
    """What a method answers: the kernel under a law, a rule or another filter, N (None: infinite data), and test points."""

    kernel: LawKernel
    training: Any
    num_samples: Any
    points: TestPoints


class Method(Spec):
    """How outputs are predicted: called with the kernel under a law, a training rule, N (None: infinite data) and test
    points."""

    name: ClassVar[str] = ""
    needs_dataset: ClassVar[bool] = False
    moves_kernel: ClassVar[bool] = False
    learns_the_law: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if name := cls.__dict__.get("name"):
            require(name not in METHODS, "name", "one that is not already registered as a method", name)
            METHODS[name] = cls

    @abc.abstractmethod
    def __call__(self, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: TestPoints) -> Outputs:
        """The outputs at the test points.

        Raises:
            ValueError: an argument out of range, before any work is done.
        """

    @property
    def together(self) -> int:
        """How many questions are best asked at once; by default one."""
        return 1

    def each(self, questions: Sequence[Question]) -> Sequence[Outputs]:
        """The outputs of several questions, in one pass where the method can; by default one after another."""
        return [self(one.kernel, one.training, one.num_samples, one.points) for one in questions]


def known_methods() -> list[str]:
    """The registered method names."""
    return sorted(METHODS)


def method_options(method: str | Method) -> dict[str, Any]:
    """Options of a method with their values, or defaults where a name is given; None where there is none."""
    if isinstance(method, Method):
        return {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    fields = dataclasses.fields(METHODS[method])
    return {field.name: None if field.default is dataclasses.MISSING else field.default for field in fields}


def resolve(method: str | Method, options: dict[str, Any], also: tuple[str, ...] = ()) -> Method:
    """The method of a name, or the object given, with some options set.

    Args:
        also: what else may stand beside the options, as an entry's own arguments do; named where an option is unknown.

    Raises:
        ValueError: an unknown name; an unknown option, which lists those there are and the methods that have it.
    """
    known = isinstance(method, Method) or (isinstance(method, str) and method in METHODS)
    require(known, "method", f"one of {', '.join(known_methods())}", method)
    kind = type(method) if isinstance(method, Method) else METHODS[method]
    accepted = [field.name for field in dataclasses.fields(kind)]
    for option in options:
        others = [name for name in known_methods() if option in method_options(name)]
        elsewhere = f' ("{option}" is an option of {", ".join(others)})' if others else ""
        require(
            option in accepted, "option", f'one of {", ".join((*also, *accepted))} for method="{kind.name}"{elsewhere}', option
        )
    if isinstance(method, Method):
        return dataclasses.replace(method, **options) if options else method
    required = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING and f.name not in options]
    for option in required:
        require(False, option, f'given for method="{kind.name}"', None)
    return kind(**options)


def require_tolerance(tolerance: Any) -> None:
    """Refuse a tolerance of refinement that is not positive."""
    require_values("tolerance", tolerance, (), "positive", lambda v: v > 0)


def require_infinite(num_samples: Any, method: str) -> None:
    """Refuse a number of samples where the method is for infinite data."""
    require(num_samples is None, "num_samples", f'None for method="{method}" (infinite data)', num_samples)


def watched(metric: Metric, outputs: Outputs, points: TestPoints) -> tuple[Any, float | None]:
    """The number whose moves decide refinement, and the largest move under the outputs' own error (None where traced)."""
    return watched_in(metric.read(outputs, points))


def watched_in(reading: Reading) -> tuple[Any, float | None]:
    """The same of a reading."""
    moved = None if reading.move is None or is_traced(reading.move) else float(np.max(reading.move))
    return reading.value, moved
