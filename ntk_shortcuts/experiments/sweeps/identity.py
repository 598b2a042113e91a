"""Which sweep a store is of: every parameter that the axes do not vary, as attributes and as digests."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from ntk_shortcuts.axes import arguments_of, axes_of, parameters_of
from ntk_shortcuts.description import beside, described, netcdf_value, plain_value, versions
from ntk_shortcuts.experiments.sweeps.grid import Grid, Point
from ntk_shortcuts.methods import METHODS, Method, method_options
from ntk_shortcuts.numerics import without_key_type
from ntk_shortcuts.results.origin import Origin


@runtime_checkable
class Named(Protocol):
    """A function, a class, or one compiled from either; other callables go by their type's name."""

    __module__: str
    __qualname__: str


def run_attributes(
    point: Point, method: str | Method | None, compute: Callable | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Every parameter of the specs and the method, or of what replaces it, and the versions, as netCDF can store them."""
    name = full_name(compute) if method is None else method.name if isinstance(method, Method) else method
    found = {"method": name, **described(point.specs(), parameters_of), "num_samples": point.num_samples}
    if method is not None:
        chosen = {name: plain_value(value) for name, value in {**method_options(method), **options}.items()}
        found.update(beside(found, {name: value for name, value in chosen.items() if value is not None or name != "key"}))
    else:
        found.update(beside(found, {name: plain_value(value) for name, value in options.items()}))
    return {**{name: netcdf_value(value) for name, value in found.items()}, **versions()}


def sweep_attributes(
    grid: Grid, method: str | Method | None, compute: Callable | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What the axes do not vary, as JSON can store it, and the digests by which a store knows its sweep."""
    found = run_attributes(grid.base, method, compute, options)
    varied = {*grid.values, *grid.varied()}
    # Of an argument that an axis sets as a whole, no entry is fixed either.
    owned = [axes_of(spec) for spec in grid.base.specs().values()]
    varied |= {name for axes in owned for name, axis in axes.items() if axis.entry is not None and axis.field in varied}
    found = {name: _finite(value) for name, value in found.items() if name not in varied}
    named = () if method is None else (method if isinstance(method, Method) else METHODS[method]).sources
    return {
        **found,
        "sources": " ".join(dict.fromkeys((*Origin(grid.base.specs()).cited, *named))),
        "fingerprint": _fingerprint(found, grid, compute, {**({} if method is None else method_options(method)), **options}),
    }


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Attributes in which two sweeps differ and how, or the arrays among their options; "" where they are of one."""
    if theirs.get("fingerprint") == ours["fingerprint"]:
        return ""
    names = sorted({*theirs, *ours} - {"fingerprint", "sources"})
    found = {name: (_short(theirs, name), _short(ours, name)) for name in names if theirs.get(name) != ours.get(name)}
    if found:
        return "; ".join(f"{name}: {there} there, {here} here" for name, (there, here) in found.items())
    parts = [{*str(sweep.get("fingerprint")).split()} for sweep in (theirs, ours)]
    names = {part.partition("=")[0] for part in parts[0] ^ parts[1]}
    return f"its axes or array options: {', '.join(sorted(names))}"


def full_name(function: Any) -> str:
    """A name that is the same in another process, as a repr with an address is not."""
    if isinstance(function, functools.partial):
        bound = [*map(plain_value, function.args), {name: plain_value(value) for name, value in function.keywords.items()}]
        return f"{full_name(function.func)} with {bound}"
    named = function if isinstance(function, Named) else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _fingerprint(attributes: Mapping[str, Any], grid: Grid, compute: Callable | None, options: Mapping[str, Any]) -> str:
    """Digests by name: of the attributes, and of what they abbreviate or leave out."""
    parts: dict[str, Any] = {"parameters": dict(attributes)}
    for argument, spec in grid.base.specs().items():
        if not axes_of(spec):
            parts[argument] = content(spec)
            continue
        fixed = {name: value for name, value in parameters_of(spec).items() if name not in grid.varied()}
        parts |= {f"{argument}.{name}": content(value) for name, value in fixed.items() if _is_abbreviated(value)}
    parts |= {name: content(value) for name, value in options.items() if _is_abbreviated(value)}
    if isinstance(compute, functools.partial):
        parts["compute"] = content(compute)
    digests = {name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:32] for name, part in parts.items()}
    return " ".join(f"{name}={digest}" for name, digest in sorted(digests.items()))


def _is_abbreviated(value: Any) -> bool:
    """Whether a plain value does not say all. The type of an array counts too."""
    value = without_key_type(value)
    if isinstance(value, np.ndarray | jax.Array) and value.ndim > 0:
        return True
    return isinstance(plain_value(value), str) and not isinstance(value, str)


def content(value: Any) -> Any:
    """All that a value holds, for JSON: arrays by their entries, functions by their names."""
    value = without_key_type(value)
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind == "O":
            return content(array.tolist())
        return hashlib.sha256(repr((array.shape, str(array.dtype))).encode() + array.tobytes()).hexdigest()
    if isinstance(value, Mapping):
        return {str(name): content(entry) for name, entry in value.items()}
    if isinstance(value, tuple | list):
        return [content(entry) for entry in value]
    if isinstance(value, functools.partial):
        return [content(value.func), content(value.args), content(value.keywords)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"": full_name(value), **content(arguments_of(value))}
    return full_name(value)


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _short(attributes: Mapping[str, Any], name: str) -> str:
    if name not in attributes:
        return "none"
    text = repr(attributes[name])
    return text if len(text) <= 60 else f"{text[:57]}..."
