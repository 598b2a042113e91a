"""Issues are said once, as one warning, at the line of the user's code. Nothing below the entries warns."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

from ntk_shortcuts.issues.base import Issue

_PACKAGE = Path(__file__).parents[1]
# Frames between a user and an entry: decorators, and transformations.
_BETWEEN = ("equinox", "jax", "jaxtyping", "beartype")


_kept: ContextVar[list[Issue] | None] = ContextVar("_kept", default=None)


def give(issues: Iterable[Issue]) -> None:
    """Say all issues in one warning, at the line of the user's code that led here."""
    issues = tuple(issues)
    kept = _kept.get()
    if kept is not None:
        kept.extend(issues)
    elif issues:
        warn_user(" | ".join(map(str, issues)), _common_category(issues))


@contextlib.contextmanager
def said_together() -> Iterator[None]:
    """Issues of many predictions in one warning behind them: each kind once, with how often it was met and the largest."""
    kept: list[Issue] = []
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
        kinds: dict[str, list[Issue]] = {}
        for issue in kept:
            kinds.setdefault(issue.kind, []).append(issue)
        if kinds:
            warn_user(" | ".join(map(_largest, kinds.values())), _common_category(kept))


def _largest(issues: Sequence[Issue]) -> str:
    largest = max(issues, key=lambda issue: issue.size)
    return str(largest) if len(issues) == 1 else f"{len(issues)} predictions, of which the largest: {largest}"


def _common_category(issues: Iterable[Issue]) -> type[Warning]:
    """The most special one of all."""
    return max({issue.category for issue in issues}, key=lambda category: len(category.__mro__))


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's code that led here."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_between(frame.f_code.co_filename):
        frame = frame.f_back
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    module = frame.f_globals.get("__name__", "<unknown>")
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, module, registry)


def give_deprecation(message: str) -> None:
    """Say once, at the line of the user's code, that a name has moved."""
    warn_user(message, DeprecationWarning)


def _is_between(filename: str) -> bool:
    return filename.startswith(_passed())


@functools.cache
def _passed() -> tuple[str, ...]:
    """What frames between a user and an entry are of: this package, and what decorates or transforms functions."""
    packages = (importlib.util.find_spec(name) for name in _BETWEEN)
    folders = [Path(spec.origin).parent for spec in packages if spec is not None and spec.origin is not None]
    return (*(f"{folder}{os.sep}" for folder in [_PACKAGE, *folders]), functools.__file__, contextlib.__file__)
