"""What computes the points of a sweep: this process, or the workers of a Dask client."""

from __future__ import annotations

import importlib
import itertools
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, Protocol, runtime_checkable

from ntk_shortcuts.experiments.sweeps.evaluation import Value
from ntk_shortcuts.validation import require

Values = dict[str, Value]


@runtime_checkable
class Submits(Protocol):
    """What may be a Dask client; `distributed`, which can tell, is imported for these only."""

    def submit(self, function: Callable, *arguments: Any, **options: Any) -> Any:
        """A future of the function's value."""
        ...


def results(
    client: Any, function: Callable[[Any], Values], tasks: Iterable[tuple[Any, Any]], threads: int = 1
) -> Iterator[tuple[Any, Values]]:
    """(place, function(point)) of tasks (place, point), as they finish.

    Args:
        threads: of this process, where there is no client.
    """
    if client is not None:
        return _on_workers(client, function, tasks)
    if threads == 1:
        return ((place, function(point)) for place, point in tasks)
    return _side_by_side(function, tasks, threads)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _side_by_side(
    function: Callable[[Any], Values], tasks: Iterable[tuple[Any, Any]], threads: int
) -> Iterator[tuple[Any, Values]]:
    """In threads of this process: compiled programs leave Python's lock to others. The first point alone compiles them."""
    remaining = iter(tasks)
    for place, point in itertools.islice(remaining, 1):
        yield place, function(point)
    pool = futures.ThreadPoolExecutor(threads)
    try:
        running = {pool.submit(function, point): place for place, point in itertools.islice(remaining, 2 * threads)}
        while running:
            done, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
                for place, point in itertools.islice(remaining, 1):
                    running[pool.submit(function, point)] = place
    finally:
        pool.shutdown(cancel_futures=True)


def _on_workers(client: Any, function: Callable, tasks: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Values]]:
    # Pickled here, because a worker that cannot import the function then fails the task; left to distributed (seen with
    # 2026.8), that breaks the worker's connection instead, and the sweep waits for ever.
    dumps = optional_module("cloudpickle").dumps
    running = {client.submit(_unpickled, dumps((function, point)), pure=False, retries=3): place for place, point in tasks}
    try:
        for future, values in optional_module("distributed").as_completed(list(running), with_results=True):
            yield running.pop(future), values
    finally:
        client.cancel(list(running))


def _unpickled(task: bytes) -> Values:
    function, point = pickle.loads(task)
    return function(point)


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
        install = "pip install 'ntk-shortcuts[dask]'"
        raise ImportError(f"{module} could not be imported ({error}); install it with: {install}") from error
