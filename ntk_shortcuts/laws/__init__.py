"""Data laws: what the data are."""

from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.clusters.law import Clusters
from ntk_shortcuts.laws.features.law import GaussianFeatures
from ntk_shortcuts.laws.imbalance import ImbalancedClasses
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.noise import NoisyLabels
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.laws.pool.columns import value_codes
from ntk_shortcuts.laws.pool.readers import pool_from_folder, pool_from_frame, read_pool, write_pool
from ntk_shortcuts.laws.readers import read_law
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.embedding import Embedding
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.laws.writers import write_law

__all__ = [
    "Clusters",
    "DataLaw",
    "Dataset",
    "Embedding",
    "GaussianFeatures",
    "GenerativeModel",
    "ImbalancedClasses",
    "LawKernel",
    "NoisyLabels",
    "Pool",
    "pool_from_folder",
    "pool_from_frame",
    "read_law",
    "read_pool",
    "value_codes",
    "write_law",
    "write_pool",
]
