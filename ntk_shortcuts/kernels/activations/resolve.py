"""From what a user writes for an activation, a name or a function, to the activation."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.activations import error_function, sine  # noqa: F401  registered by import
from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.activations.hermite import Quadrature
from ntk_shortcuts.kernels.activations.piecewise_linear import LeakyReLU
from ntk_shortcuts.kernels.activations.registry import activation_named, activation_of, known_activations
from ntk_shortcuts.numerics import compiled, in_float64, in_no_trace, is_traced
from ntk_shortcuts.typing import AnyArray
from ntk_shortcuts.validation import require

ActivationLike: TypeAlias = str | Activation | Callable[[jax.Array], jax.Array]

# Both signs, from far below to far above the scale of pre-activations, and exactly 1; not 0, where functions with a kink
# differ in what they call their derivative. A function that parts from a known one beyond 1000 only is taken for it.
_GRID = np.sort(np.outer([-1, 1], np.append(np.geomspace(1e-3, 1e3, 150), 1.0)), axis=None)

# Another way to write a function rounds otherwise, by about 1e-15; jax.nn.gelu's two forms are 5e-4 apart.
_SAME = 1e-12

# A kink leaves 5e-3 to 0.1 to the quadrature, a jump of the second derivative (softsign, ELU) less than 4e-3.
_SMOOTH = 5e-3
_VARIANCES = (0.25, 1.0, 2.0)


class UnresolvedActivationWarning(UserWarning):
    """An activation whose kernels by quadrature have a sizeable error whatever the inputs are."""


def resolve_activation(activation: ActivationLike) -> Activation:
    """The :class:`Activation` for a registered name, an Activation, or a JAX function of one variable.

    A function that is a registered activation, by identity or by values and derivatives at 302 points to 1e-12, is that
    activation; max(x, 0) + slope min(x, 0) is :class:`LeakyReLU`. Any other function goes through :class:`Quadrature`.
    `jax.nn.gelu` is "gelu_tanh", an approximation that JAX takes by default; "gelu" is x times the normal distribution
    function.

    Raises:
        ValueError: an unknown name (the known ones are listed); a function that is not one of JAX, elementwise and finite.

    Warns:
        UnresolvedActivationWarning: a kink or a steep step, which quadrature does not resolve: an error above 5e-3 at some
            pre-activation variance of 0.25, 1 or 2. `Quadrature(function)` itself is taken without it.

    Example:
        >>> import jax
        >>> resolve_activation("relu").name, resolve_activation(jax.nn.relu).name
        ('relu', 'relu')
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        found = activation_named(activation)
        if found is None:
            raise ValueError(f"activation must be one of {', '.join(known_activations())}, or a callable; got {activation!r}")
        return found
    if not callable(activation):
        raise ValueError(f"activation must be a name, an Activation or a callable; got {activation!r}")
    try:
        found = activation_of(activation)
    except TypeError as error:
        raise ValueError(f"activation must be hashable: a function that holds no arrays; got {activation!r}") from error
    return found or _of_function(activation)


def _of_function(function: Callable[..., Any]) -> Activation:
    if _closes_over_traced(function):  # then it has no values to look at
        return Quadrature(function)
    return _recognised(function) or _quadrature_of(function)


def _closes_over_traced(function: Callable[..., Any]) -> bool:
    """Whether a function holds values of a JAX transformation under way; refuses what is no elementwise JAX function."""
    allowed = "a JAX function of one variable, elementwise"
    try:
        traced, out = jax.make_jaxpr(function, return_shape=True)(jax.ShapeDtypeStruct(_GRID.shape, jnp.result_type(float)))
    except jax.errors.TracerArrayConversionError as error:
        raise ValueError(f"activation must be {allowed} (of jax.numpy, not numpy); got {function!r}") from error
    except TypeError as error:
        raise ValueError(f"activation must be {allowed}; got {function!r}, for which {error}") from error
    is_array = isinstance(out, jax.ShapeDtypeStruct) and out.shape == _GRID.shape
    require(is_array and jnp.issubdtype(out.dtype, jnp.floating), "activation", allowed, function)
    return is_traced(traced.consts)


def _recognised(function: Callable[..., Any]) -> Activation | None:
    """The activation that a function is by its values and derivatives, if it is one."""
    values, slopes = _on_grid(function)
    slope = -float(values[_GRID == -1][0])
    if _same(values, np.where(_GRID > 0, _GRID, slope * _GRID)) and _same(slopes, np.where(_GRID > 0, 1.0, slope)):
        return {0.0: activation_named("relu"), 1.0: activation_named("linear")}.get(slope) or LeakyReLU(slope)
    for name in known_activations():
        if all(map(_same, (values, slopes), _known_on_grid(name))):
            return activation_named(name)
    return None


def _same(values: np.ndarray, others: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(np.all(np.abs(values - others) <= _SAME * np.maximum(np.abs(others), 1)))


@functools.cache
def _known_on_grid(name: str) -> tuple[np.ndarray, np.ndarray]:
    return _on_grid(resolve_activation(name))


@in_float64
def _on_grid(function: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray]:
    """Values and derivatives on the grid."""
    with in_no_trace():  # also where a network is made inside a transformation
        values, slopes = _with_slopes(function, _GRID)
        return np.asarray(values), np.asarray(slopes)


@compiled
def _with_slopes(function: Callable[..., Any], points: AnyArray) -> tuple[jax.Array, jax.Array]:
    return jax.jvp(function, (jnp.asarray(points),), (jnp.ones_like(points),))


def _quadrature_of(function: Callable[..., Any]) -> Quadrature:
    """The function through quadrature; a warning where a kink or a steep step is seen."""
    quadrature = Quadrature(function)
    error = _error_of(quadrature)
    require(np.isfinite(error), "activation", "finite with a finite derivative, at Gaussian pre-activations", function)
    if error > _SMOOTH:
        warnings.warn(  # noqa: B028  the message names what it is about
            f"activation {quadrature.name!r} has a kink or a steep step: its kernels, by quadrature, have relative errors of "
            f'up to {error:.1g}. max(x, 0) + slope min(x, 0) is exact as "relu" or LeakyReLU(slope), with a factor in '
            "weight_variance; Quadrature(function) takes the function as it is, without this warning",
            UnresolvedActivationWarning,
        )
    return quadrature


@in_float64
def _error_of(quadrature: Quadrature) -> float:
    with in_no_trace():
        return float(quadrature.second_moment(np.asarray(_VARIANCES))[1])
