r"""Gradient descent with momentum, weight decay and a rate of its own for every step: the filter as a recursion.

Along an eigenfunction of eigenvalue \(\lambda\) the outputs are \(f_0+\lambda g\,(f^*-f_0)\), and the optimiser's steps on the
parameters are those of \(g\) and of its buffer m, from \(g=m=0\):

\[G=(\lambda+w)\,g-1,\qquad m\leftarrow\beta m+G,\qquad g\leftarrow(1-\eta_kw')\,g-\eta_k\,(m\ \text{or}\ G+\beta m),\]

w the decay that is added to the gradient, w' the decoupled one, the second alternative Nesterov's. Nothing is divided by
\(\lambda\), so that it holds down to \(\lambda=0\). Labels D13.1 and D13.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

# Steps are counted in bits: as many as a float64 holds exactly.
_BITS = 53


class Recursion(NamedTuple):
    """One step's numbers, each broadcastable to the filter's (*batch, modes): `curvature` is lambda + w, `decay` is w'."""

    curvature: jax.Array
    decay: jax.Array
    momentum: jax.Array
    nesterov: bool

    def step(self, rate: Any) -> tuple[tuple[Any, Any], tuple[Any, Any], tuple[Any, Any]]:
        """Rows of the matrix on (g, m), and what is added."""
        kept, beta, curvature = 1 - rate * self.decay, self.momentum, self.curvature
        # The update is (a, b) . (G, m) before the step.
        a, b = (1 + beta, beta**2) if self.nesterov else (1, beta)
        return (kept - rate * a * curvature, -rate * b), (curvature, beta), (rate * a, -1.0)

    def largest_rate(self) -> Any:
        """The rate from which on constant steps diverge; infinite without curvature and decay."""
        beta = self.momentum
        slope = (1 + 2 * beta if self.nesterov else 1) * self.curvature + (1 + beta) * self.decay
        return 2 * (1 + beta) / slope


def many_equal_steps(recursion: Recursion, rate: jax.Array, steps: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """g after a number of steps of one rate, by squaring the affine map of a step: 53 products, however many steps."""

    def spread(value: Any) -> jax.Array:
        return jnp.broadcast_to(jnp.asarray(value, rate.dtype), shape)

    first, second, added = recursion.step(rate)
    step = tuple(spread(value) for value in (*first, *second, *added))
    steps = jnp.broadcast_to(steps, shape)

    def double(carry: Any, bit: jax.Array) -> tuple[Any, None]:
        (a, b, c, d, e, f), (g, m) = carry
        taken = jnp.mod(jnp.floor(steps * 2.0**-bit), 2) == 1
        g, m = jnp.where(taken, a * g + b * m + e, g), jnp.where(taken, c * g + d * m + f, m)
        bc = b * c
        squared = (a * a + bc, b * (a + d), c * (a + d), d * d + bc, a * e + b * f + e, c * e + d * f + f)
        # Powers beyond the last step would overflow where steps diverge.
        more = steps >= 2.0 ** (bit + 1)
        return (tuple(jnp.where(more, new, old) for new, old in zip(squared, (a, b, c, d, e, f), strict=True)), (g, m)), None

    zero = jnp.zeros(shape, rate.dtype)
    (_, (g, _)), _ = jax.lax.scan(double, (step, (zero, zero)), jnp.arange(_BITS, dtype=rate.dtype))
    return g


def scheduled_steps(recursion: Recursion, rates: jax.Array, steps: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """g after so many steps of the given rates, one after another."""
    steps = jnp.broadcast_to(steps, shape)

    def advance(carry: Any, numbered: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        g, m, found = carry
        rate, number = numbered
        (a, b), (c, d), (e, f) = recursion.step(rate)
        g, m = a * g + b * m + e, c * g + d * m + f
        return (g, m, jnp.where(steps == number, g, found)), None

    zero = jnp.zeros(shape, rates.dtype)
    numbers = jnp.arange(1, len(rates) + 1, dtype=rates.dtype)
    (_, _, found), _ = jax.lax.scan(advance, (zero, zero, zero), (rates, numbers))
    return found
