"""Trained networks beside predictions: ensembles, sweeps and maps, comparisons of theory with training, and image pools."""

from ntk_shortcuts.experiments import images
from ntk_shortcuts.experiments.ensembles import (
    Ensemble,
    LawEnsemble,
    PoolEnsemble,
    train_ensemble,
    train_ensembles,
    train_on_law,
    train_on_pool,
)
from ntk_shortcuts.experiments.sweeps import bias_map, sweep

__all__ = [
    "Ensemble",
    "LawEnsemble",
    "PoolEnsemble",
    "bias_map",
    "images",
    "sweep",
    "train_ensemble",
    "train_ensembles",
    "train_on_law",
    "train_on_pool",
]
