"""Sweeps of predictions, or of any other computation, over named axes: labelled, stored as they finish, resumable."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ntk_shortcuts.entry import default_method
from ntk_shortcuts.experiments.sweeps.engines import checked_client, results
from ntk_shortcuts.experiments.sweeps.evaluation import evaluate
from ntk_shortcuts.experiments.sweeps.grid import Point, checked_grid
from ntk_shortcuts.experiments.sweeps.identity import sweep_attributes
from ntk_shortcuts.experiments.sweeps.store import Store
from ntk_shortcuts.experiments.sweeps.table import SweepTable
from ntk_shortcuts.issues import Issue, give, said_together
from ntk_shortcuts.laws.base import Law
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.methods import METHODS, Method, known_methods
from ntk_shortcuts.networks.base import as_network
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.training.gradient_flow import GradientFlow
from ntk_shortcuts.training.rules import TrainingRule, require_rule
from ntk_shortcuts.validation import require, require_integer, required

if TYPE_CHECKING:
    from ntk_shortcuts.experiments.sweeps.result import SweepResult


def sweep(
    axes: Mapping[str, Any],
    model: Any = None,
    network: Any = None,
    training: TrainingRule | None = None,
    num_samples: int | None = None,
    method: str | Method | None = None,
    *,
    engine: Any = "local",
    store: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], Any] | None = None,
    compute: Callable[..., Mapping[str, float]] | None = None,
    **options: Any,
) -> SweepResult:
    """Predict the bias at every point of a grid; the points are stored as they finish, and a second call resumes.

    With method="population" up to 32 points are predicted side by side, with the answers that each has alone.

    Args:
        axes: values by name. A spec has an axis for every number of its constructor, and those that its class declares
            (`ntk_shortcuts.axes.axes_of(spec)` lists them): of `GenerativeModel` shortcut_predictivity, core_predictivity,
            amplification_ratio at fixed core, shortcut_amplification, core_amplification, correlation; of a `Pool` with one
            attribute its agreement with the label; of `MLP` depth,
            activation, width, weight_variance, bias_variance, residual, normalization ("layer" or "none"); of the rules time;
            learning_rate, steps; strength (of a ridge). And num_samples. Predictions at all times are made in one pass: a
            point of the other axes is the unit of work.
        model: gives what the axes do not vary, and so do `network` and `training`. By default `GenerativeModel()`.
        network: as in :func:`ntk_shortcuts.predict_bias`, and so are `num_samples` and `method`; by default `MLP(depth=1)`.
        training: a rule; by default `GradientFlow(30.0)`. A parameter that is an array is the last axis, predicted in one pass.
        engine: "local", or a `dask.distributed.Client`, whose workers compute the points (best one thread each) and whose
            lost workers' points are computed again. Each point is one task; one that raises is tried four times.
        store: path of a Zarr store, written as points finish; `xarray.open_zarr` reads it. A store of the same sweep resumes,
            also where axes have gained values: what is stored is not computed again.
        progress: called as `progress(done, total)` after each point.
        compute: replaces the prediction: `compute(model, network, training, num_samples, **options)` returns floats by name,
            those of a trained network for instance. A store knows it by its name, not by its code.
        **options: of the prediction, such as `test` for a pool, or of its method; or of `compute`.

    Returns:
        An `xarray.Dataset` with a `.plot()` that draws it, whose dimensions are the axes in the given order, with `bias`,
        `reliance`, `optimal_reliance` (of a pool `accuracy`, `worst_group_accuracy`, `reliance_on_...` each attribute, and
        `group_accuracy` with the further dimensions label and attributes) and the diagnostics, or what `compute` returned, NaN
        at points that had none; the attributes hold every fixed parameter, the method and the versions. In the store, `done`
        marks the finished points.
        Where values of the rule's axis were added to a store, diagnostics of a pass have that axis too, for the passes differ.

    Raises:
        ValueError: unknown, empty or repeated axis values, or out of range; an axis that the specs do not have, or that two of
            them have; a store of another sweep, or something else at its path. All before any work is done.
        ImportError: `store` or a Client without the extra `dask`.

    Warns:
        UntrustedPredictionWarning: what keeps predictions from being trusted, once for all of this process: each kind of issue
            with the number of predictions and the largest.
        UserWarning: the points of `compute` had different names; says which points lack which.

    Example:
        >>> axes = {"amplification_ratio": [1.0, 4.0], "time": [3.0, 30.0, 300.0]}
        >>> result = sweep(axes, method="population", random_init=False, tolerance=0.1)
        >>> dict(result.sizes)
        {'amplification_ratio': 2, 'time': 3}
        >>> bool(result["bias"].sel(amplification_ratio=4.0, time=30.0) > 0.5)
        True

        Of a pool the kernels are evaluated once for all points:

        >>> import jax
        >>> inputs, labels = jax.random.normal(jax.random.key(0), (80, 5)), [-1, 1] * 40
        >>> pool, test = Pool(inputs, labels, [-1] * 40 + [1] * 40).split(jax.random.key(1), 0.5)
        >>> axes = {"num_samples": [10, 20], "agreement": [0.7, 0.9], "time": [1.0, 10.0]}
        >>> sweep(axes, pool, MLP(1), test=test)["group_accuracy"].dims
        ('num_samples', 'agreement', 'time', 'label', 'attribute')
    """
    base = Point(GenerativeModel() if model is None else model, MLP(1) if network is None else network,
                 GradientFlow(30.0) if training is None else training, num_samples)  # fmt: skip
    require_rule(base.training)
    require(compute is None or callable(compute), "compute", "None or a function", compute)
    require(compute is None or method is None, "method", "None where compute replaces the prediction", method)
    require(progress is None or callable(progress), "progress", "None or a function of (done, total)", progress)
    grid = checked_grid(axes, base, one_pass=compute is None)
    if num_samples is not None:
        require_integer("num_samples", num_samples, 1)
    if compute is None:
        _require_predictable(base, axes, options)
        method = default_method(num_samples if "num_samples" not in grid.values else 1) if method is None else method
        kind = METHODS.get(method) if isinstance(method, str) else method
        kind = required(kind, "method", f"one of {', '.join(known_methods())}", method)
        allowed = "one that does not need a given data set, which has one model"
        require(not kind.needs_dataset or isinstance(base.model, Pool), "method", allowed, method)
    client = checked_client(engine)
    table = SweepTable(grid, sweep_attributes(grid, method, compute, options))
    if store is not None:
        table.attach(Store(store))
    function = functools.partial(evaluate, method=method, compute=compute, options=options)
    tasks = (((index, inner), grid.point(index, inner)) for index, inner in table.pending())
    with said_together():
        for (index, inner), values in results(client, function, tasks):
            table.put(index, inner, values)
            if progress is not None:
                progress(*table.counts())
    if compute is not None and (lacking := table.lacking()):
        give([MissingNames(len({index for indices in lacking.values() for index in indices}), _places(table, lacking))])
    from ntk_shortcuts.experiments.sweeps.result import SweepResult

    found = table.dataset().drop_vars("done")
    return SweepResult(found.data_vars, found.coords, found.attrs)


def _require_predictable(base: Point, axes: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse what no prediction can be made of, before kernels are evaluated."""
    require(isinstance(base.model, Law), "model", "a data law such as a GenerativeModel or a Pool", base.model)
    as_network(base.network)
    if isinstance(base.model, Pool):
        base.model.test_points(options.get("test"))
        both = ", ".join({"label", *base.model.attributes} & axes.keys())
        require(not both, "axes", "named unlike the pool's attributes", both)


@dataclasses.dataclass(frozen=True)
class MissingNames(Issue):
    """The points of `compute` had different names: `size` of them lack one that others have."""

    places: str

    @property
    def category(self) -> type[Warning]:
        return UserWarning

    @property
    def what(self) -> str:
        return f"compute returned different names at different points: {self.places}"

    @property
    def advice(self) -> str:
        return "they are NaN there"


def _places(table: SweepTable, lacking: Mapping[str, list[tuple[int, ...]]]) -> str:
    """Which names are missing where, the first few points of each."""

    def place(index: tuple[int, ...]) -> str:
        values = (f"{name}={entries[i].item()}" for (name, entries), i in zip(table.grid.outer.items(), index, strict=True))
        return "(" + ", ".join(values) + ")"

    parts = []
    for name, indices in lacking.items():
        more = f" and {len(indices) - 3} more" if len(indices) > 3 else ""
        parts.append(f"{name} is missing at {', '.join(map(place, indices[:3]))}{more}")
    return "; ".join(parts)
