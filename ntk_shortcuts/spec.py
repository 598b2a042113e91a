"""Records, and specs: immutable pytrees that show their numbers; specs, of a few numbers, hash and compare by value."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import is_traced, without_key_type
from ntk_shortcuts.validation import require


# What equinox says of its own metaclass, which a checker of types cannot see through `type(...)`.
@dataclass_transform(field_specifiers=(dataclasses.field, eqx.field))
class _Plain(type(eqx.Module)):
    """Of classes whose `dir`, and so `help`, lists what their users call, and not what dataclasses and equinox keep there."""

    def __dir__(cls) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_") or name == "__call__"]


class Record(eqx.Module, metaclass=_Plain):
    """Named values: numbers are shown as they are, longer arrays by their shapes; fields that are None are left out.

    - `units`: of fields that have some, by name.
    - `sources`: what it is taken from, for :func:`ntk_shortcuts.cite`: keys of entries of `references.bib`.
    """

    # Equinox looks at every attribute that is read, and makes a pytree of every method: a large part of what a call takes.
    if not TYPE_CHECKING:
        __getattribute__ = object.__getattribute__

    units: ClassVar[Mapping[str, str]] = {}
    sources: ClassVar[tuple[str, ...]] = ()

    @property
    def cited(self) -> tuple[str, ...]:
        """The sources of what it is, those of its parts included."""
        parts = (getattr(self, field.name, None) for field in dataclasses.fields(self))
        return (*self.sources, *(source for part in parts if isinstance(part, Record) for source in part.cited))

    def __repr__(self) -> str:
        fields = {field.name: field for field in dataclasses.fields(self) if field.init}
        values = {name: (getattr(self, name, None), field) for name, field in fields.items()}
        kept = {name: shown(value) for name, (value, field) in values.items() if not self._is_left_out(value, field)}
        words = (f"{name}={value}" + (f" ({self.units[name]})" if name in self.units else "") for name, value in kept.items())
        return f"{type(self).__name__}({', '.join(words)})"

    def _is_left_out(self, value: Any, field: dataclasses.Field) -> bool:
        """Whether a field says nothing, and is not shown."""
        return value is None


class Spec(Record):
    """A setting as data: equal where all its numbers are, usable as a key of a dictionary or as a static argument of `jax.jit`.

    Under a JAX transformation the numbers have no value: a traced spec has no hash, and is equal only to itself.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> MLP(1) == MLP(1), len({MLP(1), MLP(1), MLP(2)})
        (True, 2)
        >>> from ntk_shortcuts import GradientFlow
        >>> GradientFlow([3.0, 30.0])
        GradientFlow(time=[3, 30])
    """

    def __check_init__(self) -> None:
        """Refuse what is no switch where one is meant: any word would count as True."""
        for name in _switches(type(self)):  # pyright: ignore[reportArgumentType]  a class has a hash
            value = getattr(self, name)
            require(isinstance(value, bool | np.bool_), name, "True or False", value)

    def _is_left_out(self, value: Any, field: dataclasses.Field) -> bool:
        """Fields that are None or at their defaults."""
        array = isinstance(value, np.ndarray | jax.Array)
        return value is None or (not array and type(value) is type(field.default) and value == field.default)

    def _identity(self) -> tuple[Any, ...]:
        leaves, structure = jax.tree.flatten(self)
        return type(self), structure, tuple(_frozen(leaf) for leaf in leaves)

    def __hash__(self) -> int:
        if is_traced(self):
            raise TypeError(f"a {type(self).__name__} with traced parameters has no hash: their values are not known")
        return hash(self._identity())

    def __eq__(self, other: object) -> bool:
        if self is other or type(self) is not type(other):
            return self is other
        return not is_traced(self, other) and self._identity() == other._identity()  # type: ignore[attr-defined]


@functools.cache
def _switches(kind: type[Spec]) -> tuple[str, ...]:
    """Fields that are True or False."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.type in (bool, "bool"))


# Entries of an array that are shown.
_SHOWN = 8


def shown(value: Any) -> str:
    """A value in words: numbers as they are, longer arrays by their shape.

    Example:
        >>> shown(np.array([0.85, 0.9])), shown(np.zeros((100, 2))), shown(np.float64(3.0)), shown("relu")
        ('[0.85, 0.9]', 'float64 of shape (100, 2)', '3', "'relu'")
        >>> shown({"error": np.float64(0.1), "sizes": (np.int64(3), 4)})
        '{error: 0.1, sizes: (3, 4)}'
    """
    if isinstance(value, types.FunctionType):
        return value.__qualname__
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {shown(entry)}' for name, entry in value.items())}}}"
    if type(value) is tuple:
        return f"({', '.join(map(shown, value))}{',' if len(value) == 1 else ''})"
    array = isinstance(value, np.ndarray | np.generic | jax.Array)
    if is_traced(value) or not array or not jnp.issubdtype(value.dtype, np.number):
        return repr(value)
    if np.size(value) > _SHOWN:
        return f"{value.dtype} of shape {np.shape(value)}"
    return _numbers(np.asarray(value).tolist())


def _numbers(values: Any) -> str:
    return f"[{', '.join(map(_numbers, values))}]" if isinstance(values, list) else f"{values:.6g}"


def _frozen(leaf: Any) -> Any:
    """A leaf as something that hashes: an array by its values, whatever holds them."""
    leaf = without_key_type(leaf)
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int):
        return leaf
    array = np.asarray(leaf)
    array = array.astype(np.float64) if array.dtype.kind in "iuf" else array
    return array.shape, array.dtype.kind, tuple(array.ravel().tolist())
