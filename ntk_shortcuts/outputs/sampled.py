"""Outputs as samples: of networks, or of data sets over which each has a Gaussian law."""

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
from ntk_shortcuts.numerics import in_float64, safe_sqrt
from ntk_shortcuts.outputs.base import Mean, Outputs
from ntk_shortcuts.outputs.error import OutputError
from ntk_shortcuts.outputs.signs import cell_signs, decided, expected_right, expected_sign
from ntk_shortcuts.typing import AnyArray, Array, Float


class SampledOutputs(Outputs):
    """Outputs of samples: of networks, or of data sets over which each has a Gaussian law.

    - `values` (samples, *batch, n); `variances` likewise (None: no spread within a sample); `error`: of both.
    - `networks`: whether samples are single networks, rather than data sets.
    - `in_cells`: whether the signs are averaged over cells of a square grid, as where derivatives are taken.
    - `coarse` (first, *batch, n): outputs of the first samples by the coarser rule that all others have; None: one for all.
    - `group`: samples are independent in groups of so many.
    """

    values: Float[AnyArray, "samples *batch n"]
    variances: Float[AnyArray, "samples *batch n"] | None = None
    error: OutputError | None = None
    diagnostics: dict[str, float] = eqx.field(default_factory=dict)
    issues: tuple[Issue, ...] = eqx.field(default=(), static=True)
    networks: bool = eqx.field(default=True, static=True)
    in_cells: bool = eqx.field(default=False, static=True)
    covariance: Float[Array, "samples *batch n k k"] | None = None
    coarse: Float[AnyArray, "first *batch n"] | None = None
    group: int = eqx.field(default=1, static=True)

    @property
    @in_float64
    def mean(self) -> jax.Array:
        return jnp.mean(self.each(_values), axis=0)

    @property
    @in_float64
    def std(self) -> jax.Array:
        values = self.each(_values)
        if self.variances is None:
            return jnp.std(values, axis=0, ddof=min(1, len(values) - 1))
        within = jnp.mean(jnp.asarray(self.variances), axis=0)
        return safe_sqrt(within + jnp.var(values, axis=0, ddof=min(1, len(values) - 1)))

    @property
    def of_networks(self) -> bool:
        return self.networks

    @property
    def samples(self) -> int:
        return len(self.values)

    def each(self, number: Callable[[Any], jax.Array]) -> Float[Array, "samples *batch"]:
        """The number of every sample; that of samples by the coarser rule is moved as the first ones are on average.

        The mean over samples is then that of the finer rule, with the scatter that the few differences leave. Label D13.6.
        """
        numbers = number(self)
        if self.coarse is None:
            return numbers
        return numbers.at[len(self.coarse) :].add(jnp.mean(self._moves(number), axis=0))

    def average(self, number: Callable[[Any], jax.Array]) -> Mean:
        numbers, count = self.each(number), self.samples
        mean, spread = jnp.mean(numbers, axis=0), jnp.std(numbers, axis=0, ddof=min(1, count - 1))
        groups = -(-count // self.group)
        if groups == 1:  # whose members are taken as independent: there is nothing else to tell by
            return Mean(mean, spread, spread / np.sqrt(count))
        sums = jax.ops.segment_sum(numbers - mean, np.arange(count) // self.group, groups)
        variance = jnp.sum(sums**2, axis=0) / count**2 * groups / (groups - 1)
        if self.coarse is not None:
            first = len(self.coarse)
            variance += jnp.var(self._moves(number), axis=0, ddof=1) * (1 / first - 1 / count)
        return Mean(mean, spread, safe_sqrt(variance))

    def _moves(self, number: Callable[[Any], jax.Array]) -> jax.Array:
        """From the coarser rule to the finer one, of the samples that have both."""
        coarse = jnp.asarray(self.coarse)
        return number(self)[: len(coarse)] - number(dataclasses.replace(self, values=coarse, coarse=None))

    def silenced(self, issue: Issue) -> SampledOutputs:
        # What single networks do is not known to be 0: a finite one has its own output at initialisation.
        return dataclasses.replace(self, issues=(*self.issues, issue))

    def signs(self, points: TestPoints) -> jax.Array:
        values = jnp.asarray(self.values)
        if points.classes is not None:
            return expected_right(values, self.variances, self.covariance, points.classes)
        if self.in_cells:
            return cell_signs(values)
        spread = jnp.zeros_like(values) if self.variances is None else safe_sqrt(jnp.asarray(self.variances))
        return expected_sign(decided(values, jnp.asarray(points.reach)), spread)

    def shifted(self) -> SampledOutputs | None:
        if self.error is None or self.variances is None:
            return None
        values, variances = self.error.shifted(self.values, self.variances)
        return SampledOutputs(values=values, variances=variances, networks=self.networks)


def _values(outputs: SampledOutputs) -> jax.Array:
    return jnp.asarray(outputs.values)
