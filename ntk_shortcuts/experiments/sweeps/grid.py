"""The grid of a sweep: which spec each axis varies, its values, and the specs at a point."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ntk_shortcuts.axes import Axis, arguments_of, at, axes_of, declared_for, parameter_set_by
from ntk_shortcuts.description import plain_value
from ntk_shortcuts.validation import require, require_integer

_NUM_SAMPLES = Axis("training samples", "iu")
_KINDS = {"iuf": "numbers without NaN", "iu": "integers", "U": "names"}


class Point(NamedTuple):
    """What a prediction is made of."""

    model: Any
    network: Any
    training: Any
    num_samples: int | None

    def specs(self) -> dict[str, Any]:
        """The specs by argument."""
        return {name: value for name, value in self._asdict().items() if name != "num_samples"}


@dataclasses.dataclass(frozen=True)
class Grid:
    """The axes of a sweep.

    - `base`: gives what they do not vary.
    - `values`, `long_names`, `owners` by axis, in the order of the result; an owner is the argument that the axis varies.
    - `inner`: the axis whose values one prediction has all at once, or None. A point of the others is the unit of work.
    """

    base: Point
    values: dict[str, np.ndarray]
    long_names: dict[str, str]
    owners: dict[str, str]
    inner: str | None

    @property
    def outer(self) -> dict[str, np.ndarray]:
        """All axes but the inner one."""
        return {name: values for name, values in self.values.items() if name != self.inner}

    def point(self, index: tuple[int, ...], inner: np.ndarray) -> Point:
        """The specs at an index of the outer axes, with the inner axis at the given positions."""
        values = {name: entries[i].item() for (name, entries), i in zip(self.outer.items(), index, strict=True)}
        if self.inner is not None:
            values[self.inner] = self.values[self.inner][inner]
        return _at(self.base, self.owners, values)

    def varied(self) -> set[str]:
        """Parameters of the specs, as :func:`ntk_shortcuts.axes.parameters_of` names them, that the axes set."""
        specs = {name: getattr(self.base, owner) for name, owner in self.owners.items()}
        return {name if name == "num_samples" else parameter_set_by(name, spec) for name, spec in specs.items()}


def checked_grid(axes: Any, base: Point, one_pass: bool) -> Grid:
    """The grid of given axes and, as the last axis, of the training rule's array.

    Args:
        axes: values by name.
        base: the specs that the axes vary.
        one_pass: whether a point may have all values of one axis of the rule.
    """
    require(isinstance(axes, Mapping) and len(axes) > 0, "axes", "a mapping of at least one axis name to its values", axes)
    array = _array_of_rule(base.training)
    twice = ", ".join(array.keys() & axes.keys())
    require(not twice, "training", f"a rule with one {twice}, where the axis varies it", base.training)
    values, long_names, owners, at_once = {}, {}, {}, []
    for name, given in {**axes, **array}.items():
        owner, axis = ("training", Axis(name.replace("_", " "))) if name in array else _owner(name, base)
        axis = axes_of(base.training).get(name, axis) if name in array else axis
        values[name], long_names[name], owners[name] = checked_values(f"axis {name}", given, axis.kinds), axis.long_name, owner
        if owner == "num_samples":
            require(base.num_samples is None, "num_samples", "None where it is an axis", base.num_samples)
        for value in values[name]:
            try:
                _at(base, owners, {name: value.item()})
            except ValueError as error:
                raise ValueError(f"axis {name}: {error}") from error
        if axis.at_once or name in array:
            at_once.append(name)
    grid = Grid(base, values, long_names, owners, at_once[-1] if at_once and one_pass else None)
    _require_independent(grid)
    return grid


def checked_values(label: str, values: Any, kinds: str = "iuf") -> np.ndarray:
    """The values of an axis as an array of float64, int64 or strings."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError):
        array = np.asarray(None)
    fits = array.ndim == 1 and array.size > 0 and array.dtype.kind in kinds
    require(fits, label, f"one-dimensional with at least one entry, {_KINDS[kinds]}", values)
    require(array.dtype.kind != "f" or not np.isnan(array).any(), label, _KINDS[kinds], values)
    require(np.unique(array).size == array.size, label, "without repeated values", values)
    return array if kinds == "U" else array.astype(np.float64 if kinds == "iuf" else np.int64)


def _array_of_rule(training: Any) -> dict[str, np.ndarray]:
    """The parameter of a rule that is an array, by name, where one is."""
    found = {name: np.asarray(value) for name, value in arguments_of(training).items() if np.ndim(value)}
    plain = len(found) <= 1 and all(np.unique(values).size == values.size for values in found.values())
    allowed = "a rule with scalar parameters (axes vary them), or with one array of different values"
    require(plain, "training", allowed, {name: values.tolist() for name, values in found.items()})
    return found


def _owner(name: Any, base: Point) -> tuple[str, Axis]:
    """Which argument an axis varies, and the axis; errors say who has it."""
    found = {argument: axes_of(spec)[name] for argument, spec in base.specs().items() if name in axes_of(spec)}
    if name == "num_samples":
        found["num_samples"] = _NUM_SAMPLES
    holders = " and ".join(f"the {argument} ({type(getattr(base, argument)).__name__})" for argument in found)
    require(len(found) <= 1, "axes", f"of one spec each, and {name} is an axis of {holders}", name)
    others = declared_for(name)
    if not found and others:
        argument, owners = others[0][0], " or ".join(called for _, called in others)
        require(False, argument, f"{owners} for the axis {name}", plain_value(getattr(base, argument)))
    known = [axis for spec in base.specs().values() for axis in axes_of(spec)]
    require(len(found) == 1, "axes", f"named one of {', '.join([*known, 'num_samples'])}", name)
    return next(iter(found.items()))


def _require_independent(grid: Grid) -> None:
    """Refuse two axes that set one parameter."""
    setters: dict[tuple[str, str], str] = {}
    arguments: dict[tuple[str, str], tuple[str, Axis]] = {}
    for name, owner in grid.owners.items():
        if owner == "num_samples":
            continue
        spec = getattr(grid.base, owner)
        other = setters.setdefault((owner, parameter_set_by(name, spec)), name)
        axis = axes_of(spec).get(name, Axis(name))
        beside, first = arguments.setdefault((owner, axis.field or name), (name, axis))
        if (first.entry is None) != (axis.entry is None):
            other = beside  # one sets the whole argument, the other an entry of it
        require(other == name, "axes", f"one of {other} and {name}, not both", list(grid.values))


def _at(base: Point, owners: Mapping[str, str], values: Mapping[str, Any]) -> Point:
    changes: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        changes.setdefault(owners[name], {})[name] = value
    num_samples = base.num_samples
    if counts := changes.pop("num_samples", None):
        num_samples = require_integer("num_samples", counts["num_samples"], 1)
    specs = {owner: at(getattr(base, owner), changed) for owner, changed in changes.items()}
    return base._replace(**specs, num_samples=num_samples)
