"""The only place that touches a singular point: roots, angles, differences, and the choice of precision.

Every function here has a finite value and a finite gradient on its whole domain, in float32 and float64.
Where the true derivative does not exist (a root at zero) or is infinite, the value is exact and the gradient
is zero; the docstring says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Function = TypeVar("Function", bound=Callable[..., Any])


def is_traced(*trees: Any) -> bool:
    """Whether any leaf is a JAX tracer, so that its value cannot be read."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


def in_float64(function: Function) -> Function:
    """Run a function of the theory in float64 whatever the user's global setting is.

    The setting is switched for the duration of the call only. Under a JAX transformation (`jit`, `grad`,
    `vmap`) the precision was chosen when the transformation began, so the ambient one is kept: call the
    transformed function inside `jax.enable_x64(True)` for float64 derivatives.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if jax.config.jax_enable_x64 or is_traced(args, kwargs):
            return function(*args, **kwargs)
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def real_leaf(value: Any) -> Any:
    """A real parameter of a spec as a pytree leaf: NumPy float64, or unchanged where it is traced.

    NumPy holds float64 whatever JAX's setting, so that 0.9 stays 0.9 in a session without x64.
    """
    if isinstance(value, jax.Array | jax.core.Tracer) or not _is_numeric(value):
        return value
    return np.asarray(value, dtype=np.float64)


def without_key_type(value: Any) -> Any:
    """The words of a `jax.random` key, which NumPy does not read; anything else as it is."""
    typed = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(value) if typed else value


def _is_numeric(value: Any) -> bool:
    # Transformations rebuild specs with placeholders (None, objects) as leaves; those pass through.
    try:
        return np.asarray(value).dtype.kind in "iufb"
    except (ValueError, TypeError):
        return False


def safe_sqrt(x: jax.Array) -> jax.Array:
    """sqrt(max(x, 0)), with gradient zero where x <= 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, jnp.ones_like(x))), jnp.zeros_like(x))


def safe_divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """numerator / denominator, and 0 (with gradient zero) where the denominator is 0."""
    nonzero = denominator != 0
    return jnp.where(nonzero, numerator / jnp.where(nonzero, denominator, jnp.ones_like(denominator)), 0)


def angle(area: jax.Array, dot: jax.Array) -> jax.Array:
    """Angle in [0, pi] between two vectors with the given dot product and parallelogram area >= 0.

    atan2 keeps full relative accuracy near 0; `angle(area, -dot)` is the supplement, as accurate near pi.
    If both vanish (a zero vector), the angle is pi/2 with gradient zero.
    """
    degenerate = (area == 0) & (dot == 0)
    return jnp.where(
        degenerate,
        jnp.asarray(np.pi / 2, dot.dtype),
        jnp.arctan2(jnp.where(degenerate, 1, area), jnp.where(degenerate, 0, dot)),
    )


def safe_hypot(x: jax.Array, y: jax.Array) -> jax.Array:
    """sqrt(x^2 + y^2) for nonnegative x, y, exactly x where y is 0; gradient zero where both are 0."""
    largest = lax.stop_gradient(jnp.maximum(x, y))
    scale = jnp.where(largest > 0, largest, 1)
    return scale * safe_sqrt((x / scale) ** 2 + (y / scale) ** 2)


def sine_minus_angle_cosine(theta: jax.Array) -> jax.Array:
    """sin(theta) - theta cos(theta) for theta in [0, pi], without cancellation near 0 (where it is theta^3/3)."""
    # Terms of the Taylor series: theta^(2k+1) (-1)^(k+1) 2k/(2k+1)!; below 1 the eight terms are exact to 1e-17.
    square = jnp.minimum(theta, 1) ** 2
    coefficients = [(-1) ** (k + 1) * 2 * k / float(np.prod(np.arange(1.0, 2 * k + 2))) for k in range(1, 10)]
    series = jnp.zeros_like(theta)
    for coefficient in reversed(coefficients):
        series = series * square + coefficient
    small = jnp.minimum(theta, 1) * square * series
    return jnp.where(theta < 1, small, jnp.sin(theta) - theta * jnp.cos(theta))


@jax.custom_jvp
def difference_of_products(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> jax.Array:
    """a b - c d to about one rounding, also where the two products nearly cancel.

    Dekker's error-free products; the factors are halved by `lax.reduce_precision`, which no compiler
    rearranges. Overflow threshold: |product| < the dtype's maximum.
    """
    product1, error1 = _two_product(a, b)
    product2, error2 = _two_product(c, d)
    return (product1 - product2) + (error1 - error2)


@difference_of_products.defjvp
def _difference_of_products_jvp(primals: Any, tangents: Any) -> Any:
    a, b, c, d = primals
    da, db, dc, dd = tangents
    return difference_of_products(a, b, c, d), da * b + a * db - dc * d - c * dd


def _two_product(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    product = a * b
    a_high, b_high = _upper_half(a), _upper_half(b)
    a_low, b_low = a - a_high, b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def _upper_half(x: jax.Array) -> jax.Array:
    info = jnp.finfo(x.dtype)
    # 12 of 24, 26 of 53 significant bits (one implicit): products of halves are exact.
    return lax.reduce_precision(x, exponent_bits=info.nexp, mantissa_bits=(info.nmant + 1) // 2 - 1)


def eigh_each(matrices: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues (ascending) and eigenvectors of symmetric matrices along the first axis, one LAPACK call each.

    Here and in :func:`solve_each`: jaxlib spreads a batched LAPACK call over the threads that run the program and waits for
    them. Two such calls side by side on two cores wait for each other for ever (seen with jaxlib 0.10.2).
    """
    results = [jnp.linalg.eigh(matrix, symmetrize_input=False) for matrix in matrices]
    return tuple(jnp.stack(parts) for parts in zip(*results, strict=True))  # type: ignore[return-value]


def solve_each(matrices: jax.Array, right: jax.Array) -> jax.Array:
    """Solutions of linear systems along the first axis, one LAPACK call each."""
    return jnp.stack([jnp.linalg.solve(a, b) for a, b in zip(matrices, right, strict=True)])


def unit_vectors(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Norms (n, 1) and unit vectors (n, d); a zero vector stays zero, with gradient zero."""
    # Scaling by the largest entry keeps the squares of tiny or huge inputs inside the floating-point range.
    scale = lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    scaled = safe_divide(x, scale)
    norm = safe_sqrt(jnp.sum(scaled**2, axis=-1, keepdims=True))
    return scale * norm, safe_divide(scaled, norm)
