"""Activations without a closed form: Gaussian quadrature, summed as a Hermite series."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.activations.base import Activation, Dual
from ntk_shortcuts.kernels.activations.registry import register
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import compiled, safe_divide, safe_sqrt
from ntk_shortcuts.typing import AnyArray

DEFAULT_DEGREE = 1000

# A block takes its points' coefficients anew: wide blocks, whose intermediate arrays take 150 MB in float64.
_BLOCK = (1024, 1024)


class Quadrature(Activation):
    r"""Any activation, through the coefficients of its Hermite expansion.

    \[\begin{aligned}&E\phi(a)\phi(b)=\sum_{k<K} a_k(\sqrt{q_{11}})\,a_k(\sqrt{q_{22}})\,c^k,\\
      &a_k(s)=E_g[\phi(s g)\,h_k(g)],\quad c=\frac{q_{12}}{\sqrt{q_{11}q_{22}}}\end{aligned}\]

    (Mehler's formula; \(h_k\) orthonormal Hermite polynomials), and the same with \(\phi'\) for the derivative. The
    coefficients are one-dimensional integrals per point, by the trapezoidal rule, whose error on the whole line is
    exponentially small (for tanh at large variance far below that of as many Gauss-Hermite nodes); a pair costs K
    multiplications. The truncated kernel is exactly positive semi-definite, and what is dropped is known:
    \(E\phi^2-\sum_{k<K}a_k^2\) bounds it at every c (Cauchy-Schwarz) and is reported as `quadrature_error`.
    Label D2.6.

    Args:
        function: pointwise JAX function.
        degree: largest K. Terms that no point needs are skipped, so that a large degree costs little. For tanh the mass
            dropped falls like exp(-pi sqrt(2 K / variance)): with the default of 1000 below 1e-8 up to pre-activation
            variance 55, at rounding below 15. A kink (as in |x|) makes it fall like a power of K only.
        label: the name shown; by default the function's own.
    """

    sources: ClassVar[tuple[str, ...]] = ("daniely2016toward",)

    function: Callable[[jax.Array], jax.Array] = eqx.field(static=True)
    degree: int = eqx.field(static=True)
    label: str = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[[jax.Array], jax.Array],
        degree: int = DEFAULT_DEGREE,
        label: str | None = None,
    ):
        if not isinstance(degree, int) or isinstance(degree, bool) or not 2 <= degree <= 2000:
            raise ValueError(f"degree must be an integer in [2, 2000]; got {degree!r}")
        self.function = function
        self.degree = degree
        self.label = label or getattr(function, "__name__", type(function).__name__)

    @property
    def name(self) -> str:
        return self.label

    @property
    def block_sides(self) -> tuple[int, int]:
        return _BLOCK

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.function(x)

    def dual(self, moments: PairMoments) -> Dual:
        value1, slope1, error1 = self._coefficients(moments.variance1)
        value2, slope2, error2 = self._coefficients(moments.variance2)
        norms = safe_sqrt(moments.variance1) * safe_sqrt(moments.variance2)
        correlation = safe_divide(moments.covariance, norms)
        # 1 - c without cancellation for nearly parallel pairs: 1 - c^2 = (area / norms)^2.
        gap = jnp.where(
            correlation > 0,
            safe_divide(moments.area, norms) ** 2 / (1 + jnp.maximum(correlation, 0)),
            1 - correlation,
        )
        covariance, derivative, deficit = _hermite_sums(correlation, value1, value2, slope1, slope2)
        variance1, variance2 = jnp.sum(value1**2, axis=0), jnp.sum(value2**2, axis=0)
        distance = jnp.sum((value1 - value2) ** 2, axis=0) + 2 * gap * deficit
        return Dual(
            PairMoments(
                variance1=variance1,
                variance2=variance2,
                covariance=covariance,
                area=safe_sqrt(variance1 * variance2 - covariance**2),
                distance=jnp.maximum(distance, 0),
            ),
            derivative,
            jnp.maximum(error1, error2),
        )

    def second_moment(self, variance: AnyArray) -> tuple[jax.Array, jax.Array]:
        """E phi^2 at each variance, and the largest quadrature error."""
        return _second_moment(self, variance)

    def _coefficients(self, variance: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Hermite coefficients of phi and phi' at each variance, (degree, *shape), and the relative mass dropped."""
        nodes, weights, basis = _hermite_rule(self.degree)
        # Sums of hundreds of terms: in float64 where the session has it, also for float32 kernels, whose error it divides by 3.
        given, dtype = variance.dtype, jax.dtypes.canonicalize_dtype(np.float64)
        variance = variance.astype(dtype)
        points = safe_sqrt(variance)[None] * jnp.asarray(nodes, dtype).reshape(-1, *(1,) * variance.ndim)
        value, slope = jax.jvp(self.function, (points,), (jnp.ones_like(points),))
        projection = jnp.asarray(basis, dtype)
        errors = []
        coefficients = []
        for samples in (value, slope):
            projected = jnp.tensordot(projection, samples, axes=1, precision=jax.lax.Precision.HIGHEST)
            total = jnp.tensordot(jnp.asarray(weights, dtype), samples**2, axes=1)
            kept = jnp.sum(projected**2, axis=0)
            errors.append(jnp.max(safe_divide(jnp.maximum(total - kept, 0), total)))
            coefficients.append(projected)
        errors.append(_unresolved(safe_sqrt(variance), *coefficients))
        return coefficients[0].astype(given), coefficients[1].astype(given), jnp.max(jnp.stack(errors)).astype(given)


# As one program: its forty operations would be compiled one by one.
@compiled
def _second_moment(activation: Quadrature, variance: AnyArray) -> tuple[jax.Array, jax.Array]:
    value, _, error = activation._coefficients(jnp.asarray(variance))
    return jnp.sum(value**2, axis=0), error


def _unresolved(scale: jax.Array, value: jax.Array, slope: jax.Array) -> jax.Array:
    r"""Error of the nodes at phi(s g), relative in norm: \(\sqrt k\,a_k(\phi)=s\,a_{k-1}(\phi')\) by Stein's lemma."""
    dtype = value.dtype
    roots = jnp.sqrt(jnp.arange(1, value.shape[0], dtype=dtype)).reshape(-1, *(1,) * scale.ndim)
    from_value, from_slope = roots * value[1:], scale * slope[:-1]
    # In float32 the high coefficients are rounding noise, which the roots amplify.
    kept = jnp.abs(value[1:]) > 64 * jnp.finfo(dtype).eps * jnp.sqrt(jnp.sum(value**2, axis=0))
    mismatch = jnp.sum(jnp.where(kept, from_value - from_slope, 0) ** 2, axis=0)
    size = jnp.maximum(jnp.sum(jnp.where(kept, from_value, 0) ** 2, axis=0), jnp.sum(from_slope**2, axis=0))
    return jnp.max(safe_sqrt(safe_divide(mismatch, size)))


_CHUNK = 50
# Of a rounding, in mass. A bound of eps^2 would be below the noise of hundreds of coefficients, and no chunk be skipped.
_NEGLIGIBLE = 1e-3


def _hermite_sums(
    correlation: jax.Array, value1: jax.Array, value2: jax.Array, slope1: jax.Array, slope2: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """sum_k a_k b_k c^k of the values and of the slopes, and sum_k a_k b_k (1 - c^k)/(1 - c) of the values.

    Horner's scheme in chunks, from the highest term down; a chunk is skipped while the mass of all terms from it on is below
    a thousandth of a rounding of the whole for every point. By Cauchy-Schwarz no more of the first two sums is lost; of the
    third, whose terms are larger by k at c = 1, no more than a rounding, since the slopes' mass counts too. The chunks are
    recomputed in reverse mode, so that memory does not grow with the degree.
    """
    chunks = -(-value1.shape[0] // _CHUNK)

    def chunked(coefficients: jax.Array) -> jax.Array:
        padding = [(0, chunks * _CHUNK - coefficients.shape[0])] + [(0, 0)] * (coefficients.ndim - 1)
        return jnp.pad(coefficients, padding).reshape(chunks, _CHUNK, *coefficients.shape[1:])

    def significant(coefficients: jax.Array) -> jax.Array:
        mass = jnp.sum(jax.lax.stop_gradient(coefficients) ** 2, axis=1)
        remaining = jnp.cumsum(mass[::-1], axis=0)[::-1]
        threshold = _NEGLIGIBLE * jnp.finfo(mass.dtype).eps * remaining[:1]
        return jnp.any(remaining > threshold, axis=tuple(range(1, mass.ndim)))

    terms = [chunked(coefficients) for coefficients in (value1, value2, slope1, slope2)]
    needed = functools.reduce(jnp.logical_or, [significant(term) for term in terms])

    @jax.checkpoint
    def add_chunk(sums: tuple[jax.Array, ...], chunk: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        return jax.lax.scan(functools.partial(_horner, correlation), sums, chunk, reverse=True, unroll=_CHUNK // 2)[0]

    def step(sums: tuple[jax.Array, ...], chunk: tuple[jax.Array, ...]):
        return jax.lax.cond(chunk[0], add_chunk, lambda sums, _: sums, sums, chunk[1:]), None

    zero = jnp.zeros_like(correlation)
    (value, slope, deficit, _), _ = jax.lax.scan(step, (zero,) * 4, (needed, *terms), reverse=True)
    return value, slope, deficit


def _horner(correlation: jax.Array, sums: tuple[jax.Array, ...], terms: tuple[jax.Array, ...]):
    """One step of three Horner sums; the third is sum_k a_k b_k (1 - c^k)/(1 - c), from suffix sums."""
    value, slope, deficit, suffix = sums
    value1, value2, slope1, slope2 = terms
    product = value1 * value2
    return (
        value * correlation + product,
        slope * correlation + slope1 * slope2,
        deficit * correlation + suffix,
        suffix + product,
    ), None


# Half the weight's root is left to the integrand: at 13 standard deviations it is below 1e-18 for every k.
_RANGE = 13.0


@functools.lru_cache(maxsize=8)
def _hermite_rule(degree: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes (J,), weights (J,) and w_j h_k(g_j), (K, J), for the standard normal."""
    # Products h_j h_k oscillate at up to 2 sqrt(degree) radians; the step resolves them with room for phi.
    count = int(np.ceil(2 * _RANGE * (2 * np.sqrt(degree) + 60) / (2 * np.pi)))
    nodes = np.linspace(-_RANGE, _RANGE, count)
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    # The recurrence runs on sqrt(w) h_k, which stays of order one where h_k itself overflows.
    root = np.sqrt(weights)
    rows = np.zeros((degree, count))
    rows[0] = root
    rows[1] = nodes * root
    for k in range(2, degree):
        rows[k] = (nodes * rows[k - 1] - np.sqrt(k - 1) * rows[k - 2]) / np.sqrt(k)
    return nodes, weights, rows * root


register(Quadrature(jnp.tanh, label="tanh"), jnp.tanh, jax.nn.tanh, jax.lax.tanh)
register(Quadrature(functools.partial(jax.nn.gelu, approximate=False), label="gelu"))
register(Quadrature(jax.nn.gelu, label="gelu_tanh"), jax.nn.gelu)
register(Quadrature(jax.nn.sigmoid, label="sigmoid"), jax.nn.sigmoid, jax.lax.logistic)
register(Quadrature(jax.nn.silu, label="silu"), jax.nn.silu, jax.nn.swish)
register(Quadrature(jax.nn.softplus, label="softplus"), jax.nn.softplus)
