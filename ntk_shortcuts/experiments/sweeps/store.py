"""A Zarr store that is valid at every moment: a killed process leaves a store without its last point, and nothing else."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.experiments.sweeps.engines import optional_module
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray

Place = tuple[int | slice | np.ndarray, ...]


class Store:
    """The Zarr group at a path, which may not be there yet."""

    def __init__(self, path: str | os.PathLike[str]):
        self._zarr = optional_module("zarr")
        optional_module("dask.array")
        # A link's target is replaced, not the link.
        self.path = Path(path).resolve()
        self._group: Any = None

    @property
    def is_open(self) -> bool:
        """Whether points can be written."""
        return self._group is not None

    def load(self) -> xarray.Dataset | None:
        """What is there; None where nothing is.

        Raises:
            ValueError: something else than a store of a sweep.
        """
        import xarray

        if self._retired.exists():
            # Killed while it replaced the store: before the new one had the name, or before the old one was gone.
            shutil.rmtree(self._retired) if self.path.exists() else os.replace(self._retired, self.path)
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return None
        try:
            found = xarray.open_zarr(self.path, consolidated=False, chunks=None).load()
            found.attrs["fingerprint"]
        except Exception as error:
            reason = f"{str(self.path)!r} ({type(error).__name__}: {error})"
            raise ValueError(f"store must be a new path or a Zarr store that sweep wrote; got {reason}") from error
        require("done" in found, "store", "complete (delete it to start again)", str(self.path))
        return found

    def open(self) -> None:
        """Make ready for writing."""
        self._group = self._zarr.open_group(self.path, mode="r+", use_consolidated=False)
        self._consolidate(self.path)

    def create(self, template: xarray.Dataset, outer: Iterable[str]) -> None:
        """Make an empty store, complete when it appears under its name."""
        with _scratch(self.path) as scratch:
            self._write_template(scratch, template, {*outer})
            os.replace(scratch, self.path)
        self.open()

    def replace(self, dataset: xarray.Dataset) -> None:
        """Put a store with the given values in the place of the one that is there."""
        with _scratch(self.path) as scratch:
            # Chunks of single points: what is added later shares none with what is there.
            self._write_template(scratch, dataset, {*dataset.dims})
            group = self._zarr.open_group(scratch, mode="r+", use_consolidated=False)
            for name, variable in dataset.data_vars.items():
                group[name][...] = variable.values
            self._consolidate(scratch)
            os.replace(self.path, self._retired)
            os.replace(scratch, self.path)
        shutil.rmtree(self._retired)
        self.open()

    def delete(self) -> None:
        """Remove the store."""
        shutil.rmtree(self.path)

    def add(self, template: xarray.Dataset, outer: Iterable[str]) -> None:
        """Add variables that have no values yet."""
        self._write_template(self.path, template.drop_vars(list(template.coords)), {*outer}, mode="a")
        self.open()

    def write(self, name: str, place: Place, value: Any) -> None:
        """Write one variable at one place, given by an index, a slice or positions for each of its dimensions."""
        array = self._group[name]
        selection = array.oindex if any(isinstance(part, np.ndarray) for part in place) else array
        selection[place] = value

    @property
    def _retired(self) -> Path:
        return self.path.parent / f".{self.path.name}.replaced"

    def _write_template(self, path: Path, template: xarray.Dataset, single: set[Any], mode: Any = "w") -> None:
        """Everything but the values; chunks have one entry along the dimensions `single`."""
        # Dask arrays keep xarray from writing the chunks now.
        template = template.chunk()
        chunks = {name: [1 if d in single else n for d, n in v.sizes.items()] for name, v in template.data_vars.items()}
        # A point not computed is a chunk not written: Zarr reads its fill value, 0 unless said otherwise.
        fill = {name: False if name == "done" else np.nan for name in chunks}
        encoding = {name: {"chunks": tuple(sizes), "fill_value": fill[name]} for name, sizes in chunks.items()}
        template.to_zarr(path, mode=mode, zarr_format=3, consolidated=False, compute=False, encoding=encoding)

    def _consolidate(self, path: Path) -> None:
        """xarray warns of slow opening without this, and Zarr that its third format does not specify it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._zarr.consolidate_metadata(path)


class _scratch:
    """A path beside the store's, removed again unless it was given the store's name."""

    def __init__(self, path: Path):
        self._path = path.parent / f".{path.name}.{os.getpid()}"

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: Any) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
