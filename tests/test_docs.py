"""Every Python block of the guide runs."""

import pathlib
import re

import pytest

GUIDES = sorted((pathlib.Path(__file__).parents[1] / "docs" / "guide").glob("*.md"))


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_blocks_run(page):
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(compile(block, page.name, "exec"), namespace)
