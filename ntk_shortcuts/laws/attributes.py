"""Attributes by name, of samples and of clusters alike: what tells groups apart beside the label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ntk_shortcuts.validation import require

ONE_ATTRIBUTE = "attribute"
"""What a single unnamed one is called."""

# Other dims of what is read by group.
_TAKEN = ("label", "cluster", "time", "strength", "index", "dataset", "init", "network")


def named_attributes(attributes: Any, integers: Callable[[str, Any], np.ndarray]) -> dict[str, np.ndarray]:
    """One array, a mapping of names to arrays, or None, as integers by name.

    Args:
        integers: checks and converts one of them, given its name in messages.

    Raises:
        ValueError: a name that is no text, or that of another dim.

    Example:
        >>> named_attributes([1, -1], lambda name, values: np.asarray(values))
        {'attribute': array([ 1, -1])}
    """
    if attributes is None:
        return {}
    named = attributes if isinstance(attributes, Mapping) else {ONE_ATTRIBUTE: attributes}
    for name in named:
        allowed = f"named by text other than {', '.join(_TAKEN)}"
        require(isinstance(name, str) and name not in _TAKEN, "attributes", allowed, name)
    return {name: integers(f"attributes[{name!r}]", values) for name, values in named.items()}
