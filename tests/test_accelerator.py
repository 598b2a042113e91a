"""The script for accelerators, on a processor: its steps at tiny sizes, going on where it was, what it says at the end."""

import importlib
import pathlib
import subprocess
import sys

import mpmath
import numpy as np
import pytest

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "accelerator"))
    monkeypatch.setattr(mpmath.mp, "dps", mpmath.mp.dps)  # which a script sets for itself
    return importlib.import_module("script")


@pytest.fixture
def made_up(script, monkeypatch):
    """Two steps whose cases say that they ran; the second case of the first fails while the list holds its name."""
    step = importlib.import_module("step")
    ran, failing = [], ["two"]

    def measure(name):
        ran.append(name)
        if name in failing:
            raise MemoryError("more than\nthere is")
        return [{"value": len(name), "kind": name}]

    def cases(*names):
        return lambda tiny: [step.Case(name, lambda name=name: measure(name)) for name in names]

    def headline(rows):
        return f"values up to {max(row['value'] for row in rows):.0f}"

    steps = {
        "first": step.Step("the first", 0.5, ("kind",), cases("one", "two", "three"), headline),
        "second": step.Step("the second", 0.5, ("kind",), cases("four"), headline),
    }
    monkeypatch.setattr(script, "STEPS", steps)
    monkeypatch.setattr(script.summary, "figure", lambda tables, machine: FakeFigure())
    return ran, failing


class FakeFigure:
    def savefig(self, path, metadata):
        path.write_text("drawn")


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::ntk_shortcuts.UntrustedPredictionWarning")
def test_steps_at_tiny_sizes(script, tmp_path):
    names = ["kernels", "ensembles", "exact"]
    script.run(tmp_path, names, tiny=True, budget=600.0)
    for name in names:
        rows = script.table(tmp_path, name)
        assert {row["case"] for row in rows} == {case.name for case in script.STEPS[name].cases(True)}
        assert all(row["error"] == "" and row["device"] == script.machine() for row in rows)
    kernels = script.table(tmp_path, "kernels")
    assert [row["kind"] for row in kernels] == ["infinite", "empirical"] and all(row["difference"] < 1e-5 for row in kernels)
    biases = [script.table(tmp_path, "ensembles")[0][name] for name in ("trained", "own_init", "expected")]
    assert np.all(np.isfinite(biases)) and [row["method"] for row in script.table(tmp_path, "exact")] == ["direct", "blocks"]
    script.finish(tmp_path, tiny=True)
    assert (tmp_path / "summary.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.peers
def test_the_whole_script_at_tiny_sizes(script, tmp_path):
    command = [str(BENCHMARKS / "accelerator" / "run"), "--tiny", "--output", str(tmp_path)]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert [line.split(" | ")[1:3] for line in done.stdout.splitlines()[-6:]] == [
            [f"{len(step.cases(True))} of {len(step.cases(True))}", "0"] for step in script.STEPS.values()
        ]
    assert not [line for line in done.stdout.splitlines() if line.endswith(" s")]  # nothing was left to measure


def test_what_is_not_measured_yet_is_not_drawn(script, tmp_path):
    script.finish(tmp_path, tiny=False)
    assert (tmp_path / "summary.png").exists()


def test_goes_on_where_it_was_and_tries_again_what_failed(script, made_up, tmp_path, capsys):
    ran, failing = made_up
    script.run(tmp_path, ["first", "second"], tiny=False, budget=0.0)
    assert ran == []
    script.run(tmp_path, ["second"], tiny=False, budget=60.0)
    script.run(tmp_path, ["first", "second"], tiny=False, budget=60.0)
    assert ran == ["four", "one", "two", "three"]
    assert [row["error"] for row in script.table(tmp_path, "first")] == ["", "MemoryError: more than", ""]
    script.finish(tmp_path, tiny=False)
    assert "| the first | 2 of 3 | 1 | values up to 5 |" in capsys.readouterr().out
    failing.clear()
    script.run(tmp_path, ["first", "second"], tiny=False, budget=60.0)
    assert ran[4:] == ["two"] and [row["case"] for row in script.table(tmp_path, "first")] == ["one", "three", "two"]


def test_each_step_has_its_share_before_any_has_more(script, made_up, tmp_path, monkeypatch):
    ran, failing = made_up
    failing.clear()
    clock = iter(range(1000))
    monkeypatch.setattr(script.time, "monotonic", lambda: float(next(clock)))
    script.run(tmp_path, ["first", "second"], tiny=False, budget=14.0)  # each look at the clock takes a second
    assert ran == ["one", "two", "four", "three"]


def test_when_the_budget_is_spent_the_summary_comes_and_the_rest_is_left(script, made_up, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run", "--budget", "3", "--output", str(tmp_path)])
    monkeypatch.setattr(script.os, "_exit", sys.exit)
    monkeypatch.setattr(script.threading, "Timer", Immediate)
    with pytest.raises(SystemExit, match="0"):
        script.main()
    assert made_up[0] == [] and capsys.readouterr().out.startswith("3 seconds are over\n| step |")
    rows = (tmp_path / "summary.csv").read_text().splitlines()
    assert rows[0] == "step,what,cases,failed,result,device,jax" and rows[1].startswith("first,the first,0 of 3,0,,")


class Immediate:
    """A timer whose time has come."""

    def __init__(self, seconds, function):
        self.function = function

    def start(self):
        self.function()

    def cancel(self):
        pass


def test_tables_are_read_as_they_were_written(script, tmp_path):
    records, path = importlib.import_module("records"), tmp_path / "below" / "table.csv"
    assert records.read(path) == []
    records.write(path, [{"name": "a, b", "x": 1.5}, {"name": "c", "y": 2}])
    assert path.read_text() == 'name,x,y\n"a, b",1.5,\nc,,2\n'
    records.add(path, [{"y": 3, "name": "d", "x": 0}], ["name", "x", "y"])
    rows = records.read(path, words=("name",))
    assert [row["name"] for row in rows] == ["a, b", "c", "d"] and np.isnan(rows[1]["x"]) and rows[2]["y"] == 3.0
    records.add(tmp_path / "new.csv", rows[2:])
    assert (tmp_path / "new.csv").read_text() == "name,x,y\nd,0.0,3.0\n"
    assert not list(path.parent.glob("*.part"))
