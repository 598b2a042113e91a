"""Losses: one file each, known by name once its module is imported."""

from ntk_shortcuts.training.losses.base import LOSSES, Loss, known_losses, require_squared, resolve_loss
from ntk_shortcuts.training.losses.logistic import Logistic
from ntk_shortcuts.training.losses.squared import Squared

__all__ = ["LOSSES", "Logistic", "Loss", "Squared", "known_losses", "require_squared", "resolve_loss"]
