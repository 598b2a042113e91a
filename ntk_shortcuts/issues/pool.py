"""What is wrong with the samples of a pool."""

from __future__ import annotations

import dataclasses

from ntk_shortcuts.issues.base import Issue


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
class AttributeCodes(Issue):
    """An attribute agrees with the label where both have the same code, and `size` samples have a code that no label has; or
    all have one."""

    attribute: str
    values: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def what(self) -> str:
        values, labels = (", ".join(map(str, known)) for known in (self.values, self.labels))
        one = " alone" if len(self.values) == 1 else ""
        return (
            f"{self.attribute} has the values {values}{one}, labels {labels}: an attribute agrees with the label where their "
            f"codes are the same, so that agreement with {self.attribute} and reliance on it mean nothing here"
        )

    @property
    def advice(self) -> str:
        if len(self.values) == 1:
            return "leave it out, or take samples of both kinds"
        return "give it the codes of the labels; accuracies of groups are right as they are"


@dataclasses.dataclass(frozen=True)
class OpposedAttribute(Issue):
    """An attribute of two values agrees with the label on a part `size` of the weight, averaged over the classes: below a
    quarter."""

    attribute: str

    @property
    def what(self) -> str:
        return (
            f"{self.attribute} agrees with the label on {100 * self.size:.3g} % of a class: with these codes it stands for the "
            "other class, and a network that follows it has a negative reliance"
        )

    @property
    def advice(self) -> str:
        nothing = ", though nothing would then tell it from the label" if self.size == 0 else ""
        return f"swap its codes if it is meant to indicate the class{nothing}"


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
