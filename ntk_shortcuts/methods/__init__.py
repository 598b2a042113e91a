"""Prediction methods: one file each, known by name once its module is imported."""

from ntk_shortcuts.methods.average.dataset_averaged import DatasetAveraged
from ntk_shortcuts.methods.base import METHODS, Method, known_methods, method_options, resolve
from ntk_shortcuts.methods.dataset import GivenDataset
from ntk_shortcuts.methods.flow.population_flow import PopulationFlow
from ntk_shortcuts.methods.leading_order import LeadingOrder
from ntk_shortcuts.methods.monte_carlo import MonteCarlo
from ntk_shortcuts.methods.population import Population

__all__ = [
    "METHODS",
    "DatasetAveraged",
    "GivenDataset",
    "LeadingOrder",
    "Method",
    "MonteCarlo",
    "Population",
    "PopulationFlow",
    "known_methods",
    "method_options",
    "resolve",
]
