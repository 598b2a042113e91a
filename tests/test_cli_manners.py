"""Manners of the command line: spellings, several times, files by suffix, tables, completion, progress."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import types
from typing import ClassVar

import numpy as np
import pytest
import xarray

import ntk_shortcuts as ns
from ntk_shortcuts import progress
from ntk_shortcuts.cli import main, printing
from ntk_shortcuts.cli.options import names
from ntk_shortcuts.experiments.comparison import PRESETS
from ntk_shortcuts.kernels import known_activations
from ntk_shortcuts.kernels.blocks import NORMALIZATIONS
from ntk_shortcuts.methods import known_methods
from ntk_shortcuts.networks.fully_connected import INITIALIZATIONS, PARAMETERIZATIONS
from ntk_shortcuts.training.losses.base import LOSSES

ROOT = pathlib.Path(__file__).parents[1]
COARSE = "--depth 0 --no-random-init --tolerance 0.1"
FAST = {"random_init": False, "tolerance": 0.1}
MODEL = ns.GenerativeModel()


def run(capsys, line, *more):
    status = main([*line.split(), *map(str, more)])
    return status, *capsys.readouterr()


def rows(text):
    return [line.split("\t") for line in text.splitlines()]


# Names


def test_the_shell_knows_the_names_that_the_package_knows():
    assert names.methods() == known_methods()
    ours = {name for name, loss in LOSSES.items() if type(loss).__module__.startswith("ntk_shortcuts.")}
    assert set(names.losses()) == ours or set(names.losses()) == set(LOSSES)
    assert list(names.ACTIVATIONS) == known_activations()
    assert sorted(PARAMETERIZATIONS) == list(names.PARAMETERIZATIONS)
    assert INITIALIZATIONS == names.INITIALIZATIONS and tuple(NORMALIZATIONS) == names.NORMALIZATIONS
    assert sorted(PRESETS) == list(names.PRESETS)
    from ntk_shortcuts.derivation import load_derivations

    assert names.derivation_labels() == list(load_derivations())


@pytest.mark.parametrize("spelling", ["leading-order", "leading_order"])
def test_names_and_options_are_known_in_either_spelling(capsys, spelling):
    status, out, _ = run(capsys, f"predict --json --method {spelling} --weight_variance 2 --activation leaky-relu")
    found = json.loads(out)
    assert status == 0 and found["method"] == "leading_order" and found["activation"] == "leaky_relu"
    expected = ns.predict(MODEL, ns.MLP(1, "leaky_relu"), ns.GradientFlow(30.0), method="leading_order")
    assert found["bias"] == pytest.approx(expected.bias, rel=1e-9)


def test_options_of_several_values_are_checked_in_either_spelling(capsys):
    assert run(capsys, "predict --num_samples --json")[2].startswith("error: num_samples must be given a value")


def test_help_and_pages_have_one_spelling(capsys):
    hyphened = [name.replace("_", "-") for name in [*names.methods(), *names.PARAMETERIZATIONS] if "_" in name]
    pages = [path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]]
    texts = [run(capsys, f"{command} --help")[1] for command in ("predict", "map", "sweep", "spectrum")]
    assert [name for name in hyphened for text in (*pages, *texts) if f"--method {name}" in text or f" {name} (" in text] == []
    assert all("population_flow" in text for text in texts[:3])


# Several times


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("--time 3,30", ns.GradientFlow([3.0, 30.0])),
        ("--time 3 --time inf", ns.GradientFlow([3.0, np.inf])),
        ("--learning-rate 0.5 --steps 4,16", ns.GradientDescent(0.5, [4, 16])),
        ("--ridge 0.1,1 --num-samples 20", ns.Ridge([0.1, 1.0])),
    ],
)
def test_several_at_once_are_the_python_answer(capsys, line, rule):
    status, out, _ = run(capsys, f"predict {COARSE} {line} --json")
    found = json.loads(out)
    expected = ns.predict_bias(MODEL, ns.MLP(0), rule, 20 if "num-samples" in line else None, **FAST)
    assert status == 0
    np.testing.assert_allclose(found["bias"], expected.bias, rtol=1e-9)
    np.testing.assert_allclose(found["reliance"], expected.reliance, rtol=1e-9)
    status, out, _ = run(capsys, f"predict {COARSE} {line}")
    table = rows(out)
    assert status == 0 and table[0][1:] == ["shortcut bias", "reliance", "optimal reliance"]
    assert [row[0] for row in table[1:]] == [f"{value:g}" for value in next(iter(expected.coordinates.values()))]
    assert [row[1] for row in table[1:]] == [f"{value:+.4f}" for value in expected.bias]


def test_sweeps_and_maps_have_several_times_as_an_axis(capsys, tmp_path):
    sweep, figure, points = tmp_path / "sweep.csv", tmp_path / "sweep.png", tmp_path / "map.json"
    line = f"sweep --axis correlation=0,0.5 {COARSE} --time 3,30 --output {sweep} --output {figure}"
    status, out, _ = run(capsys, line)
    expected = ns.sweep({"correlation": [0.0, 0.5]}, MODEL, ns.MLP(0), ns.GradientFlow([3.0, 30.0]), **FAST)
    assert status == 0 and figure.stat().st_size > 1000
    table = rows(out)
    assert table[0] == ["correlation", "time", "bias", "reliance", "optimal reliance"] and len(table) == 5
    assert [row[2] for row in table[1:]] == [f"{value:+.4f}" for value in expected["bias"].values.ravel()]
    written = np.genfromtxt(sweep, delimiter=",", names=True)
    np.testing.assert_allclose(written["bias"], expected["bias"].values.ravel())
    np.testing.assert_array_equal(written["time"], [3, 30, 3, 30])
    ranges = "--predictivities 0.6 0.9 2 --ratios 0.5 2 2"
    status, out, _ = run(capsys, f"map {ranges} {COARSE} --time 3,30 --json --output {points} --output {figure}")
    assert status == 0 and json.loads(points.read_text()) == json.loads(out)
    assert np.shape(json.loads(out)["bias"]) == (2, 2, 2) and json.loads(out)["time"] == [3.0, 30.0]
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("words", ["3,x", "", "3,", "3;30"])
def test_what_is_no_number_is_named(capsys, words):
    status, out, err = run(capsys, "predict --time", words)
    assert status == 2 and out == "" and err.count("\n") == 1
    assert f"'--time': must be a number, or several as in 3,30; got '{words}'" in err


# Files


def test_predictions_are_written_in_the_form_of_each_suffix(capsys, tmp_path):
    paths = [tmp_path / f"prediction.{suffix}" for suffix in ("csv", "json", "nc", "svg")]
    status, out, err = run(capsys, f"predict {COARSE} --time 3,30 --json", *(w for path in paths for w in ("--output", path)))
    assert status == 0 and err.count("wrote") == 4
    found = json.loads(out)
    assert json.loads(paths[1].read_text()) == found
    table = np.genfromtxt(paths[0], delimiter=",", names=True)
    assert table.dtype.names == ("time", "bias", "reliance", "optimal_reliance")
    np.testing.assert_allclose(table["bias"], found["bias"], rtol=1e-12)
    with xarray.open_dataset(paths[2], engine="h5netcdf") as loaded:
        assert loaded["mean"].dims == ("time", "probe") and loaded.attrs["depth"] == 0 and loaded.attrs["seed"] == 0
        np.testing.assert_array_equal(loaded["bias"], found["bias"])
    assert paths[3].read_text().lstrip().startswith("<?xml")


def test_one_setting_is_one_row(capsys, tmp_path):
    path = tmp_path / "one.csv"
    status, out, _ = run(capsys, f"predict {COARSE} --output {path}")
    assert status == 0 and path.read_text().splitlines()[0] == "bias,reliance,optimal_reliance"
    assert len(path.read_text().splitlines()) == 2
    assert dict(rows(out))["shortcut bias"] == f"{float(path.read_text().splitlines()[1].split(',')[0]):+.4f}"


def test_spectra_and_audits_are_written(capsys, tmp_path):
    rng = np.random.default_rng(0)
    labels, patch = np.tile([-1, 1], 20), np.repeat([-1, 1], 20)
    inputs = np.stack([labels, 3 * patch, *rng.normal(size=(2, 40))], axis=1)
    np.savez(tmp_path / "pool.npz", inputs=inputs, labels=labels, patch=patch)
    for command in ("spectrum --depth 0 --modes 2", f"audit {tmp_path / 'pool.npz'} --depth 0"):
        paths = [tmp_path / f"found.{suffix}" for suffix in ("csv", "json", "nc")]
        status, out, _ = run(capsys, command, *(word for path in paths for word in ("--output", path)))
        printed, titles = rows(out), paths[0].read_text().splitlines()[0].split(",")
        assert status == 0 and len(printed) == 3 == len(paths[0].read_text().splitlines())
        known = json.loads(paths[1].read_text())
        with xarray.open_dataset(paths[2], engine="h5netcdf") as loaded:
            assert {"learning_times", "availability"} & {*titles} & known.keys() & loaded.data_vars.keys(), titles


@pytest.mark.slow
@pytest.mark.branches
def test_groups_of_laws_and_pools_over_time(capsys, tmp_path):
    law, path = tmp_path / "law.toml", tmp_path / "groups.csv"
    law.write_text('law = "features"\npredictivity = [0.8, 0.85, 0.9]\namplification = [4.0, 2.0, 1.0]\n')
    status, out, _ = run(capsys, f"predict --law {law} --depth 0 --time 3,30 --tolerance 0.2 --output {path}")
    expected = ns.predict(
        ns.GaussianFeatures((0.8, 0.85, 0.9), (4.0, 2.0, 1.0)), ns.MLP(0), ns.GradientFlow([3.0, 30.0]), tolerance=0.2
    )
    assert status == 0
    printed = dict(zip(rows(out)[0], rows(out)[1], strict=True))
    assert printed["bias shortcut 1"] == f"{float(expected.bias[0, 1]):+.4f}" and printed["time"] == "3"
    table = np.genfromtxt(path, delimiter=",", names=True)
    np.testing.assert_allclose(table["bias"], np.asarray(expected.bias).ravel(), rtol=1e-9)
    rng = np.random.default_rng(0)
    labels, patch = np.tile([-1, 1], 30), np.repeat([-1, 1], 30)
    np.savez(tmp_path / "pool.npz", inputs=rng.normal(size=(60, 3)) + patch[:, None], labels=labels, patch=patch)
    line = f"predict --pool {tmp_path / 'pool.npz'} --method dataset --depth 0 --time 1,3 --output {tmp_path / 'groups.svg'}"
    status, out, _ = run(capsys, line)
    table = rows(out)
    assert status == 0 and table[0][0] == "time" and "accuracy of label +1, patch -1" in table[0] and len(table) == 3
    found = json.loads(run(capsys, f"{line} --json")[1])
    group = next(group for group in found["group_accuracy"] if group["label"] == 1 and group["patch"] == -1)
    assert table[2][table[0].index("accuracy of label +1, patch -1")] == f"{group['accuracy'][1]:.4f}"


# Tables


def test_a_terminal_gets_a_table_and_the_summary(capsys, monkeypatch):
    line = f"sweep --axis correlation=0,0.5 {COARSE}"
    assert "points" not in run(capsys, line)[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, _ = run(capsys, line)
    assert "─" in out and "largest |bias| at" in out and "\t" not in out


def test_long_tables_are_cut_on_a_terminal_only(capsys, monkeypatch):
    lines = [[str(number), "x" * 200] for number in range(50)]
    printing.print_columns(["number", "word"], lines)
    assert rows(capsys.readouterr().out) == [["number", "word"], *lines]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    printing.print_columns(["number", "word"], [[number, ""] for number, _ in lines])
    out = capsys.readouterr().out
    assert " 39 " in out and " 40 " not in out and "10 more rows: --output FILE.csv" in out


# Completion


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home in which one command has installed the completion, with a program to complete."""
    place = tmp_path_factory.mktemp("home")
    program = place / "bin" / "ntk-shortcuts"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -X importtime -m ntk_shortcuts.cli "$@" 2>> {place}/imports\n')
    program.chmod(0o755)
    installed = shell(place, "ntk-shortcuts --install-completion")
    assert "bash completion installed" in installed
    return place


def shell(home, *lines):
    environment = {**os.environ, "HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    script = "\n".join((*lines, "true"))
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_is_installed_by_one_command_and_answers_without_jax(home):
    begun = {
        "": "predict audit report map spectrum explore sweep derive validate info".split(),
        "predict --method pop": ["population", "population_flow"],
        "predict --method population-f": ["population-flow"],
        "predict --amplification 4 1 --loss log": ["logistic"],
        "map --parameterization m": ["mean_field"],
        "validate --preset q": ["quick"],
        "derive D14.": [label for label in names.derivation_labels() if label.startswith("D14.")],
        # What is not finished yet is no mistake.
        "predict --amplification 4 --num-s": ["--num-samples"],
    }
    ask = []
    for line in begun:
        words = ["ntk-shortcuts", *line.split(), *([""] if not line else [])]
        ask.append(f"COMP_WORDS=({' '.join(word or chr(39) * 2 for word in words)}); COMP_CWORD={len(words) - 1}")
        ask.append('_ntk_shortcuts_completion ntk-shortcuts; echo "${COMPREPLY[@]}"')
    answers = [line.split() for line in shell(home, "source ~/.bashrc", *ask).splitlines()]
    assert dict(zip(begun, answers, strict=True)) == begun
    imported = {line.rpartition("|")[2].strip() for line in (home / "imports").read_text().splitlines()}
    assert "typer" in imported and not imported & {"jax", "numpy", "xarray", "matplotlib", "sympy"}


# Progress


class Shown:
    """Stands for a bar on a terminal."""

    made: ClassVar[list] = []

    def __init__(self, description, transient=False):
        self.description, self.told, self.stopped = description, [], False
        self.made.append(self)

    def update(self, done, total):
        self.told.append((done, total))

    def stop(self):
        self.stopped = True


@pytest.fixture
def bars(monkeypatch):
    """The bars that are shown on a terminal, where every step takes as long as `clock` says."""
    clock = types.SimpleNamespace(now=0.0, bars=[])
    monkeypatch.setattr(Shown, "made", clock.bars)
    monkeypatch.setattr(progress, "Bar", Shown)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    return clock


def test_a_bar_shows_what_takes_more_than_two_seconds_with_an_estimate(bars):
    with progress.ProgressBar("predicting") as bar:
        for done in range(1, 11):
            bars.now += 0.5
            bar(done, 10)
    (shown,) = bars.bars
    assert shown.description == "predicting, about 5 s" and shown.told[0] == (1, 10) and shown.told[-1] == (10, 10)
    assert shown.stopped


def test_no_bar_for_what_is_quick_and_none_off_a_terminal(bars, monkeypatch):
    for step, terminal in ((0.1, True), (5.0, False)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        for _ in progress.steps(range(10), "adding"):
            bars.now += step
    assert bars.bars == []


def test_what_a_store_has_took_no_time(bars):
    with progress.ProgressBar("predicting") as bar:
        bars.now += 1.0
        bar(91, 100)  # ninety of them were there
        assert bars.bars[0].description == "predicting, about 10 s"
        bar(92, 100)


def test_steps_stop_their_bar_where_a_reader_stops(bars):
    for number in progress.steps(range(10), "adding"):
        bars.now += 1.0
        if number == 3:
            break
    assert bars.bars[0].stopped and bars.bars[0].told == [(1, 10), (2, 10), (3, 10)]


@pytest.mark.parametrize(("loaded", "given", "expected"), [("", None, "1"), ("", "3", "3"), ("numpy", None, "None")])
def test_maps_take_one_thread_of_lapack_unless_something_else_was_said_or_is_loaded(loaded, given, expected):
    code = (
        f"import os, {loaded or 'sys'}; from ntk_shortcuts.cli.engine import many_small_problems; many_small_problems(); "
        "print(os.environ.get('OPENBLAS_NUM_THREADS'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({} if given is None else {"OPENBLAS_NUM_THREADS": given})
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
