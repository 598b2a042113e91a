"""Outputs at test points: what every method returns, as a Gaussian law or as samples, with what they may be off by."""

from ntk_shortcuts.outputs.base import Outputs
from ntk_shortcuts.outputs.error import OutputError, require_finite_outputs
from ntk_shortcuts.outputs.gaussian import GaussianOutputs
from ntk_shortcuts.outputs.sampled import SampledOutputs

__all__ = ["GaussianOutputs", "OutputError", "Outputs", "SampledOutputs", "require_finite_outputs"]
