"""Predictions over grids of settings."""

from ntk_shortcuts.experiments.sweeps.maps import bias_map
from ntk_shortcuts.experiments.sweeps.sweep import sweep

__all__ = ["bias_map", "sweep"]
