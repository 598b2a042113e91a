"""Labels and attributes as functions on the samples of a pool."""

from __future__ import annotations

import numpy as np

from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.typing import Float, Int

LABEL = "label"


def named_values(pool: Pool) -> dict[str, Int[np.ndarray, "P"]]:
    """The label, then the attributes, by name."""
    return {LABEL: pool.labels, **pool.attributes}


def centred(values: Int[np.ndarray, "P"], weights: Float[np.ndarray, "P"]) -> Float[np.ndarray, "P k"]:
    """Values as functions with their weighted mean removed: -1 and +1 of two values, an indicator each of k.

    The mean is removed because a constant is learnt with the images' mean, whatever the values say.

    Example:
        >>> centred(np.array([0, 1, 1, 1]), np.full(4, 0.25)).ravel().tolist()
        [-1.5, 0.5, 0.5, 0.5]
        >>> centred(np.array([0, 1, 2, 2]), np.full(4, 0.25)).shape
        (4, 3)
    """
    known = np.unique(values[weights > 0])
    functions = (values[:, None] == known).astype(float)
    if len(known) == 2:
        functions = 2 * functions[:, 1:] - 1
    return functions - weights @ functions


def predictivity(pool: Pool, name: str) -> float:
    """How well an attribute alone tells the label, under the pool's weights; 1 for the label.

    P(attribute = label) where the attribute has the two values of the label, else the best accuracy that a rule from its
    values to labels can have.
    """
    if name == LABEL:
        return 1.0
    values = pool.attributes[name]
    if len(pool.classes) == 2 and set(np.unique(values).tolist()) == set(pool.classes):
        return pool.agreement(name)
    shares = [[np.sum(pool.weights[(values == a) & (pool.labels == y)]) for y in pool.classes] for a in np.unique(values)]
    return float(np.sum(np.max(shares, axis=1)))
