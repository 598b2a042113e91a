"""Finite networks trained on data sets: data sets x initialisations in one vmapped loop, to set beside a prediction."""

from ntk_shortcuts.experiments.ensembles.entry import train_ensemble, train_ensembles
from ntk_shortcuts.experiments.ensembles.laws import LawEnsemble, train_on_law
from ntk_shortcuts.experiments.ensembles.pool_result import PoolEnsemble
from ntk_shortcuts.experiments.ensembles.pools import train_on_pool
from ntk_shortcuts.experiments.ensembles.result import Ensemble

__all__ = ["Ensemble", "LawEnsemble", "PoolEnsemble", "train_ensemble", "train_ensembles", "train_on_law", "train_on_pool"]
