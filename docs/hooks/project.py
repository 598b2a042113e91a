"""Files at the root of the repository that are pages too: links into `docs/` become links between pages."""

from __future__ import annotations

import pathlib
import re
from typing import Any

from mkdocs.structure.files import File

_ROOT = pathlib.Path(__file__).parents[2]
PAGES = {
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
}


def on_files(files: Any, config: Any) -> Any:
    """Add them."""
    for source, uri in PAGES.items():
        text = re.sub(r"\]\(docs/(project/)?", lambda link: "](" if link.group(1) else "](../", (_ROOT / source).read_text())
        files.append(File.generated(config, uri, content=text))
    return files
