"""Derivation pages as a book: numbers to cite, what uses a result, its code; an index of what builds on what."""

from __future__ import annotations

import functools
import html
import pathlib
import posixpath
import re
from typing import Any

import griffe

LABEL = re.compile(r"\bD\d+\.\d+\b")
_FOLDER = pathlib.Path(__file__).parents[1] / "derivations"
_CITED = re.compile(r"Labels? D\d+\.\d+(?:(?:, | and )D\d+\.\d+)*")
GROUPS = {
    1: "law and optimum",
    2: "activations",
    3: "kernels",
    4: "training rules",
    5: "linear networks",
    6: "quadratic kernels",
    7: "nested features",
    8: "images",
    9: "averages over data sets",
    10: "finite width",
    11: "pools",
    12: "other losses",
    13: "optimisers",
    14: "several shortcuts, groups",
    15: "rich training",
    16: "large data sets",
}
_ROW, _COLUMN, _LEFT = 46, 70, 168


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Derivation pages get their numbers, readers and code; the index gets the drawing."""
    label = pathlib.PurePosixPath(page.file.src_uri).stem
    if page.file.src_uri.startswith("derivations/"):
        page.meta["hide"] = ["toc"]  # formulas and the index need the width
    if page.file.src_uri == "derivations/index.md":
        return markdown.replace("\n| label |", f"\n{_drawing()}\n\n| label |", 1)
    if page.file.src_uri.startswith("derivations/") and LABEL.fullmatch(label):
        return _numbered(_with_readers(markdown, label, files), label) + _code(label)
    return markdown


def on_page_content(content: str, page: Any, config: Any, files: Any) -> str:
    """Labels in docstrings lead to their derivation."""
    if not page.file.src_uri.startswith("reference/"):
        return content
    folder = posixpath.relpath("derivations", posixpath.dirname(page.file.src_uri))

    def links(found: re.Match[str]) -> str:
        return LABEL.sub(lambda label: f'<a href="{folder}/{label.group()}.html">{label.group()}</a>', found.group())

    return _CITED.sub(links, content)


@functools.cache
def facts(label: str) -> dict[str, list[str]]:
    """What the head of a page lists: labels that it builds on, names of its code."""
    head = (_FOLDER / f"{label}.md").read_text().partition("## Assumptions")[0]
    listed = dict(re.findall(r"^- \*\*([\w ]+)\*\*: (.*)$", head, re.M))
    builds_on = re.findall(r"\[(D\d+\.\d+)\]", listed.get("Builds on", ""))
    return {"builds_on": builds_on, "code": re.findall(r"`([\w.]+)`", listed.get("In the code", ""))}


@functools.cache
def labels() -> list[str]:
    """All that have a page, in order."""
    found = [path.stem for path in _FOLDER.glob("D*.md")]
    return sorted(found, key=lambda label: [int(part) for part in label[1:].split(".")])


def _numbered(markdown: str, label: str) -> str:
    """Each step has an anchor, and its formula the number D3.3.4."""
    head, derivation, rest = markdown.partition("## Derivation")
    body, checks, tail = rest.partition("\n## ")
    parts = re.split(r"^(?=\d+\. )", body, flags=re.M)
    numbered = [parts[0]]
    for number, part in enumerate(parts[1:], 1):
        part = re.sub(r"^\d+\. ", rf'{number}. <a id="step-{number}"></a>', part)
        numbered.append(
            re.sub(
                r"\n    \$\$\n\n?\Z|\n    \$\$(?=\n)(?!.*\$\$)", rf" \\tag{{{label}.{number}}}\n    $$\n\n", part, flags=re.S
            )
        )
    return head + derivation + "".join(numbered) + checks + tail


def _with_readers(markdown: str, label: str, files: Any) -> str:
    """Results that build on it, and pages that print or name it."""
    later = [other for other in labels() if label in facts(other)["builds_on"]]
    lines = [f"- **Used by**: {', '.join(f'[{other}]({other}.md)' for other in later)}"] if later else []
    readers = [f"[{title}](../{uri})" for uri, title in _readers(label)]
    lines += [f"- **On pages**: {', '.join(readers)}"] if readers else []
    return markdown.replace("\n- **In the code**", "".join(f"\n{line}" for line in lines) + "\n- **In the code**", 1)


def _readers(label: str) -> list[tuple[str, str]]:
    docs = _FOLDER.parent
    named = re.compile(rf"\b{re.escape(label)}\b(?!\.\d+\d)")
    pages = [path for path in sorted(docs.rglob("*.md")) if path.parent != _FOLDER]
    texts = {path: path.read_text() for path in pages}
    titles = {path: re.search(r"^# (.+)$", text, re.M) for path, text in texts.items()}
    return [
        (path.relative_to(docs).as_posix(), titles[path].group(1))
        for path in pages
        if titles[path] and named.search(texts[path])
    ]


@functools.cache
def _package() -> Any:
    return griffe.load("ntk_shortcuts", search_paths=[_FOLDER.parents[1]])


def _code(label: str) -> str:
    """What implements it, folded."""
    lines = ["\n## Code\n"]
    for name in facts(label)["code"]:
        found = _package()[name.removeprefix("ntk_shortcuts.")]
        found = found.final_target if found.is_alias else found
        place = found.filepath.relative_to(_FOLDER.parents[1]).as_posix()
        source = html.escape(found.source)
        link = f'<autoref identifier="{name}" optional><code>{name}</code></autoref>'
        lines.append(f"<p>{link}, <code>{place}</code>, line {found.lineno}</p>")
        lines.append(f'<details><summary>Source</summary><pre class="source"><code>{source}</code></pre></details>\n')
    return "\n".join(lines)


def _drawing() -> str:
    """What builds on what, a row for each group; every label is a link."""
    places: dict[str, tuple[int, int]] = {}
    groups = sorted({_group(label) for label in labels()})
    for row, group in enumerate(groups):
        members = [label for label in labels() if _group(label) == group]
        places |= {label: (_LEFT + column * _COLUMN, 8 + row * _ROW) for column, label in enumerate(members)}
    width = max(x for x, _ in places.values()) + _COLUMN
    height = len(groups) * _ROW + 8
    edges = [_edge(places[earlier], places[label]) for label in labels() for earlier in facts(label)["builds_on"]]
    names = [
        f'<text x="0" y="{24 + row * _ROW}">D{group} {html.escape(GROUPS.get(group, ""))}</text>'
        for row, group in enumerate(groups)
    ]
    nodes = [
        f'<a href="{label}.html"><rect x="{x}" y="{y}" width="62" height="24" rx="4"/>'
        f'<text x="{x + 31}" y="{y + 16}" text-anchor="middle">{label}</text></a>'
        for label, (x, y) in places.items()
    ]
    drawn = "".join([*edges, *names, *nodes])
    return (
        f'<div class="dependencies"><svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="Which result builds on which, a row for each group">{drawn}</svg></div>'
    )


def _group(label: str) -> int:
    return int(label[1:].partition(".")[0])


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    """A curve from one box to a later one: below it, or beside it in the same row."""
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        return f'<path d="M{x1 + 31} {y1} Q{(x1 + x2) / 2 + 31} {y1 - 14} {x2 + 31} {y2}"/>'
    x1, x2, y1, y2 = x1 + 31, x2 + 31, *((y1 + 24, y2) if y2 > y1 else (y1, y2 + 24))
    middle = (y1 + y2) / 2
    return f'<path d="M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2}"/>'
