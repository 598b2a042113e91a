"""The script for accelerators, on a processor: its steps at tiny sizes, going on where it was, what it says at the end."""

import importlib
import pathlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
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
        return lambda scale: [step.Case(name, lambda name=name: measure(name)) for name in names]

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


@pytest.fixture
def tables(script, tmp_path):
    """Of the steps that the script has when they are asked for, at tiny sizes."""
    return lambda: script.Tables(tmp_path, script.STEPS, script.Scale.TINY, {"device": "this one"})


@pytest.fixture
def run(script, tables):
    def through(names, budget=600.0):
        script.Run(tables(), budget).through(names)

    return through


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::ntk_shortcuts.UntrustedPredictionWarning")
def test_steps_at_tiny_sizes(script, tables, run, tmp_path):
    names = ["kernels", "ensembles", "exact"]
    run(names)
    for name in names:
        rows = tables().rows(name)
        assert {row["case"] for row in rows} == {case.name for case in script.STEPS[name].cases(script.Scale.TINY)}
        assert all(row["error"] == "" and row["device"] == "this one" for row in rows)
    kernels = tables().rows("kernels")
    assert [row["kind"] for row in kernels] == ["infinite", "empirical"] and all(row["difference"] < 1e-13 for row in kernels)
    biases = [tables().rows("ensembles")[0][name] for name in ("trained", "own_init", "expected")]
    assert np.all(np.isfinite(biases)) and [row["method"] for row in tables().rows("exact")] == ["direct", "blocks"]
    script.finish(tables())
    assert (tmp_path / "summary.png").stat().st_size > 10_000


def test_precision_is_that_of_the_case(script):
    def made():
        with jax.enable_x64(True):
            inner = jnp.ones(())
        return [{"without": jnp.ones(()).dtype.name, "asked for": inner.dtype.name}]

    with jax.enable_x64(True):
        assert script.measured(script.Case("a", made)) == [{"without": "float32", "asked for": "float64"}]


@pytest.mark.slow
@pytest.mark.peers
def test_the_whole_script_at_tiny_sizes(script, tmp_path):
    command = [str(BENCHMARKS / "accelerator" / "run"), "--scale", "tiny", "--output", str(tmp_path)]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        counts = [str(len(step.cases(script.Scale.TINY))) for step in script.STEPS.values()]
        expected = [[f"{count} of {count}", "0"] for count in counts]
        assert [line.split(" | ")[1:3] for line in done.stdout.splitlines()[-6:]] == expected
    assert not [line for line in done.stdout.splitlines() if line.endswith(" s")]  # nothing was left to measure


@pytest.mark.parametrize("scale", ["full", "small"])
def test_every_scale_has_cases_of_names_of_their_own(script, scale):
    shares = [step.share for step in script.STEPS.values()]
    assert sum(shares) == pytest.approx(1) and shares[0] == 0.2
    for step in script.STEPS.values():
        names = [case.name for case in step.cases(script.Scale(scale))]
        assert len(names) == len(set(names)) > 1


@pytest.mark.slow
@pytest.mark.branches
def test_the_devices_tests_are_counted_and_those_that_fail_are_named(script, monkeypatch, tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_made_up.py").write_text(
        "import pytest\ndef test_good(): pass\ndef test_bad(): assert 0\n@pytest.mark.skip\ndef test_left_out(): pass\n"
    )
    monkeypatch.setattr(script.device_tests, "ROOT", tmp_path)
    (row,) = script.device_tests.tested("made_up")
    counts = {"passed": 1, "broken": 1, "skipped": 1, "failures": "test_bad"}
    assert {**row, **counts} == row and script.device_tests.headline([row]) == "1 passed, 1 failed, 1 skipped"
    monkeypatch.setattr(script.device_tests, "_finished", lambda command: "no such file")
    with pytest.raises(RuntimeError, match="no such file"):
        script.device_tests.tested("nothing")


def test_processes_that_are_abandoned_end(script):
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(script.device_tests._finished, [sys.executable, "-c", "import time; time.sleep(60)"])
        while not script.device_tests._running:
            time.sleep(0.01)
        script.device_tests.abandon()
        assert said.result(timeout=30) == "" and not script.device_tests._running


def test_what_is_not_measured_yet_is_not_drawn(script, tables, tmp_path):
    script.finish(tables())
    assert (tmp_path / "summary.png").exists()


def test_goes_on_where_it_was_and_tries_again_what_failed(script, made_up, tables, run, capsys):
    ran, failing = made_up
    run(["first", "second"], budget=0.0)
    assert ran == []
    run(["second"])
    run(["first", "second"])
    assert ran == ["four", "one", "two", "three"]
    assert [row["error"] for row in tables().rows("first")] == ["", "MemoryError: more than", ""]
    script.finish(tables())
    assert "| the first | 2 of 3 | 1 | values up to 5 |" in capsys.readouterr().out
    failing.clear()
    run(["first", "second"])
    assert ran[4:] == ["two"] and [row["case"] for row in tables().rows("first")] == ["one", "three", "two"]


def test_begins_with_what_was_cut_off_but_for_what_was_so_twice(script, made_up, tables, run):
    ran, failing = made_up
    failing.clear()
    four, two = script.STEPS["second"].cases(None)[0], script.STEPS["first"].cases(None)[1]
    tables().cut("second", four)
    tables().cut("first", two)
    tables().cut("first", two)
    assert [row["error"] for row in tables().rows("first")] == ["cut off again"]
    run(["first", "second"])
    assert ran == ["four", "one", "three", "two"]
    assert not any(tables().errors(name)[case] for name in script.STEPS for case in tables().errors(name))


def test_each_step_has_its_share_before_any_has_more(script, made_up, run, monkeypatch):
    ran, failing = made_up
    failing.clear()
    clock = iter(range(1000))
    monkeypatch.setattr(script.time, "monotonic", lambda: float(next(clock)))
    run(["first", "second"], budget=14.0)  # each look at the clock takes a second
    assert ran == ["one", "two", "four", "three"]


def test_when_the_budget_is_spent_the_summary_comes_and_the_rest_is_left(
    script, made_up, tables, tmp_path, monkeypatch, capsys
):
    ran, _ = made_up
    monkeypatch.setattr(script.os, "_exit", sys.exit)
    monkeypatch.setattr("sys.argv", ["run", "--budget", "3", "--scale", "tiny", "--output", str(tmp_path)])
    monkeypatch.setattr(script.threading, "Timer", Immediate)
    with pytest.raises(SystemExit, match="0"):
        script.main()
    assert ran == [] and capsys.readouterr().out.startswith("3 seconds are over\n| step |")
    rows = (tmp_path / "summary.csv").read_text().splitlines()
    assert rows[0] == "step,what,cases,failed,result,device,jax" and rows[1].startswith("first,the first,0 of 3,0,,")
    halfway = script.Run(tables(), 3.0)
    monkeypatch.setattr(script, "measured", lambda case: halfway.stop())
    with pytest.raises(SystemExit, match="0"):
        halfway.through(["second"])
    assert tables().errors("second") == {"four": "cut off"}


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
