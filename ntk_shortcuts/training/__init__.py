"""Learners: how a network is trained."""

from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.training.gradient_flow import GradientFlow
from ntk_shortcuts.training.losses import Logistic, Loss, Squared, known_losses
from ntk_shortcuts.training.ridge import Ridge
from ntk_shortcuts.training.rules import SpectralFilter, TrainingRule

__all__ = ["GradientDescent", "GradientFlow", "Logistic", "Loss", "Ridge", "SpectralFilter", "Squared", "TrainingRule"]
__all__ += ["known_losses"]
