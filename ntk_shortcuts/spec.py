"""Specs: immutable pytrees of a few numbers, which hash and compare by value."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import is_traced, without_key_type


class Spec(eqx.Module):
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

    def _identity(self) -> tuple[Any, ...]:
        leaves, structure = jax.tree.flatten(self)
        return type(self), structure, tuple(_frozen(leaf) for leaf in leaves)

    def __repr__(self) -> str:
        """The numbers themselves; fields that are None or at their defaults are left out."""
        values = {field.name: (getattr(self, field.name, None), field) for field in dataclasses.fields(self) if field.init}
        kept = {name: shown(value) for name, (value, field) in values.items() if not _is_default(value, field)}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in kept.items())})"

    def __hash__(self) -> int:
        if is_traced(self):
            raise TypeError(f"a {type(self).__name__} with traced parameters has no hash: their values are not known")
        return hash(self._identity())

    def __eq__(self, other: object) -> bool:
        if self is other or type(self) is not type(other):
            return self is other
        return not is_traced(self, other) and self._identity() == other._identity()  # type: ignore[attr-defined]


# Entries of an array that are shown.
_SHOWN = 8


def shown(value: Any) -> str:
    """A value in words: numbers as they are, longer arrays by their shape.

    Example:
        >>> shown(np.array([0.85, 0.9])), shown(np.zeros((100, 2))), shown(np.float64(3.0)), shown("relu")
        ('[0.85, 0.9]', 'float64 of shape (100, 2)', '3', "'relu'")
    """
    if isinstance(value, types.FunctionType):
        return value.__qualname__
    array = isinstance(value, np.ndarray | np.generic | jax.Array)
    if is_traced(value) or not array or not jnp.issubdtype(value.dtype, np.number):
        return repr(value)
    if np.size(value) > _SHOWN:
        return f"{value.dtype} of shape {np.shape(value)}"
    return _numbers(np.asarray(value).tolist())


def _numbers(values: Any) -> str:
    return f"[{', '.join(map(_numbers, values))}]" if isinstance(values, list) else f"{values:.6g}"


def _is_default(value: Any, field: dataclasses.Field) -> bool:
    if value is None:
        return True
    array = isinstance(value, np.ndarray | jax.Array)
    return not array and type(value) is type(field.default) and value == field.default


def _frozen(leaf: Any) -> Any:
    """A leaf as something that hashes: an array by its values, whatever holds them."""
    leaf = without_key_type(leaf)
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int):
        return leaf
    array = np.asarray(leaf)
    array = array.astype(np.float64) if array.dtype.kind in "iuf" else array
    return array.shape, array.dtype.kind, tuple(array.ravel().tolist())
