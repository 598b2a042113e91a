"""Predicts the shortcut bias of neural networks analytically: `import ntk_shortcuts as ns`. See README.md."""

from ntk_shortcuts.bias import (
    direction_reliance,
    expected_reliance,
    optimal_reliance,
    optimal_reliance_limit,
    reliance,
    shortcut_bias,
)
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
from ntk_shortcuts.linearization import Telescope, linearized_outputs, telescope
from ntk_shortcuts.maps import bias_map
from ntk_shortcuts.networks import MLP
from ntk_shortcuts.predictors import (
    Influence,
    KernelMotion,
    Prediction,
    UntrustedPredictionWarning,
    influence,
    kernel_motion,
    known_methods,
    laziness_gap,
    linear_bias,
    output_direction,
    predict_bias,
    predict_outputs,
)
from ntk_shortcuts.preprocessing import Preprocessed, whitened
from ntk_shortcuts.search import Crossing, Extreme, critical_ratio, halving_time, most_biased
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
    "KernelMotion",
    "KernelSpectrum",
    "Kernels",
    "LeakyReLU",
    "Prediction",
    "Preprocessed",
    "Quadrature",
    "Ridge",
    "Telescope",
    "TrainingRule",
    "UntrustedPredictionWarning",
    "bias_map",
    "critical_ratio",
    "direction_reliance",
    "edgeworth_density",
    "empirical_nngp",
    "empirical_ntk",
    "expected_reliance",
    "finite_width_moments",
    "halving_time",
    "influence",
    "kernel_motion",
    "kernel_spectrum",
    "known_activations",
    "known_methods",
    "laziness_gap",
    "linear_bias",
    "linearized_outputs",
    "most_biased",
    "optimal_reliance",
    "optimal_reliance_limit",
    "output_direction",
    "output_fourth_cumulant",
    "predict_bias",
    "predict_outputs",
    "reliance",
    "shortcut_bias",
    "sweep",
    "telescope",
    "train_ensemble",
    "train_ensembles",
    "whitened",
]
__version__ = "0.1.0"
