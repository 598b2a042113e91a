"""Options whose values are names: what the shell completes, found without importing what the names stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

_PACKAGE = Path(__file__).parents[2]
# How a class of methods or losses names itself, in a file that would bring JAX.
_ITSELF = re.compile(r'^    name: ClassVar\[str\] = "(\w+)"$', re.M)

ACTIVATIONS = tuple("erf gelu gelu_tanh leaky_relu linear relu sigmoid silu sin softplus tanh".split())
PARAMETERIZATIONS = ("mean_field", "ntk", "standard")
INITIALIZATIONS = ("normal", "torch")
NORMALIZATIONS = ("layer",)
PRESETS = ("accelerator", "paper", "quick", "standard")


def methods() -> list[str]:
    """Names of the prediction methods.

    Example:
        >>> "population_flow" in methods()
        True
    """
    return _declared("methods")


def losses() -> list[str]:
    """Names of the losses."""
    return _declared("training/losses")


def derivation_labels() -> list[str]:
    """Labels of the derivations, from the names of their scripts, such as d1_1_class_means.py."""
    folders = _PACKAGE / "derivations", _PACKAGE.parent / "derivations"
    scripts = (re.match(r"d(\d+)_(\d+)_", path.name) for folder in folders for path in folder.glob("d*.py"))
    numbers = sorted((int(found[1]), int(found[2])) for found in scripts if found)
    return [f"D{group}.{number}" for group, number in numbers]


def spelled(name: str) -> str:
    """The one spelling of a name, with underscores; dashes are taken for them.

    Example:
        >>> spelled("population-flow")
        'population_flow'
    """
    return name.replace("-", "_")


def name_option(known: Callable[[], Iterable[str]] | Iterable[str], help: str) -> Any:
    """An option for Typer whose value is a name, of those that the shell completes or of one's own."""
    return typer.Option(metavar="NAME", parser=spelled, autocompletion=completed(known), help=help)


def completed(known: Callable[[], Iterable[str]] | Iterable[str]) -> Callable[[str], list[str]]:
    """What completes a word that is begun, in the spelling that it is begun in: shells drop what does not continue it.

    Example:
        >>> completed(["monte_carlo", "population"])("monte-")
        ['monte-carlo']
    """

    def complete(incomplete: str) -> list[str]:
        names = known() if callable(known) else known
        begun = (name.replace("_", "-") if "-" in incomplete else name for name in names)
        return [name for name in begun if name.startswith(incomplete)]

    return complete


def _declared(folder: str) -> list[str]:
    texts = (path.read_text(encoding="utf-8") for path in (_PACKAGE / folder).rglob("*.py"))
    return sorted(name for text in texts for name in _ITSELF.findall(text))
