"""Predicts the shortcut bias of neural networks analytically: `import ntk_shortcuts as ns`. See README.md."""

from ntk_shortcuts.metrics.reliance import (
    direction_reliance,
    expected_reliance,
    optimal_reliance,
    optimal_reliance_limit,
    reliance,
    shortcut_bias,
)
from ntk_shortcuts.laws.two_features.embedding import Embedding
from ntk_shortcuts.experiments.ensembles import Ensemble, train_ensemble, train_ensembles
from ntk_shortcuts.laws.two_features.model import Dataset, GenerativeModel
from ntk_shortcuts.kernels import Activation, Kernels, LeakyReLU, Quadrature, known_activations
from ntk_shortcuts.kernels.empirical import empirical_nngp, empirical_ntk
from ntk_shortcuts.kernels.finite_width.moments import (
    FiniteWidthMoments,
    edgeworth_density,
    finite_width_moments,
    output_fourth_cumulant,
)
from ntk_shortcuts.analysis.spectrum import KernelSpectrum, kernel_spectrum
from ntk_shortcuts.analysis.telescope import Telescope, linearized_outputs, telescope
from ntk_shortcuts.experiments.sweeps.maps import bias_map
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.methods import known_methods
from ntk_shortcuts.entry import predict_bias
from ntk_shortcuts.results.prediction import Prediction, UntrustedPredictionWarning
from ntk_shortcuts.methods.dataset import predict_outputs
from ntk_shortcuts.methods.leading_order import linear_bias, output_direction
from ntk_shortcuts.analysis.influence import Influence, influence
from ntk_shortcuts.analysis.laziness import laziness_gap
from ntk_shortcuts.analysis.motion import KernelMotion, kernel_motion
from ntk_shortcuts.networks.preprocessed import Preprocessed, whitened
from ntk_shortcuts.analysis.search import Crossing, Extreme, critical_ratio, halving_time, most_biased
from ntk_shortcuts.experiments.sweeps.sweep import sweep
from ntk_shortcuts.training.rules import DivergenceWarning, GradientDescent, GradientFlow, Ridge, TrainingRule

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
