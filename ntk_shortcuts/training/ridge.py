"""Kernel ridge regression."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import Axis, declare_axes
from ntk_shortcuts.numerics import real_leaf
from ntk_shortcuts.training.learner import Learner
from ntk_shortcuts.training.rules import NEGLIGIBLE, RationalFilter, TrainingRule, expanded, require_parameter
from ntk_shortcuts.typing import Array, Batch, Float, Scalar, Times


class Ridge(TrainingRule):
    r"""Kernel ridge regression with ridge delta: \(g(\lambda)=1/(\lambda+\delta/N)\); delta = 0 is the ridgeless limit.

    For infinite data \(\delta/N=0\): the population answer is the ridgeless one. Label D4.3.

    Args:
        strength: delta >= 0, added to the diagonal of the N x N Gram matrix.
    """

    sources: ClassVar[tuple[str, ...]] = ("hoerl1970ridge",)

    strength: Batch

    def __init__(self, strength: Times):
        require_parameter("strength", strength, ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        self.strength = real_leaf(strength)

    @property
    def coordinates(self) -> dict[str, Any]:
        return {"strength": self.strength} if np.ndim(self.strength) else {}

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: Scalar | None = None) -> Float[Array, "*batch modes"]:
        ridge = expanded(self.strength, eigenvalues)
        if num_samples is None:
            ridge = jnp.zeros_like(ridge)
        else:
            ridge = ridge / num_samples
        return 1 / (jnp.broadcast_to(eigenvalues, ridge.shape) + ridge)

    def follow(self, learner: Learner, num_samples: int | None) -> Float[np.ndarray, "*batch inits modes"]:
        """The regularised loss, mean loss + strength/(2N) times the squared norm; without N its limit, the minimiser."""
        strength = np.asarray(self.strength, np.float64)
        return learner.minimiser(strength / num_samples if num_samples is not None else 0 * strength)

    def expansion(self, num_samples: Scalar | None = None) -> tuple[Batch, Batch]:
        strength = jnp.asarray(self.strength)
        inverse = jnp.inf * jnp.ones_like(strength) if num_samples is None else num_samples / strength
        return inverse, -(inverse**2)

    def rational(self, num_samples: Scalar | None, largest_eigenvalue: Scalar, nodes: int = 6) -> RationalFilter:
        r"""One real pole, at \(-\delta/N\)."""
        strength = jnp.asarray(self.strength) / num_samples if num_samples is not None else 0 * jnp.asarray(self.strength)
        pole = -jnp.maximum(strength, largest_eigenvalue / NEGLIGIBLE)
        return RationalFilter(pole[..., None] + 0j, jnp.ones_like(pole)[..., None] + 0j)


declare_axes(Ridge, "training", "Ridge", {"strength": Axis("ridge strength")})
