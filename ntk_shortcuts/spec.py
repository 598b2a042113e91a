"""Specs: immutable pytrees of a few numbers, which hash and compare by value."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from ntk_shortcuts.numerics import is_traced, without_key_type


class Spec(eqx.Module):
    """A setting as data: equal where all its numbers are, usable as a key of a dictionary or as a static argument of `jax.jit`.

    Under a JAX transformation the numbers have no value: a traced spec has no hash, and is equal only to itself.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> MLP(1) == MLP(1), len({MLP(1), MLP(1), MLP(2)})
        (True, 2)
    """

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


def _frozen(leaf: Any) -> Any:
    """A leaf as something that hashes: an array by its values, whatever holds them."""
    leaf = without_key_type(leaf)
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int):
        return leaf
    array = np.asarray(leaf)
    array = array.astype(np.float64) if array.dtype.kind in "iuf" else array
    return array.shape, array.dtype.kind, tuple(array.ravel().tolist())
