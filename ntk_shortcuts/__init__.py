"""Predicts the shortcut bias of neural networks analytically: `import ntk_shortcuts as ns`. See README.md.

What most users need stands here; the rest has a namespace that says what it is: `ns.laws`, `ns.networks`, `ns.training`,
`ns.methods` and `ns.metrics`, where one's own come from; `ns.kernels`, `ns.finite_width`, `ns.linear`, `ns.analysis`,
`ns.experiments`, `ns.images`.

What each name stands for is in `__init__.pyi`, and is imported when it is first asked for: a command line that prints its
help does not wait for what computes.
"""

import operator as _operator
import sys as _sys
from typing import Any as _Any

import lazy_loader as _lazy_loader

from ntk_shortcuts.version import __version__ as __version__

_imported, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)

# Names of 0.1, which go with 0.3.
_MOVED = {
    **dict.fromkeys(["direction_reliance", "halving_time", "linear_bias", "optimal_reliance"], "linear"),
    **dict.fromkeys(["optimal_reliance_limit", "output_direction"], "linear"),
    **dict.fromkeys(["FiniteWidthMoments", "edgeworth_density", "finite_width_moments"], "finite_width"),
    "output_fourth_cumulant": "finite_width",
    "empirical_nngp": "kernels.empirical",
    **dict.fromkeys(["Activation", "Kernels", "Quadrature", "known_activations"], "kernels"),
    **dict.fromkeys(["expected_reliance", "reliance", "shortcut_bias"], "metrics"),
    **dict.fromkeys(["Crossing", "Extreme", "Influence", "KernelMotion", "KernelSpectrum", "Telescope"], "analysis"),
    **dict.fromkeys(["critical_ratio", "influence", "kernel_motion", "laziness_gap", "linearized_outputs"], "analysis"),
    **dict.fromkeys(["most_biased", "telescope"], "analysis"),
    **dict.fromkeys(["Ensemble", "train_ensembles"], "experiments"),
    "Embedding": "laws",
    "Preprocessed": "networks",
    "TrainingRule": "training",
}


def __getattr__(name: str) -> _Any:
    if name in __all__:
        return _imported(name)
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ntk_shortcuts.issues import give_deprecation

    give_deprecation(f"ntk_shortcuts.{name} has moved: use ntk_shortcuts.{_MOVED[name]}.{name}")
    return _operator.attrgetter(f"{_MOVED[name]}.{name}")(_sys.modules[__name__])
