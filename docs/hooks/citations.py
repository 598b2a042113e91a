"""Author and year in the text lead to the bibliography."""

from __future__ import annotations

import functools
import pathlib
import posixpath
import re
from typing import Any

BIBLIOGRAPHY = "theory/bibliography.md"
_ENTRY = re.compile(r'<a id="([a-z]+)-(\d{4})"></a>([^,]+),')
_DOCS = pathlib.Path(__file__).parents[1]
_NAME = r"(?:van\sder\s)?[A-Z][\w'’é-]+"
# "et al.", or the other authors.
_OTHERS = rf"(?:\set\sal\.|(?:,\s{_NAME})*(?:,?\s(?:and|&amp;)\s{_NAME})?)"


def on_page_content(content: str, page: Any, config: Any, files: Any) -> str:
    """Link what the bibliography has."""
    if page.file.src_uri == BIBLIOGRAPHY:
        return content
    target = posixpath.relpath(BIBLIOGRAPHY, posixpath.dirname(page.file.src_uri)).replace(".md", ".html")
    return _pattern().sub(lambda found: _linked(found, target), content)


@functools.cache
def entries() -> dict[tuple[str, str], str]:
    """Anchors by first author's name and year."""
    found = _ENTRY.findall((_DOCS / BIBLIOGRAPHY).read_text())
    return {(name, year): f"{key}-{year}" for key, year, name in found}


@functools.cache
def _pattern() -> re.Pattern[str]:
    names = "|".join(sorted({re.escape(name) for name, _ in entries()}))
    # Not inside a tag, nor in a link's text.
    return re.compile(rf"(?<![\w>/])({names})({_OTHERS},?\s)(\(?)(\d{{4}})\b(?![^<]*>)(?![^<]*</a>)")


def _linked(found: re.Match[str], target: str) -> str:
    name, others, bracket, year = found.groups()
    key = entries().get((name, year))
    return f'{name}{others}{bracket}<a href="{target}#{key}">{year}</a>' if key else found.group()
