"""Agreement of a classifier with one attribute of the test points."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.typing import Array, Float


class Agreement(Metric):
    r"""\(A=\mathrm{mean}_z\,\mathrm{sign}f(z)\,a(z)\), in [-1, 1], a the side on which z lies by the attribute.

    Args:
        attribute: its name among those of the test points.
    """

    attribute: str = eqx.field(static=True)

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch"]:
        return signs @ jnp.asarray(points.attributes[self.attribute]).astype(signs.dtype) / signs.shape[-1]
