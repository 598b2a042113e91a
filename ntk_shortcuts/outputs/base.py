"""Outputs at test points: what every method returns, as a Gaussian law or as samples."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax

from ntk_shortcuts.issues import Issue
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import AnyArray, Array, Float


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
