"""Style and types, by the tools that pyproject.toml configures; the oldest versions that CI installs are the bounds there."""

import pathlib
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.version import Version

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize("command", [("ruff", "check"), ("ruff", "format", "--check")], ids=" ".join)
def test_ruff_finds_nothing(command):
    found = subprocess.run([sys.executable, "-m", *command, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
@pytest.mark.branches
def test_pyright_finds_nothing():
    pytest.importorskip("pyright")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_oldest_versions_are_the_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dask"]]
    bounds = dict(re.match(r"([\w-]+)(?:\[.*\])?>=(\S+)", line).groups() for line in wanted)
    pins = re.findall(r"^([\w-]+)==(\S+)$", (ROOT / ".ci" / "oldest.txt").read_text(), re.M)
    pinned = {name: Version(version) for name, version in pins}
    assert pinned.pop("jaxlib") == pinned["jax"] and pinned.pop("distributed") == pinned["dask"]
    assert pinned == {name: Version(version) for name, version in bounds.items()}
