"""What needs neural-tangents is skipped where that is not installed: tests marked `peers`, and docstrings' examples.

So are the examples of images where the packages that have them are not installed, and those of the explorer: its modules
cannot be imported then.
"""

import importlib.util

import pytest

WITH_PEERS = importlib.util.find_spec("neural_tangents") is not None
WITH_EXPLORER = all(importlib.util.find_spec(name) for name in ("panel", "bokeh"))
WITH_IMAGES = all(importlib.util.find_spec(name) for name in ("sklearn", "skimage", "mlxtend"))
# Modules whose examples load it.
PEER_MODULES = ("ntk_shortcuts/networks/neural_tangents.py", "ntk_shortcuts/networks/stax.py")

collect_ignore_glob = [] if WITH_EXPLORER else ["ntk_shortcuts/explorer/*"]


def pytest_runtest_setup(item):
    example = isinstance(item, pytest.DoctestItem) and item.path.as_posix().endswith(PEER_MODULES)
    if not WITH_PEERS and (example or item.get_closest_marker("peers")):
        pytest.skip("needs neural-tangents: python -m pip install -e '.[peers]'")
    pictures = isinstance(item, pytest.DoctestItem) and "ntk_shortcuts/experiments/images/" in item.path.as_posix()
    if not WITH_IMAGES and (pictures or item.get_closest_marker("images")):
        pytest.skip("needs the packages that have the images: python -m pip install -e '.[images]'")
