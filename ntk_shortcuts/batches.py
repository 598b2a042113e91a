"""Several problems of one form in one call of a compiled program.

A call of a compiled program costs what a small problem does. Problems of one form are stacked and solved one after another
inside of the program, each by the arithmetic that it would meet alone: LAPACK calls that are batched are not safe
(:func:`ntk_shortcuts.numerics.eigh_each`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntk_shortcuts.lapack_threads import one_lapack_thread
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.padding import filled

SEVERAL = 8
"""How many small problems go into one call."""

_of_several: set[Hashable] = set()
"""Of which problems this process has solved several in one call."""


def compiled_each(function: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled program that evaluates a function along the first axes of its arguments' arrays.

    It is called as `program(present, *arguments)`: `present` (n,) is True of the first so many. For the rest nothing is done,
    and their results are 0. What is no array is the same for all.
    """

    def program(present: jax.Array, *arguments: Any) -> Any:
        arrays, shared = eqx.partition(arguments, eqx.is_array)
        once = jax.jit(lambda own: function(*eqx.combine(own, shared)), inline=True)  # traced once

        def own(place: Any) -> Any:
            return jax.tree.map(lambda leaf: lax.dynamic_index_in_dim(leaf, place, keepdims=False), arrays)

        def added(place: jax.Array, results: Any) -> Any:
            found = once(own(place))
            return jax.tree.map(lambda leaf, one: lax.dynamic_update_index_in_dim(leaf, one, place, 0), results, found)

        if len(present) == 1:  # a loop of one takes longer, to compile and to run
            return jax.tree.map(lambda leaf: leaf[None], once(own(0)))
        empty = jax.tree.map(lambda leaf: jnp.zeros((len(present), *leaf.shape), leaf.dtype), jax.eval_shape(once, own(0)))
        return lax.fori_loop(0, jnp.sum(present), added, empty)

    program.__name__ = function.__name__
    return compiled(program)


def in_batches(function: Callable[..., Any], problems: Sequence[tuple[Any, ...]], most: int = SEVERAL) -> list[Any]:
    """The results of `function(present, *arguments)`, of programs of :func:`compiled_each`, for several lists of arguments.

    Args:
        problems: the arguments for each; those of one structure and shape go into one call.
        most: how many there is room for in a call of several; there are programs for one and for so many. A single problem goes
            into that for several where this process has it already: compiling takes a second, the room that is left 0.02.

    Example:
        >>> half = compiled_each(lambda x: x / 2)
        >>> [x.tolist() for x in in_batches(half, [(np.array(4.0),), (np.array([2.0, 6.0]),), (np.array(8.0),)])]
        [2.0, [1.0, 3.0], 4.0]
    """
    found: dict[int, Any] = {}
    for form, places in _alike(problems).items():
        if len(places) > 1:
            _of_several.add((function, most, form))
        size = most if (function, most, form) in _of_several else 1
        for start in range(0, len(places), size):
            some = places[start : start + size]
            present = np.arange(size) < len(some)
            with one_lapack_thread() if most > 1 else contextlib.nullcontext():
                results = jax.tree.map(np.asarray, function(present, *_stacked([problems[i] for i in some], size)))
            found |= {place: jax.tree.map(lambda leaf, row=row: leaf[row], results) for row, place in enumerate(some)}
    return [found[i] for i in range(len(problems))]


def _alike(problems: Sequence[Any]) -> dict[Hashable, list[int]]:
    """The numbers of problems that share a program, by what they have in common."""
    groups: dict[Hashable, list[int]] = {}
    for number, problem in enumerate(problems):
        leaves, structure = jax.tree.flatten(problem)
        form = structure, tuple((leaf.shape, str(leaf.dtype)) if _is_array(leaf) else leaf for leaf in leaves)
        groups.setdefault(form, []).append(number)
    return groups


def _stacked(problems: Sequence[Any], size: int) -> Any:
    """Problems of one form with their arrays along a new first axis, the last one's repeated up to the size."""

    def together(*leaves: Any) -> Any:
        first = leaves[0]
        if not _is_array(first):
            return first
        if jnp.issubdtype(first.dtype, jax.dtypes.prng_key):  # which NumPy has none of
            data = together(*map(jax.random.key_data, leaves))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(first))
        return filled(np.stack(leaves), size, repeat=True)

    return jax.tree.map(together, *problems)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | jax.Array)
