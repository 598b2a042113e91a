"""Formulas of pages are printed from the derivations: `{{ D3.3.4 }}` is the formula of step 4 of D3.3.

Alone on a line it is a display with its number beside it, which leads to the derivation; in a sentence it is inline. The
formulas are read from `docs/derivations`, which `ntk-shortcuts derive --all` writes and tests/test_derivations.py compares.
"""

from __future__ import annotations

import functools
import pathlib
import posixpath
import re
from typing import Any

from mkdocs.exceptions import PluginError

DERIVATIONS = pathlib.Path(__file__).parents[1] / "derivations"
_STEP = re.compile(r"^(\d+)\. .*?(?=^\d+\. |^## |\Z)", re.M | re.S)
_DISPLAY = re.compile(r"^ *\$\$\n *(.*?)\n *\$\$$", re.M | re.S)
_MACRO = re.compile(r"\{\{ (D\d+\.\d+)\.(\d+) \}\}")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put the formulas in."""
    folder = posixpath.dirname(page.file.src_uri)
    alone = re.compile(rf"^{_MACRO.pattern}$", re.M)
    markdown = alone.sub(lambda found: _display(*found.groups(), folder, page), markdown)
    return _MACRO.sub(lambda found: rf"\({formula(*found.groups(), page)}\)", markdown)


def formula(label: str, step: str, page: Any = None) -> str:
    """LaTeX of a step.

    Raises:
        PluginError: there is no such step, or it has no formula.
    """
    found = formulas(label).get(step)
    if found is None:
        raise PluginError(f"{page.file.src_uri if page else 'page'}: {label}.{step} is no formula of a derivation")
    return found


@functools.cache
def formulas(label: str) -> dict[str, str]:
    """Formulas of one derivation by the number of their step."""
    path = DERIVATIONS / f"{label}.md"
    steps = _STEP.finditer(path.read_text().partition("## Derivation")[2]) if path.exists() else ()
    shown = {step.group(1): _DISPLAY.search(step.group()) for step in steps}
    return {number: display.group(1) for number, display in shown.items() if display}


def _display(label: str, step: str, folder: str, page: Any) -> str:
    target = posixpath.relpath(f"derivations/{label}.md", folder)
    return f"\\[{formula(label, step, page)}\\]\n\n[{label}.{step}]({target}#step-{step}){{.cite}}"
