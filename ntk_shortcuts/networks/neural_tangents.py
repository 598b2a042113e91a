"""neural-tangents on today's JAX: `load()` gives the library.

neural-tangents 0.6.5 predates the installed JAX and does not import on it (its issue #209). It is pure
Python, so :func:`load` imports it with an `__import__` of its own, which answers requests for a few modules
with an *overlay*: the real module plus the names missing from it. JAX itself is never changed, not even
during the import, and what neural-tangents looks up later, at call time, it finds in the same overlays.
Supplied are

- `jax.core`: `Jaxpr`, `JaxprEqn`, `Literal`, `Primitive`, `Var`, which moved to `jax.extend.core`;
- `jax.core.eval_context`: under `jit` JAX's now rejects every traced value; a context that does nothing;
- `functools.lru_cache`: `eval_context` kept traced values out of caches; one that caches outside `jit` only;
- `jax.util`: `safe_map` and `safe_zip`; the module was removed;
- `jax.interpreters.ad.zeros_like_p`: removed; only a key in tables of rules, so a fresh primitive does;
- `scipy.linalg.eigvalsh`: with the argument `eigvals`, which is now called `subset_by_index`;
- `neural_tangents.experimental`: empty, while importing only, because it imports TensorFlow and tf2jax.

Infinite kernels, `predict`, `batch`, `monte_carlo_kernel_fn`, `linearize`, `taylor_expand` and
`empirical_ntk_fn` with implementations 1 and 2 work. Implementations 0 (automatic) and 3 (structured
derivatives) step through JAX's own internals, which have changed: they raise NotImplementedError.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import warn_user
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.validation import extra

SUPPORTED_VERSION = "0.6.5"

_NAME = "neural_tangents"
_INSTALL = extra("neural-tangents")
_LOCK = threading.RLock()


def load() -> types.ModuleType:
    """The `neural_tangents` module, usable on the installed JAX.

    Imported on the first call; later calls, and `import neural_tangents` afterwards, give the same module.
    One that is already imported is returned as it is. Nothing is added to JAX's namespaces, and TensorFlow
    is not imported (see the module's text).

    Raises:
        ImportError: neural-tangents is not installed (the message says how), or fails on this JAX.

    Warns:
        UserWarning: a version of neural-tangents other than 0.6.5, which is tried all the same.

    Example:
        >>> stax = load().stax
        >>> _, _, kernel_fn = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
        >>> round(float(kernel_fn(np.eye(2), None, "nngp")[0, 0]), 6)
        0.25
    """
    with _LOCK:
        loaded = sys.modules.get(_NAME)
        if loaded is not None:
            return loaded
        _warn_of_other_version()
        _forget()  # submodules that an earlier, failed import without our help has left behind
        finder = _Finder(_overlays())
        sys.meta_path.insert(0, finder)
        try:
            module = importlib.import_module(_NAME)
        except ModuleNotFoundError as error:
            _forget()
            raise ImportError(f"neural-tangents could not be imported ({error}); install it with {_INSTALL}") from error
        except Exception as error:
            _forget()
            raise ImportError(
                f"neural-tangents {_installed_version()} does not load on JAX {jax.__version__} "
                f"({type(error).__name__}: {error}); known to work: {SUPPORTED_VERSION} on JAX 0.10 to 0.12"
            ) from error
        finally:
            sys.meta_path.remove(finder)
        # Only a stand-in: a later `import neural_tangents.experimental` must find the real one.
        sys.modules.pop(f"{_NAME}.experimental", None)
        vars(module).pop("experimental", None)
        _refuse_broken_implementations()
        return module


def _installed_version() -> str | None:
    try:
        return importlib.metadata.version("neural-tangents")
    except importlib.metadata.PackageNotFoundError:
        return None


def _warn_of_other_version() -> None:
    version = _installed_version()
    if version not in (None, SUPPORTED_VERSION):
        known = f"only {SUPPORTED_VERSION} is known to work here: {_INSTALL} installs it"
        warn_user(f"neural-tangents {version} is installed; {known}", UserWarning)


def _forget() -> None:
    for name in [name for name in sys.modules if name.startswith(f"{_NAME}.")]:
        del sys.modules[name]


def _refuse_broken_implementations() -> None:
    # Both would fail anyway, with a KeyError or TypeError that says nothing of the cause.
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "implementation must be 1 (Jacobian contraction) or 2 (NTK-vector products); 0 (automatic) and 3 "
            f"(structured derivatives) of neural-tangents do not work on JAX {jax.__version__}"
        )

    table = getattr(sys.modules.get(f"{_NAME}._src.empirical"), "_implementation_to_ntk_fn", {})
    table.update(dict.fromkeys((0, 3), refuse))


class _Overlay(types.ModuleType):
    """A module as neural-tangents shall see it: the names given, and behind them the real module's."""

    def __init__(self, module: types.ModuleType, names: Mapping[str, Any]):
        super().__init__(module.__name__, module.__doc__)
        vars(self).update(names, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _overlays() -> dict[str, types.ModuleType]:
    """The modules listed above, by name."""
    import jax.core
    import jax.extend.core
    import jax.interpreters.ad
    import scipy.linalg

    moved = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")
    core = _Overlay(
        jax.core,
        {
            **{name: getattr(jax.extend.core, name) for name in moved if not hasattr(jax.core, name)},
            "eval_context": contextlib.nullcontext,
        },
    )
    util = types.ModuleType("jax.util")
    vars(util).update(safe_map=_safe_map, safe_zip=_safe_zip)
    removed = () if hasattr(jax.interpreters.ad, "zeros_like_p") else ("zeros_like",)
    ad = _Overlay(jax.interpreters.ad, {f"{name}_p": jax.extend.core.Primitive(name) for name in removed})
    interpreters = _Overlay(jax.interpreters, {"ad": ad})
    linalg = _Overlay(scipy.linalg, {"eigvalsh": _eigvalsh})
    return {
        "functools": _Overlay(functools, {"lru_cache": _lru_cache}),
        "jax": _Overlay(jax, {"core": core, "interpreters": interpreters, "util": util}),
        "jax.core": core,
        "jax.interpreters": interpreters,
        "jax.interpreters.ad": ad,
        "jax.util": util,
        "scipy": _Overlay(scipy, {"linalg": linalg}),
        "scipy.linalg": linalg,
    }


def _safe_zip(*sequences: Sequence[Any]) -> list[tuple[Any, ...]]:
    return list(zip(*sequences, strict=True))


def _safe_map(function: Callable[..., Any], *sequences: Sequence[Any]) -> list[Any]:
    return [function(*items) for items in _safe_zip(*sequences)]


def _lru_cache(maxsize: int | None = 128) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        cached = functools.lru_cache(maxsize)(function)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            # Under jit even a constant is traced; kept in the cache, it would turn up in the next trace.
            tracing = is_traced(jnp.zeros(()))
            return (function if tracing else cached)(*args, **kwargs)

        return wrapper

    return decorate


def _eigvalsh(a: Any, *args: Any, eigvals: tuple[int, int] | None = None, **kwargs: Any) -> np.ndarray:
    import scipy.linalg

    return scipy.linalg.eigvalsh(a, *args, **{"subset_by_index": eigvals, **kwargs})


class _Finder(importlib.abc.MetaPathFinder):
    """Finds neural_tangents where it would be found anyway, and has it run with our `__import__`."""

    def __init__(self, overlays: Mapping[str, types.ModuleType]):
        def import_(
            name: str,
            globals: Any = None,
            locals: Any = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> types.ModuleType:
            root = name.partition(".")[0]
            if level or root not in overlays:
                return builtins.__import__(name, globals, locals, fromlist, level)
            if name not in overlays:  # `jax.numpy`, say: import it, and hand out the real one
                real = builtins.__import__(name, globals, locals, fromlist, 0)
                return real if fromlist else overlays[root]
            return overlays[name] if fromlist else overlays[root]

        self._builtins = {**vars(builtins), "__import__": import_}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == f"{_NAME}.experimental":
            return importlib.machinery.ModuleSpec(fullname, _EmptyLoader())
        if fullname.partition(".")[0] != _NAME:
            return None
        specs = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self._builtins)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a module, and whatever functions it defines, with the builtins given."""

    def __init__(self, fullname: str, path: str, its_builtins: dict[str, Any]):
        super().__init__(fullname, path)
        self._builtins = its_builtins

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)["__builtins__"] = self._builtins
        super().exec_module(module)


class _EmptyLoader(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        pass
