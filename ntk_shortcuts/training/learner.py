"""A problem of any loss as training rules meet it: what they may ask of it."""

from __future__ import annotations

import abc

import numpy as np

from ntk_shortcuts.training.losses import Loss
from ntk_shortcuts.typing import Float


class Learner(abc.ABC):
    """Nodes, their labels and a loss; every answer is coefficients (*batch, inits, modes) of the outputs that were learnt.

    A rule whose meaning does not depend on the loss asks for one of these; the others refuse.
    """

    loss: Loss

    @abc.abstractmethod
    def flow(self, times: np.ndarray) -> Float[np.ndarray, "*batch inits modes"]:
        """Gradient flow at the times (*batch,); inf is the minimiser."""

    @abc.abstractmethod
    def descent(self, rates: np.ndarray, steps: np.ndarray) -> Float[np.ndarray, "*batch inits modes"]:
        """Explicit steps of gradient descent, learning rates and steps (*batch,); inf is the minimiser."""

    @abc.abstractmethod
    def minimiser(self, strengths: np.ndarray, name: str = "strength") -> Float[np.ndarray, "*batch inits modes"]:
        """Of the mean loss and strength/2 times the squared norm of what is learnt, strengths (*batch,).

        Args:
            name: of the argument at fault where there is no minimiser.
        """
