"""Own data as a pool, whichever way it comes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.validation import require


def as_pool(data: Any, name: str = "data") -> Pool:
    """A pool as it is, a data set as a pool of equal weights; where its latents are known, their signs are the attributes.

    Raises:
        ValueError: neither of them, or a data set with labels of one class.

    Example:
        >>> as_pool(Dataset.from_arrays(np.eye(4), [1, -1, 1, -1])).labels.tolist()
        [1, -1, 1, -1]
    """
    if isinstance(data, Pool):
        return data
    require(isinstance(data, Dataset), name, "a Pool or a Dataset of samples", type(data).__name__)
    signs = None
    if data.latents is not None:
        latents = np.asarray(data.latents)
        signs = {feature: np.where(latents[:, i] >= 0, 1, -1) for i, feature in enumerate(("shortcut", "core"))}
    return Pool(np.asarray(data.inputs), np.asarray(data.labels), signs)
