from . import images
from .ensembles import (
    Ensemble,
    LawEnsemble,
    PoolEnsemble,
    train_ensemble,
    train_ensembles,
    train_on_law,
    train_on_pool,
)
from .sweeps import bias_map, sweep

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
