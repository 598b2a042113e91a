"""Questions beyond one prediction: spectra, influence of points, searches, moving kernels."""

from typing import TYPE_CHECKING, Any

from ntk_shortcuts.analysis.audit import audit
from ntk_shortcuts.analysis.infinite_width import WidthLimit, infinite_width_limit
from ntk_shortcuts.analysis.influence import Influence, influence
from ntk_shortcuts.analysis.learning_curve import LearningCurve, learning_curve, spectral_learning_curve
from ntk_shortcuts.analysis.mitigations import mitigations
from ntk_shortcuts.analysis.motion import KernelMotion, kernel_motion
from ntk_shortcuts.analysis.remedies.registry import MITIGATIONS, Case
from ntk_shortcuts.analysis.samples.spectrum import SampleSpectrum
from ntk_shortcuts.analysis.search import Crossing, Extreme, critical_ratio, most_biased
from ntk_shortcuts.analysis.spectrum import KernelSpectrum, kernel_spectrum
from ntk_shortcuts.analysis.telescope import Telescope, linearized_outputs, telescope
from ntk_shortcuts.laziness import laziness_gap

__all__ = [
    "MITIGATIONS",
    "Audit",
    "Case",
    "Crossing",
    "Extreme",
    "Influence",
    "KernelMotion",
    "KernelSpectrum",
    "LearningCurve",
    "Mitigations",
    "SampleSpectrum",
    "Telescope",
    "WidthLimit",
    "audit",
    "critical_ratio",
    "infinite_width_limit",
    "influence",
    "kernel_motion",
    "kernel_spectrum",
    "laziness_gap",
    "learning_curve",
    "linearized_outputs",
    "mitigations",
    "most_biased",
    "spectral_learning_curve",
    "telescope",
]


if TYPE_CHECKING:
    from ntk_shortcuts.analysis.tables import Audit, Mitigations


def __getattr__(name: str) -> Any:
    if name not in ("Audit", "Mitigations"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ntk_shortcuts.analysis import tables

    return getattr(tables, name)
