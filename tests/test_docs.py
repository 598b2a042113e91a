"""Every Python block of the guide runs, and the site builds in strict mode."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs" / "guide").glob("*.md"))


SLOW_PAGES = {"dataset_average", "moving_kernel"}  # the same calls are quick tests elsewhere


def _page(path):
    return pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW_PAGES else [])


@pytest.mark.parametrize("page", [_page(path) for path in GUIDES])
def test_blocks_run(page):
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(compile(block, page.name, "exec"), namespace)


def test_site_builds_in_strict_mode(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
    assert built.returncode == 0, built.stdout + built.stderr
    api = (tmp_path / "api" / "index.html").read_text()
    import ntk_shortcuts

    missing = [name for name in ntk_shortcuts.__all__ if f"ntk_shortcuts.{name}" not in api]
    assert not missing
