"""Example images of every group of a pool."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.plotting.style import new_figure
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntk_shortcuts.laws.pool import Pool

_BETWEEN = (0.62, 0.73, 0.85)


def plot_examples(pool: Pool, per_group: int = 6, *, shape: tuple[int, ...] | None = None) -> Figure:
    """Images of each group, evenly spread over it; one row of groups for each label, with each group's share of the weights.

    All images share one scale, in all channels, from the least to the largest value that is shown.

    Args:
        pool: of images (P, h, w, c) with one channel or three (red, green, blue).
        per_group: how many at most, >= 1.
        shape: (h, w) or (h, w, c) of the images of a pool whose inputs are flat, (P, d).

    Raises:
        ValueError: inputs that are no such images, or a `shape` that they do not have.

    Example:
        >>> from ntk_shortcuts.laws.pool import Pool
        >>> images = np.random.default_rng(0).normal(size=(8, 5, 5, 1))
        >>> pool = Pool(images, np.tile([-1, 1], 4), {"patch": np.repeat([-1, 1], 4)})
        >>> [axes.get_title() for axes in plot_examples(pool, 2).axes][:2]
        ['patch −1\\n2 images, weight 0.25', 'patch +1\\n2 images, weight 0.25']
    """
    per_group = require_integer("per_group", per_group, 1)
    images, labels, weights = _images(pool, shape), np.asarray(pool.labels), np.asarray(pool.weights)
    attributes = {name: np.asarray(values) for name, values in (pool.attributes or {}).items()}
    rows = np.unique(labels)
    columns = list(itertools.product(*(np.unique(values) for values in attributes.values())))
    members = [[_members(labels, attributes, row, column) for column in columns] for row in rows]
    chosen = [[_spread(found, per_group) for found in line] for line in members]
    shown = np.concatenate([found for line in chosen for found in line])
    low, high = float(images[shown].min()), float(images[shown].max())
    scaled = (images - low) / (high - low if high > low else 1.0)

    across = int(np.ceil(np.sqrt(1.5 * per_group)))
    down = -(-per_group // across)
    height, width = images.shape[1:3]
    cell = min(2.4, 12.0 / len(columns))
    between = ", " if cell > 1.6 else "\n"
    size = (cell * len(columns) + 0.6, (cell * down * height / (across * width) + 0.42) * len(rows) + 0.3)
    figure = new_figure(size)
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    for row, line, examples, axes_line in zip(rows, members, chosen, panels, strict=True):
        for column, found, few, axes in zip(columns, line, examples, axes_line, strict=True):
            sheet = _sheet(scaled[few], (down, across), images.shape[1:])
            axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[], frame_on=False)
            names = ", ".join(f"{name} {_shown(v, attributes[name])}" for name, v in zip(attributes, column, strict=True))
            counted = f"{len(found)} images{between}weight {weights[found].sum():.2g}"
            axes.set_title("\n".join(filter(None, [names if row == rows[0] else "", counted])), fontsize="x-small")
        axes_line[0].set_ylabel(f"label {_shown(row, labels)}", fontsize="small")
    return figure


def _images(pool: Pool, shape: tuple[int, ...] | None) -> np.ndarray:
    """(P, h, w, c) in any numbers."""
    inputs = np.asarray(pool.inputs)
    if shape is not None:
        wanted = f"(h, w) or (h, w, c) of {int(np.prod(inputs.shape[1:]))} numbers in all, c = 1 or 3"
        fits = len(shape) in (2, 3) and int(np.prod(shape)) == int(np.prod(inputs.shape[1:])) and (*shape, 1)[2] in (1, 3)
        require(fits, "shape", wanted, shape)
        inputs = inputs.reshape(len(inputs), *shape[:2], -1)
    wanted = "of images, inputs of shape (P, h, w, 1) or (P, h, w, 3); flat ones need shape="
    require(inputs.ndim == 4 and inputs.shape[-1] in (1, 3), "pool", wanted, f"inputs of shape {inputs.shape}")
    return inputs


def _members(labels: np.ndarray, attributes: dict[str, np.ndarray], label: Any, column: tuple) -> np.ndarray:
    inside = labels == label
    for values, value in zip(attributes.values(), column, strict=True):
        inside = inside & (values == value)
    return np.flatnonzero(inside)


def _spread(members: np.ndarray, count: int) -> np.ndarray:
    """Not the first ones: collections are often sorted."""
    return members[np.unique(np.linspace(0, len(members) - 1, count).astype(int))] if len(members) else members


def _sheet(images: np.ndarray, grid: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Images (n, h, w, c) in a grid, as one of red, green and blue, on a colour that no grey image has."""
    (down, across), (height, width, _) = grid, shape
    gap = max(1, height // 14)
    sheet = np.empty((down * (height + gap) + gap, across * (width + gap) + gap, 3))
    sheet[:] = _BETWEEN
    for place, image in enumerate(images):
        row, column = gap + (place // across) * (height + gap), gap + (place % across) * (width + gap)
        sheet[row : row + height, column : column + width] = image
    return sheet


def _shown(value: Any, among: np.ndarray) -> str:
    signs = {-1: "\N{MINUS SIGN}1", 1: "+1"}
    return signs.get(int(value), str(int(value))) if set(np.unique(among)) <= signs.keys() else str(int(value))
