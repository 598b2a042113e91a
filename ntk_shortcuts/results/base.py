"""Results: read, drawn and written down in one way."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import numpy as np

from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.results.arrays import TIME_UNITS
from ntk_shortcuts.results.html import page
from ntk_shortcuts.results.origin import Origin
from ntk_shortcuts.spec import Record, shown

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class Result(Record):
    """What a computation returns. A subclass says what it holds and how it is drawn; `origin`: what it is of."""

    # By keyword, so that it comes after the fields of subclasses, which have no defaults.
    origin: Origin = eqx.field(static=True, default_factory=Origin, kw_only=True)

    units: ClassVar[Mapping[str, str]] = {"time": TIME_UNITS, "times": TIME_UNITS, "learning_times": TIME_UNITS}

    @property
    def cited(self) -> tuple[str, ...]:
        """The sources of its own kind, and of the law, network, rule and method that it is of."""
        return tuple(dict.fromkeys((*self.origin.cited, *self.sources)))

    def _is_left_out(self, value: Any, field: dataclasses.Field) -> bool:
        return value is None or field.name == "origin"

    @abc.abstractmethod
    def plot(self, ax: Any = None) -> Figure:
        """The result as a figure, in matplotlib axes `ax` where they are given."""

    @abc.abstractmethod
    def to_xarray(self) -> xarray.Dataset:
        """The result with named dimensions, units in the attributes of its variables, and in its own every resolved parameter
        and the package's version."""

    def numbers(self) -> dict[str, Any]:
        """What a reader asks for first, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if _is_short(value)}

    def rows(self) -> dict[str, Any]:
        """What a table of the result shows, by name."""
        return self.numbers()

    def _repr_html_(self) -> str | None:
        """For notebooks: the numbers as a small table, and the figure. None under JAX transformations: they have no values."""
        if is_traced(self):
            return None
        units = self.units
        rows = {name: f"{shown(np.asarray(value))} {units.get(name, '')}".strip() for name, value in self.rows().items()}
        return page(type(self).__name__, rows, self.plot)


def origin_of(specs: Mapping[str, Any], **numbers: Any) -> Origin:
    """The origin of a result; an empty one where anything is traced."""
    return Origin() if is_traced(*specs.values(), *numbers.values()) else Origin(specs, numbers)


def _is_short(value: Any) -> bool:
    """Whether a value is a number, or a few of them."""
    number = isinstance(value, np.ndarray | np.generic | float | int) and np.asarray(value).dtype.kind in "iuf"
    return number and np.size(value) <= 8
