"""Sweeps of predictions, or of any other computation, over named axes: labelled, stored as they finish, resumable."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from ntk_shortcuts.compilation import make_room
from ntk_shortcuts.entry import default_method, predict_bias
from ntk_shortcuts.experiments.sweeps.maps import netcdf_value, plain_value, run_parameters, spec_parameters, versions
from ntk_shortcuts.experiments.sweeps.table import SweepTable, optional_module
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.methods import METHODS, known_methods, method_options
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.numerics import without_key_type
from ntk_shortcuts.training.rules import GradientDescent, GradientFlow, Ridge, TrainingRule
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    import xarray


class Axis(NamedTuple):
    """What an axis varies (`owner`), the NumPy `kinds` of its values, and its label."""

    owner: Any
    kinds: str
    long_name: str


AXES = {
    "shortcut_predictivity": Axis("model", "iuf", "shortcut predictivity"),
    "core_predictivity": Axis("model", "iuf", "core predictivity"),
    "amplification_ratio": Axis("model", "iuf", "amplification ratio, shortcut over core"),
    "shortcut_amplification": Axis("model", "iuf", "amplification of the shortcut"),
    "core_amplification": Axis("model", "iuf", "amplification of the core"),
    "correlation": Axis("model", "iuf", "correlation of the features within a class"),
    "depth": Axis("network", "iu", "hidden layers"),
    "activation": Axis("network", "U", "activation"),
    "width": Axis("network", "iu", "width of the hidden layers"),
    "weight_variance": Axis("network", "iuf", "weight variance"),
    "bias_variance": Axis("network", "iuf", "bias variance"),
    "num_samples": Axis("num_samples", "iu", "training samples"),
    "time": Axis(GradientFlow, "iuf", "training time"),
    "learning_rate": Axis(GradientDescent, "iuf", "learning rate"),
    "steps": Axis(GradientDescent, "iuf", "steps of gradient descent"),
    "strength": Axis(Ridge, "iuf", "ridge strength"),
}
_KINDS = {"iuf": "numbers without NaN", "iu": "integers", "U": "names"}


def sweep(
    axes: Mapping[str, Any],
    model: GenerativeModel | None = None,
    network: Any = None,
    training: TrainingRule | None = None,
    num_samples: int | None = None,
    method: str | None = None,
    *,
    engine: Any = "local",
    store: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], Any] | None = None,
    compute: Callable[..., Mapping[str, float]] | None = None,
    **options: Any,
) -> xarray.Dataset:
    """Predict the bias at every point of a grid; the points are stored as they finish, and a second call resumes.

    Args:
        axes: values by name, from `AXES`: of the data (shortcut_predictivity, core_predictivity, amplification_ratio at fixed
            core, shortcut_amplification, core_amplification, correlation), of the network (depth, activation, width,
            weight_variance, bias_variance), num_samples, and of the rule (time; learning_rate, steps; strength of a ridge).
            Predictions at all times are made in one pass: a point of the other axes is the unit of work.
        model: gives what the axes do not vary, and so do `network` and `training`. By default `GenerativeModel()`.
        network: as in :func:`ntk_shortcuts.predict_bias`, and so are `num_samples` and `method`; by default `MLP(depth=1)`.
        training: a rule with scalar parameters; by default `GradientFlow(30.0)`.
        engine: "local", or a `dask.distributed.Client`, whose workers compute the points (best one thread each) and whose
            lost workers' points are computed again. Each point is one task; one that raises is tried four times.
        store: path of a Zarr store, written as points finish; `xarray.open_zarr` reads it. A store of the same sweep resumes.
        progress: called as `progress(done, total)` after each point.
        compute: replaces the prediction: `compute(model, network, training, num_samples, **options)` returns floats by name,
            those of a trained network for instance. A store knows it by its name, not by its code.
        **options: of the prediction method, or of `compute`.

    Returns:
        An `xarray.Dataset` whose dimensions are the axes in the given order, with `bias`, `reliance`, `optimal_reliance` and
        the diagnostics that all points have, or what `compute` returned; the attributes hold every fixed parameter, the
        method and the versions. In the store, `done` marks the finished points.

    Raises:
        ValueError: unknown, empty or repeated axis values, or out of range; an axis that the network or rule does not have;
            a store of another sweep, or something else at its path. All before any work is done.
        ImportError: `store` or a Client without the extra `dask`.

    Example:
        >>> axes = {"amplification_ratio": [1.0, 4.0], "time": [3.0, 30.0, 300.0]}
        >>> result = sweep(axes, method="population", random_init=False, tolerance=0.1)
        >>> dict(result.sizes)
        {'amplification_ratio': 2, 'time': 3}
        >>> bool(result["bias"].sel(amplification_ratio=4.0, time=30.0) > 0.5)
        True
    """
    base = _Point(GenerativeModel() if model is None else model, MLP(1) if network is None else network,
                  GradientFlow(30.0) if training is None else training, num_samples)  # fmt: skip
    require(isinstance(base.model, GenerativeModel), "model", "a GenerativeModel", model)
    require(isinstance(base.training, TrainingRule), "training", "a training rule such as GradientFlow(30.0)", training)
    require(base.training.batch_shape == (), "training", "a rule with scalar parameters (axes vary them)", training)
    require(compute is None or callable(compute), "compute", "None or a function", compute)
    require(compute is None or method is None, "method", "None where compute replaces the prediction", method)
    require(progress is None or callable(progress), "progress", "None or a function of (done, total)", progress)
    grid = _checked_axes(axes, base)
    if num_samples is not None:
        base = base._replace(num_samples=require_integer("num_samples", num_samples, 1))
    if compute is None:
        method = default_method(num_samples if "num_samples" not in grid else 1) if method is None else method
        require(method in METHODS, "method", f"one of {', '.join(known_methods())}", method)
        fixed_data = "dataset" in method_options(method)
        require(not fixed_data, "method", "one that does not need a given data set, which has one model", method)
    client = _client(engine)
    outer = {name: values for name, values in grid.items() if name != "time" or compute is not None}
    table = SweepTable(
        {name: AXES[name].long_name for name in grid}, grid, outer, _attributes(base, method, compute, options, grid)
    )
    # What the attributes abbreviate or leave out counts too: the axes, and the entries of arrays among the options.
    content = [{name: values.tolist() for name, values in grid.items()}, table.attributes, _array_digests(options)]
    table.attributes["fingerprint"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if store is not None:
        table.attach(Path(store))

    def tasks() -> Iterator[tuple]:
        for index in map(tuple, np.argwhere(~table.done).tolist()):
            values = {name: entries[i].item() for (name, entries), i in zip(outer.items(), index, strict=True)}
            yield index, _at(base, values if outer.keys() == grid.keys() else {**values, "time": grid["time"]})

    function = functools.partial(_evaluate, method=method, compute=compute, options=options)
    for index, values in _run_local(function, tasks()) if client is None else _run_dask(client, function, tasks()):
        table.put(index, values)
        if progress is not None:
            progress(int(table.done.sum()), table.done.size)
    return table.dataset().drop_vars("done")


class _Point(NamedTuple):
    model: GenerativeModel
    network: Any
    training: TrainingRule
    num_samples: int | None


def _checked_axes(axes: Any, base: _Point) -> dict[str, np.ndarray]:
    require(isinstance(axes, Mapping) and len(axes) > 0, "axes", "a mapping of at least one axis name to its values", axes)
    grid = {}
    for name, values in axes.items():
        require(name in AXES, "axes", f"named one of {', '.join(AXES)}", name)
        owner, kinds, _ = AXES[name]
        try:
            array = np.asarray(values)
        except (ValueError, TypeError):
            array = np.asarray(None)
        fits = array.ndim == 1 and array.size > 0 and array.dtype.kind in kinds
        require(fits, f"axis {name}", f"one-dimensional with at least one entry, {_KINDS[kinds]}", values)
        require(array.dtype.kind != "f" or not np.isnan(array).any(), f"axis {name}", _KINDS[kinds], values)
        require(np.unique(array).size == array.size, f"axis {name}", "without repeated values", values)
        if owner == "network":
            require(isinstance(base.network, MLP), "network", f"an MLP for the axis {name}", base.network)
        if isinstance(owner, type):
            rule = type(base.training).__name__
            require(isinstance(base.training, owner), "training", f"{owner.__name__} for the axis {name}", rule)
        if owner == "num_samples":
            require(base.num_samples is None, "num_samples", "None where it is an axis", base.num_samples)
        grid[name] = array if kinds == "U" else array.astype(np.float64 if kinds == "iuf" else np.int64)
        for value in grid[name]:
            try:
                _at(base, {name: value.item()})
            except ValueError as error:
                raise ValueError(f"axis {name}: {error}") from error
    both = {"amplification_ratio", "shortcut_amplification"} <= grid.keys()
    require(not both, "axes", "one of amplification_ratio and shortcut_amplification, not both", list(grid))
    return grid


def _at(base: _Point, values: Mapping[str, Any]) -> _Point:
    """The specs at the given values of axes."""
    by_owner: dict[Any, dict[str, Any]] = {}
    for name, value in values.items():
        by_owner.setdefault(AXES[name].owner, {})[name] = value
    model, network, training, num_samples = base
    if data := by_owner.pop("model", None):
        core = [data.get(f"core_{name}", getattr(model, name)[1]) for name in ("predictivity", "amplification")]
        shortcut = data.get("shortcut_amplification", model.amplification[0])
        model = _changed(model, predictivity=(model.predictivity[0], core[0]), amplification=(shortcut, core[1]))
        model = model.with_shortcut(*map(data.get, ("shortcut_predictivity", "amplification_ratio", "correlation")))
    if changes := by_owner.pop("network", None):
        network = _changed(network, **changes)
    if count := by_owner.pop("num_samples", None):
        num_samples = require_integer("num_samples", count["num_samples"], 1)
    for changes in by_owner.values():
        training = _changed(training, **changes)
    return _Point(model, network, training, num_samples)


def _changed(spec: Any, **changes: Any) -> Any:
    """A spec with some fields replaced, checked by its constructor."""
    return type(spec)(**{**{field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}, **changes})


def _evaluate(point: _Point, method: str | None, compute: Callable | None, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if compute is None:
        found = predict_bias(*point, method, **options)
        # Methods that run single networks also have the spread of the bias.
        values = {name: getattr(found, name, None) for name in ("bias", "reliance", "optimal_reliance", "bias_std")}
        values.update(found.diagnostics)
        return {name: np.asarray(value, np.float64) for name, value in values.items() if value is not None}
    make_room()
    values = compute(*point, **options)
    fits = isinstance(values, Mapping) and all(np.ndim(v) == 0 and np.asarray(v).dtype.kind in "biuf" for v in values.values())
    require(fits and len(values) > 0, "compute", "a function that returns at least one number by name", values)
    return {name: np.asarray(value, np.float64) for name, value in values.items()}


def _run_local(function: Callable, tasks: Iterator[tuple]) -> Iterator[tuple]:
    for index, point in tasks:
        yield index, function(point)


def _run_dask(client: Any, function: Callable, tasks: Iterator[tuple]) -> Iterator[tuple]:
    """Results in the order in which they arrive."""
    # Pickled here, because a worker that cannot import the function then fails the task; left to distributed (seen with
    # 2026.8), that breaks the worker's connection instead, and the sweep waits for ever.
    dumps = optional_module("cloudpickle").dumps
    futures = {client.submit(_unpickled, dumps((function, point)), pure=False, retries=3): index for index, point in tasks}
    try:
        for future, values in optional_module("distributed").as_completed(list(futures), with_results=True):
            yield futures.pop(future), values
    finally:
        client.cancel(list(futures))


def _unpickled(task: bytes) -> dict[str, np.ndarray]:
    function, point = pickle.loads(task)
    return function(point)


def _client(engine: Any) -> Any:
    allowed = '"local" or a dask.distributed.Client'
    if isinstance(engine, str) or not hasattr(engine, "submit"):
        require(isinstance(engine, str) and engine == "local", "engine", allowed, engine)
        return None
    require(isinstance(engine, optional_module("distributed").Client), "engine", allowed, engine)
    return engine


def _attributes(base: _Point, method: str | None, compute: Callable | None, options: dict, grid: Mapping) -> dict[str, Any]:
    """Every parameter that the axes do not vary, and the versions, as JSON and netCDF can store them."""
    if compute is None:
        found = run_parameters(*base, method, **options)
    else:
        specs = [base.model, *([base.network] if isinstance(base.network, MLP) else []), base.training]
        found = {"method": _full_name(compute)}
        for spec in specs:
            found.update(spec_parameters(spec))
        found.update(training=type(base.training).__name__, num_samples=base.num_samples)
        found.update({name: plain_value(without_key_type(value)) for name, value in options.items()})
        if not isinstance(base.network, MLP):
            found["network"] = type(base.network).__name__
    for name in ("predictivity", "amplification"):
        found[f"shortcut_{name}"], found[f"core_{name}"] = found.pop(name)
    if "amplification_ratio" in grid:
        del found["shortcut_amplification"]
    found = {name: netcdf_value(value) for name, value in found.items() if name not in grid}
    # JSON has no infinity.
    found = {name: str(v) if isinstance(v, float) and not np.isfinite(v) else v for name, v in found.items()}
    return {**found, **versions()}


def _full_name(function: Any) -> str:
    """A name that is the same in another process, as a repr with an address is not."""
    if isinstance(function, functools.partial):
        bound = [*map(plain_value, function.args), {name: plain_value(value) for name, value in function.keywords.items()}]
        return f"{_full_name(function.func)} with {bound}"
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _array_digests(options: Mapping[str, Any]) -> list[str]:
    digests = []
    for leaf in jax.tree.leaves(options):
        leaf = without_key_type(leaf)
        if isinstance(leaf, jax.Array | np.ndarray):
            digests.append(hashlib.sha256(repr((leaf.shape, leaf.dtype)).encode() + np.asarray(leaf).tobytes()).hexdigest())
    return digests
