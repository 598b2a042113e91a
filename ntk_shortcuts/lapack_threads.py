"""One thread of LAPACK while small problems are solved.

Its threads wait busily between the calls, on cores that compiled programs could use: on two cores a sweep of small problems
took half as long again with two of them. A single large problem is faster with several.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import threading
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

_limiting = threading.Lock()


@contextlib.contextmanager
def one_lapack_thread() -> Iterator[None]:
    """Within it LAPACK has one thread, unless the environment says how many; then what it had.

    The number belongs to the process. Where several threads enter, the first one's block alone sets it, and sets it back.

    Example:
        >>> with one_lapack_thread():
        ...     pass
    """
    if "OPENBLAS_NUM_THREADS" in os.environ or not _limiting.acquire(blocking=False):
        yield
        return
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        _limiting.release()


@functools.cache
def _libraries() -> ThreadpoolController:
    importlib.import_module("scipy.linalg")  # whose LAPACK is what JAX calls: only what is loaded is found
    return ThreadpoolController()
