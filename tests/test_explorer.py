"""The explorer without a browser: settings and links, answers, the code that is shown, and what is drawn."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import shlex
import threading
import time

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.cli import main

pytest.importorskip("panel", reason="the extra `explorer` is not installed")

from ntk_shortcuts.explorer import law
from ntk_shortcuts.explorer.code import law_code, pool_code
from ntk_shortcuts.explorer.curve import Curve
from ntk_shortcuts.explorer.law import LawSetting
from ntk_shortcuts.explorer.once import computed_once
from ntk_shortcuts.explorer.pool import Samples
from ntk_shortcuts.explorer.query import from_query, to_query
from ntk_shortcuts.explorer.views.audit import AuditView
from ntk_shortcuts.explorer.views.bias_map import BiasMap
from ntk_shortcuts.explorer.views.colours import SHORTCUT
from ntk_shortcuts.explorer.views.curve import OverSamples, OverTraining
from ntk_shortcuts.explorer.views.groups import Groups
from ntk_shortcuts.explorer.views.spectrum import Spectrum
from ntk_shortcuts.explorer.views.surface import Surface
from ntk_shortcuts.explorer.work import Newest

# The last two share their programs with the first.
LINEAR = LawSetting(depth=0, shortcut_predictivity=0.8, time=10.0)
SETTINGS = [
    LINEAR,
    dataclasses.replace(LINEAR, rule="gradient descent", learning_rate=0.5),
    dataclasses.replace(LINEAR, rule="ridge", strength=0.1, num_samples=50),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng = np.random.default_rng(0)
    labels, patch = np.tile([-1, 1], 30), np.where(rng.random(60) < 0.7, 1, -1) * np.tile([-1, 1], 30)
    inputs = rng.normal(size=(60, 5)) + labels[:, None] * np.eye(5)[0]
    inputs[:, 1] += 3 * patch
    place = tmp_path_factory.mktemp("pools") / "my samples.npz"
    np.savez(place, inputs=inputs, labels=labels, patch=patch)
    return place


def every_choice():
    """The default with each value of each control."""
    for name, control in LawSetting().controls().items():
        yield from (dataclasses.replace(LawSetting(), **{name: value}) for value in control.values)


def test_a_link_gives_the_setting_back():
    between = LawSetting(shortcut_predictivity=0.123456789012 + 0.5, num_samples=123, residual=0.3, depth=2)
    settings = [*every_choice(), *SETTINGS, between]
    assert len(settings) > 100 and to_query(between).endswith("num_samples=123")
    for setting in settings:
        assert from_query(to_query(setting), LawSetting()) == setting.plain()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("shortcut_predictivity=1.5", r"shortcut_predictivity must be a number from 0.5 to 0.99; got '1.5'"),
        ("depth=2.5", r"depth must be an integer from 0 to 6; got '2.5'"),
        ("depth=deep", r"depth must be an integer from 0 to 6; got 'deep'"),
        ("activation=<b>", r"activation must be one of relu, erf, tanh, gelu, linear; got '<b>'"),
        ("num_samples=1", r"num_samples must be an integer from 10 to 5000, or infinite; got '1'"),
        ("time=nan", r"time must be a number from 0.1 to 100000; got 'nan'"),
        ("width=3", r"the link must be of the fields shortcut_predictivity, .*; got 'width'"),
    ],
)
def test_a_link_that_is_wrong_is_named(query, message):
    with pytest.raises(ValueError, match=message):
        from_query(query, LawSetting())


def printed(script):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(script, {})
    return out.getvalue()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.rule)
def test_the_code_shown_gives_the_number_shown(setting, capsys):
    code, shown = law_code(setting), law.prediction(setting).bias
    assert float(printed(code.python)) == shown
    assert main([*shlex.split(code.shell)[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bias"] == shown
    # Another setting has another number: the one above is none that all have.
    other = dataclasses.replace(setting, shortcut_predictivity=0.7)
    assert abs(law.prediction(other).bias - shown) > 0.01


def test_a_number_between_two_choices_has_its_place_among_them():
    for name, value in (("residual", 0.3), ("num_samples", 123), ("time", 4.0)):
        control = LawSetting().controls()[name]
        places = control.including(value)
        numbers = [one for one in places if one is not None]
        assert len(places) == len(control.values) + 1 and numbers == sorted(numbers) and value in numbers
        assert [control.read(name, control.word(one)) for one in places] == [*places]
        assert control.including(numbers[0]) == control.values


def test_code_of_every_choice_can_be_made():
    for setting in every_choice():
        made = setting.network()(), setting.training()(), setting.model()()
        lines = law_code(setting).python.splitlines()
        names = {}
        exec("\n".join(line for line in lines if not line.startswith(("prediction", "print"))), names)
        assert (names["network"], names["training"], names["model"]) == made


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.rule)
def test_the_curve_over_training_is_made_of_single_predictions(setting):
    *_, curve = law.over_training(setting)
    assert len(curve.x) > 10 and np.all(np.diff(curve.x) > 0)
    place = len(curve.x) // 2
    extent = float(curve.x[place])
    single = law.prediction(dataclasses.replace(setting, **{setting.extent: extent}))
    assert curve.values[place] == pytest.approx(single.bias, abs=4e-3)


@pytest.mark.slow
@pytest.mark.branches
def test_the_map_holds_the_setting_and_comes_row_by_row():
    setting = dataclasses.replace(LINEAR, shortcut_predictivity=0.74, amplification_ratio=1.0)
    found = []
    for answer in law.over_law(setting):
        found.append(answer)
        if np.isfinite(answer.biases[8]).all():
            break
    assert 1 <= len(found) < 17 and np.isnan(found[-1].biases).any()
    bias = law.prediction(setting).bias
    assert found[-1].biases[8, 8] == pytest.approx(bias, abs=4e-3) and found[-1].ratios[8] == 1.0
    view = BiasMap(law.over_law)
    view.draw(found[-1])
    view.mark(setting, law.prediction(setting))
    assert view._here.data == {"x": [1.0], "y": [0.74]}
    assert view._image.data["image"][0][8, 8] == found[-1].biases[8, 8]
    assert not np.isnan(view._image.data["image"][0]).any()


def test_the_surface_lies_as_the_probes_do():
    prediction = law.prediction(LINEAR)
    view = Surface()
    view.mark(LINEAR, prediction)
    image = view._image.data["image"][0]
    row, column = 3, 20
    corner = np.array([view._image.data["x"][0], view._image.data["y"][0]])
    cell = np.array([view._image.data["dw"][0], view._image.data["dh"][0]]) / 30
    centre = corner + cell * (np.array([column, row]) + 0.5)
    at = np.argmin(np.sum((prediction.probes - centre) ** 2, axis=1))
    np.testing.assert_allclose(prediction.probes[at], centre, atol=1e-9)
    assert image[row, column] == prediction.mean[at]
    # A linear network's boundary is a line, on which its mean is 0.
    (xs,), (ys,) = view._boundary.data["xs"], view._boundary.data["ys"]
    slope = np.linalg.lstsq(prediction.probes, prediction.mean, rcond=None)[0]
    assert np.max(np.abs(slope[0] * xs + slope[1] * ys)) < 1e-6


def test_shares_of_the_spectrum():
    found = next(law.spectrum(LINEAR))
    view = Spectrum(law.spectrum)
    view.draw(found)
    shares = view._modes.data
    # The odd eigenfunctions of a linear network are linear: together they hold the best linear fit.
    assert len(shares["time"]) == 2
    model = LINEAR.model()()
    probes = np.asarray(model.sample(jax.random.key(0), 40000).latents)
    for column, feature in enumerate(("shortcut", "core")):
        sign = np.sign(probes[:, column])
        fit = probes @ np.linalg.lstsq(probes, sign, rcond=None)[0]
        assert np.sum(shares[feature]) == pytest.approx(np.mean(fit**2), abs=0.02)
    view.mark(LINEAR, None)
    assert view._learnt.right == 10.0
    view.mark(dataclasses.replace(LINEAR, rule="ridge", strength=0.01), None)
    assert view._learnt.right == 100.0


def test_marks_of_the_curves():
    setting = dataclasses.replace(LINEAR, num_samples=50)
    prediction = law.prediction(setting)
    training, samples = OverTraining("t", "time", law.over_training), OverSamples("n", "N", law.over_samples)
    for view in (training, samples):
        view.mark(setting, prediction)
    assert training._here.data == {"x": [10.0], "y": [prediction.bias]} and samples._here.data["x"] == [50]
    samples.mark(LINEAR, law.prediction(LINEAR))
    assert samples._here.data["x"] == [10_000] and samples.figure.xaxis[0].major_label_overrides == {10_000: "∞"}
    (count,), (bias,), _ = next(samples.answers(LINEAR))
    assert bias == law.prediction(dataclasses.replace(LINEAR, num_samples=int(count))).bias
    samples.draw(Curve(np.array([10.0, np.inf]), np.zeros(2), np.array([False, True])))
    assert list(samples._curve.data["x"]) == [10, 10_000] and samples._curve.data["fill"][0] == "white"
    training.mark(dataclasses.replace(LINEAR, rule="ridge"), prediction)
    assert training.figure.xaxis.axis_label == "ridge strength"


def test_own_samples(path, capsys):
    samples = Samples(path)
    setting = dataclasses.replace(samples.default, depth=0, agreement=0.9, time=3.0)
    assert from_query(to_query(setting), samples.default) == setting
    code = pool_code(setting, str(path))
    shown = samples.prediction(setting.plain())
    assert printed(code.python).startswith(str(shown.accuracy))
    assert main([*shlex.split(code.shell)[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == shown.accuracy
    *_, curve = samples.over_training(setting)
    place = int(np.argmin(np.abs(curve.x - 3.0)))
    at = dataclasses.replace(setting, time=float(curve.x[place]))
    np.testing.assert_allclose(curve.values[place], samples.prediction(at.plain()).group_accuracy.values.ravel(), atol=1e-9)
    view = Groups(samples.groups, samples.over_training)
    view.draw(curve)
    view.mark(setting, shown)
    assert view._here.location == 3.0 and len(view._lines.data) == 6
    np.testing.assert_array_equal(view._lines.data["label −1, patch +1"], curve.values[:, 1])
    np.testing.assert_array_equal(view._lines.data["worst"], curve.values.min(axis=1))
    audited, figure = next(samples.audit(setting)), AuditView(samples.audit)
    figure.draw(audited)
    assert audited.equals(ns.audit(samples.pool.with_agreement(0.9, "patch"), ns.MLP(0)))
    assert figure.figure.y_range.factors == ["label", "patch"] and figure._found.data["colour"][1] == SHORTCUT.colour


def test_an_answer_is_computed_once_and_an_error_again():
    started, calls = threading.Barrier(4), []

    @computed_once
    def slow(x):
        calls.append(x)
        time.sleep(0.05)
        if x < 0:
            raise ValueError("negative")
        return 2 * x

    def ask():
        started.wait()
        assert slow(3) == 6

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [3]
    for _ in range(2):
        with pytest.raises(ValueError, match="negative"):
            slow(-1)
    assert calls == [3, -1, -1]
    for x in range(300):
        slow(x) if x % 100 == 0 else None


def test_newer_work_supersedes_older():
    done, worker, first = [], Newest("test"), threading.Event()

    def work(name, count, begun=None):
        for i in range(count):
            done.append((name, i))
            if begun is not None:
                begun.set()
                time.sleep(0.05)
            yield

    finished = threading.Event()
    worker.put(work("old", 100, first))
    first.wait(10)
    worker.put(work("skipped", 3))
    worker.put(iter([*[None] * 0]))
    worker.put(work("new", 2, finished))
    assert finished.wait(10)
    time.sleep(0.2)
    worker.stop()
    names = [name for name, _ in done]
    assert names.count("old") < 10 and "skipped" not in names and names[-2:] == ["new", "new"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("explore --port 70000", "port must be an integer from 0 to 65535; got 70000"),
        ("explore missing.npz", "pool must be an .npz file; there is no 'missing.npz'"),
    ],
)
def test_mistakes_on_the_command_line(line, message, capsys):
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_without_the_extra_one_line_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["explore"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "python -m pip install '.[explorer]', in a copy of the repository" in said
