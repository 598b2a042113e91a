"""Refinement of nodes: rule after rule, until what is watched stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ntk_shortcuts.issues import Unconverged

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
    return refine_each(lambda level, _: [at_level(level)], [levels], watch, tolerance, relative)[0]


def refine_each(
    at_level: Callable[[int, Sequence[int]], Sequence[Found]],
    levels: Sequence[int],
    watch: Callable[[Found], Any],
    tolerance: Any,
    relative: bool = False,
) -> list[Refined[Found]]:
    """The same of several questions side by side, each until it has converged: the others go on without it.

    Args:
        at_level: the answers with the rule of that level to some of the questions, by their numbers.
        levels: how many there are for each question.
    """
    # Of one level, the nodes are the law itself.
    refined = [
        Refined(found, 0, 0.0 if count == 1 else float("nan"), count == 1)
        for found, count in zip(at_level(0, range(len(levels))), levels, strict=True)
    ]
    level = 1
    while going := [i for i, count in enumerate(levels) if level < count and not refined[i].converged]:
        for i, found in zip(going, at_level(level, going), strict=True):
            change = _move(np.asarray(watch(refined[i].found)), np.asarray(watch(found)), relative)
            refined[i] = Refined(found, level, change, change < tolerance)
        level += 1
    return refined


def _move(before: np.ndarray, now: np.ndarray, relative: bool) -> float:
    """By how much the numbers moved, the largest."""
    moves = np.abs(now - before) / (np.max(np.abs(now)) if relative else 1)
    return float(np.max(moves[np.isfinite(moves)], initial=0.0))
