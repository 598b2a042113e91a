"""What needs neural-tangents is skipped where that is not installed: tests marked `peers`, and docstrings' examples."""

import importlib.util

import pytest

WITH_PEERS = importlib.util.find_spec("neural_tangents") is not None
# Modules whose examples load it.
PEER_MODULES = ("ntk_shortcuts/networks/neural_tangents.py", "ntk_shortcuts/networks/stax.py")


def pytest_runtest_setup(item):
    example = isinstance(item, pytest.DoctestItem) and item.path.as_posix().endswith(PEER_MODULES)
    if not WITH_PEERS and (example or item.get_closest_marker("peers")):
        pytest.skip("needs neural-tangents: python -m pip install -e '.[peers]'")
