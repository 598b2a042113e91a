"""Annotations say what is there: the examples of all docstrings run with each of them checked."""

import os
import pathlib
import subprocess
import sys

import pytest

# A process of its own: elsewhere in the suite bad input has to reach the package's own messages, which the checker's would come
# before. An int is a float to PEP 484, which beartype says when asked. What typer hands to its callbacks is no typer.Context.
SCRIPT = """
import doctest, importlib, pkgutil, sys, types, warnings
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

sys.modules["checker"] = types.ModuleType("checker")
sys.modules["checker"].check = beartype(conf=BeartypeConf(is_pep484_tower=True))
install_import_hook("ntk_shortcuts", "checker.check")
import ntk_shortcuts
from ntk_shortcuts.kernels.recursion import Kernels

warnings.simplefilter("ignore")
try:
    Kernels("no", "arrays")
except TypeError:
    print("checked")
flags, failed, tried = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, 0, 0
for found in pkgutil.walk_packages(ntk_shortcuts.__path__, "ntk_shortcuts."):
    module = importlib.import_module(found.name)
    if not found.name.startswith("ntk_shortcuts.cli"):
        result = doctest.testmod(module, optionflags=flags)
        failed, tried = failed + result.failed, tried + result.attempted
print(failed, tried)
"""


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.peers
def test_annotations_hold_in_the_examples_of_docstrings():
    pytest.importorskip("panel", reason="the extra `explorer` is not installed")
    root = pathlib.Path(__file__).parents[1]
    # Not under coverage: the same examples run in the suite itself.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    found = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, env=unmeasured)
    assert found.returncode == 0, found.stderr
    failed, tried = map(int, found.stdout.split()[-2:])
    assert "checked" in found.stdout.split() and failed == 0 and tried > 100, found.stdout[-4000:]
