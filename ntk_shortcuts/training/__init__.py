"""Learners: how a network is trained."""

from ntk_shortcuts.training.rules import GradientDescent, GradientFlow, Ridge, SpectralFilter, TrainingRule

__all__ = ["GradientDescent", "GradientFlow", "Ridge", "SpectralFilter", "TrainingRule"]
