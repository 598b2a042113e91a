"""The squared loss."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ntk_shortcuts.training.losses.base import Loss


class Squared(Loss):
    r"""\(\ell=\frac12(f-y)^2\), \(\ell'=f-y\).

    Example:
        >>> Squared()(3.0, 1.0)
        2.0
    """

    name: ClassVar[str] = "squared"
    spectral: ClassVar[bool] = True

    def __call__(self, output: Any, label: Any) -> Any:
        return (output - label) ** 2 / 2

    def slope(self, output: jax.Array, label: float) -> jax.Array:
        return output - label

    def curvature(self, output: jax.Array, label: float) -> jax.Array:
        return jnp.ones_like(output)
