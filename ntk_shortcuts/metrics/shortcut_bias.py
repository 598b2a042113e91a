"""Shortcut bias: reliance beyond that of the Bayes-optimal classifier."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.metrics.reliance import Reliance, reliance
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.typing import AnyArray, Array, Float, Latents, Num


class ShortcutBias(Metric):
    """The reliance less that of the Bayes-optimal classifier, which is 0 for the latter.

    Args:
        shortcut: name of an attribute of the test points, as for :class:`~ntk_shortcuts.metrics.reliance.Reliance`.
        core: likewise.

    Source: Hermann et al. (2024), section 3.
    """

    shortcut: str = eqx.field(default="shortcut", static=True)
    core: str = eqx.field(default="core", static=True)

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch"]:
        reliance = Reliance(self.shortcut, self.core)
        return reliance.of_signs(signs, points) - reliance.of_signs(jnp.asarray(points.optimal), points)


@in_float64
def shortcut_bias(outputs: Num[AnyArray, "*batch probes"], model: Any, probes: Latents | None = None) -> Float[Array, "*batch"]:
    """Reliance beyond that of the Bayes-optimal classifier, for outputs at the probes (by default the 30 x 30 grid).

    Example:
        >>> from ntk_shortcuts import GenerativeModel
        >>> model = GenerativeModel(predictivity=(0.85, 0.90))
        >>> probes = model.probe_grid()
        >>> float(shortcut_bias(probes @ model.bayes_direction, model))
        0.0
    """
    points = model.test_points(probes)
    return reliance(outputs, points.points) - Reliance().optimal(points)
