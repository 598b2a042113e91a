"""What a result is taken from: BibTeX entries of its law, network, training rule and method.

Each class names its sources, `sources: ClassVar[tuple[str, ...]]`; the entries stand in `references.bib`, beside this file.
"""

from __future__ import annotations

import functools
import importlib.resources
import io
import re
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from ntk_shortcuts.spec import Record
from ntk_shortcuts.validation import require
from ntk_shortcuts.version import __version__

_ENTRY = re.compile(r"^@\w+\{([^,\s]+),\n.*?^\}$", re.M | re.S)
_SOFTWARE = f"""@software{{ntk_shortcuts,
  author = {{{{The ntk\\_shortcuts developers}}}},
  title = {{{{ntk\\_shortcuts}}: Analytic Predictions of Shortcut Bias}},
  version = {{{__version__}}},
}}"""


@runtime_checkable
class _Described(Protocol):
    """A table with attributes, as sweeps and audits are, and files read back."""

    attrs: Mapping[str, Any]


def cite(*results: Any, file: io.TextIOBase | None = None) -> None:
    """Print the BibTeX entries of what results are taken from, this package's first.

    Args:
        results: predictions, spectra, ensembles, sweeps, audits, ...; or laws, networks, rules and methods themselves.
        file: where to print; standard output by default.

    Raises:
        ValueError: something that names no sources.

    Example:
        >>> import re, io
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow, predict
        >>> text = io.StringIO()
        >>> cite(predict(GenerativeModel(), MLP(0), GradientFlow(30.0), method="leading_order"), file=text)
        >>> re.findall("@.*", text.getvalue())[:3]
        ['@software{ntk_shortcuts,', '@inproceedings{hermann2024foundations,', '@inproceedings{jacot2018neural,']
    """
    keys = dict.fromkeys(key for result in results for key in sources_of(result))
    entries = known_entries()
    print("\n\n".join([_SOFTWARE, *(entries[key] for key in keys)]), file=file)


def sources_of(result: Any) -> tuple[str, ...]:
    """Keys of the entries of what a result is taken from, each once."""
    if isinstance(result, Record):
        return tuple(dict.fromkeys(result.cited))
    known = isinstance(result, _Described) and "sources" in result.attrs
    require(known, "results", "predictions and other results of this package, or laws, networks, rules and methods", result)
    return tuple(str(result.attrs["sources"]).split())


@functools.cache
def known_entries() -> dict[str, str]:
    """The BibTeX entries by their keys."""
    text = importlib.resources.files("ntk_shortcuts").joinpath("references.bib").read_text(encoding="utf-8")
    return {match.group(1): match.group(0) for match in _ENTRY.finditer(text)}
