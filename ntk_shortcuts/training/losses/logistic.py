"""The logistic loss: cross-entropy of one output."""

from __future__ import annotations

from typing import Any, ClassVar

import jax

from ntk_shortcuts.training.losses.base import Loss


class Logistic(Loss):
    r"""\(\ell=\log(1+e^{-yf})\), \(\ell'=-y\,s(-yf)\), \(\ell''=s(f)\,s(-f)\), s the logistic function.

    Example:
        >>> import jax.numpy as jnp
        >>> float(Logistic().slope(jnp.asarray(0.0), 1.0)), float(Logistic().curvature(jnp.asarray(0.0), 1.0))
        (-0.5, 0.25)
    """

    name: ClassVar[str] = "logistic"
    largest_curvature: ClassVar[float] = 0.25

    def __call__(self, output: Any, label: Any) -> Any:
        return jax.nn.softplus(-label * output)

    def slope(self, output: jax.Array, label: float) -> jax.Array:
        return -label * jax.nn.sigmoid(-label * output)

    def curvature(self, output: jax.Array, label: float) -> jax.Array:
        return jax.nn.sigmoid(output) * jax.nn.sigmoid(-output)
