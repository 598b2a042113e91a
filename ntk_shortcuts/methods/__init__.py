"""Prediction methods: importing a method's module registers it by name."""

from ntk_shortcuts.methods import dataset, leading_order, population  # noqa: F401
from ntk_shortcuts.methods.average import dataset_averaged  # noqa: F401
from ntk_shortcuts.methods.flow import population_flow  # noqa: F401
from ntk_shortcuts.methods.registry import METHODS, known_methods, register_method

__all__ = ["METHODS", "known_methods", "register_method"]
