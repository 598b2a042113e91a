"""neural-tangents on today's JAX: `load()` gives the library, `from_stax` a network of ours.

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
import math
import sys
import threading
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.networks.base import Network
from ntk_shortcuts.networks.inputs import two_inputs
from ntk_shortcuts.numerics import in_float64, is_traced
from ntk_shortcuts.typing import Key
from ntk_shortcuts.validation import require, require_finite, require_integer

__all__ = ["StaxNetwork", "from_stax", "load"]

SUPPORTED_VERSION = "0.6.5"

_NAME = "neural_tangents"
_INSTALL = "pip install 'ntk-shortcuts[neural-tangents]'"
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
        warnings.warn(
            f"neural-tangents {version} is installed; only {SUPPORTED_VERSION} is known to work here: {_INSTALL} installs it",
            stacklevel=3,
        )


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


class StaxNetwork(Network):
    """An infinitely wide network given by a neural-tangents `kernel_fn`; made by :func:`from_stax`.

    It stands wherever an infinite `MLP` does. Points of a data law are embedded in R^d by one draw, with the network's `key`,
    of the law's embedding, the features' directions orthogonal. A dense network's kernels depend on inner products alone,
    which are then those of d -> infinity (with nesting up to O(1/sqrt(d))); any other network's depend on the draw.
    """

    kernel_fn: Callable[..., Any] = eqx.field(static=True)
    input_shape: tuple[int, ...] | None = eqx.field(static=True)
    key: Key

    @in_float64
    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        """NNGP and NTK, each (n1, n2), between inputs (n1, d) and (n2, d); x2=None means x1.

        Inputs become (n, *input_shape) where an input shape was given. float32 inputs are computed in
        float32, all others in float64. `quadrature_error` is 0: neural-tangents gives no bound.

        Raises:
            ValueError: inputs that do not fit input_shape; kernels that are missing, not (n1, n2), or not
                finite.
        """
        first, second = two_inputs(x1, x2)
        x1 = first.vectors(self.key)
        x2 = None if second is None else second.vectors(self.key).astype(x1.dtype)
        images1 = self._as_images("x1", x1)
        images2 = None if x2 is None else self._as_images("x2", x2)
        # neural-tangents adds integers to floats and vectors to matrices, whatever the session allows itself.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            result = self.kernel_fn(images1, images2, get=("nngp", "ntk"))
        shape = (x1.shape[0], x1.shape[0] if x2 is None else x2.shape[0])
        nngp, ntk = (_checked(name, getattr(result, name, None), shape, x1.dtype) for name in ("nngp", "ntk"))
        return Kernels(nngp=nngp, ntk=ntk)

    def _as_images(self, name: str, points: jax.Array) -> jax.Array:
        if self.input_shape is None:
            return points
        size = math.prod(self.input_shape)
        allowed = f"of dimension d = {size}, the product of input_shape={self.input_shape}"
        if points.shape[1] != size:
            raise ValueError(f"{name} must be {allowed}; got d = {points.shape[1]}")
        return points.reshape(points.shape[0], *self.input_shape)


def from_stax(kernel_fn: Callable[..., Any], input_shape: Sequence[int] | None = None, key: Key | None = None) -> StaxNetwork:
    """A network of ours from the `kernel_fn` of a `neural_tangents.stax` architecture.

    Its conventions are the architecture's own: `stax.Dense(width, W_std, b_std)` has weight_variance =
    W_std^2 and bias_variance = b_std^2, and the readout is a layer like the others. So is its accuracy, which
    near parallel inputs is about the square root of the machine precision.

    Args:
        kernel_fn: the third entry of what `stax.serial(...)` returns, jitted or batched (`nt.batch`) or not.
        input_shape: shape of one input, channels last: (10, 10, 1) for an image; its product must be d. None
            leaves inputs as vectors (d,).
        key: of the embedding of a data law's points; `jax.random.key(0)` by default.
            It cannot matter for dense networks without nesting.

    Raises:
        ValueError: kernel_fn is not a function, or input_shape not a sequence of positive integers.

    Example:
        >>> stax = load().stax
        >>> network = from_stax(stax.serial(stax.Dense(1, 2**0.5), stax.Relu(), stax.Dense(1, 2**0.5))[2])
        >>> round(float(network.kernels([[1.0, 0.0]], [[0.0, 2.0]]).nngp[0, 0]), 6)
        0.63662
    """
    if not callable(kernel_fn):
        raise ValueError(
            "kernel_fn must be a function, the third entry of stax.serial's (init_fn, apply_fn, kernel_fn); "
            f"got {type(kernel_fn).__name__}"
        )
    if input_shape is not None:
        allowed = "None or a sequence of positive integers, such as (10, 10, 1)"
        is_sequence = isinstance(input_shape, tuple | list) and len(input_shape) > 0
        require(is_sequence, "input_shape", allowed, input_shape)
        input_shape = tuple(require_integer("input_shape", size, 1, allowed) for size in input_shape)
    return StaxNetwork(kernel_fn, input_shape, jax.random.key(0) if key is None else key)


def _checked(name: str, kernel: Any, shape: tuple[int, int], dtype: Any) -> jax.Array:
    label = f"kernel_fn's {name}"
    if kernel is None:
        raise ValueError(f'{label} must be an array: kernel_fn(x1, x2, get=("nngp", "ntk")) returns both; got None')
    if jnp.shape(kernel) != shape:
        raise ValueError(
            f"{label} must be of shape (n1, n2) = {shape}: before the last Dense(1), add GlobalAvgPool() or "
            f"Flatten(); got shape {jnp.shape(kernel)}"
        )
    require_finite(label, kernel)
    return jnp.asarray(kernel, dtype)
