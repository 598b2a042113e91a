"""Trained networks beside predictions: ensembles, sweeps and maps, and comparisons of theory with training."""

from ntk_shortcuts.experiments.ensembles import Ensemble, train_ensemble, train_ensembles
from ntk_shortcuts.experiments.sweeps import bias_map, sweep

__all__ = ["Ensemble", "bias_map", "sweep", "train_ensemble", "train_ensembles"]
