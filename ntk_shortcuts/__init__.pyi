from . import analysis, experiments, kernels, laws, linear, methods, metrics, networks, training
from .analysis.audit import audit
from .analysis.mitigations import mitigations
from .analysis.spectrum import kernel_spectrum
from .citations import cite
from .entry import predict, predict_bias
from .experiments import images
from .experiments.ensembles import train_ensemble
from .experiments.sweeps import bias_map, sweep
from .issues import DivergenceWarning, UntrustedPredictionWarning
from .kernels import LeakyReLU, finite_width
from .kernels.empirical import empirical_ntk
from .laws.clusters.law import Clusters
from .laws.features.law import GaussianFeatures
from .laws.imbalance import ImbalancedClasses
from .laws.noise import NoisyLabels
from .laws.pool import Pool
from .laws.two_features.dataset import Dataset
from .laws.two_features.model import GenerativeModel
from .laws.two_features.whitening import whitened
from .methods import (
    DatasetAveraged,
    GivenDataset,
    LeadingOrder,
    MonteCarlo,
    Population,
    PopulationFlow,
    known_methods,
)
from .methods.outputs import predict_outputs
from .networks.mlp import MLP
from .results.prediction import Prediction
from .training.gradient_descent import GradientDescent
from .training.gradient_flow import GradientFlow
from .training.ridge import Ridge

__all__ = [
    "MLP",
    "Clusters",
    "Dataset",
    "DatasetAveraged",
    "DivergenceWarning",
    "GaussianFeatures",
    "GenerativeModel",
    "GivenDataset",
    "GradientDescent",
    "GradientFlow",
    "ImbalancedClasses",
    "LeadingOrder",
    "LeakyReLU",
    "MonteCarlo",
    "NoisyLabels",
    "Pool",
    "Population",
    "PopulationFlow",
    "Prediction",
    "Ridge",
    "UntrustedPredictionWarning",
    "analysis",
    "audit",
    "bias_map",
    "cite",
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
