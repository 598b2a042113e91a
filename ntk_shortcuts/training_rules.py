"""Training rules as spectral filters: what training does to each eigenfunction of the kernel.

Conventions: loss (1/(2N)) sum_n (f(x_n) - y_n)^2, time = learning rate x steps, lambda an eigenvalue of Theta/N (or of
the integral operator under the data law). Training multiplies the target's component along an eigenfunction by
lambda g(lambda). Parameters may carry one leading axis, to evaluate several times or strengths in one pass.
"""

from __future__ import annotations

import abc
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import is_traced, real_leaf
from ntk_shortcuts.typing import Array, Float, Scalar
from ntk_shortcuts.validation import require, require_values


class DivergenceWarning(UserWarning):
    """Gradient descent with learning rate x largest eigenvalue above 2 diverges."""


class TrainingRule(eqx.Module):
    """A spectral filter g(lambda)."""

    @abc.abstractmethod
    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: int | None) -> Float[Array, "*batch modes"]:
        """g at eigenvalues > 0; num_samples is N, or None for infinite data."""

    def check(self, largest_eigenvalue: float) -> None:
        """Warn where the rule does not converge on this spectrum."""

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the parameters: () for one rule, (T,) for several."""
        return jnp.broadcast_shapes(*(jnp.shape(leaf) for leaf in jax.tree.leaves(self)))


def _expand(parameter: Scalar, eigenvalues: jax.Array) -> jax.Array:
    parameter = jnp.asarray(parameter, eigenvalues.dtype)
    return jnp.broadcast_to(parameter[..., None], (*parameter.shape, *eigenvalues.shape))


def _require(name: str, value: Scalar, allowed: str, test) -> None:
    shape = np.shape(value)
    require(len(shape) <= 1, name, f"{allowed}: a number, or a one-dimensional array", value)
    require_values(name, value, shape, allowed, test)


class GradientFlow(TrainingRule):
    r"""Gradient flow for a time t: \(g(\lambda)=(1-e^{-\lambda t})/\lambda\); t = inf is the limit \(1/\lambda\).

    Args:
        time: t >= 0, learning rate x steps; inf allowed; a one-dimensional array for several times at once.

    Example:
        >>> float(GradientFlow(time=2.0).filter(jnp.array([0.5]), None)[0])  # (1 - 1/e) / 0.5
        1.2642...
    """

    time: Scalar

    def __init__(self, time: Scalar):
        _require("time", time, ">= 0", lambda v: v >= 0)
        self.time = real_leaf(time)

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: int | None = None) -> Float[Array, "*batch modes"]:
        time = _expand(self.time, eigenvalues)
        eigenvalues = jnp.broadcast_to(eigenvalues, time.shape)
        finite = jnp.isfinite(time)
        decay = jnp.where(finite, -jnp.expm1(-jnp.where(finite, time, 1) * eigenvalues), 1)
        return decay / eigenvalues


class GradientDescent(TrainingRule):
    r"""Full-batch gradient descent: \(g(\lambda)=(1-(1-\eta\lambda)^k)/\lambda\).

    Args:
        learning_rate: eta > 0. Above 2 / lambda_max training diverges, and predictions carry a DivergenceWarning.
        steps: k >= 0, an integer, or inf for the limit (1/lambda where 0 < eta lambda < 2; infinite beyond).
    """

    learning_rate: Scalar
    steps: Scalar

    def __init__(self, learning_rate: Scalar, steps: Scalar):
        _require("learning_rate", learning_rate, "positive and finite", lambda v: (v > 0) & (v < np.inf))
        _require(
            "steps",
            steps,
            "an integer >= 0, or inf",
            lambda v: (v >= 0) & ((v == np.floor(v)) | (v == np.inf)),
        )
        self.learning_rate = real_leaf(learning_rate)
        self.steps = real_leaf(steps)

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: int | None = None) -> Float[Array, "*batch modes"]:
        shape = self.batch_shape
        rate = _expand(jnp.broadcast_to(jnp.asarray(self.learning_rate, eigenvalues.dtype), shape), eigenvalues)
        steps = _expand(jnp.broadcast_to(jnp.asarray(self.steps, eigenvalues.dtype), shape), eigenvalues)
        eigenvalues = jnp.broadcast_to(eigenvalues, rate.shape)
        step = rate * eigenvalues
        # |1 - step|^k by logarithms: exact for small step, and a zero base gives 0, its limit.
        contracting = step < 1
        log_base = jnp.where(
            contracting,
            jnp.log1p(-jnp.where(contracting, step, 0)),
            jnp.log(jnp.where(step > 1, step - 1, 1)),
        )
        exponent = jnp.where(steps > 0, steps, 1) * log_base
        odd = jnp.mod(jnp.where(jnp.isfinite(steps), steps, 0), 2) == 1
        sign = jnp.where(odd, -1, 1)
        remainder = jnp.where(contracting, -jnp.expm1(exponent), 1 - sign * jnp.exp(exponent))
        remainder = jnp.where(step == 1, 1, remainder)
        return jnp.where(steps > 0, remainder, 0) / eigenvalues

    def check(self, largest_eigenvalue: float) -> None:
        if is_traced(self.learning_rate, largest_eigenvalue):
            return
        product = float(np.max(self.learning_rate)) * float(largest_eigenvalue)
        if product > 2:
            warnings.warn(
                f"gradient descent diverges: learning_rate x lambda_max = {product:.4g} exceeds 2 "
                f"(lambda_max = {float(largest_eigenvalue):.4g}; use learning_rate < {2 / float(largest_eigenvalue):.4g})",
                DivergenceWarning,
                stacklevel=2,
            )


class Ridge(TrainingRule):
    r"""Kernel ridge regression with ridge delta: \(g(\lambda)=1/(\lambda+\delta/N)\); delta = 0 is the ridgeless limit.

    For infinite data \(\delta/N=0\): the population answer is the ridgeless one.

    Args:
        strength: delta >= 0, added to the diagonal of the N x N Gram matrix.
    """

    strength: Scalar

    def __init__(self, strength: Scalar):
        _require("strength", strength, ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        self.strength = real_leaf(strength)

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: int | None = None) -> Float[Array, "*batch modes"]:
        ridge = _expand(self.strength, eigenvalues)
        if num_samples is None:
            ridge = jnp.zeros_like(ridge)
        else:
            ridge = ridge / num_samples
        return 1 / (jnp.broadcast_to(eigenvalues, ridge.shape) + ridge)
