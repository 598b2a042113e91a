"""How many programs JAX compiles, and which."""

import contextlib
from collections.abc import Iterator

import jax

_COMPILED = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def compiled_programs() -> Iterator[list[str]]:
    """The names of the programs that are compiled inside, as they are; those read from the cache on disk too."""
    names: list[str] = []

    def listen(event: str, _: float, **about: str | int) -> None:
        if event == _COMPILED:
            names.append(str(about.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
