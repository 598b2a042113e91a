"""What is wrong with a pool and its test samples before anything is predicted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ntk_shortcuts.issues import (
    AttributeCodes,
    AttributeIsLabel,
    ConstantInputs,
    EmptyGroups,
    Issue,
    OpposedAttribute,
    SharedSamples,
)
from ntk_shortcuts.validation import require

# Agreements below it are of attributes that indicate the other class.
_OPPOSED = 0.25


def require_alike(pool: Any, test: Any) -> None:
    """Test samples must be of the pool's kind.

    Raises:
        ValueError: inputs of another shape, labels that the pool has not, other attributes.
    """
    shape = pool.inputs.shape[1:]
    require(test.inputs.shape[1:] == shape, "test", f"of inputs of shape {shape}, as the pool's are", test.inputs.shape[1:])
    require(set(test.classes) <= set(pool.classes), "test", f"of the pool's classes {pool.classes}", test.classes)
    same = list(test.attributes) == list(pool.attributes)
    require(same, "test", f"with the pool's attributes {list(pool.attributes)}", list(test.attributes))


def notes_on(pool: Any, test: Any) -> tuple[Issue, ...]:
    """Issues of the two."""
    found: list[Issue] = []
    rows, tested = (x.reshape(len(x), -1) for x in (pool.inputs, test.inputs))
    known = {row.tobytes() for row in rows}
    if shared := sum(row.tobytes() in known for row in tested):
        found.append(SharedSamples(float(shared), len(tested)))
    if constant := int(np.sum(np.ptp(rows, axis=1) == 0)) if rows.shape[1] > 1 else 0:
        found.append(ConstantInputs(float(constant), len(rows)))
    for name, values in pool.attributes.items():
        weighted = pool.weights > 0
        if np.array_equal(values[weighted], pool.labels[weighted]):
            found.append(AttributeIsLabel(float(np.sum(weighted)), name))
        if strangers := other_codes(pool, name):
            found.append(strangers)
        elif len(np.unique(values)) == 2 == len(pool.classes) and (agreement := _within_classes(pool, values)) < _OPPOSED:
            found.append(OpposedAttribute(agreement, name))
    names = ("label", *pool.attributes)
    values = (np.union1d(a, b).tolist() for a, b in zip(_columns(pool), _columns(test), strict=True))
    present = set(zip(*(column.tolist() for column in _columns(test)), strict=True))
    missing = tuple(group for group in itertools.product(*values) if group not in present)
    if missing:
        found.append(EmptyGroups(float(len(missing)), names, missing))
    return tuple(found)


def _within_classes(pool: Any, values: np.ndarray) -> float:
    """P(attribute = label | label), averaged over the classes: 1/2 if they are independent, however rare a value is."""
    members = pool.labels[:, None] == np.array(pool.classes)
    mass, agreeing = pool.weights @ members, (pool.weights * (values == pool.labels)) @ members
    return float(np.mean(agreeing[mass > 0] / mass[mass > 0]))


def other_codes(pool: Any, name: str) -> AttributeCodes | None:
    """The issue of an attribute of no more values than there are classes, but others, or of one value alone.

    One of more values cannot agree with the label, and nobody means it to.
    """
    codes = tuple(np.unique(pool.attributes[name]).tolist())
    strange = ~np.isin(pool.attributes[name], pool.labels)
    if len(codes) > 1 and (len(codes) > len(pool.classes) or not np.any(strange)):
        return None
    return AttributeCodes(float(np.sum(strange)) if len(codes) > 1 else float(pool.size), name, codes, pool.classes)


def _columns(pool: Any) -> list[np.ndarray]:
    return [pool.labels, *pool.attributes.values()]
