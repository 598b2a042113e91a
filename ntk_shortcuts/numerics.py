"""The only place that touches a singular point: roots, angles, differences, and the choice of precision.

Every function here has a finite value and a finite gradient on its whole domain, in float32 and float64.
Where the true derivative does not exist (a root at zero) or is infinite, the value is exact and the gradient
is zero; the docstring says so.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from ntk_shortcuts.compilation import compiling_shown
from ntk_shortcuts.program_cache import keep_programs
from ntk_shortcuts.typing import AnyArray

# Before the first program is compiled: JAX asks once.
keep_programs()

Function = TypeVar("Function", bound=Callable[..., Any])


def is_traced(*trees: Any) -> bool:
    """Whether any leaf is a JAX tracer, so that its value cannot be read."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def on_one_device(array: Any) -> bool:
    """Whether an array lies on one device, as NumPy's do."""
    return not isinstance(array, jax.Array) or len(array.devices()) == 1


class _Call(threading.local):
    """Whether this thread is inside a function of the theory, which then keeps to JAX's arrays."""

    inside = False


_call = _Call()

# A number where nothing is traced, a tracer inside of a program: a compiled call tells soonest.
_nothing = jax.jit(lambda: 0.0)


def in_no_trace() -> contextlib.AbstractContextManager[Any]:
    """Within it functions of concrete values have concrete results, also inside a JAX transformation.

    Outside of all transformations nothing is done: there a program that is traced would have its constants compiled one by one.
    """
    return jax.ensure_compile_time_eval() if isinstance(_nothing(), Tracer) else contextlib.nullcontext()


def in_float64(function: Function) -> Function:
    """Run a function of the theory in float64 whatever the user's global setting is, and return NumPy's arrays.

    The setting is switched for the duration of the call only, and the outermost call hands out NumPy's float64, so that a
    program without x64 has nothing to trip over. Where nothing traced comes in, this holds inside a JAX transformation too: the
    result is a constant of it. With traced arguments the precision was chosen when the transformation began and the ambient one
    is kept: call the transformed function inside `jax.enable_x64(True)` for float64 derivatives.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if _call.inside or is_traced(args, kwargs):
            return function(*args, **kwargs)
        with contextlib.ExitStack() as stack:
            stack.enter_context(in_no_trace())
            if not jax.config.read("jax_enable_x64"):
                stack.enter_context(jax.enable_x64(True))
            stack.enter_context(compiling_shown())
            _call.inside = True
            stack.callback(setattr, _call, "inside", False)
            return as_numpy(function(*args, **kwargs))

    return wrapper  # type: ignore[return-value]


def as_numpy(tree: Any) -> Any:
    """The arrays of a result as NumPy's; those spread over several devices, random keys and traced values as they are."""

    def converted(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or isinstance(leaf, Tracer) or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return np.asarray(leaf) if on_one_device(leaf) else leaf

    return jax.tree.map(converted, tree)


def as_jax(array: AnyArray) -> jax.Array:
    """A NumPy array as JAX's in the precision that holds now, without a program for each shape, which `jnp.asarray` compiles.

    One by one and with its type: `jax.device_put` of several at once, or of one without, may take an earlier precision.
    """
    return jnp.asarray(array, dtype=jax.dtypes.canonicalize_dtype(array.dtype))


def compiled(function: Function, donate: Literal["none", "all-except-first"] = "none") -> Function:
    """`equinox.filter_jit` for functions that run in either precision.

    JAX remembers of a NumPy array in which precision it first went over, and may hand that to a program of the other one (seen
    with JAX 0.10.2); of a new view it knows nothing.

    Args:
        donate: as `equinox.filter_jit` has it: whose memory may be used for the results.
    """
    jitted = eqx.filter_jit(function, donate=donate)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = jax.tree.map(lambda leaf: leaf.view() if isinstance(leaf, np.ndarray) else leaf, (args, kwargs))
        return jitted(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def real_leaf(value: Any) -> Any:
    """A real parameter of a spec as a pytree leaf: NumPy float64, or unchanged where it is traced or a JAX float32 or float64.

    NumPy holds float64 whatever JAX's setting, so that 0.9 stays 0.9 in a session without x64.
    """
    if isinstance(value, Tracer) or not _is_numeric(value):
        return value
    if isinstance(value, jax.Array) and value.dtype in (np.float32, np.float64):
        return value
    return np.asarray(value, dtype=np.float64)


def without_key_type(value: Any) -> Any:
    """The words of a `jax.random` key, which NumPy does not read; anything else as it is."""
    typed = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(value) if typed else value


def generator(key: Any) -> np.random.Generator:
    """NumPy's generator from a key of `jax.random`."""
    return np.random.default_rng(np.asarray(without_key_type(key)).ravel().tolist())


def _is_numeric(value: Any) -> bool:
    # Transformations rebuild specs with placeholders (None, objects) as leaves; those pass through.
    try:
        dtype = np.asarray(value).dtype
        return dtype.kind in "iufb" or jnp.issubdtype(dtype, jnp.floating)
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
    return arctan2(jnp.where(degenerate, 1, area), jnp.where(degenerate, 0, dot))


@jax.custom_jvp
def arctan2(y: jax.Array, x: jax.Array) -> jax.Array:
    """Angle of the vector (x, y), in [-pi, pi], to about two roundings; 0 with gradient zero for the zero vector.

    A polynomial that XLA compiles to vector instructions. `jnp.arctan2` on a CPU is one library call an entry, 6 times as
    slow in float64 and 25 times in float32.
    """
    size_x, size_y = jnp.abs(x), jnp.abs(y)
    largest = jnp.maximum(size_x, size_y)
    tangent = jnp.minimum(size_x, size_y) / jnp.where(largest > 0, largest, 1)
    # A division comes last: XLA repeats cheap operations in every loop that needs their result, and divisions in none.
    series = split_horner(2 * tangent**2 - 1, _arctan_series(jnp.finfo(x.dtype).bits)[0])
    numerator = jnp.where(size_y > size_x, np.pi / 2 * series - tangent, tangent)
    numerator = jnp.where(x < 0, np.pi * series - numerator, numerator)
    return jnp.where(y < 0, -numerator, numerator) / series


@arctan2.defjvp
def _arctan2_jvp(primals: Any, tangents: Any) -> Any:
    (y, x), (dy, dx) = primals, tangents
    scale = lax.stop_gradient(jnp.maximum(jnp.abs(x), jnp.abs(y)))
    y1, x1 = safe_divide(y, scale), safe_divide(x, scale)
    return arctan2(y, x), safe_divide(safe_divide(x1 * dy - y1 * dx, scale), x1**2 + y1**2)


def horner(x: jax.Array, coefficients: Any) -> jax.Array:
    """sum_k c_k x^k, the constant term first."""
    *lower, last = coefficients
    total = jnp.broadcast_to(jnp.asarray(last, x.dtype), x.shape)
    for coefficient in reversed(lower):
        total = total * x + jnp.asarray(coefficient, x.dtype)
    return total


def split_horner(x: jax.Array, coefficients: Any) -> jax.Array:
    """The same as E(x^2) + x O(x^2): two independent sums keep the processor busy."""
    square = x * x
    return horner(square, list(coefficients[0::2])) + x * horner(square, list(coefficients[1::2]))


@jax.custom_jvp
def angle_of_half_tangent(half: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""\(\theta\) and \(\sin\theta-\theta\cos\theta\) of an angle in [0, pi/2], from \(\tan(\theta/2)\), which is at most 1.

    Both to a few roundings, also near 0, where the second is theta^3/3.
    """
    square = half * half
    x = 2 * square - 1
    arctan, lag = _arctan_series(jnp.finfo(half.dtype).bits)
    return 2 * half / split_horner(x, arctan), half * square / split_horner(x, lag)


@angle_of_half_tangent.defjvp
def _angle_of_half_tangent_jvp(primals: Any, tangents: Any) -> Any:
    (half,), (change,) = primals, tangents
    theta, lag = angle_of_half_tangent(half)
    turn = 2 * change / (1 + half**2)
    return (theta, lag), (turn, theta * 2 * half / (1 + half**2) * turn)


@functools.cache
def _arctan_series(bits: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two polynomials in x = 2 t^2 - 1, 0 <= t <= 1: t/atan(t), and t^3/(sin a - a cos a) at a = 2 atan(t).

    Their Chebyshev series fall by 7 and 8 a term: the reciprocals are smoother than the functions.
    """
    count = 64
    # In extended precision where the machine has it, so that the rounding of the fit stays below that of its use.
    half_turn = 4 * np.arctan(np.longdouble(1))
    degrees, odd = np.arange(count), 2 * np.arange(count) + 1
    transform = np.cos(half_turn / (2 * count) * np.outer(degrees, odd)) * (2 - (degrees == 0))[:, None] / count
    t = np.cos(half_turn / (4 * count) * odd)
    theta = 2 * np.arctan(t)
    # sin a - a cos a = sum_k (-1)^(k+1) 2k a^(2k+1)/(2k+1)!, in which nothing is lost.
    term, lag = theta / 1, np.zeros_like(theta)
    for k in range(1, 15):
        term = -term * theta**2 / (2 * k * (2 * k + 1))
        lag -= 2 * k * term
    series = []
    for values, terms in ((2 * t / theta, (21, 9)), (t**3 / lag, (20, 9))):
        kept = (transform @ values)[: terms[0 if bits == 64 else 1]].astype(np.float64)
        series.append(tuple(np.polynomial.chebyshev.cheb2poly(kept).tolist()))
    return tuple(series)


def safe_hypot(x: jax.Array, y: jax.Array) -> jax.Array:
    """sqrt(x^2 + y^2) for nonnegative x, y, exactly x where y is 0; gradient zero where both are 0."""
    largest = lax.stop_gradient(jnp.maximum(x, y))
    scale = jnp.where(largest > 0, largest, 1)
    return scale * safe_sqrt((x / scale) ** 2 + (y / scale) ** 2)


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

    Here and in :func:`inverse_each`: jaxlib spreads a batched LAPACK call over the threads that run the program and waits for
    them. Two such calls side by side on two cores wait for each other for ever (seen with jaxlib 0.10.2).
    """
    results = [jnp.linalg.eigh(matrix, symmetrize_input=False) for matrix in matrices]
    return tuple(jnp.stack(parts) for parts in zip(*results, strict=True))  # type: ignore[return-value]


def inverse_each(matrices: jax.Array) -> jax.Array:
    """Inverses of matrices along the first axis, one LAPACK call each."""
    return jnp.stack([jnp.linalg.inv(matrix) for matrix in matrices])


def complex_product(left: jax.Array, right: jax.Array) -> jax.Array:
    """`left @ right` of a complex and a real array, as one real product: half the work that a complex one is."""
    rows = left.shape[-2]
    product = jnp.concatenate([left.real, left.imag], axis=-2) @ right
    return lax.complex(product[..., :rows, :], product[..., rows:, :])


def map_needed(function: Callable[[Any], Any], items: Any, needed: jax.Array | None) -> Any:
    """`jax.lax.map` over first axes that leaves results 0 where they are not needed (None: all are), at no cost."""
    if needed is None:
        return lax.map(function, items)

    once = jax.jit(function, inline=True)  # traced once, where the shapes of its results are asked for

    def skipped(item: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(once, item))

    return lax.map(lambda pair: lax.cond(pair[0], once, skipped, pair[1]), (needed, items))


def unit_vectors(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Norms (n, 1) and unit vectors (n, d); a zero vector stays zero, with gradient zero."""
    # Scaling by the largest entry keeps the squares of tiny or huge inputs inside the floating-point range.
    scale = lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    scaled = safe_divide(x, scale)
    norm = safe_sqrt(jnp.sum(scaled**2, axis=-1, keepdims=True))
    return scale * norm, safe_divide(scaled, norm)


# Where all angles are beyond 0.014 from 0 and pi, a cosine good to a rounding gives them to 2e-14.
_PLAIN_COSINE = 1 - 1e-4


def squared_chords(unit1: jax.Array, unit2: jax.Array, cosine: jax.Array, dtype: Any) -> tuple[jax.Array, jax.Array]:
    r"""\(|a-b|^2\) and \(|a+b|^2\) of all pairs of unit vectors (n1, d) and (n2, d), accurate where they nearly vanish.

    They are 2 -+ 2 cos, with the cosine given, where that holds the angle to the accuracy of `dtype`, that of the data. Else
    each vector is split into multiples of \(2^{-p}\), p half the significant bits, and the rest. Products of the multiples
    are exact, and so are their sums' differences; the rest is \(2^{-p}\) smaller, and so is its rounding. An angle is
    resolved to about \(2^{-3p/2}\): 1e-11 in float64, 1e-5 in a session that has float32 only.
    """

    def plain(rounding: float = 0.0) -> tuple[jax.Array, jax.Array]:
        chord, antichord = 2 - 2 * cosine, 2 + 2 * cosine
        return jnp.where(chord > rounding, chord, 0), jnp.where(antichord > rounding, antichord, 0)

    def split() -> tuple[jax.Array, jax.Array]:
        (high1, low1, square1, rest1), (high2, low2, square2, rest2) = _split(unit1), _split(unit2)
        product = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
        exact, small = product(high1, high2.T), product(unit1, low2.T) + product(low1, high2.T)
        rest = rest1[:, None] + rest2[None, :]
        chord, antichord = (
            ((square1[:, None] + sign * exact) + (square2[None, :] + sign * exact)) + (rest + 2 * sign * small)
            for sign in (-1, 1)
        )
        # Below its rounding a square is zero: equal and opposite vectors have exactly the angles 0 and pi.
        info = jnp.finfo(unit1.dtype)
        rounding = 8 * np.sqrt(unit1.shape[1]) * 2.0 ** -(info.nmant + 1 + (info.nmant + 1) // 2)
        return jnp.where(chord > rounding, chord, 0), jnp.where(antichord > rounding, antichord, 0)

    if dtype != unit1.dtype:
        # Of data in float32: what float64 leaves of equal and opposite vectors is below the data's own rounding.
        return plain(4 * np.sqrt(unit1.shape[1]) * jnp.finfo(unit1.dtype).eps)
    if dtype == jnp.float32:
        return split()
    return lax.cond(jnp.max(jnp.abs(lax.stop_gradient(cosine))) < _PLAIN_COSINE, plain, split)


def _split(unit: jax.Array) -> tuple[jax.Array, ...]:
    """Unit vectors (n, d) as high + low parts, and |high|^2 and |unit|^2 - |high|^2, (n,)."""
    scale = 2.0 ** ((jnp.finfo(unit.dtype).nmant + 1) // 2)
    high = lax.stop_gradient(jnp.round(unit * scale) / scale)  # the derivative is the low part's
    low = unit - high
    return high, low, jnp.sum(high * high, axis=1), jnp.sum((unit + high) * low, axis=1)
