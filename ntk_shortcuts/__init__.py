"""Predicts the shortcut bias of neural networks analytically: `import ntk_shortcuts as ns`. See README.md."""

from ntk_shortcuts.bias import expected_reliance, optimal_reliance, reliance, shortcut_bias
from ntk_shortcuts.embedding import Embedding
from ntk_shortcuts.generative import Dataset, GenerativeModel
from ntk_shortcuts.kernels import Activation, Kernels, LeakyReLU, Quadrature, known_activations
from ntk_shortcuts.maps import bias_map
from ntk_shortcuts.networks import MLP
from ntk_shortcuts.predictors import Prediction, known_methods, predict_bias, predict_outputs
from ntk_shortcuts.training_rules import DivergenceWarning, GradientDescent, GradientFlow, Ridge, TrainingRule

__all__ = [
    "MLP",
    "Activation",
    "Dataset",
    "DivergenceWarning",
    "Embedding",
    "GenerativeModel",
    "GradientDescent",
    "GradientFlow",
    "Kernels",
    "LeakyReLU",
    "Prediction",
    "Quadrature",
    "Ridge",
    "TrainingRule",
    "bias_map",
    "expected_reliance",
    "known_activations",
    "known_methods",
    "optimal_reliance",
    "predict_bias",
    "predict_outputs",
    "reliance",
    "shortcut_bias",
]
__version__ = "0.1.0"
