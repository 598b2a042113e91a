"""Predicts the shortcut bias of neural networks analytically: `import ntk_shortcuts as ns`. See README.md."""

from ntk_shortcuts.bias import expected_reliance, optimal_reliance, optimal_reliance_limit, reliance, shortcut_bias
from ntk_shortcuts.embedding import Embedding
from ntk_shortcuts.ensembles import Ensemble, train_ensemble, train_ensembles
from ntk_shortcuts.generative import Dataset, GenerativeModel
from ntk_shortcuts.kernels import Activation, Kernels, LeakyReLU, Quadrature, known_activations
from ntk_shortcuts.kernels.empirical import empirical_nngp, empirical_ntk
from ntk_shortcuts.kernels.finite_width import (
    FiniteWidthMoments,
    edgeworth_density,
    finite_width_moments,
    output_fourth_cumulant,
)
from ntk_shortcuts.kernels.spectrum import KernelSpectrum, kernel_spectrum
from ntk_shortcuts.maps import bias_map
from ntk_shortcuts.networks import MLP
from ntk_shortcuts.predictors import (
    Influence,
    Prediction,
    UntrustedPredictionWarning,
    influence,
    known_methods,
    predict_bias,
    predict_outputs,
)
from ntk_shortcuts.search import Crossing, Extreme, critical_ratio, most_biased
from ntk_shortcuts.sweeps import sweep
from ntk_shortcuts.training_rules import DivergenceWarning, GradientDescent, GradientFlow, Ridge, TrainingRule

__all__ = [
    "MLP",
    "Activation",
    "Crossing",
    "Dataset",
    "DivergenceWarning",
    "Embedding",
    "Ensemble",
    "Extreme",
    "FiniteWidthMoments",
    "GenerativeModel",
    "GradientDescent",
    "GradientFlow",
    "Influence",
    "KernelSpectrum",
    "Kernels",
    "LeakyReLU",
    "Prediction",
    "Quadrature",
    "Ridge",
    "TrainingRule",
    "UntrustedPredictionWarning",
    "bias_map",
    "critical_ratio",
    "edgeworth_density",
    "empirical_nngp",
    "empirical_ntk",
    "expected_reliance",
    "finite_width_moments",
    "influence",
    "kernel_spectrum",
    "known_activations",
    "known_methods",
    "most_biased",
    "optimal_reliance",
    "optimal_reliance_limit",
    "output_fourth_cumulant",
    "predict_bias",
    "predict_outputs",
    "reliance",
    "shortcut_bias",
    "sweep",
    "train_ensemble",
    "train_ensembles",
]
__version__ = "0.1.0"
