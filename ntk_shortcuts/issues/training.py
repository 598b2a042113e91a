"""Where training leaves what is predicted, or does not converge."""

from __future__ import annotations

import dataclasses

from ntk_shortcuts.issues.base import Issue, UntrustedPredictionWarning

LAZINESS = 0.1
"""A frozen bias is trusted to this."""


class DivergenceWarning(UntrustedPredictionWarning):
    """Gradient descent with learning rate x largest eigenvalue above 2 diverges."""


@dataclasses.dataclass(frozen=True)
class LazinessGap(Issue):
    """At this width the kernel moves: a flow of such networks puts the bias `size` away from the frozen kernel's.

    On own data the networks flow on its samples (`on_samples`), else on the data law.
    """

    width: int
    on_samples: bool = False

    @property
    def what(self) -> str:
        return (
            f"at width {self.width} the kernel moves: a coarse flow of such networks puts the bias {self.size:.2f} from that "
            "of the frozen kernel"
        )

    @property
    def advice(self) -> str:
        if self.on_samples:
            return "train such networks on these samples (train_ensemble), or compare a wider one"
        return 'method="population_flow" predicts them'


@dataclasses.dataclass(frozen=True)
class WidthIgnored(Issue):
    """A network of width `size` on a pool is predicted by the frozen kernel of infinite width."""

    @property
    def what(self) -> str:
        return f"on a pool a network of width {self.size:.0f} is predicted as if infinitely wide: its kernel does not move here"

    @property
    def advice(self) -> str:
        return "train_ensemble(pool, ...) trains such networks; leave the width out where it is meant to be infinite"


@dataclasses.dataclass(frozen=True)
class OutOfSteps(Issue):
    """The solver of a flow stopped at time `size`."""

    wanted: float
    max_steps: int | None = None

    @property
    def what(self) -> str:
        steps = "" if self.max_steps is None else f"={self.max_steps}"
        return (
            f"the solver ran out of max_steps{steps} at time {self.size:.4g} of {self.wanted:.4g}: predictions beyond and "
            "their derivatives are NaN"
        )

    @property
    def advice(self) -> str:
        return "raise max_steps or step_tolerance"


@dataclasses.dataclass(frozen=True)
class Divergence(Issue):
    """Gradient descent diverges: learning rate x largest eigenvalue is `size`, above `bound`."""

    largest_eigenvalue: float
    bound: float = 2.0

    @property
    def category(self) -> type[Warning]:
        return DivergenceWarning

    @property
    def what(self) -> str:
        return (
            f"gradient descent diverges: learning_rate x lambda_max = {self.size:.4g} exceeds {self.bound:.4g} "
            f"(lambda_max = {self.largest_eigenvalue:.4g})"
        )

    @property
    def advice(self) -> str:
        return f"use learning_rate < {self.bound / self.largest_eigenvalue:.4g}"


@dataclasses.dataclass(frozen=True)
class UnstableSteps(Issue):
    """A schedule has rates at which steps diverge: learning rate x largest eigenvalue reaches `size`, above `bound`."""

    largest_eigenvalue: float
    bound: float
    steps: int
    left: float

    @property
    def category(self) -> type[Warning]:
        return DivergenceWarning

    @property
    def what(self) -> str:
        return (
            f"{self.steps} steps of the schedule diverge: learning_rate x lambda_max reaches {self.size:.4g}, above "
            f"{self.bound:.4g} (lambda_max = {self.largest_eigenvalue:.4g}). Of the target's part there {self.left:.3g} is "
            "left at the end, or at the worst of several; networks of finite width leave the frozen kernel meanwhile"
        )

    @property
    def advice(self) -> str:
        return f"keep rates below {self.bound / self.largest_eigenvalue:.4g}"
