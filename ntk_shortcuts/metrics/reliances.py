"""Reliance on each of several shortcuts rather than on the core."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.typing import Array, Float


class Reliances(Metric):
    r"""Of each shortcut i: \(A_i-A_c\), with the agreement \(A_i=\mathrm{mean}_z\,\mathrm{sign}f(z)\,\mathrm{sign}\,z_i\).

    Shape (*batch, K - 1), shortcuts in the order of the features. Each is in [-1, 1] as for
    :class:`~ntk_shortcuts.metrics.reliance.Reliance`, which it is for one shortcut. Label D14.1.

    Args:
        features: K; the test points have the attributes feature_0, feature_1, ....
        core: the number of the core among them.
    """

    axes: ClassVar[int] = 1
    of_shortcuts: ClassVar[bool] = True

    features: int = eqx.field(static=True)
    core: int = eqx.field(static=True)

    @property
    def shortcuts(self) -> list[int]:
        """Numbers of all features but the core."""
        return [i for i in range(self.features) if i != self.core]

    def coordinates(self, points: TestPoints) -> dict[str, list[Any]]:
        return {"shortcut": self.shortcuts}

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch shortcuts"]:
        sides = [jnp.asarray(points.attributes[f"feature_{i}"]).astype(signs.dtype) for i in range(self.features)]
        disagreement = jnp.stack([sides[i] - sides[self.core] for i in self.shortcuts], axis=1)
        return signs @ disagreement / signs.shape[-1]
