"""The asv suites load and are named as asv expects, and the page on speed shows what was recorded; none is run here."""

import importlib
import inspect
import json
import pathlib

import mpmath
import pytest

from ntk_shortcuts.experiments.comparison import read_lines

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"
PREFIXES = ("time_", "peakmem_", "track_")
MODULES = [path.stem for path in (BENCHMARKS / "asv_suites").glob("*.py") if path.stem != "__init__"]


def _suites(module):
    loaded = importlib.import_module(f"asv_suites.{module}")
    return [suite for suite in vars(loaded).values() if inspect.isclass(suite) and suite.__module__ == loaded.__name__]


@pytest.mark.parametrize("module", MODULES)
def test_suites_have_benchmarks_that_take_their_parameters(module, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    suites = _suites(module)
    assert suites
    for suite in suites:
        count = len(getattr(suite, "params", ()))
        assert len(getattr(suite, "param_names", ())) == count
        methods = {name: value for name, value in vars(suite).items() if inspect.isfunction(value)}
        found = [name for name in methods if name.startswith(PREFIXES)]
        assert found and "setup" in methods
        for name in [*found, "setup"]:
            assert len(inspect.signature(methods[name]).parameters) == 1 + count, (suite, name)


def test_suites_are_where_the_configuration_looks_and_use_every_prefix(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    configuration = json.loads((BENCHMARKS / "asv.conf.json").read_text())
    assert (BENCHMARKS / configuration["benchmark_dir"] / "__init__.py").exists()
    assert {"kernels", "predictions", "accuracy"} <= set(MODULES)
    names = [name for module in MODULES for suite in _suites(module) for name in vars(suite)]
    assert all(any(name.startswith(prefix) for name in names) for prefix in PREFIXES)


def test_the_page_on_speed_shows_the_records(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(mpmath.mp, "dps", mpmath.mp.dps)  # which the script sets for itself
    peers = importlib.import_module("peers")
    page = (BENCHMARKS.parent / "docs" / "evidence" / "speed.md").read_text()
    assert peers.put_into(page, peers.table(read_lines(peers.RECORDS))) == page
    assert peers.put_into(page, "another table") != page
