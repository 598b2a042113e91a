"""Checks of what a user passes: each error names the argument, what is allowed, and what came.

Traced values (inside `jit`, `grad`, `vmap`) have no value to check and pass; their shapes are still checked.
"""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import is_traced

T = TypeVar("T")


def require(condition: bool | np.bool_, name: str, allowed: str, got: Any) -> None:
    """Raise ValueError "name must be allowed; got ..." unless the condition holds."""
    if not condition:
        raise ValueError(f"{name} must be {allowed}; got {_shown(got)}")


def required(value: T | None, name: str, allowed: str, got: Any = None) -> T:
    """The value, where it is one; None raises ValueError "name must be allowed; got ..."."""
    if value is None:
        raise ValueError(f"{name} must be {allowed}; got {_shown(got)}")
    return value


def extra(name: str) -> str:
    """How the packages of an extra are installed: this package is on no index, so from a copy of the repository."""
    return f"python -m pip install '.[{name}]', in a copy of the repository"


def require_integer(name: str, value: Any, minimum: int, allowed: str | None = None) -> int:
    """An integer (not a bool) of at least `minimum`."""
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(is_integer and bool(value >= minimum), name, allowed or f"an integer >= {minimum}", value)
    return int(value)


def require_key(value: Any, allowed: str = "a jax.random key") -> Any:
    """A key of `jax.random`, typed or of raw words."""
    require(isinstance(value, jax.Array | np.ndarray), "key", allowed, value)
    typed = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    require(value.ndim == (0 if typed else 1), "key", f"{allowed}, a single one", f"an array of shape {value.shape}")
    return value


def require_values(name: str, value: Any, shape: tuple[int, ...], allowed: str, test: Any) -> None:
    """A real array of the given shape whose every entry passes the vectorised `test`; NaN never does."""
    if is_traced(value):
        require(jnp.shape(value) == shape, name, f"of shape {shape}", value)
        return
    array = _as_real(name, value, allowed)
    require(array.shape == shape, name, f"{allowed}, of shape {shape}", value)
    with np.errstate(invalid="ignore"):
        require(bool(np.all(test(array))), name, allowed, value)


def as_points(name: str, value: Any, dimension: int | None = None) -> jax.Array:
    """A finite floating-point array of shape (n, dimension) with n >= 1; its dtype is that of :func:`as_floats`."""
    shape = "(n, d)" if dimension is None else f"(n, {dimension})"
    value = as_floats(name, value)
    fits = value.ndim == 2 and value.shape[0] >= 1 and (dimension is None or value.shape[1] == dimension)
    rows = ": rows of images are x.reshape(len(x), -1), and a Pool takes images" if value.ndim > 2 else ""
    require(fits and value.shape[1] >= 1, name, f"an array of shape {shape} with n >= 1{rows}", value)
    require_finite(name, value)
    return jnp.asarray(value)


def as_labels(name: str, value: Any, count: int | None = None) -> jax.Array:
    """Labels in {-1, +1}, shape (n,)."""
    value = _one_per_point(name, value, count)
    if not is_traced(value):
        array = np.asarray(value)
        wrong = array[np.abs(array) != 1]
        classes = " (2 * labels - 1 of classes 0 and 1)" if np.isin(array, (0, 1)).all() else ""
        require(wrong.size == 0, name, f"in {{-1, +1}}{classes}", wrong[:3])
    return jnp.asarray(value)


def as_targets(name: str, value: Any, count: int | None = None, several: bool = False) -> jax.Array:
    """Real targets, finite, of shape (n,), or (n, k) of `several` outputs."""
    value = as_floats(name, value)
    if value.ndim != 2 or not several:
        value = _one_per_point(name, value, count)
    shape = f"({'n' if count is None else count}, k)"
    fits = value.ndim == 1 or (value.shape[1] >= 1 and (count is None or value.shape[0] == count))
    require(fits, name, f"of shape {shape}, one row per point", value)
    require_finite(name, value)
    return jnp.asarray(value)


def _one_per_point(name: str, value: Any, count: int | None) -> Any:
    value = as_floats(name, value)
    fits = value.ndim == 1 and (count is None or value.shape[0] == count)
    require(fits, name, f"of shape ({'n' if count is None else count},), one label per point", value)
    return value


def require_finite(name: str, value: Any) -> None:
    """No NaN and no infinity; says how many and where the first is."""
    if is_traced(value):
        return
    finite = np.isfinite(np.asarray(value))
    if not finite.all():
        bad = np.argwhere(~finite)
        first = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name} must be finite; got {len(bad)} NaN or infinite entries, the first at index {first}: "
            f"{np.asarray(value)[first]}"
        )


def as_floats(name: str, value: Any) -> Any:
    """Real numbers of any shape as an array: float32 as it is, all else (half precision, integers) in float64.

    Traced half precision becomes the widest type that the session has.
    """
    if not isinstance(value, jax.Array):
        array = _as_real(name, value, "an array of real numbers")
        return array if array.dtype == np.float32 else array.astype(np.float64)
    require(_is_real(value.dtype), name, "an array of real numbers", f"dtype {value.dtype}")
    return value if value.dtype in (np.float32, np.float64) else value.astype(jnp.result_type(float))


def _as_real(name: str, value: Any, allowed: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        array = np.asarray(None)
    require(_is_real(array.dtype), name, allowed, value)
    # JAX's own types (bfloat16, ...) are not among NumPy's kinds.
    return array if array.dtype.kind in "iuf" else array.astype(np.float64)


def _is_real(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", ())
    if is_traced(value) or int(np.prod(shape)) > 6:
        return f"an array of shape {tuple(shape)}"
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return str(np.asarray(value).tolist())
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
