"""Trained networks beside predictions: ensembles, sweeps and maps, comparisons of theory with training, and image pools."""

from ntk_shortcuts.experiments import images
from ntk_shortcuts.experiments.ensembles import Ensemble, train_ensemble, train_ensembles
from ntk_shortcuts.experiments.sweeps import bias_map, sweep

__all__ = ["Ensemble", "bias_map", "images", "sweep", "train_ensemble", "train_ensembles"]
