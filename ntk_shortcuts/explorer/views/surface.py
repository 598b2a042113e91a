"""The law over the plane of the two features, and what the network makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, HoverTool, LinearColorMapper

from ntk_shortcuts.explorer.views.base import View, add_key, new_figure
from ntk_shortcuts.explorer.views.colours import INK, OUTPUT
from ntk_shortcuts.explorer.views.lines import columns_of, zero_lines
from ntk_shortcuts.results.prediction import Prediction

_CIRCLE = np.linspace(0, 2 * np.pi, 73)


class Surface(View):
    """Mean output over the latent plane, its decision boundary and the optimal one, over the two classes of the law."""

    title = "The law and the network's decision"
    caption = (
        "Colour: mean output of trained networks, purple for class +1. Ellipses: one and two standard deviations of a class. "
        "A boundary that turns towards the vertical follows the shortcut."
    )

    def __init__(self) -> None:
        super().__init__()
        ranges = {"x_range": (-3, 3), "y_range": (-3, 3)}
        self.figure = plot = new_figure("decision", "shortcut feature z_s", "core feature z_c", **ranges)
        plot.grid.visible = False
        self._colours = colours = LinearColorMapper(palette=OUTPUT, low=-1, high=1)
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        image = plot.image("image", "x", "y", "dw", "dh", color_mapper=colours, source=self._image)
        plot.add_tools(HoverTool(renderers=[image], tooltips=[("z_s, z_c", "$x, $y"), ("mean output", "@image")]))
        self._ellipses = ColumnDataSource({"xs": [], "ys": []})
        self._boundary, self._optimal = (ColumnDataSource({"xs": [], "ys": []}) for _ in range(2))
        self._means = [ColumnDataSource({"x": [], "y": []}) for _ in range(2)]
        plot.multi_line("xs", "ys", source=self._ellipses, color=INK, line_width=1, line_dash=[1, 3], line_cap="round")
        plot.multi_line("xs", "ys", source=self._boundary, color=INK, line_width=3)
        optimal = {"line_width": 2, "line_dash": [7, 5]}
        plot.multi_line("xs", "ys", source=self._optimal, color=INK, **optimal)
        for source, marker, fill in zip(self._means, ("circle", "triangle"), ("white", INK), strict=True):
            style = {"size": 11, "marker": marker, "fill_color": fill, "line_color": INK, "line_width": 1.5}
            plot.scatter("x", "y", source=source, **style)
        plot.add_layout(ColorBar(color_mapper=colours, width=10), "right")
        add_key(
            plot, ("━ network's boundary   ╌ Bayes-optimal boundary", INK), ("○ mean of class +1   ▲ mean of class −1", INK)
        )

    def mark(self, setting: Any, prediction: Prediction) -> None:
        self._draw_outputs(np.asarray(prediction.probes), np.asarray(prediction.mean))
        self._draw_law(setting.model()())

    def _draw_outputs(self, probes: np.ndarray, outputs: np.ndarray) -> None:
        """Outputs (n,) at the points of a grid (n, 2), in any order, and where they cross zero."""
        probes = probes.round(9)
        shortcut, core = map(np.unique, probes.T)
        means = outputs[np.lexsort(probes.T)].reshape(len(core), len(shortcut))
        self._colours.high = min(1.0, float(np.max(np.abs(means)))) or 1.0
        self._colours.low = -self._colours.high
        cells = np.diff(shortcut)[0], np.diff(core)[0]
        frame = (shortcut[0] - cells[0] / 2, core[0] - cells[1] / 2)
        sizes = (np.ptp(shortcut) + cells[0], np.ptp(core) + cells[1])
        self._image.data = {"image": [means], "x": [frame[0]], "y": [frame[1]], "dw": [sizes[0]], "dh": [sizes[1]]}
        self.figure.x_range.update(start=shortcut[0], end=shortcut[-1])
        self.figure.y_range.update(start=core[0], end=core[-1])
        self._boundary.data = columns_of(zero_lines(shortcut, core, means))

    def _draw_law(self, law: Any) -> None:
        """Both classes, and the boundary that is optimal."""
        normal, centre = np.asarray(law.bayes_direction), np.asarray(law.means)
        along = np.array([-normal[1], normal[0]]) / np.hypot(*normal) * 20
        self._optimal.data = columns_of([np.stack([-along, along])])
        root = np.linalg.cholesky(np.asarray(law.covariance))
        ring = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1) @ root.T
        self._ellipses.data = columns_of([side * centre + size * ring for side in (1, -1) for size in (1, 2)])
        for source, side in zip(self._means, (1, -1), strict=True):
            source.data = {"x": [side * centre[0]], "y": [side * centre[1]]}
