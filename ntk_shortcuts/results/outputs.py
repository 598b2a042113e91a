"""Outputs at test points: what every method returns, as a Gaussian law or as samples, with what they may be off by."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64, is_traced, safe_sqrt
from ntk_shortcuts.padding import in_batch
from ntk_shortcuts.results.issues import Issue
from ntk_shortcuts.results.signs import cell_signs, decided, expected_sign, right_class
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import AnyArray, Array, Float
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


class Mean(NamedTuple):
    """A number's mean over samples, its spread from sample to sample, and the mean's standard error; the last two None for a
    law."""

    value: jax.Array
    spread: jax.Array | None
    error: jax.Array | None


class Outputs(Record):
    """Outputs at n test points, for one training rule or a batch of them.

    Of networks of k outputs, mean and variance have a last axis (k,), and `covariance` (*batch, n, k, k) is the outputs' joint
    one; None where they are independent.

    - `diagnostics`: size of every approximation made, by name. `issues`: what keeps them from being trusted.
    """

    # Fields of both subclasses, which dataclasses would put first if they stood here.
    if TYPE_CHECKING:
        diagnostics: dict[str, float]
        issues: tuple[Issue, ...]

    @property
    @abc.abstractmethod
    def mean(self) -> Float[AnyArray, "*batch n"]:
        """Over all that is random."""

    @property
    @abc.abstractmethod
    def std(self) -> Float[AnyArray, "*batch n"]:
        """Standard deviation over all that is random."""

    @property
    def of_networks(self) -> bool:
        """Whether they are samples of single networks."""
        return False

    @property
    @abc.abstractmethod
    def samples(self) -> int | None:
        """How many samples; None for a law."""

    @abc.abstractmethod
    def average(self, number: Callable[[Any], jax.Array]) -> Mean:
        """The mean of a number that a function reads off such outputs, of each sample along the first axis."""

    @abc.abstractmethod
    def signs(self, points: TestPoints) -> Float[Array, "*samples_and_batch n"]:
        """Expected sign of each output; of each sample along the first axis."""

    def in_batch(self, points: TestPoints) -> tuple[Outputs, tuple[int, ...] | None]:
        """The same with its first axis, or none, filled up to one of a few sizes, which share compiled programs; and the shape
        by which :func:`ntk_shortcuts.padding.out_of_batch` takes it back. As it is, and None, where there is no such axis."""
        return self, None

    def shifted(self) -> Outputs | None:
        """The outputs moved by draws of their error, of both signs, along an axis before the last; None without an error."""
        return None

    def with_notes(self, diagnostics: dict[str, float] | None = None, issues: tuple[Issue, ...] = ()) -> Any:
        """The same outputs with diagnostics and issues added."""
        noted = {**self.diagnostics, **(diagnostics or {})}
        return dataclasses.replace(self, diagnostics=noted, issues=(*self.issues, *issues))

    @abc.abstractmethod
    def silenced(self, issue: Issue) -> Any:
        """The same outputs with mean 0 and without an error: of a network that sees nothing of the target, by that issue."""

    def with_notes_dropped(self) -> Any:
        """The bare outputs, whose type does not depend on what was found."""
        return dataclasses.replace(self, diagnostics={}, issues=())


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
            return _right(self.location, self.variance, self.covariance, points.classes)
        return expected_sign(decided(jnp.asarray(self.location), jnp.asarray(points.reach)), jnp.asarray(self.std))

    def shifted(self) -> GaussianOutputs | None:
        if self.error is None:
            return None
        mean, variance = _shifted(self.location, self.std**2, self.error)
        return GaussianOutputs(location=mean, variance=variance)


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
            return _right(values, self.variances, self.covariance, points.classes)
        if self.in_cells:
            return cell_signs(values)
        spread = jnp.zeros_like(values) if self.variances is None else safe_sqrt(jnp.asarray(self.variances))
        return expected_sign(decided(values, jnp.asarray(points.reach)), spread)

    def shifted(self) -> SampledOutputs | None:
        if self.error is None or self.variances is None:
            return None
        values, variances = _shifted(self.values, self.variances, self.error)
        return SampledOutputs(values=values, variances=variances, networks=self.networks)


def _values(outputs: SampledOutputs) -> jax.Array:
    return jnp.asarray(outputs.values)


def _right(mean: Any, variance: Any, covariance: Any, classes: Any) -> jax.Array:
    """2 P(the class' output is largest) - 1: the expected sign of a decision that is right where it is +1."""
    mean = jnp.asarray(mean)
    if covariance is None and variance is not None:
        covariance = jnp.asarray(variance)[..., None] * jnp.eye(mean.shape[-1], dtype=mean.dtype)
    return 2 * right_class(mean, None if covariance is None else jnp.asarray(covariance), classes) - 1


def _shifted(mean: Any, variance: Any, error: OutputError) -> tuple[jax.Array, jax.Array]:
    mean, variance = jnp.asarray(mean), jnp.asarray(variance)
    draws = np.random.default_rng(1).normal(size=(DRAWS, mean.shape[-1])).astype(mean.dtype)
    noise = jnp.asarray(error.variance)[..., None, :] * draws
    # Both ways, and twice the expected size: the outputs hold such an error already.
    by_mean, by_variance = (
        jnp.concatenate([2 * part, -2 * part], axis=-2) for part in (jnp.broadcast_to(error.mean, noise.shape), noise)
    )
    return mean[..., None, :] + by_mean, jnp.maximum(variance[..., None, :] + by_variance, 0)


def require_finite_outputs(mean: AnyArray, spread: AnyArray | None) -> None:
    """Refuse outputs that overflowed; traced ones cannot tell."""
    leaves = [mean] if spread is None else [mean, spread]
    if not is_traced(leaves):
        finite = all(bool(np.all(np.isfinite(np.asarray(leaf)))) for leaf in leaves)
        require(finite, "outputs", f"finite: kernel and training rule within the range of {mean.dtype}", "an overflow")
