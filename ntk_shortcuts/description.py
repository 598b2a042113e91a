"""How a run is described: every resolved parameter as plain values, for attributes of files, for JSON and for records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ntk_shortcuts.axes import arguments_of, axes_of
from ntk_shortcuts.numerics import without_key_type
from ntk_shortcuts.version import __version__

# What goes without saying; other laws and networks are named.
_USUAL = {"model": "GenerativeModel", "network": "MLP"}


def beside(found: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a method, those named like a spec's parameter with "option_" before the name."""
    return {f"option_{name}" if name in found else name: value for name, value in options.items()}


def described(specs: Mapping[str, Any], parameters: Callable[[Any], Mapping[str, Any]] = arguments_of) -> dict[str, Any]:
    """What the specs of a run were made with, and the names of their types where those do not go without saying.

    A spec without axes is described by its type alone. Of two parameters of one name, the later has its spec's name before it.
    """
    found = {name: type(spec).__name__ for name, spec in specs.items() if type(spec).__name__ != _USUAL.get(name)}
    for argument, spec in specs.items():
        if axes_of(spec):
            for name, value in parameters(spec).items():
                found[f"{argument}_{name}" if name in found else name] = plain_value(value)
    return found


def spec_parameters(spec: Any) -> dict[str, Any]:
    """The fields of a model, network or training rule as plain Python values."""
    return {name: plain_value(value) for name, value in arguments_of(spec).items()}


def plain_value(value: Any) -> Any:
    """A number, string, list or None for JSON and for attributes; anything else by its name or shape, a mapping by its names.
    Keys are their words."""
    value = without_key_type(value)
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(map(str, value))
    if isinstance(value, tuple | list | np.ndarray | jax.Array):
        array = np.asarray(value)
        if array.size <= 64 and array.ndim <= 1 and array.dtype.kind in "biuf":
            return array.tolist()
        return f"array of shape {array.shape}"
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    return name if isinstance(name, str) else type(value).__name__


def netcdf_value(value: Any) -> Any:
    """A plain value as netCDF can store it: it knows neither None nor booleans."""
    if value is None:
        return "none"
    return int(value) if isinstance(value, bool) else value


def versions() -> dict[str, str]:
    """Of what the numbers depend on, for attributes and reports."""
    return {"ntk_shortcuts_version": __version__, "jax_version": jax.__version__}
