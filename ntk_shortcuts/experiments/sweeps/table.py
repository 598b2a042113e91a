"""The finished points of a sweep: in memory, and in a store where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.experiments.sweeps.evaluation import Value
from ntk_shortcuts.experiments.sweeps.grid import Grid
from ntk_shortcuts.experiments.sweeps.identity import differences
from ntk_shortcuts.experiments.sweeps.store import Store
from ntk_shortcuts.results.arrays import TIME_UNITS, coordinate, variable
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray

VARIABLES = {
    "bias": "shortcut bias",
    "reliance": "reliance on the shortcut",
    "optimal_reliance": "reliance of the Bayes-optimal classifier",
}
_LABELS = {**VARIABLES, "done": "whether the point is computed"}
# The same at all values of the inner axis, which belongs to the training rule.
_OF_THE_LAW = {"optimal_reliance"}

Index = tuple[int, ...]


class SweepTable:
    """The finished points in memory, and in a store once one is attached.

    `done` marks them, with the inner axis last. `arrays` have their dimensions in the order of the grid; those that have one
    number for all values of the inner axis lack it; `further` axes of their own come last.
    """

    def __init__(self, grid: Grid, attributes: dict[str, Any]):
        self.grid, self.attributes = grid, attributes
        self.dimensions = (*grid.outer, *([] if grid.inner is None else [grid.inner]))
        self.done = np.zeros([len(grid.values[name]) for name in self.dimensions], bool)
        self.arrays: dict[Any, tuple[tuple[Any, ...], np.ndarray]] = {}
        self.further: dict[Any, np.ndarray] = {}
        self.store: Store | None = None
        # Names that points had, of those computed here; what the store had, all its points are taken to have.
        self._names: dict[Index, frozenset[str]] = {}
        self._stored: tuple[list[Index], frozenset[str]] = [], frozenset()

    def pending(self) -> Iterator[tuple[Index, np.ndarray]]:
        """Indices of the outer axes where something is missing, and at which positions of the inner axis."""
        for index in np.ndindex(*(len(values) for values in self.grid.outer.values())):
            missing = np.flatnonzero(~self.done[index])
            if missing.size:
                yield index, missing

    def counts(self) -> tuple[int, int]:
        """Points of the outer axes: finished, and all."""
        finished = self.done if self.grid.inner is None else self.done.all(axis=-1)
        return int(finished.sum()), finished.size

    def put(self, index: Index, inner: np.ndarray, values: Mapping[str, Value]) -> None:
        """Record a point at positions of the inner axis. Variables that other points lack are NaN there."""
        part = self.grid.inner is not None and len(inner) < len(self.grid.values[self.grid.inner])
        new = [name for name in values if name not in self.arrays]
        for name in new:
            require(name not in (*self.grid.values, "done"), "compute", "a function whose names are not axes or done", name)
            axes = self.grid.outer if values[name].is_common and not part else self.grid.values
            self.further |= {axis: np.asarray(known) for axis, known in values[name].further.items()}
            sizes = {axis: len(known) for axis, known in {**self.grid.values, **self.further}.items()}
            axes = (*axes, *values[name].further)
            self.arrays[name] = axes, np.full([sizes[axis] for axis in axes], np.nan)
        if self.store is not None and not self.store.is_open:
            self.store.create(self.dataset(), self.grid.outer)
        elif self.store is not None and new:
            self.store.add(self.dataset()[new], self.grid.outer)
        at = {**dict(zip(self.grid.outer, index, strict=True)), self.grid.inner: inner if part else slice(None)}
        for name, value in values.items():
            dimensions, array = self.arrays[name]
            place = tuple(at.get(dimension, slice(None)) for dimension in dimensions)
            array[place] = value.numbers
            if self.store is not None:
                self.store.write(name, place, array[place])
        place = tuple(at[dimension] for dimension in self.dimensions)
        if self.store is not None:
            # Last, so that a process killed before has not marked a point whose values are incomplete.
            self.store.write("done", place, True)
        self.done[place] = True
        self._names[index] = frozenset(values)

    def dataset(self) -> xarray.Dataset:
        """All points, labelled."""
        # xarray takes half a second to import, which `import ntk_shortcuts` should not cost.
        import xarray

        arrays = {**self.arrays, "done": (self.dimensions, self.done)}
        variables = {
            name: variable(dimensions, array, _LABELS.get(name) or name.replace("_", " "))
            for name, (dimensions, array) in arrays.items()
        }
        coordinates = {}
        for name, values in self.grid.values.items():
            # Zarr 3 has strings of variable length, but no standard for NumPy's fixed ones.
            values = values.astype(object) if values.dtype.kind == "U" else values
            coordinates[name] = variable((name,), values, self.grid.long_names[name], TIME_UNITS if name == "time" else "1")
        coordinates |= {name: coordinate(name, values) for name, values in self.further.items()}
        return xarray.Dataset(variables, coordinates, self.attributes)

    def lacking(self) -> dict[str, list[Index]]:
        """Finished points that had no value of a name which others had; stored ones as far as is known."""
        stored, names = self._stored
        points = {**dict.fromkeys(stored, names), **self._names}
        found = {name: [index for index, had in points.items() if name not in had] for name in self.arrays}
        return {name: indices for name, indices in found.items() if indices}

    def attach(self, store: Store) -> None:
        """Take what a store already has, at its place among the values of now; it is created with the first finished point.

        Raises:
            ValueError: a store of another sweep, or one with values of an axis that this one does not have.
        """
        self.store = store
        found = store.load()
        if found is None:
            return
        difference = self._difference(found)
        if difference:
            raise ValueError(f"store must be of this sweep; got {str(store.path)!r}, whose sweep differs in {difference}")
        if not found["done"].any():
            # Killed during its first point, whose variables another first point need not have.
            store.delete()
            return
        self._take(found)
        mine = self.dataset()
        same = all(mine[name].dims == found[name].dims and mine[name].shape == found[name].shape for name in mine.variables)
        if same and all(mine[name].values.tolist() == found[name].values.tolist() for name in mine.coords):
            store.open()
        else:
            store.replace(mine)

    def _difference(self, found: xarray.Dataset) -> str:
        """In what a store's sweep is another one, or has more than this one."""
        if {*found["done"].dims} != {*self.dimensions}:
            there, here = (", ".join(map(str, axes)) for axes in (found["done"].dims, self.grid.values))
            return f"its axes or array options: axes {there} there, {here} here"
        if difference := differences(found.attrs, self.attributes):
            return difference
        for name, values in self.grid.values.items():
            known = {*values.tolist()}
            missing = [str(value) for value in found[name].values.tolist() if value not in known]
            if missing:
                shown = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
                return (
                    f"its axes or array options: axis {name} has {shown} there and not here (it may gain values, not lose them)"
                )
        return ""

    def _take(self, found: xarray.Dataset) -> None:
        inner = self.grid.inner
        grown = inner is not None and found.sizes[inner] < len(self.grid.values[inner])
        placed = found.reindex({name: values.tolist() for name, values in self.grid.values.items()}, fill_value={"done": False})
        self.done = placed["done"].transpose(*self.dimensions).values.astype(bool)
        for name, stored in placed.data_vars.items():
            if name == "done":
                continue
            if inner is not None and grown and inner not in stored.dims and name not in _OF_THE_LAW:
                # What is said of a point as a whole was said of the values it had then.
                stored = stored.expand_dims({inner: self.grid.values[inner]}).where(placed["done"])
            own = [axis for axis in stored.dims if axis not in self.grid.values]
            self.further |= {axis: found[axis].values for axis in own}
            stored = stored.transpose(*(axis for axis in self.grid.values if axis in stored.dims), *own)
            self.arrays[name] = tuple(stored.dims), stored.values.copy()
        finished = self.done if inner is None else self.done.any(axis=-1)
        self._stored = [tuple(index) for index in np.argwhere(finished).tolist()], frozenset(map(str, self.arrays))
