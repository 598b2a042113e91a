"""Refinement of nodes: rule after rule, until what is watched stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np

from ntk_shortcuts.results.issues import Unconverged

Found = TypeVar("Found")


@dataclasses.dataclass(frozen=True)
class Refined(Generic[Found]):
    """The finest answer, the `level` it was found at, and by how much the last refinement moved what is watched (NaN: none)."""

    found: Found
    level: int
    change: float
    converged: bool

    def issues(self, tolerance: float) -> tuple[Unconverged, ...]:
        """The issue of a refinement that ended above its tolerance."""
        return () if self.converged else (Unconverged(self.change, float(tolerance)),)


def refine(
    at_level: Callable[[int], Found],
    levels: int,
    watch: Callable[[Found], Any],
    tolerance: Any,
    relative: bool = False,
) -> Refined[Found]:
    """Answers at levels 0, 1, ... until what is watched moves by less than the tolerance, or the levels end.

    Args:
        at_level: the answer with the rule of that level.
        watch: numbers of an answer; entries that are not finite do not count.
        relative: moves are relative to the largest of the numbers.
    """
    found, change = at_level(0), float("nan")
    if levels == 1:  # the nodes are the law itself
        return Refined(found, 0, 0.0, True)
    for level in range(1, levels):
        before, found = np.asarray(watch(found)), at_level(level)
        now = np.asarray(watch(found))
        moves = np.abs(now - before) / (np.max(np.abs(now)) if relative else 1)
        change = float(np.max(moves[np.isfinite(moves)], initial=0.0))
        if change < tolerance:
            return Refined(found, level, change, True)
    return Refined(found, levels - 1, change, False)
