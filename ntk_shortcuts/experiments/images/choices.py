"""Which images are taken, what their labels are, and which of them carry which value of the attribute."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from ntk_shortcuts.experiments.images.sources import load_source
from ntk_shortcuts.numerics import without_key_type
from ntk_shortcuts.validation import require, require_integer, require_key

_CLASSES = "'parity', 'all', or two or more digits or sets of digits that share none"


class Choice(NamedTuple):
    """Images (P, h, w) of ink in [0, 1], labels (P,), the values that labels take, and the source's root mean square."""

    images: np.ndarray
    labels: np.ndarray
    values: tuple[int, ...]
    rms: float


def generator(key: Any) -> np.random.Generator:
    """NumPy's generator seeded by a `jax.random` key; None is `jax.random.key(0)`."""
    key = jax.random.key(0) if key is None else require_key(key, "None or a jax.random key")
    return np.random.default_rng(np.asarray(without_key_type(key)).tolist())


def class_values(count: int) -> tuple[int, ...]:
    """What the package calls two classes, or k of them.

    Example:
        >>> class_values(2), class_values(3)
        ((-1, 1), (0, 1, 2))
    """
    return (-1, 1) if count == 2 else tuple(range(count))


def digit_sets(name: str, value: Any) -> list[tuple[int, ...]]:
    """The digits of each class, as the package docstring says them.

    Example:
        >>> digit_sets("classes", "parity")
        [(0, 2, 4, 6, 8), (1, 3, 5, 7, 9)]
        >>> digit_sets("classes", (3, (8, 9)))
        [(3,), (8, 9)]
    """
    if isinstance(value, str):
        named = {"parity": [tuple(range(0, 10, 2)), tuple(range(1, 10, 2))], "all": [(digit,) for digit in range(10)]}
        require(value in named, name, _CLASSES, value)
        return named[value]
    require(np.iterable(value), name, _CLASSES, value)
    sets = [tuple(part) if np.iterable(part) and not isinstance(part, str) else (part,) for part in value]
    digits = [digit for part in sets for digit in part]
    valid = all(isinstance(digit, int | np.integer) and 0 <= digit <= 9 for digit in digits)
    require(len(sets) >= 2 and all(sets) and valid and len(set(digits)) == len(digits), name, _CLASSES, value)
    return [tuple(int(digit) for digit in part) for part in sets]


def choose(source: str, classes: Any, num_images: int | None, rng: np.random.Generator) -> Choice:
    """The images of the classes, in the source's order."""
    found, sets = load_source(source), digit_sets("classes", classes)
    values = class_values(len(sets))
    members = [np.flatnonzero(np.isin(found.digits, part)) for part in sets]
    if num_images is not None:
        most = len(sets) * min(map(len, members))
        allowed = f"a multiple of {len(sets)}, the number of classes, of at most {most}"
        count = require_integer("num_images", num_images, 1, allowed)
        require(count % len(sets) == 0 and count <= most, "num_images", allowed, num_images)
        members = [rng.permutation(part)[: count // len(sets)] for part in members]
    rows = np.concatenate(members)
    order = np.argsort(rows)
    labels = np.repeat(values, list(map(len, members)))
    return Choice(found.images[rows[order]], labels[order], values, found.rms)


def assign(labels: np.ndarray, values: tuple[int, ...], agreement: float | None, rng: np.random.Generator) -> np.ndarray:
    """An attribute (P,) for images of these labels, with exact counts within each class.

    Args:
        labels: (P,).
        values: what the attribute can be.
        agreement: the share of each class whose attribute is its label, to the nearest image; None: every value equally often.

    Raises:
        ValueError: an agreement outside [0, 1], or with labels that the attribute cannot equal.

    Example:
        >>> labels = np.repeat([-1, 1], 10)
        >>> attribute = assign(labels, (-1, 1), 0.9, generator(None))
        >>> [int((attribute == labels)[labels == label].sum()) for label in (-1, 1)]
        [9, 9]
    """
    if agreement is not None:
        known = isinstance(agreement, int | float | np.number) and 0 <= agreement <= 1
        require(known, "agreement", "None or in [0, 1]", agreement)
        same = set(labels.tolist()) <= set(values)
        require(same, "agreement", f"None, as the attribute takes values {list(values)} and labels others", agreement)
    attribute = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        agreeing = 0 if agreement is None else int(np.rint(agreement * len(members)))
        rest = values if agreement is None else [value for value in values if value != label]
        attribute[members[:agreeing]] = label
        attribute[members[agreeing:]] = np.resize(rest, len(members) - agreeing)
    return attribute


def places(attribute: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
    """Each image's place (P,) of its attribute in `values`: 0, 1, ..."""
    return np.searchsorted(values, attribute)


def require_positive(name: str, value: Any) -> float:
    """A positive finite number."""
    valid = isinstance(value, int | float | np.number) and 0 < value < np.inf
    require(bool(valid), name, "a positive finite number", value)
    return float(value)
