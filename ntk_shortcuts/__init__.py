"""Predicts the shortcut bias of neural networks analytically: `import ntk_shortcuts as ns`. See README.md.

What most users need stands here; the rest has a namespace that says what it is: `ns.laws`, `ns.networks`, `ns.training`,
`ns.methods` and `ns.metrics`, where one's own come from; `ns.kernels`, `ns.finite_width`, `ns.linear`, `ns.analysis`,
`ns.experiments`, `ns.images`.
"""

import operator as _operator
import sys as _sys
from typing import Any as _Any

from ntk_shortcuts import analysis, experiments, kernels, laws, linear, methods, metrics, networks, training
from ntk_shortcuts.analysis.audit import audit
from ntk_shortcuts.analysis.mitigations import mitigations
from ntk_shortcuts.analysis.spectrum import kernel_spectrum
from ntk_shortcuts.entry import predict, predict_bias
from ntk_shortcuts.experiments import images
from ntk_shortcuts.experiments.ensembles import train_ensemble
from ntk_shortcuts.experiments.sweeps import bias_map, sweep
from ntk_shortcuts.kernels import LeakyReLU, finite_width
from ntk_shortcuts.kernels.empirical import empirical_ntk
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.laws.two_features.whitening import whitened
from ntk_shortcuts.methods import (
    DatasetAveraged,
    GivenDataset,
    LeadingOrder,
    MonteCarlo,
    Population,
    PopulationFlow,
    known_methods,
)
from ntk_shortcuts.methods.outputs import predict_outputs
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.results.issues import DivergenceWarning, UntrustedPredictionWarning
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.training.rules import GradientDescent, GradientFlow, Ridge
from ntk_shortcuts.version import __version__ as __version__

__all__ = [
    "MLP",
    "Dataset",
    "DatasetAveraged",
    "DivergenceWarning",
    "GenerativeModel",
    "GivenDataset",
    "GradientDescent",
    "GradientFlow",
    "LeadingOrder",
    "LeakyReLU",
    "MonteCarlo",
    "Pool",
    "Population",
    "PopulationFlow",
    "Prediction",
    "Ridge",
    "UntrustedPredictionWarning",
    "analysis",
    "audit",
    "bias_map",
    "empirical_ntk",
    "experiments",
    "finite_width",
    "images",
    "kernel_spectrum",
    "kernels",
    "known_methods",
    "laws",
    "linear",
    "methods",
    "metrics",
    "mitigations",
    "networks",
    "predict",
    "predict_bias",
    "predict_outputs",
    "sweep",
    "train_ensemble",
    "training",
    "whitened",
]

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
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ntk_shortcuts.results.issues import give_deprecation

    give_deprecation(f"ntk_shortcuts.{name} has moved: use ntk_shortcuts.{_MOVED[name]}.{name}")
    return _operator.attrgetter(f"{_MOVED[name]}.{name}")(_sys.modules[__name__])
