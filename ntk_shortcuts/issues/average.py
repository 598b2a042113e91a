"""What averages over data sets leave open."""

from __future__ import annotations

import dataclasses

from ntk_shortcuts.issues.base import Issue


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
