"""What a spec can be varied in: each law, network and training rule names its own axes, and no other file lists them.

Every number of a spec's constructor is an axis by its own name. :func:`declare_axes`, called beside the class, gives labels and
those axes that are no single number: an entry of a pair, a ratio, a name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.validation import require

Arguments = Mapping[str, Any]


class Axis(NamedTuple):
    """One way to vary a spec.

    - `long_name`: its label.
    - `kinds`: of NumPy, of its values: "iuf" for numbers, "iu" for integers, "U" for names.
    - `field`: the constructor's argument that it sets; by default the one of the axis' own name.
    - `entry`: which entry of that argument, where it has several.
    - `scale`: what it sets, from the constructor's arguments and the axis' value, where that is not the value itself.
    - `at_once`: whether an array of values in one spec gives all answers in one prediction.
    - `each`: whether it stands for one axis an entry of that argument, called name_0, name_1, ....
    - `inside`: whether it stands for the axes of the spec that the argument is. `within`: the argument that has the axis.
    """

    long_name: str
    kinds: str = "iuf"
    field: str | None = None
    entry: int | None = None
    scale: Callable[[Arguments, Any], Any] | None = None
    at_once: bool = False
    each: bool = False
    inside: bool = False
    within: str | None = None


class _Declared(NamedTuple):
    argument: str
    called: str
    axes: Mapping[str, Axis]


_DECLARED: dict[type, _Declared] = {}


def declare_axes(spec: type, argument: str, called: str, axes: Mapping[str, Axis]) -> None:
    """Name the axes of a class of specs, and of its subclasses. Values are set in this order.

    Args:
        spec: the class; its constructor takes its fields by name.
        argument: "model", "network" or "training": which argument of a prediction it is.
        called: what errors call it: "an MLP".
        axes: by name.

    Example:
        >>> import equinox as eqx
        >>> class Ring(eqx.Module):
        ...     radii: tuple[float, float]
        ...     noise: float = 0.1
        >>> inner = Axis("radius of the inner ring", field="radii", entry=0)
        >>> declare_axes(Ring, "model", "a Ring", {"inner_radius": inner})
        >>> list(axes_of(Ring((1.0, 2.0)))), at(Ring((1.0, 2.0)), {"inner_radius": 0.5, "noise": 0.2})
        (['inner_radius', 'noise'], Ring(radii=(0.5, 2.0), noise=0.2))
    """
    _DECLARED[spec] = _Declared(argument, called, axes)


def axes_of(spec: Any) -> dict[str, Axis]:
    """The axes of a spec: those declared for its class, then the other numbers of its constructor. Other objects have none."""
    found: dict[str, Axis] = {}
    for kind in type(spec).__mro__:
        if kind in _DECLARED:
            found = {**_written_out(spec, _DECLARED[kind].axes), **found}
    named = {axis.field or name for name, axis in found.items()}
    for name, value in arguments_of(spec).items():
        kinds = _kinds(value)
        if kinds is not None and name not in named:
            found[name] = Axis(_label(name), kinds)
    return found


def at(spec: Any, values: Mapping[str, Any]) -> Any:
    """The spec at values of its axes, or of other arguments by name, checked by its constructor.

    Raises:
        ValueError: a value out of range, as of the constructor; a name that is neither an axis nor an argument.
    """
    arguments, axes = arguments_of(spec), axes_of(spec)
    inner: dict[str, dict[str, Any]] = {}
    axes |= {name: Axis(_label(name)) for name in values if name not in axes}
    for name, axis in axes.items():
        if name not in values:
            continue
        if axis.within is not None:
            inner.setdefault(axis.within, {})[name] = values[name]
            continue
        field = axis.field or name
        require(field in arguments, "axis", f"one of {', '.join(axes_of(spec))} for a {type(spec).__name__}", name)
        value = values[name] if axis.scale is None else axis.scale(arguments, values[name])
        if axis.entry is not None:
            entries = list(arguments[field])
            entries[axis.entry] = value
            value = tuple(entries)
        arguments[field] = value
    arguments |= {field: at(arguments[field], changed) for field, changed in inner.items()}
    return type(spec)(**arguments)


def arguments_of(spec: Any) -> dict[str, Any]:
    """What the constructor of a spec was given, by name; nothing for other objects."""
    if not dataclasses.is_dataclass(spec):
        return {}
    return {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec) if field.init}


def parameters_of(spec: Any) -> dict[str, Any]:
    """The constructor's arguments, those whose entries are axes entry by entry, and for those that are specs theirs."""
    arguments = arguments_of(spec)
    within = {axis.within for axis in axes_of(spec).values() if axis.within is not None}
    for field in within:
        arguments = {**parameters_of(arguments[field]), **arguments}
    entries = {
        name: axis
        for name, axis in axes_of(spec).items()
        if axis.within is None and axis.entry is not None and axis.scale is None
    }
    split = {axis.field for axis in entries.values()}
    whole = {name: value for name, value in arguments.items() if name not in split}
    return {**whole, **{name: arguments[axis.field or name][axis.entry] for name, axis in entries.items()}}


def parameter_set_by(name: str, spec: Any) -> str:
    """The entry of :func:`parameters_of` that an axis sets: its own name, or that of the axis which it rescales."""
    axes = axes_of(spec)
    if (field := axes[name].within) is not None:
        return parameter_set_by(name, arguments_of(spec)[field])
    target = (axes[name].field or name, axes[name].entry)
    plain = (other for other, axis in axes.items() if axis.scale is None and (axis.field or other, axis.entry) == target)
    return next(plain, target[0])


def declared_for(name: str) -> list[tuple[str, str]]:
    """Classes of specs that declare an axis: the argument that each is, and what errors call it."""
    return [(entry.argument, entry.called) for entry in _DECLARED.values() if name in entry.axes]


def _written_out(spec: Any, axes: Mapping[str, Axis]) -> dict[str, Axis]:
    """The axes, those for each entry of an argument, or inside of it, written out for what the spec has."""
    found = {}
    for name, axis in axes.items():
        if axis.inside:
            inner = getattr(spec, axis.field or name)
            found |= {own: of._replace(within=axis.field or name) for own, of in axes_of(inner).items() if own not in found}
            continue
        if not axis.each:
            found[name] = axis
            continue
        field = axis.field or name
        for i in range(len(getattr(spec, field))):
            found[f"{name}_{i}"] = axis._replace(long_name=f"{axis.long_name} {i}", field=field, entry=i, each=False)
    return found


def _label(name: str) -> str:
    return name.replace("_", " ")


def _kinds(value: Any) -> str | None:
    """The kinds of values that may stand in the place of a number; None for what is no single number."""
    if isinstance(value, int | float):
        return None if isinstance(value, bool) else "iu" if isinstance(value, int) else "iuf"
    if isinstance(value, np.ndarray | np.generic | jax.Array) and value.ndim == 0:
        kinds = {"iuf": jnp.floating, "iu": jnp.integer}
        return next((kind for kind, dtype in kinds.items() if jnp.issubdtype(value.dtype, dtype)), None)
    return None
