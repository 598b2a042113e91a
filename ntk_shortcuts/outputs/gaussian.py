"""Outputs as a Gaussian law at each point."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import Issue
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64, is_traced, safe_sqrt
from ntk_shortcuts.outputs.base import Mean, Outputs
from ntk_shortcuts.outputs.error import OutputError
from ntk_shortcuts.outputs.signs import decided, expected_right, expected_sign
from ntk_shortcuts.padding import in_batch
from ntk_shortcuts.typing import AnyArray, Array, Float


class GaussianOutputs(Outputs):
    """A Gaussian law of each output: `location` and `variance` (None: no spread), (*batch, n); `error`: of both."""

    location: Float[AnyArray, "*batch n"]
    variance: Float[AnyArray, "*batch n"] | None
    error: OutputError | None = None
    diagnostics: dict[str, float] = eqx.field(default_factory=dict)
    issues: tuple[Issue, ...] = eqx.field(default=(), static=True)
    covariance: Float[Array, "*batch n k k"] | None = None

    @property
    def mean(self) -> AnyArray:
        return self.location

    @property
    @in_float64
    def std(self) -> AnyArray:
        if is_traced(self.location, self.variance):
            return jnp.zeros_like(self.location) if self.variance is None else safe_sqrt(jnp.asarray(self.variance))
        # In NumPy, which has no programs to compile for each number of times.
        return np.sqrt(np.maximum(0 * np.asarray(self.location) if self.variance is None else np.asarray(self.variance), 0))

    @property
    def samples(self) -> None:
        return None

    def in_batch(self, points: TestPoints) -> tuple[GaussianOutputs, tuple[int, ...] | None]:
        if is_traced(self):
            return self, None
        axes = np.ndim(self.location) - (1 if points.classes is None else 2)
        shape = np.shape(self.location)[: min(axes, 1)]
        return in_batch(shape, self), shape

    def average(self, number: Callable[[Any], jax.Array]) -> Mean:
        return Mean(number(self), None, None)

    def silenced(self, issue: Issue) -> GaussianOutputs:
        return dataclasses.replace(self, location=jnp.zeros_like(self.location), error=None, issues=(issue,))

    def signs(self, points: TestPoints) -> jax.Array:
        if points.classes is not None:
            return expected_right(self.location, self.variance, self.covariance, points.classes)
        return expected_sign(decided(jnp.asarray(self.location), jnp.asarray(points.reach)), jnp.asarray(self.std))

    def shifted(self) -> GaussianOutputs | None:
        if self.error is None:
            return None
        mean, variance = self.error.shifted(self.location, self.std**2)
        return GaussianOutputs(location=mean, variance=variance)
