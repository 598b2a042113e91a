"""Finite networks trained on data sets: data sets x initialisations in one vmapped loop, to set beside a prediction."""

from ntk_shortcuts.experiments.ensembles.entry import train_ensemble, train_ensembles
from ntk_shortcuts.experiments.ensembles.result import Ensemble

__all__ = ["Ensemble", "train_ensemble", "train_ensembles"]
