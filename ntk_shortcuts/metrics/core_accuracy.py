"""Accuracy with respect to the core, where the shortcut conflicts with it or agrees."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import safe_divide
from ntk_shortcuts.typing import Array, Float


class CoreAccuracy(Metric):
    r"""\(\mathrm{mean}_{z\in g}\,(1+\mathrm{sign}f(z)\,\mathrm{sign}\,z_c)/2\), g the points where both
    features conflict, or agree.

    Averaged over conflicting points it is (1 - reliance)/2: a classifier that follows the shortcut is wrong on all of them.

    Args:
        conflicting: of points where the features conflict; else of those where they agree.
        shortcut: name of an attribute of the test points.
        core: name of another.
    """

    conflicting: bool = eqx.field(default=True, static=True)
    shortcut: str = eqx.field(default="shortcut", static=True)
    core: str = eqx.field(default="core", static=True)

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch"]:
        shortcut, core = (jnp.asarray(points.attributes[name]).astype(signs.dtype) for name in (self.shortcut, self.core))
        group = (shortcut * core == (-1 if self.conflicting else 1)).astype(signs.dtype)
        return (1 + safe_divide(signs @ (core * group), jnp.sum(group))) / 2
