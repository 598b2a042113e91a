"""A few sizes: arrays that are filled up to one of them share compiled programs.

XLA compiles a program for every shape, which takes seconds, while a few rows of weight zero take none.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def size_of_batch(count: int) -> int:
    """The power of two that holds so many times, strengths or steps.

    Example:
        >>> [size_of_batch(count) for count in (1, 3, 4, 9)]
        [1, 4, 4, 16]
    """
    return 1 << max(count - 1, 0).bit_length()


def size_of_samples(count: int) -> int:
    """How many rows a data set is filled up to: powers of two up to 128, quarters of one up to 512, eighths up to 2048; larger
    ones stay.

    Solving takes the third power of it, less than a millisecond up to 128 and less than a second up to 2048; beyond, that is
    more than what compiling takes.

    Example:
        >>> [size_of_samples(count) for count in (10, 100, 300, 1000, 2049)]
        [16, 128, 320, 1024, 2049]
    """
    above = size_of_batch(max(count, 16))
    if above <= 128 or above > 2048:
        return above if above <= 128 else count
    step = above // (8 if above <= 512 else 16)
    return -(-count // step) * step


def size_of_poles(count: int) -> int:
    """How many poles a sum of resolvents is filled up to: six, those of gradient flow, times a power of two.

    Example:
        >>> [size_of_poles(count) for count in (1, 6, 7, 40)]
        [6, 6, 12, 48]
    """
    return 6 * size_of_batch(-(-count // 6))


def filled(array: Any, size: int, axes: tuple[int, ...] = (0,), repeat: bool = False) -> Any:
    """An array with zeros behind, or copies of the last entry, up to a size along some axes.

    Example:
        >>> filled(np.array([1.0, 2.0]), 4).tolist(), filled(np.array([1.0, 2.0]), 4, repeat=True).tolist()
        ([1.0, 2.0, 0.0, 0.0], [1.0, 2.0, 2.0, 2.0])
    """
    shape = tuple(size if axis in axes else length for axis, length in enumerate(np.shape(array)))
    if shape == np.shape(array):
        return array
    array = np.asarray(array)
    if repeat:
        for axis in axes:
            array = np.take(array, np.minimum(np.arange(size), array.shape[axis] - 1), axis)
        return array
    enlarged = np.zeros(shape, array.dtype)
    enlarged[tuple(map(slice, array.shape))] = array
    return enlarged


def in_batch(shape: tuple[int, ...], tree: Any) -> Any:
    """Arrays (*shape, ...) of a rule's batch, () or (T,), as (T', ...) with T' one of a few sizes; the last one is repeated."""

    def enlarged(leaf: Any) -> np.ndarray:
        leaf = np.asarray(leaf)
        rows = leaf if shape else leaf[None]
        return filled(rows, size_of_batch(len(rows)), repeat=True)

    return jax.tree.map(enlarged, tree)


def out_of_batch(shape: tuple[int, ...], tree: Any) -> Any:
    """Arrays (T', ...) that were computed of those of :func:`in_batch`, as (*shape, ...)."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[: shape[0]] if shape else np.asarray(leaf)[0], tree)
