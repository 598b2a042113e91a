"""The finished points of a sweep: in memory, and in a Zarr store that is valid at every moment."""

from __future__ import annotations

import importlib
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.experiments.sweeps.maps import VARIABLES
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray

_LABELS = {**VARIABLES, "done": "whether the point is computed"}


class SweepTable:
    """The finished points in memory, and in a store once one is attached.

    `done` marks them over the `outer` axes, whose points are computed one at a time; `grid` has all axes, and `long_names`
    their labels.
    """

    def __init__(
        self,
        long_names: Mapping[str, str],
        grid: Mapping[str, np.ndarray],
        outer: Mapping[str, np.ndarray],
        attributes: dict[str, Any],
    ):
        self.long_names = long_names
        self.grid, self.outer, self.attributes = grid, outer, attributes
        self.done = np.zeros([len(values) for values in outer.values()], bool)
        self.arrays: dict[Any, tuple[tuple[Any, ...], np.ndarray]] = {}
        self.path: Path | None = None
        self.group: Any = None

    def put(self, index: tuple[int, ...], values: Mapping[str, np.ndarray]) -> None:
        """Record a finished point. Variables that not all points have are dropped."""
        if not self.done.any():
            self.arrays = {name: self._empty(name, value) for name, value in values.items()}
        lacking = [name for name in self.arrays if name not in values]
        for name in lacking:
            del self.arrays[name]
        at, writes = dict(zip(self.outer, index, strict=True)), []
        for name, (dimensions, array) in self.arrays.items():
            where = tuple(at.get(dimension, slice(None)) for dimension in dimensions)
            array[where] = values[name]
            writes.append((name, where, values[name]))
        if self.path is not None:
            if self.group is None:
                self._create(self.path)
            for name in lacking:
                del self.group[name]
            for name, where, value in writes:
                self.group[name][where] = value
            # Last, so that a process killed before has not marked a point whose values are incomplete.
            self.group["done"][index] = True
            if lacking:
                self._consolidate()
        self.done[index] = True

    def dataset(self) -> xarray.Dataset:
        """All points, labelled."""
        # xarray takes half a second to import, which `import ntk_shortcuts` should not cost.
        import xarray

        arrays = {**self.arrays, "done": (tuple(self.outer), self.done)}
        variables = {
            name: (dimensions, array, {"long_name": _LABELS.get(name, name.replace("_", " ")), "units": "1"})
            for name, (dimensions, array) in arrays.items()
        }
        coordinates = {
            # Zarr 3 has strings of variable length, but no standard for NumPy's fixed ones.
            name: (name, v.astype(object) if v.dtype.kind == "U" else v, {"long_name": self.long_names[name], "units": "1"})
            for name, v in self.grid.items()
        }
        return xarray.Dataset(variables, coordinates, self.attributes)

    def attach(self, path: Path) -> None:
        """Read what a store already has; it is created with the first finished point, when the variables are known."""
        zarr = optional_module("zarr")
        optional_module("dask.array")
        import xarray

        self.path = path
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            path.parent.mkdir(parents=True, exist_ok=True)
            return
        try:
            found = xarray.open_zarr(path, consolidated=False, chunks=None).load()
            theirs = found.attrs["fingerprint"]
        except Exception as error:
            reason = f"{str(path)!r} ({type(error).__name__}: {error})"
            raise ValueError(f"store must be a new path or a Zarr store that sweep wrote; got {reason}") from error
        if theirs != self.attributes["fingerprint"]:
            names = sorted({*found.attrs, *self.attributes} - {"fingerprint"})
            differ = [name for name in names if found.attrs.get(name) != self.attributes.get(name)]
            shown = ", ".join(differ) or "its axes or array options"
            raise ValueError(f"store must be of this sweep; got {str(path)!r}, whose sweep differs in {shown}")
        complete = "done" in found and found["done"].shape == self.done.shape
        require(complete, "store", "complete (delete it to start again)", str(path))
        if not found["done"].any():
            # Killed during its first point, whose variables another first point need not have.
            shutil.rmtree(path)
            return
        self.done = found["done"].values.astype(bool)
        self.arrays = {name: (found[name].dims, found[name].values.copy()) for name in found.data_vars if name != "done"}
        self.group = zarr.open_group(path, mode="r+", use_consolidated=False)
        self._consolidate()

    def _empty(self, name: str, value: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        require(name not in (*self.grid, "done"), "compute", "a function whose names are not axes or done", name)
        axes = self.grid if value.ndim else self.outer
        return tuple(axes), np.full([len(values) for values in axes.values()], np.nan)

    def _create(self, path: Path) -> None:
        """An empty store, complete when it appears under its name: a killed process leaves no half of one."""
        zarr = optional_module("zarr")
        # One chunk per point: a write touches no other point's values. Dask arrays keep xarray from writing the chunks now.
        template = self.dataset().chunk()
        chunks = {name: [1 if d in self.outer else n for d, n in v.sizes.items()] for name, v in template.data_vars.items()}
        # A point not computed is a chunk not written: Zarr reads its fill value, 0 unless said otherwise.
        fill = {name: False if name == "done" else np.nan for name in chunks}
        encoding = {name: {"chunks": tuple(sizes), "fill_value": fill[name]} for name, sizes in chunks.items()}
        scratch = path.parent / f".{path.name}.{os.getpid()}"
        try:
            template.to_zarr(scratch, mode="w", zarr_format=3, consolidated=False, compute=False, encoding=encoding)
            os.replace(scratch, path)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        self.group = zarr.open_group(path, mode="r+", use_consolidated=False)
        self._consolidate()

    def _consolidate(self) -> None:
        """xarray warns of slow opening without this, and Zarr that its third format does not specify it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optional_module("zarr").consolidate_metadata(self.path)


def optional_module(module: str) -> Any:
    """A module of the extra `dask`; ImportError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        install = "pip install 'ntk-shortcuts[dask]'"
        raise ImportError(f"{module} could not be imported ({error}); install it with: {install}") from error
