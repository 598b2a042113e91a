"""Laws to files: the TOML that describes a law."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ntk_shortcuts.axes import arguments_of
from ntk_shortcuts.laws.base import Law
from ntk_shortcuts.laws.readers import LAWS, WRAPPERS
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.validation import require


def write_law(law: Law, path: str | Path) -> None:
    """Write the TOML file that :func:`ntk_shortcuts.laws.read_law` reads as the same law.

    Presets of clusters are written as the clusters that they are.

    Raises:
        ValueError: a law that the format does not have, such as one of your own, or a pool (`write_pool`); wrappers in another
            order than noise around imbalance.

    Example:
        >>> import tempfile
        >>> from ntk_shortcuts import Clusters, NoisyLabels
        >>> law = NoisyLabels(Clusters.waterbirds(0.9), {(1, -1): 0.3})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_law(law, Path(folder) / "law.toml")
        ...     text = (Path(folder) / "law.toml").read_text()
        >>> text.splitlines()[0], text.splitlines()[-1]
        ('law = "clusters"', 'rate = {"1,-1" = 0.3}')
    """
    require(not is_traced(law), "law", "one of numbers, outside of JAX's transformations", law)
    tables: list[str] = []
    inner: Any = law
    for name, wrapper in reversed(WRAPPERS.items()):
        if type(inner) is wrapper:
            arguments = arguments_of(inner)
            inner = arguments.pop("law")
            tables = ["", f"[{name}]", *_lines(arguments), *tables]
    name = next((known for known, kind in LAWS.items() if type(inner) is kind), None)
    allowed = "one that a file can describe: two features, Gaussian features, clusters, with noise around imbalance"
    require(name is not None, "law", allowed, type(inner).__name__)
    Path(path).write_text("\n".join([f'law = "{name}"', *_lines(arguments_of(inner)), *tables]) + "\n", encoding="utf-8")


def _lines(arguments: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in arguments.items() if not isinstance(value, Mapping) or value]


def _value(value: Any) -> str:
    """A number, an array or a table by names or groups, as TOML. Python writes each float in full."""
    if isinstance(value, Mapping):
        named = {group if isinstance(group, str) else ",".join(map(str, group)): entry for group, entry in value.items()}
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(entry)}" for key, entry in named.items()) + "}"
    return repr(np.asarray(value).tolist()).replace("(", "[").replace(")", "]")
