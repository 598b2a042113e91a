"""Results as labelled arrays: named dimensions, units, and what the numbers are of."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.description import netcdf_value
from ntk_shortcuts.issues import Issue
from ntk_shortcuts.results.origin import Origin

if TYPE_CHECKING:
    import xarray

Variable = tuple[tuple[Hashable, ...], np.ndarray, dict[str, str]]

TIME_UNITS = "learning rate x steps"
"""Of times, under the loss (1/(2N)) sum (f - y)^2."""


def variable(dimensions: Sequence[Hashable], values: Any, long_name: str, units: str = "1") -> Variable:
    """A variable of a data set; its units are "1" where it is a pure number."""
    return tuple(dimensions), np.asarray(values), {"long_name": long_name, "units": units}


def coordinate(name: str, values: Any) -> Variable:
    """The coordinate of a dimension of that name."""
    return variable((name,), values, name.replace("_", " "), TIME_UNITS if name == "time" else "1")


def table(
    variables: Mapping[str, Variable],
    coordinates: Mapping[str, Variable],
    origin: Origin,
    diagnostics: Mapping[str, Any] | None = None,
    issues: Sequence[Issue] = (),
) -> xarray.Dataset:
    """A data set whose attributes hold every resolved parameter, the versions, and how far to trust it."""
    # xarray takes half a second to import, which is left to those who ask for it.
    import xarray

    sizes = {f"diagnostic_{name}": netcdf_value(value) for name, value in (diagnostics or {}).items()}
    said = {"issues": "; ".join(map(str, issues))} if issues else {}
    return xarray.Dataset(dict(variables), dict(coordinates), {**origin.attributes, **sizes, **said})


def two_feature_coordinates(points: Any) -> dict[str, Variable]:
    """Latents (n, 2) of the shortcut and the core as coordinates of the dimension "probe"."""
    columns = zip(("shortcut", "core"), np.asarray(points).T, strict=True)
    return {f"{name}_feature": variable(("probe",), values, f"{name} feature") for name, values in columns}


def latent_coordinates(points: Any) -> dict[str, Variable]:
    """Latents (n, K) as coordinates of the dimension "probe"; two are those of the shortcut and the core."""
    if np.shape(points)[1] == 2:
        return two_feature_coordinates(points)
    columns = enumerate(np.asarray(points).T)
    return {f"latent_{i}": variable(("probe",), values, f"latent {i}") for i, values in columns}
