"""Numbers read off outputs: one file a concept."""

from ntk_shortcuts.metrics.agreement import Agreement
from ntk_shortcuts.metrics.base import Metric, Reading
from ntk_shortcuts.metrics.core_accuracy import CoreAccuracy
from ntk_shortcuts.metrics.groups import Accuracy, AttributeReliance, BalancedAccuracy, GroupAccuracy
from ntk_shortcuts.metrics.reliance import Reliance, expected_reliance, reliance
from ntk_shortcuts.metrics.reliances import Reliances
from ntk_shortcuts.metrics.shortcut_bias import ShortcutBias, shortcut_bias

__all__ = [
    "Accuracy",
    "Agreement",
    "AttributeReliance",
    "BalancedAccuracy",
    "CoreAccuracy",
    "GroupAccuracy",
    "Metric",
    "Reading",
    "Reliance",
    "Reliances",
    "ShortcutBias",
    "expected_reliance",
    "reliance",
    "shortcut_bias",
]
