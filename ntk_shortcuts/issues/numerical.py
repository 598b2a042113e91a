"""What the arithmetic, the nodes and the solvers leave open."""

from __future__ import annotations

import dataclasses

from ntk_shortcuts.issues.base import Issue

ROUNDING_OF_BIAS = 2e-3
"""Moves of the bias by rounding beyond this are an issue."""
ROUNDING_OF_OUTPUTS = 1e-3
"""And errors of mean outputs beyond this part of the largest output or label."""


@dataclasses.dataclass(frozen=True)
class Unconverged(Issue):
    """The number that refinement watches still moved at the finest rule of nodes, by `size`."""

    tolerance: float

    @property
    def what(self) -> str:
        return f"the bias still moved by {self.size:.2g}, more than tolerance={self.tolerance:g}, at the finest rule of nodes"

    @property
    def advice(self) -> str:
        return "trust it to that"


@dataclasses.dataclass(frozen=True)
class Rounding(Issue):
    """Errors of the arithmetic, or of a sum of resolvents, move the bias by `size`. Label D4.7."""

    @property
    def what(self) -> str:
        where = "at some probes the outputs are within the error of the arithmetic, or hang on modes that it does not resolve"
        return f"rounding moves the bias by up to {self.size:.2g}: {where}"

    @property
    def advice(self) -> str:
        return (
            "either the random output at initialisation is many orders of magnitude above what is left of it "
            "(random_init=False leaves it out), or training reaches a direction in which the data hardly vary, or the end of a "
            "smooth kernel's spectrum, which a finite time or a ridge decides"
        )


@dataclasses.dataclass(frozen=True)
class RoundedOutputs(Issue):
    """Rounding moves mean outputs by up to `size`; the largest output or label is `scale`. Label D4.7."""

    scale: float

    @property
    def what(self) -> str:
        return (
            f"rounding moves the mean output by up to {self.size:.2g}, where the largest output or label is {self.scale:.2g}: "
            "training reaches eigenvalues that the arithmetic hardly resolves"
        )

    @property
    def advice(self) -> str:
        return "a finite time or a ridge decides them"


@dataclasses.dataclass(frozen=True)
class UnresolvedDirection(Issue):
    """Inputs vary in one direction by `size` of the other only (second moments), below the arithmetic, and it would be
    learnt."""

    learnt: float

    @property
    def what(self) -> str:
        return (
            f"the inputs' second moment in one direction is {self.size:.1g} of that in the other, below the resolution of the "
            f"arithmetic, and {self.learnt:.1g} of the target's part there would be learnt, but is left out"
        )

    @property
    def advice(self) -> str:
        return 'linear networks and one hidden layer of ReLU have a closed form, method="leading_order"'


@dataclasses.dataclass(frozen=True)
class UnresolvedLabels(Issue):
    """A part `size` of the labels' square lies along eigenvalues below `resolution`, which training would reach."""

    resolution: float

    @property
    def what(self) -> str:
        return (
            f"{self.size:.2g} of the labels' square lies along eigenvalues below {self.resolution:.2g}, which rounding hides "
            "and this training would reach: the outputs leave them out"
        )

    @property
    def advice(self) -> str:
        return "a finite time or a ridge decides them"


@dataclasses.dataclass(frozen=True)
class LowRank(Issue):
    """Landmarks stand for a data set's kernel with an error estimated at `size`."""

    samples: int
    rank: int
    tolerance: float

    @property
    def what(self) -> str:
        return (
            f"{self.samples} samples through {self.rank} landmarks: outputs may be off by {self.size:.1e}, above "
            f"rank_tolerance = {self.tolerance:g}"
        )

    @property
    def advice(self) -> str:
        return "a shorter time or a ridge needs fewer landmarks, and without rank_tolerance the whole kernel is solved"


@dataclasses.dataclass(frozen=True)
class UnfinishedSolve(Issue):
    """A large data set was solved in a space of so many dimensions, and outputs may be off by `size`. Label D16.1."""

    samples: int
    dimension: int
    tolerance: float

    @property
    def what(self) -> str:
        return (
            f"{self.samples} samples in a Krylov space of {self.dimension} dimensions: outputs are off by at most "
            f"{self.size:.1e}, which is not below {self.tolerance:g}"
        )

    @property
    def advice(self) -> str:
        return "a shorter time or a ridge needs a smaller space, and fewer probes leave more of it"


@dataclasses.dataclass(frozen=True)
class LostOutputs(Issue):
    """Up to time `size` the outputs f - f_0 are within the rounding of f_0."""

    dtype: str

    @property
    def what(self) -> str:
        return (
            f"at time {self.size:.3g} the outputs f - f_0 are within the rounding of f_0 in {self.dtype}, and their signs noise"
        )

    @property
    def advice(self) -> str:
        return 'dtype="float64" reaches further, and before the kernel moves method="population" has the answer'


@dataclasses.dataclass(frozen=True)
class UndecidedProbes(Issue):
    """Probes within the solver's error of the decision boundary decide `size` of the bias."""

    @property
    def what(self) -> str:
        return f"probes within the solver's error of the decision boundary decide up to {self.size:.2g} of the bias"

    @property
    def advice(self) -> str:
        return "others (probes=) do not lie on it"
