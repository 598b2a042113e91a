"""What computes the points of a sweep: this process, or the workers of a Dask client."""

from __future__ import annotations

import importlib
import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from ntk_shortcuts.experiments.sweeps.evaluation import Value
from ntk_shortcuts.validation import extra, require

Values = dict[str, Value]


@runtime_checkable
class Submits(Protocol):
    """What may be a Dask client; `distributed`, which can tell, is imported for these only."""

    def submit(self, function: Callable, *arguments: Any, **options: Any) -> Any:
        """A future of the function's value."""
        ...


Function = Callable[[Iterable[Any]], Iterator[Values]]


def results(client: Any, function: Function, tasks: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Values]]:
    """(place, values) of tasks (place, point), as they finish; the function makes values of points, one by one or ahead."""
    if client is None:
        first, second = itertools.tee(tasks)
        return zip((place for place, _ in first), function(point for _, point in second), strict=True)
    return _on_workers(client, function, tasks)


def _on_workers(client: Any, function: Function, tasks: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Values]]:
    # Pickled here, because a worker that cannot import the function then fails the task; left to distributed (seen with
    # 2026.8), that breaks the worker's connection instead, and the sweep waits for ever.
    dumps = optional_module("cloudpickle").dumps
    futures = {client.submit(_unpickled, dumps((function, point)), pure=False, retries=3): place for place, point in tasks}
    try:
        for future, values in optional_module("distributed").as_completed(list(futures), with_results=True):
            yield futures.pop(future), values
    finally:
        client.cancel(list(futures))


def _unpickled(task: bytes) -> Values:
    function, point = pickle.loads(task)
    return next(function([point]))


def checked_client(engine: Any) -> Any:
    """The client that `engine` is, or None for "local"."""
    allowed = '"local" or a dask.distributed.Client'
    if not isinstance(engine, Submits):
        require(isinstance(engine, str) and engine == "local", "engine", allowed, engine)
        return None
    require(isinstance(engine, optional_module("distributed").Client), "engine", allowed, engine)
    return engine


def optional_module(module: str) -> Any:
    """A module of the extra `dask`; ImportError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} could not be imported ({error}); install it with {extra('dask')}") from error
