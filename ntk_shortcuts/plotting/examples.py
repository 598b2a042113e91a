"""Example images of every group of a pool."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.plotting.style import axes_for, root, signed
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_BETWEEN = (0.62, 0.73, 0.85)


def plot_examples(pool: Any, per_group: int = 6, *, shape: tuple[int, ...] | None = None, ax: Any = None) -> Figure:
    """Images of each group, evenly spread over it; one row of groups for each label, with each group's share of the weights.

    All images share one scale, in all channels, from the least to the largest value that is shown.

    Args:
        pool: a `Pool` of images (P, h, w, c) with one channel or three (red, green, blue).
        per_group: how many at most, >= 1.
        shape: (h, w) or (h, w, c) of the images of a pool whose inputs are flat, (P, d).
        ax: axes to draw in: one, whose place is divided, or one for each group; by default those of a new figure.

    Raises:
        ValueError: inputs that are no such images, or a `shape` that they do not have.

    Example:
        >>> from ntk_shortcuts.laws.pool import Pool
        >>> images = np.random.default_rng(0).normal(size=(8, 5, 5, 1))
        >>> pool = Pool(images, np.tile([-1, 1], 4), {"patch": np.repeat([-1, 1], 4)})
        >>> [axes.get_title() for axes in plot_examples(pool, 2).axes][:2]
        ['patch −1\\n2 images, weight 0.25', 'patch +1\\n2 images, weight 0.25']
    """
    panels = _panels(pool, per_group, shape)
    height, width = panels[0][0].sheet.shape[:2]
    rows, columns = len(panels), len(panels[0])
    cell = min(2.4, 12.0 / columns)
    drawn = axes_for(ax, rows, columns, (cell * columns + 0.6, (cell * height / width + 0.42) * rows + 0.3))
    _draw(drawn, panels)
    return root(drawn[0, 0])


def draw_examples(figure: SubFigure, pool: Any, per_group: int = 6) -> None:
    """The same on a part of a figure of several pools."""
    panels = _panels(pool, per_group, None)
    _draw(figure.subplots(len(panels), len(panels[0]), squeeze=False), panels)


class _Panel(NamedTuple):
    """One group: its images in a grid (h, w, 3), and what stands above and on the left."""

    sheet: np.ndarray
    title: str
    label: str


def _panels(pool: Any, per_group: int, shape: tuple[int, ...] | None) -> list[list[_Panel]]:
    per_group = require_integer("per_group", per_group, 1)
    images, labels, weights = _images(pool, shape), np.asarray(pool.labels), np.asarray(pool.weights)
    attributes = {name: np.asarray(values) for name, values in (pool.attributes or {}).items()}
    rows = np.unique(labels)
    columns = list(itertools.product(*(np.unique(values) for values in attributes.values())))
    members = [[_members(labels, attributes, row, column) for column in columns] for row in rows]
    shown = images[np.concatenate([_spread(found, per_group) for line in members for found in line])]
    low, high = float(shown.min()), float(shown.max())

    across = int(np.ceil(np.sqrt(1.5 * per_group)))
    grid = (-(-per_group // across), across)
    # Titles of narrow panels would touch.
    between = ", " if len(columns) <= 6 else "\n"

    def panel(row: Any, column: tuple, found: np.ndarray) -> _Panel:
        scaled = (images[_spread(found, per_group)] - low) / (high - low if high > low else 1.0)
        names = ", ".join(f"{name} {signed(v, attributes[name])}" for name, v in zip(attributes, column, strict=True))
        counted = f"{len(found)} images{between}weight {weights[found].sum():.2g}"
        title = "\n".join(filter(None, [names if row == rows[0] else "", counted]))
        return _Panel(_sheet(scaled, grid, images.shape[1:]), title, f"label {signed(row, labels)}")

    return [
        [panel(row, column, found) for column, found in zip(columns, line, strict=True)]
        for row, line in zip(rows, members, strict=True)
    ]


def _draw(drawn: np.ndarray, panels: list[list[_Panel]]) -> None:
    for line, axes_line in zip(panels, drawn, strict=True):
        for panel, axes in zip(line, axes_line, strict=True):
            axes.imshow(panel.sheet, vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[], frame_on=False)
            axes.set_title(panel.title, fontsize="x-small")
        axes_line[0].set_ylabel(line[0].label, fontsize="small")


def _images(pool: Any, shape: tuple[int, ...] | None) -> np.ndarray:
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
