"""What the outputs at test points may be off by."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import AnyArray, Float
from ntk_shortcuts.validation import require

DRAWS = 6


class OutputError(Record):
    """Errors that the law of the outputs at the test points may have.

    - `mean` (*batch, draws, n): draws of the mean's. Errors of different points go together, which decides how far they move a
      count of signs.
    - `variance` (*batch, n): size of the variance's, of either sign and independent between points.
    """

    mean: Float[AnyArray, "*batch draws n"]
    variance: Float[AnyArray, "*batch n"]

    def shifted(self, mean: Any, variance: Any) -> tuple[jax.Array, jax.Array]:
        """Means and variances (*batch, 2 draws, n) that are off by draws of this error, of both signs."""
        mean, variance = jnp.asarray(mean), jnp.asarray(variance)
        draws = np.random.default_rng(1).normal(size=(DRAWS, mean.shape[-1])).astype(mean.dtype)
        noise = jnp.asarray(self.variance)[..., None, :] * draws
        # Both ways, and twice the expected size: the outputs hold such an error already.
        by_mean, by_variance = (
            jnp.concatenate([2 * part, -2 * part], axis=-2) for part in (jnp.broadcast_to(self.mean, noise.shape), noise)
        )
        return mean[..., None, :] + by_mean, jnp.maximum(variance[..., None, :] + by_variance, 0)


def require_finite_outputs(mean: AnyArray, spread: AnyArray | None) -> None:
    """Refuse outputs that overflowed; traced ones cannot tell."""
    leaves = [mean] if spread is None else [mean, spread]
    if not is_traced(leaves):
        finite = all(bool(np.all(np.isfinite(np.asarray(leaf)))) for leaf in leaves)
        require(finite, "outputs", f"finite: kernel and training rule within the range of {mean.dtype}", "an overflow")
