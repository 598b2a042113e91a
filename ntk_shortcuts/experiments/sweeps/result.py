"""What a sweep returns: an `xarray.Dataset` that draws itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray

from ntk_shortcuts.plotting.sweep import plot_sweep
from ntk_shortcuts.results.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class _Drawing(xarray.Dataset.plot):  # type: ignore[misc]  as a class attribute it is the accessor's class
    """What xarray draws, `.plot.scatter` and others; called, the sweep's own figure."""

    def __call__(self, variable: str | None = None, ax: Any = None) -> Figure:
        return plot_sweep(self._ds, variable, ax)


class SweepResult(Table):
    """An `xarray.Dataset` over the axes of a sweep; `.plot(variable=None, ax=None)` draws it:
    :func:`ntk_shortcuts.plotting.plot_sweep`."""

    __slots__ = ()

    @property
    def plot(self) -> _Drawing:  # pyright: ignore[reportIncompatibleVariableOverride]  xarray's accessor, which it extends
        """The figure, with what xarray's own accessor draws."""
        return _Drawing(self)

    def _draw(self, ax: Any) -> Any:
        """In notebooks, of more than two axes the last values of all but the two longest."""
        several = sorted((name for name in self.sizes if self.sizes[name] > 1), key=lambda name: -self.sizes[name])
        return plot_sweep(self.isel({name: -1 for name in several[2:]}), ax=ax)
