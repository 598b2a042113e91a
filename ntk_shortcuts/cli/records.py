"""A prediction as it is written down: its resolved parameters, and its data set for netCDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def resolved_parameters(
    model: Any, network: Any, training: Any, num_samples: int | None, method: str, seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Every parameter, defaults included, as plain values."""
    from ntk_shortcuts.description import versions
    from ntk_shortcuts.methods import resolve
    from ntk_shortcuts.results.origin import Origin

    specs = {"model": model, "network": network, "training": training, "method": resolve(method, options)}
    parameters = Origin(specs, {"num_samples": num_samples}).parameters
    # The command line has a seed where Python has a key or a data set, and always the default probes.
    for name in ("key", "dataset", "probes", "probe_inputs", "initial_outputs"):
        parameters.pop(name, None)
    return {**parameters, "seed": seed, **versions()}


def prediction_dataset(result: Any, parameters: dict[str, Any]) -> Any:
    """A prediction as an xarray.Dataset over the probes, parameters and diagnostics as attributes."""
    import numpy as np
    import xarray

    from ntk_shortcuts.description import netcdf_value

    def variable(dimensions: Any, value: Any, long_name: str) -> tuple:
        return dimensions, np.asarray(value), {"long_name": long_name, "units": "1"}

    probes = np.asarray(result.probes)
    variables = {
        "bias": variable((), result.bias, "shortcut bias"),
        "reliance": variable((), result.reliance, "reliance on the shortcut"),
        "optimal_reliance": variable((), result.optimal_reliance, "reliance of the Bayes-optimal classifier"),
        "mean": variable("probe", result.mean, "mean predicted output"),
        "std": variable("probe", result.std, "standard deviation of the output"),
    }
    coordinates = {
        "shortcut_feature": variable("probe", probes[:, 0], "shortcut feature z_s"),
        "core_feature": variable("probe", probes[:, 1], "core feature z_c"),
    }
    diagnostics = {f"diagnostic_{name}": value for name, value in result.diagnostics.items()}
    attributes = {name: netcdf_value(value) for name, value in {**parameters, **diagnostics}.items()}
    return xarray.Dataset(variables, coordinates, attributes)


def save_netcdf(dataset: Any, path: Path) -> None:
    dataset.to_netcdf(path, engine="h5netcdf")
