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


def test_the_list_has_every_script():
    page = (BENCHMARKS / "README.md").read_text()
    assert [path.name for path in BENCHMARKS.glob("*.py") if f"]({path.name})" not in page] == []


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.peers
@pytest.mark.parametrize("script", [path.stem for path in BENCHMARKS.glob("*.py")])
def test_every_script_loads(script, monkeypatch):
    """What a script takes from the package and from its neighbours is there: no other test runs the long ones."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(mpmath.mp, "dps", mpmath.mp.dps)
    if script == "explorer_latency":
        pytest.importorskip("playwright", reason="the extra `browser` is not installed")
    importlib.import_module(script)


def test_the_page_on_speed_shows_the_records(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(mpmath.mp, "dps", mpmath.mp.dps)  # which the script sets for itself
    peers, large, records = (importlib.import_module(name) for name in ("peers", "large_samples", "records"))
    page = (BENCHMARKS.parent / "docs" / "evidence" / "speed.md").read_text()
    for name, table in (("peers", peers.table(read_lines(peers.RECORDS))), ("large samples", large.table(large.read()))):
        assert records.put_into(page, name, table) == page
        assert records.put_into(page, name, "another table") != page


@pytest.mark.parametrize(
    "page, script, tables",
    [
        ("pool_training", "pool_training", {"accuracy": "accuracy_table", "textures": "accuracy_table"}),
        ("pool_average", "pools", {"pools": "table"}),
        ("laws", "laws", {"laws": "table"}),
    ],
)
def test_reports_show_the_records_of_their_scripts(page, script, tables, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module, records = importlib.import_module(script), importlib.import_module("records")
    text = (BENCHMARKS.parent / "docs" / "evidence" / f"{page}.md").read_text()
    for name, table in tables.items():
        rows = module.read(name) if script == "pool_training" else module.read()
        assert records.put_into(text, name, getattr(module, table)(rows)) == text
