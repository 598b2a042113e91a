"""What a command has found, in every form that it may be asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntk_shortcuts.cli.options import JsonOption
from ntk_shortcuts.cli.printing import json_text, print_json, report_written

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure

# Dimensions of outputs, which tables leave out: they are hundreds for each number that is read off them.
_OF_OUTPUTS = ("probe",)


@dataclass(frozen=True)
class Answer:
    """An answer to be written, printed as JSON, or shown.

    - `values`: what JSON has.
    - `data`: makes the `xarray.Dataset` for netCDF and, without outputs at single points, for CSV; xarray takes half a second
      to import.
    - `draw`: makes the figure.
    - `show`: prints tables.
    """

    values: Mapping[str, Any]
    data: Callable[[], xarray.Dataset]
    draw: Callable[[], Figure]
    show: Callable[[], None]

    def give(self, output: JsonOption, paths: list[Path]) -> None:
        """Write the files, each in the form that its suffix says, and print what is asked for."""
        for path in paths:
            self._write(path)
        report_written(paths)
        if output.json:
            print_json(self.values)
        else:
            self.show()

    def _write(self, path: Path) -> None:
        if path.suffix == ".json":
            path.write_text(json_text(self.values) + "\n", encoding="utf-8")
        elif path.suffix == ".csv":
            frame(self.data()).to_csv(path, index=False)
        elif path.suffix == ".nc":
            from ntk_shortcuts.description import netcdf_value

            data = self.data()
            known = {name: netcdf_value(value) for name, value in data.attrs.items()}
            data.assign_attrs(known).to_netcdf(path, engine="h5netcdf")
        else:
            self.draw().savefig(path)


def frame(data: xarray.Dataset) -> pandas.DataFrame:
    """All numbers as a table, a row for each combination of the coordinates, which are columns too.

    Example:
        >>> import xarray
        >>> variables = {"bias": ("time", [0.5, 0.1]), "mean": (("time", "probe"), [[1.0], [2.0]])}
        >>> print(frame(xarray.Dataset(variables, {"time": [3, 30]})).to_string(index=False))
         time  bias
            3   0.5
           30   0.1
    """
    numbers = data.drop_dims([name for name in _OF_OUTPUTS if name in data.dims])
    if not numbers.dims:
        return numbers.expand_dims("row").to_dataframe().reset_index(drop=True)
    return numbers.to_dataframe(dim_order=list(map(str, numbers.dims))).reset_index()
