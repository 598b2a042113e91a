"""Issues are said once, as one warning, at the line of the user's code. Nothing below the entries warns."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from ntk_shortcuts.issues.base import Issue

_PACKAGE = Path(__file__).parents[1]
# Frames between a user and an entry: decorators, and transformations.
_BETWEEN = ("equinox", "jax", "jaxtyping", "beartype")


def give(issues: Iterable[Issue]) -> None:
    """Say all issues in one warning, at the line of the user's code that led here."""
    issues = tuple(issues)
    if not issues:
        return
    categories = {issue.category for issue in issues}
    warn_user(" | ".join(map(str, issues)), max(categories, key=lambda category: len(category.__mro__)))


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
