"""What computes the points of a sweep."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


def many_small_problems() -> None:
    """LAPACK with one thread, where no library has been loaded yet and the environment says nothing else.

    Its threads wait busily between the calls, on the cores that other programs' threads need: on two cores a map took half as
    long again with two of them. A single large problem is faster with several.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextlib.contextmanager
def sweep_engine(workers: int | None, scheduler: str | None) -> Iterator[Any]:
    """This process, local ones of one thread each, or those of a Dask scheduler.

    Raises:
        ValueError: both are given, there are no workers, or no scheduler answers.
        ImportError: Dask is not installed.
    """
    if workers is not None and scheduler is not None:
        raise ValueError("workers must not be given with --scheduler, which has its own")
    if workers is None and scheduler is None:
        yield "local"
        return
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be an integer >= 1; got {workers}")
    from ntk_shortcuts.experiments.sweeps.engines import optional_module

    connect = optional_module("distributed").Client
    if workers is not None:
        with connect(n_workers=workers, threads_per_worker=1, dashboard_address=None) as client:
            yield client
        return
    try:
        client = connect(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"scheduler must be the address of a running one, such as tcp://host:8786; got {scheduler!r}"
        ) from error
    with client:
        yield client
