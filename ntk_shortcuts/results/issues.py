"""Issues: what is wrong with a prediction, how large it is, and what to do; given once, as one warning, by whoever was called.

Each kind is a class here, with an anchor of its name on the page of issues. Nothing below the entries warns.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

ROUNDING_OF_BIAS = 2e-3
"""Moves of the bias by rounding beyond this are an issue."""
ROUNDING_OF_OUTPUTS = 1e-3
"""And errors of mean outputs beyond this part of the largest output or label."""
LAZINESS = 0.1
"""A frozen bias is trusted to this."""

_PACKAGE = Path(__file__).parents[1]
# Frames between a user and an entry: decorators, and transformations.
_BETWEEN = ("equinox", "jax", "jaxtyping", "beartype")


class UntrustedPredictionWarning(UserWarning):
    """An error estimate of the prediction is above the tolerance."""


class DivergenceWarning(UntrustedPredictionWarning):
    """Gradient descent with learning rate x largest eigenvalue above 2 diverges."""


@dataclasses.dataclass(frozen=True)
class Issue(abc.ABC):
    """Something that keeps a prediction from being trusted, of the given size."""

    size: float

    @property
    def kind(self) -> str:
        """The name of the kind, and the anchor on the page of issues."""
        return type(self).__name__

    @property
    def category(self) -> type[Warning]:
        """Of the warning that says it."""
        return UntrustedPredictionWarning

    @property
    @abc.abstractmethod
    def what(self) -> str:
        """What was found, and how large it is."""

    @property
    @abc.abstractmethod
    def advice(self) -> str:
        """What to do."""

    def __str__(self) -> str:
        return f"{self.what}; {self.advice}"


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
    """Errors of the arithmetic, or of a sum of resolvents, move the bias by up to `size`. Label D4.7."""

    @property
    def what(self) -> str:
        where = "at some probes the outputs are within the error of the arithmetic"
        return f"rounding moves the bias by up to {self.size:.2g}: {where}"

    @property
    def advice(self) -> str:
        return (
            "either the random output at initialisation is many orders of magnitude above what is left of it "
            "(random_init=False leaves it out), or training reaches a direction in which the data hardly vary"
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
class FewSamples(Issue):
    """An average over data sets of so few samples (`size`) leaves out what is of relative order 1/N: `error` of the bias."""

    error: float

    @property
    def what(self) -> str:
        return (
            f"{self.size:.0f} samples are few for an average over data sets: terms of relative order 1/N are left out, which "
            f"may move the bias by {self.error:.2g}"
        )

    @property
    def advice(self) -> str:
        return 'method="monte_carlo" has none'


@dataclasses.dataclass(frozen=True)
class UntrustedAverage(Issue):
    """Some estimate of a data-set average is above its tolerance; `size` is the last move of the bias under refinement."""

    tolerance: float
    residual: float
    margin: float
    filter_error: float
    variance_moved: float = 0.0

    @property
    def what(self) -> str:
        text = (
            f"the prediction is not to be trusted to {self.tolerance:g}: the bias moved by {self.size:.2g} in the last "
            f"refinement, fixed-point residual {self.residual:.1g}, Stieltjes margin {self.margin:.1g}, filter error "
            f"{self.filter_error:.1g}"
        )
        return text if self.variance_moved == 0 else f"{text}, variance moved by {self.variance_moved:.1g} in its last pass"

    @property
    def advice(self) -> str:
        return 'a larger tolerance accepts it, and method="monte_carlo" is independent of it'


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


@dataclasses.dataclass(frozen=True)
class UnseenTarget(Issue):
    """The network is an even function of its inputs and the target an odd one; `size` is the part of the kernel that sees it,
    0."""

    @property
    def what(self) -> str:
        return (
            "the network is even in its inputs (an even activation without biases), and the target of this law odd: nothing "
            "of it can be learnt, and all outputs are 0"
        )

    @property
    def advice(self) -> str:
        return "biases (bias_variance > 0) or another activation see it"


@dataclasses.dataclass(frozen=True)
class ShortcutIsOptimal(Issue):
    """Even the Bayes-optimal classifier follows the shortcut (its reliance is `size`): a small bias is no good sign."""

    accuracy: float

    @property
    def what(self) -> str:
        return (
            f"the shortcut is the more predictive feature, and even the Bayes-optimal classifier follows it (reliance "
            f"{self.size:.2f}): the bias is measured from there. Where the two features conflict, {self.accuracy:.3f} of the "
            "probes go with the core"
        )

    @property
    def advice(self) -> str:
        return "read accuracy_conflicting, or swap the features if the first was meant as the core"


@dataclasses.dataclass(frozen=True)
class PoorFit(Issue):
    """Latents are not Gaussian within a class: `size` is the Kolmogorov-Smirnov distance of a feature from the fitted law."""

    feature: str
    allowed: float
    values: int

    @property
    def what(self) -> str:
        discrete = f" (it takes {self.values} values only)" if self.values <= 10 else ""
        return (
            f"the {self.feature} is not Gaussian within a class{discrete}: its distribution is {self.size:.2f} from the fitted "
            f"one (Kolmogorov-Smirnov), {self.allowed:.2f} is what a Gaussian sample of this size may have. The predictivity "
            "fitted to it, and predictions with it, can be far off"
        )

    @property
    def advice(self) -> str:
        instead = 'predict on the samples themselves, with dataset= and method="dataset"'
        return f"{instead}; a discrete attribute wants a pool of samples"


@dataclasses.dataclass(frozen=True)
class SharedSamples(Issue):
    """`size` of the test samples are in the pool too."""

    samples: int

    @property
    def what(self) -> str:
        return (
            f"{self.size:.0f} of the {self.samples} test samples are in the pool too: accuracies on them are those of training"
        )

    @property
    def advice(self) -> str:
        return "pool, test = pool.split(key, 0.7) makes disjoint ones; leave duplicates out first"


@dataclasses.dataclass(frozen=True)
class ConstantInputs(Issue):
    """`size` of a pool's inputs have the same value everywhere."""

    samples: int

    @property
    def what(self) -> str:
        return f"{self.size:.0f} of the pool's {self.samples} inputs have one value everywhere: there is nothing to see on them"

    @property
    def advice(self) -> str:
        return "look at them, and leave them out if they are broken"


@dataclasses.dataclass(frozen=True)
class AttributeIsLabel(Issue):
    """An attribute equals the label on all samples with a weight, `size` of them."""

    attribute: str

    @property
    def what(self) -> str:
        return (
            f"{self.attribute} equals the label on all {self.size:.0f} samples that have a weight: training cannot tell the "
            "two apart"
        )

    @property
    def advice(self) -> str:
        return "samples on which they differ, with a small weight, would; test ones show what was learnt"


@dataclasses.dataclass(frozen=True)
class EmptyGroups(Issue):
    """`size` groups have no test sample."""

    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]

    @property
    def what(self) -> str:
        shown = ", ".join(map(str, self.groups[:4])) + (", ..." if len(self.groups) > 4 else "")
        return f"no test sample is in {self.size:.0f} of the groups ({', '.join(self.names)}): {shown}; their accuracy is NaN"

    @property
    def advice(self) -> str:
        return "test on samples of every group; split keeps the groups that have two or more"


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


def give(issues: Iterable[Issue]) -> None:
    """Say all issues in one warning, at the line of the user's code that led here."""
    issues = tuple(issues)
    if not issues:
        return
    categories = {issue.category for issue in issues}
    warn_user(" | ".join(map(str, issues)), max(categories, key=lambda category: len(category.__mro__)))


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's code that led here."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_between(frame.f_code.co_filename):
        frame = frame.f_back
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    module = frame.f_globals.get("__name__", "<unknown>")
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, module, registry)


def give_deprecation(message: str) -> None:
    """Say once, at the line of the user's code, that a name has moved."""
    warn_user(message, DeprecationWarning)


def _is_between(filename: str) -> bool:
    return filename.startswith(_passed())


@functools.cache
def _passed() -> tuple[str, ...]:
    """What frames between a user and an entry are of: this package, and what decorates or transforms functions."""
    packages = (importlib.util.find_spec(name) for name in _BETWEEN)
    folders = [Path(spec.origin).parent for spec in packages if spec is not None and spec.origin is not None]
    return (*(f"{folder}{os.sep}" for folder in [_PACKAGE, *folders]), functools.__file__, contextlib.__file__)
