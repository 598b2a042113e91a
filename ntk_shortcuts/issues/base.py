"""What keeps a prediction from being trusted: what it is, how large, and what to do.

Each kind is a class in a file of this folder, with an anchor of its name on the page of issues.
"""

from __future__ import annotations

import abc
import dataclasses


class UntrustedPredictionWarning(UserWarning):
    """An error estimate of the prediction is above the tolerance."""


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
