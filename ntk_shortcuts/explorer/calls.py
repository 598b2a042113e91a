"""Calls of the package as data: to be made, and to be shown as Python and as options of the command line."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import ntk_shortcuts

# Of the command line, where it has another name for an argument.
_OPTIONS = {"strength": "ridge"}


@dataclasses.dataclass(frozen=True)
class Call:
    """A public name of the package, and the arguments that it is called with.

    Example:
        >>> call = Call("MLP", {"depth": 2, "activation": "erf", "residual": None})
        >>> call.python, call.options
        ("ns.MLP(depth=2, activation='erf')", '--depth 2 --activation erf')
        >>> call().depth
        2
    """

    name: str
    arguments: dict[str, Any]

    def __call__(self) -> Any:
        return getattr(ntk_shortcuts, self.name)(**self.arguments)

    @property
    def python(self) -> str:
        """As one writes it; arguments that are None are left out."""
        return f"ns.{self.name}({', '.join(f'{name}={_python(value)}' for name, value in self._given)})"

    @property
    def options(self) -> str:
        """The arguments as options of `ntk-shortcuts predict`."""
        words = []
        for name, value in self._given:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{_OPTIONS.get(name, name).replace('_', '-')}", *map(_word, values)]
        return " ".join(words)

    @property
    def _given(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in self.arguments.items() if value is not None]


def _python(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_python, value))})"
    return repr(value) if isinstance(value, str) else _word(value)


def _word(value: Any) -> str:
    """A number in as few digits as tell it apart."""
    return np.format_float_positional(value, trim="-") if isinstance(value, float) else str(value)
