"""neural-tangents 0.6.5 on today's JAX: its networks as kernels of ours, and its results as a reference.

neural-tangents needs names that JAX has moved or removed since, and imports TensorFlow for a part nobody
here uses. :func:`load` supplies those names while it is imported, and to its own modules only afterwards:
JAX's namespaces are then as they were. :func:`from_stax` turns one of its architectures (convolutions,
residual connections, LayerNorm, ...) into a network with the `kernels` and `latent_kernels` of
:class:`ntk_shortcuts.networks.MLP`.

Nothing is imported before :func:`load` is called; the package is an optional dependency.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import math
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.generative import GenerativeModel
from ntk_shortcuts.kernels.infinite import Kernels
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.typing import Array, Float, Key, Latents
from ntk_shortcuts.validation import as_points, require, require_integer

SUPPORTED_VERSION = "0.6.5"

_PACKAGE = "neural_tangents"
_LOCK = threading.RLock()
_LOADED: list[types.ModuleType] = []


def load() -> types.ModuleType:
    """The `neural_tangents` module, usable on the installed JAX; imported on the first call only.

    Usable: the infinite-width kernels of `stax`, `predict`, and the empirical kernels with `implementation` 1
    (Jacobian contraction, the default) or 2 (NTK-vector products). Implementations 0 (automatic) and 3
    (structured derivatives) are not, and `neural_tangents.experimental` is absent. JAX's own modules are left
    as they were found.

    Raises:
        ImportError: not installed, or not importable on this JAX.

    Warns:
        UserWarning: another version than 0.6.5 is installed; it is tried all the same.
    """
    with _LOCK:
        if not _LOADED:
            _LOADED.append(_import())
        return _LOADED[0]


def _import() -> types.ModuleType:
    if importlib.util.find_spec(_PACKAGE) is None:
        raise ImportError(
            "neural-tangents is not installed; install it with: pip install 'ntk-shortcuts[neural-tangents]'"
        )
    if _PACKAGE in sys.modules:  # imported, and made to work, by someone else
        return sys.modules[_PACKAGE]
    version = importlib.metadata.version("neural-tangents")
    if version != SUPPORTED_VERSION:
        warnings.warn(
            f"neural-tangents {version} is installed; ntk_shortcuts was tested with {SUPPORTED_VERSION} "
            "(pip install 'ntk-shortcuts[neural-tangents]'). Trying it.",
            UserWarning,
            stacklevel=4,
        )
    with _removed_names() as proxies:
        try:
            module = importlib.import_module(_PACKAGE)
        except Exception as error:
            for name in _own_modules():
                del sys.modules[name]
            raise ImportError(
                f"neural-tangents {version} cannot be imported on JAX {jax.__version__}: {error}"
            ) from error
    for name in _own_modules():
        _redirect(vars(sys.modules[name]), proxies)
    return module


def _own_modules() -> list[str]:
    return [name for name in sys.modules if name == _PACKAGE or name.startswith(_PACKAGE + ".")]


class _Fallback(types.ModuleType):
    """A module with a few names of its own; every other attribute is the real module's."""

    def __init__(self, real: types.ModuleType, names: dict[str, Any]):
        super().__init__(real.__name__, real.__doc__)
        self.__dict__.update(names)
        self.__dict__["_real"] = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_real"], name)


class _Absent(types.ModuleType):
    """The stand-in for `neural_tangents.experimental`."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"neural_tangents.experimental needs TensorFlow and is not loaded; {name!r} asked for"
        )


class _NeverInstantiated:
    """The stand-in for a class JAX no longer has: nothing is an instance of it."""


def _safe_map(function: Callable[..., Any], *sequences: Any) -> list[Any]:
    return [function(*entries) for entries in _safe_zip(*sequences)]


def _safe_zip(*sequences: Any) -> list[Any]:
    return list(zip(*map(list, sequences), strict=True))


def _lattice_join(x: Any, y: Any) -> Any:
    return y if x is None else x


def _core_names() -> dict[str, Any]:
    import jax.extend.core as extended

    names = {name: getattr(extended, name) for name in ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")}
    return names | {
        "DShapedArray": _NeverInstantiated,
        "Value": object,
        "get_aval": jax.typeof,
        "lattice_join": _lattice_join,
    }


def _ad_names() -> dict[str, Any]:
    import jax.extend.core as extended

    # A primitive that no jaxpr contains any more: only a key of a table.
    return {"zeros_like_p": extended.Primitive("zeros_like")}


@contextlib.contextmanager
def _removed_names() -> Iterator[dict[int, types.ModuleType]]:
    """Supply what neural-tangents imports; on exit take it away. Yields a proxy per id(module)."""
    import jax.core
    import jax.interpreters.ad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # asking for a removed name warns
        core = {n: v for n, v in _core_names().items() if not hasattr(jax.core, n)}
        ad = {n: v for n, v in _ad_names().items() if not hasattr(jax.interpreters.ad, n)}
    util = types.ModuleType("jax.util")
    vars(util).update(safe_map=_safe_map, safe_zip=_safe_zip)
    placeholders = {f"{_PACKAGE}.experimental": _Absent(f"{_PACKAGE}.experimental")}
    if importlib.util.find_spec("jax.util") is None:
        placeholders["jax.util"] = util
    before = {name: sys.modules.get(name) for name in placeholders}
    core_proxy, ad_proxy = _Fallback(jax.core, core), _Fallback(jax.interpreters.ad, ad)
    interpreters_proxy = _Fallback(jax.interpreters, {"ad": ad_proxy})
    jax_proxy = _Fallback(jax, {"core": core_proxy, "interpreters": interpreters_proxy})
    added = [(jax.core, core), (jax.interpreters.ad, ad)]
    try:
        for module, names in added:
            vars(module).update(names)
        sys.modules.update(placeholders)
        yield {
            id(proxy.__dict__["_real"]): proxy
            for proxy in (core_proxy, ad_proxy, interpreters_proxy, jax_proxy)
        }
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
        for module, names in added:
            for name in names:
                vars(module).pop(name, None)


def _redirect(namespace: dict[str, Any], proxies: dict[int, types.ModuleType]) -> None:
    for name, value in list(namespace.items()):
        if isinstance(value, types.ModuleType) and id(value) in proxies:
            namespace[name] = proxies[id(value)]


class StaxNetwork(eqx.Module):
    """The infinite-width kernels of a neural-tangents architecture; made by :func:`from_stax`."""

    kernel_fn: Callable[..., Any] = eqx.field(static=True)
    input_shape: tuple[int, ...] | None = eqx.field(static=True)
    key: Key

    @in_float64
    def kernels(self, x1: Float[Array, "n1 d"], x2: Float[Array, "n2 d"] | None = None) -> Kernels:
        """NNGP and NTK (n1, n2) between inputs (n1, d) and (n2, d); x2=None means x1.

        Inputs are reshaped to (n, *input_shape) for the architecture. float32 inputs give float32 kernels
        (computed in float64 outside of JAX transformations, where neural-tangents promotes), all others float64.
        neural-tangents gives no error bound: `quadrature_error` is 0.

        Raises:
            ValueError: shapes that do not fit, NaN or infinite entries; a kernel that is not (n1, n2).
        """
        x1 = as_points("x1", x1)
        expected = (x1.shape[0], x1.shape[0])
        inputs1, inputs2 = self._shaped("x1", x1), None
        if x2 is not None:
            x2 = as_points("x2", x2, dimension=x1.shape[1]).astype(x1.dtype)
            expected = (x1.shape[0], x2.shape[0])
            inputs2 = self._shaped("x2", x2)
        nngp, ntk = self.kernel_fn(inputs1, inputs2, ("nngp", "ntk"))
        for name, kernel in (("nngp", nngp), ("ntk", ntk)):
            if jnp.shape(kernel) != expected:
                raise ValueError(
                    f"kernel_fn must return kernels of shape {expected}; got {name} of shape {jnp.shape(kernel)}: "
                    "end the network with stax.GlobalAvgPool() or stax.Flatten(), and a stax.Dense(1)"
                )
        dtype = x1.dtype
        return Kernels(nngp.astype(dtype), ntk.astype(dtype), quadrature_error=jnp.zeros((), dtype))

    @in_float64
    def latent_kernels(
        self, model: GenerativeModel, latents1: Latents, latents2: Latents | None = None
    ) -> Kernels:
        """Kernels between latents (n1, 2) and (n2, 2), embedded by one draw in R^d.

        latents2=None means latents1. The embedding is `model.embedding(self.key, orthogonal=True)`: unlike a
        fully connected network's, these kernels can depend on the directions, not on inner products alone.
        Angles are those of rounded inputs, so nearly parallel latents lose accuracy in float32. Inside `jit` or `vmap` over the key or the model, call the transformed function with x64 on:
        JAX draws another embedding in float32.

        Raises:
            ValueError: latents that are not finite (n, 2); as for :meth:`kernels`, with input dimension
                `model.input_dim`.
        """
        if self.input_shape is not None:
            self._check_size("model.input_dim", model.input_dim)
        embedding = model.embedding(self.key, orthogonal=True)
        latents1 = as_points("latents1", latents1, dimension=2)
        if latents2 is None:
            return self.kernels(embedding(latents1))
        latents2 = as_points("latents2", latents2, dimension=2).astype(latents1.dtype)
        return self.kernels(embedding(latents1), embedding(latents2))

    def _check_size(self, name: str, size: int) -> None:
        product = math.prod(self.input_shape or ())
        require(
            product == size, name, f"of {product} entries a point, for input_shape={self.input_shape}", size
        )

    def _shaped(self, name: str, x: jax.Array) -> jax.Array:
        if self.input_shape is None:
            return x
        self._check_size(name, x.shape[1])
        return x.reshape(x.shape[0], *self.input_shape)


def from_stax(
    kernel_fn: Callable[..., Any], input_shape: tuple[int, ...] | None = None, key: Key | None = None
) -> StaxNetwork:
    """A network from the `kernel_fn` of a neural-tangents architecture, the third result of `stax.serial`.

    Args:
        kernel_fn: called as `kernel_fn(x1, x2, ("nngp", "ntk"))`, x2 None for x1; returns two (n1, n2) arrays.
        input_shape: of one input, such as (height, width, channels) for convolutions; None leaves (n, d).
        key: draws the embedding of `latent_kernels`; by default `jax.random.key(0)`.

    Raises:
        ValueError: kernel_fn is not callable; input_shape not a tuple of positive integers.

    Example:
        stax = load().stax
        _, _, kernel_fn = stax.serial(stax.Conv(64, (3, 3)), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
        from_stax(kernel_fn, input_shape=(10, 10, 1)).kernels(inputs)
    """
    require(callable(kernel_fn), "kernel_fn", "the kernel function of a stax network", kernel_fn)
    if input_shape is not None:
        require(
            isinstance(input_shape, tuple | list),
            "input_shape",
            "None or a tuple of integers >= 1",
            input_shape,
        )
        input_shape = tuple(require_integer("input_shape", size, 1) for size in input_shape)
    return StaxNetwork(kernel_fn, input_shape, jax.random.key(0) if key is None else key)
