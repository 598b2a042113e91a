"""Issues: what is wrong with a prediction, how large it is, and what to do; one file for each source of them."""

from ntk_shortcuts.issues.average import FewSamples, UntrustedAverage
from ntk_shortcuts.issues.base import Issue, UntrustedPredictionWarning
from ntk_shortcuts.issues.law import PoorFit, ShortcutIsOptimal, UnseenTarget
from ntk_shortcuts.issues.numerical import (
    ROUNDING_OF_BIAS,
    ROUNDING_OF_OUTPUTS,
    LostOutputs,
    LowRank,
    RoundedOutputs,
    Rounding,
    Unconverged,
    UndecidedProbes,
    UnfinishedSolve,
    UnresolvedDirection,
    UnresolvedLabels,
)
from ntk_shortcuts.issues.pool import (
    AttributeCodes,
    AttributeIsLabel,
    ConstantInputs,
    EmptyGroups,
    OpposedAttribute,
    SharedSamples,
)
from ntk_shortcuts.issues.training import (
    LAZINESS,
    Divergence,
    DivergenceWarning,
    LazinessGap,
    OutOfSteps,
    UnstableSteps,
    WidthIgnored,
)
from ntk_shortcuts.issues.warn import give, give_deprecation, said_together, warn_user

__all__ = [
    "LAZINESS",
    "ROUNDING_OF_BIAS",
    "ROUNDING_OF_OUTPUTS",
    "AttributeCodes",
    "AttributeIsLabel",
    "ConstantInputs",
    "Divergence",
    "DivergenceWarning",
    "EmptyGroups",
    "FewSamples",
    "Issue",
    "LazinessGap",
    "LostOutputs",
    "LowRank",
    "OpposedAttribute",
    "OutOfSteps",
    "PoorFit",
    "RoundedOutputs",
    "Rounding",
    "SharedSamples",
    "ShortcutIsOptimal",
    "Unconverged",
    "UndecidedProbes",
    "UnfinishedSolve",
    "UnresolvedDirection",
    "UnresolvedLabels",
    "UnseenTarget",
    "UnstableSteps",
    "UntrustedAverage",
    "UntrustedPredictionWarning",
    "WidthIgnored",
    "give",
    "give_deprecation",
    "said_together",
    "warn_user",
]
