r"""A stabilised explicit Runge-Kutta method for flows down a risk, as a diffrax solver.

The Hessian of a risk has real eigenvalues over many orders of magnitude. Ordinary explicit methods are held to steps of a few
over the largest; a Chebyshev method of s stages is stable up to \(h\lambda_{\max}\approx0.65s^2\).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev

_DAMPING = 2 / 13
_MOST_STAGES = 40
# Power iterations before the first step; one more is made at every step, along the direction found so far.
_FIRST_ITERATIONS = 12
_SAFETY = 1.25


class RungeKuttaChebyshev(diffrax.AbstractAdaptiveSolver):
    r"""The second-order method RKC2 of Sommeijer, Shampine & Verwer (1998), for flows down a risk that is constant
    between jumps.

    With \(w_0=1+\epsilon/s^2,\ w_1=T_s'(w_0)/T_s''(w_0),\ b_j=T_j''(w_0)/T_j'(w_0)^2\) (\(b_0=b_1=b_2\)) and
    \(a_j=1-b_jT_j(w_0)\), the stages follow the three-term recursion of the Chebyshev polynomials T. The error estimate is
    \(0.8(y_n-y_{n+1})+0.4h(F_n+F_{n+1})\), of third order in h. The number of stages is the least that is stable for the
    step, at most 40, by a power iteration for the largest eigenvalue that is carried along; a longer step is rejected.

    Example:
        >>> term = diffrax.ODETerm(lambda t, y, args: -jnp.array([1.0, 1e3]) * y)
        >>> controller = diffrax.PIDController(rtol=1e-3, atol=1e-4)
        >>> arguments = (term, RungeKuttaChebyshev(), 0.0, 10.0, None, jnp.ones(2))
        >>> solved = diffrax.diffeqsolve(*arguments, stepsize_controller=controller)
        >>> bool(jnp.abs(solved.ys).max() < 1e-3), int(solved.stats["num_steps"]) < 100  # Tsitouras: 3000
        (True, True)
    """

    term_structure: ClassVar = diffrax.ODETerm
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.ThirdOrderHermitePolynomialInterpolation

    def order(self, terms: Any) -> int:
        return 2

    def error_order(self, terms: Any) -> int:
        return 3

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Any:
        length, zero = _length(y0), jax.tree.map(jnp.zeros_like, y0)

        # The field, and then power iterations: in one loop, since every copy of the field is compiled anew.
        def iterate(j: jax.Array, carry: tuple) -> tuple:
            field, direction = carry
            value = terms.vf(t0, _combined((1.0, y0), (length, direction)), args)
            _, stretched = _stretched(value, field, length, direction)
            # The gradient lies in the steep directions already; a constant keeps it from vanishing at a minimum.
            start = _unit(jax.tree.map(lambda leaf: leaf + jnp.asarray(1e-3, leaf.dtype), value))
            return _chosen(j == 0, (value, start), (field, stretched))

        return jax.lax.fori_loop(0, _FIRST_ITERATIONS + 1, iterate, (zero, zero))

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        return terms.vf(t0, y0, args)

    def step(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: Any, made_jump: Any) -> tuple:
        step, (start, direction) = t1 - t0, solver_state
        if made_jump is not False:  # False itself where there are no jumps: a further copy of the field is compiled
            start = jax.lax.cond(made_jump, lambda: terms.vf(t0, y0, args), lambda: start)
        length, table = _length(y0), jnp.asarray(_table(), step.dtype)

        def iterate(j: jax.Array, needed: jax.Array, direction: Any, before: Any, last: Any, value: Any) -> tuple:
            """The number of stages by a power iteration, and the first of them, an Euler step."""
            largest, direction = _stretched(value, start, length, direction)
            needed = jnp.ceil(jnp.sqrt(1 + 1.54 * _SAFETY * step * largest))
            return needed, direction, y0, _combined((1.0, y0), (table[_stages(needed), 1, 2] * step, start))

        def stage(j: jax.Array, needed: jax.Array, direction: Any, before: Any, last: Any, value: Any) -> tuple:
            mu, nu, mu_field, gamma = table[_stages(needed), j]
            terms_of_sum = ((1 - mu - nu, y0), (mu, last), (nu, before), (mu_field * step, value), (gamma * step, start))
            return needed, direction, last, _combined(*terms_of_sum)

        # Round 1 iterates, 2, 3, ... are the stages, and the one after them makes the field at the end: in one loop, since
        # every copy of the field is compiled anew.
        def another(carry: tuple) -> tuple:
            j, *inner, _ = carry
            value = terms.vf(t0, inner[-1], args)
            return j + 1, *jax.lax.cond(j == 1, iterate, stage, j, *inner, value), value

        def unfinished(carry: tuple) -> jax.Array:
            j, needed, *_ = carry
            return (j == 1) | (j <= _stages(needed) + 1)

        probe = _combined((1.0, y0), (length, direction))
        carry = (jnp.asarray(1), jnp.zeros_like(step), direction, y0, probe, start)
        _, needed, direction, y1, _, end = jax.lax.while_loop(unfinished, another, carry)
        error = _combined((0.8, y0), (-0.8, y1), (0.4 * step, start), (0.4 * step, end))
        stable = needed <= _MOST_STAGES
        error = jax.tree.map(lambda leaf: jnp.where(stable, leaf, jnp.inf), error)
        dense = {"y0": y0, "y1": y1, "k0": _combined((step, start)), "k1": _combined((step, end))}
        return y1, error, dense, (end, direction), diffrax.RESULTS.successful


def _stages(needed: jax.Array) -> jax.Array:
    return jnp.clip(needed, 2, _MOST_STAGES).astype(int)


def _chosen(first: jax.Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(first, a, b), one, other)


def _combined(*pairs: tuple) -> Any:
    """Sum of factor x tree, in the trees' dtypes."""
    factors = [factor for factor, _ in pairs]

    def leaf(*leaves: jax.Array) -> jax.Array:
        return jnp.asarray(sum(jnp.asarray(f, x.dtype) * x for f, x in zip(factors, leaves, strict=True)))

    return jax.tree.map(leaf, *[tree for _, tree in pairs])


def _unit(tree: Any) -> Any:
    norm = euclidean_norm(tree)
    return jax.tree.map(lambda leaf: leaf / norm, tree)


def _length(y: Any) -> jax.Array:
    """Of the differences that stand for derivatives along a direction."""
    dtype = jnp.result_type(*jax.tree.leaves(y))
    return jnp.sqrt(jnp.finfo(dtype).eps).astype(dtype) * jnp.maximum(euclidean_norm(y), 1).astype(dtype)


def _stretched(moved: Any, field: Any, length: jax.Array, direction: Any) -> tuple[jax.Array, Any]:
    """One power iteration: how much the field's Jacobian stretches a unit direction, and the unit direction it makes.

    By a difference of the field `moved` along it, as in the authors' code: a linearisation would be compiled beside the field,
    and misses the curvature in the kinks of a piecewise linear network.
    """
    image = _combined((1 / length, moved), (-1 / length, field))
    norm = euclidean_norm(image)
    # A flat risk has no direction to follow.
    return norm, jax.tree.map(lambda new, old: jnp.where(norm > 0, new / jnp.where(norm > 0, norm, 1), old), image, direction)


def euclidean_norm(tree: Any) -> jax.Array:
    """Euclidean norm of all leaves together."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def _coefficients(stages: int) -> np.ndarray:
    """Rows (mu, nu, mu~, gamma~) of stages 0, ..., s; of the first only mu~ is used."""
    w0 = 1 + _DAMPING / stages**2
    polynomials = [chebyshev.Chebyshev.basis(j) for j in range(stages + 1)]
    value, slope, curvature = (np.array([p.deriv(m)(w0) if m else p(w0) for p in polynomials]) for m in range(3))
    w1 = slope[-1] / curvature[-1]
    b = np.empty(stages + 1)
    b[2:] = curvature[2:] / slope[2:] ** 2
    b[:2] = b[2]
    a = 1 - b * value
    j = np.arange(2, stages + 1)
    rows = np.zeros((stages + 1, 4))
    rows[1, 2] = b[1] * w1
    rows[2:, 2] = 2 * b[j] * w1 / b[j - 1]
    rows[2:, 0], rows[2:, 1], rows[2:, 3] = 2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], -a[j - 1] * rows[2:, 2]
    return rows


@functools.cache
def _table() -> np.ndarray:
    """Coefficients by number of stages, padded to the most; made when first needed."""
    return np.stack(
        [np.pad(_coefficients(max(s, 2)), ((0, _MOST_STAGES - max(s, 2)), (0, 0))) for s in range(_MOST_STAGES + 1)]
    )
