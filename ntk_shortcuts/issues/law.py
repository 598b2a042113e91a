"""What a law and a network have to do with each other, or with the data they were fitted to."""

from __future__ import annotations

import dataclasses

from ntk_shortcuts.issues.base import Issue


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
