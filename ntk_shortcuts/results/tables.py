"""Tables that draw themselves. Imported when the first one is made, as xarray takes long."""

from __future__ import annotations

from typing import Any

import xarray

from ntk_shortcuts.results.html import figure_svg


class Table(xarray.Dataset):
    """An `xarray.Dataset` that draws itself, in notebooks too: a subclass says how, by `plot(ax=None)`."""

    __slots__ = ()

    def to_xarray(self) -> xarray.Dataset:
        """The same as a plain `xarray.Dataset`."""
        return xarray.Dataset(self.data_vars, self.coords, self.attrs)

    def _repr_html_(self) -> str:
        return f'<div style="max-width:28em">{figure_svg(self._draw)}</div>{super()._repr_html_()}'

    def _draw(self, ax: Any) -> Any:
        """What stands in a notebook."""
        return self.plot(ax=ax)
