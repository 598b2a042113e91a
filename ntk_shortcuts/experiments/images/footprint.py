"""Availability as pixel footprint: two objects whose grey levels are the features."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.validation import require, require_integer, require_key, require_values


@in_float64
def footprint(
    *,
    sizes: tuple[int, int] = (8, 4),
    predictivity: tuple[float, float] = (0.85, 0.90),
    correlation: float = 0.6,
    noise_variance: float = 0.1,
    side: int = 16,
    num_images: int = 1000,
    key: Any = None,
) -> Pool:
    r"""Images of two square objects, a shortcut of many pixels and a core of few, whose grey levels are the two features.

    \[\begin{aligned}&x_j=z_s\ (j\in\text{shortcut}),\qquad x_j=z_c\ (j\in\text{core}),\qquad x_j=0\ \text{elsewhere},\\
      &\text{plus noise }N(0,v)\text{ in every pixel}\end{aligned}\]

    with the latents z and labels of :class:`~ntk_shortcuts.GenerativeModel`. Without noise
    \(\langle x,x'\rangle=\sum_iA_iz_iz_i'\) with \(A_i\) the pixels of object i: to a fully connected network this is the
    model at amplifications \(\sqrt{A_i}\) in d = side x side dimensions, exactly (label D8.1). Attributes `"shortcut"` and
    `"core"` are the signs of the latents.

    Hermann, Mobahi, Fel & Mozer (2024, section 4) take an object's footprint in pixels for its availability. These stimuli
    have that idea in the simplest form, and are not a copy of theirs. The shortcut is in the upper left corner, the core in
    the lower right one. No grey levels are rescaled: the mean square of a feature within its object is \(1+\mu_i^2\), about 2.

    Args:
        sizes: sides of the two squares (shortcut, core) in pixels, >= 1, together at most `side`.
        predictivity: of the two features, as in the model.
        correlation: of the features within a class, as in the model.
        noise_variance: v >= 0, of every pixel by itself.
        side: of the image in pixels.
        num_images: even, half of them of each class.
        key: a `jax.random` key; None is `jax.random.key(0)`.

    Returns:
        A pool of images (P, side, side, 1).

    Raises:
        ValueError: naming the argument, the allowed range and the value got.

    Example:
        >>> pool = footprint(sizes=(8, 4), noise_variance=0.0, num_images=100)
        >>> pool.inputs.shape, sorted({int((image != 0).sum()) for image in np.asarray(pool.inputs)})
        ((100, 16, 16, 1), [80])
    """
    side = require_integer("side", side, 2)
    wanted = f"two integers >= 1, for (shortcut, core), whose sum is at most {side}"
    require(np.shape(sizes) == (2,), "sizes", wanted, sizes)
    first, second = (require_integer("sizes", size, 1, wanted) for size in sizes)
    require(first + second <= side, "sizes", wanted, sizes)
    require_values("noise_variance", noise_variance, (), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
    count = require_integer("num_images", num_images, 2, "an even integer >= 2")
    require(count % 2 == 0, "num_images", "an even integer >= 2", num_images)
    key = jax.random.key(0) if key is None else require_key(key, "None or a jax.random key")
    model = GenerativeModel(predictivity, (float(first), float(second)), correlation, input_dim=side**2)
    data_key, noise_key = jax.random.split(key)
    data = model.sample(data_key, count)
    latents = np.asarray(data.latents)
    images = np.sqrt(noise_variance) * np.asarray(jax.random.normal(noise_key, (len(latents), side, side)))
    images[:, :first, :first] += latents[:, 0, None, None]
    images[:, -second:, -second:] += latents[:, 1, None, None]
    shortcut, core = np.where(latents > 0, 1, -1).T
    return Pool(images[..., None], np.asarray(data.labels).astype(int), {"shortcut": shortcut, "core": core})
