"""Sweeps: each point is the prediction at its values; what is stored is not computed again; mistakes are named."""

import functools
import json
import os
import shutil
import signal
import sys
import time

import jax
import numpy as np
import pytest
import xarray
import zarr

import ntk_shortcuts as ns
from ntk_shortcuts.cli import main
from ntk_shortcuts.experiments.sweeps.store import Store
from ntk_shortcuts.experiments.sweeps.sweep import sweep
from ntk_shortcuts.methods import Population
from ntk_shortcuts.networks.preprocessed import Preprocessed

FAST = {"method": "population", "random_init": False, "tolerance": 0.1}
AXES = {"depth": [1, 2, 3], "correlation": [0.0, 0.5]}


class Counted:
    """A computation that remembers where it was called, and fails or answers NaN where told."""

    def __init__(self, fails_at=None, nan_at=None):
        self.calls, self.fails_at, self.nan_at = [], fails_at, nan_at

    def __call__(self, model, network, training, num_samples, offset=0.0):
        self.calls.append((network.depth, float(model.correlation)))
        if len(self.calls) == self.fails_at:
            raise RuntimeError("killed")
        value = network.depth + 10 * float(model.correlation) + offset
        return {"bias": np.nan if len(self.calls) == self.nan_at else value, "spread": 0.5}


def expected_grid(offset=0.0):
    return np.array([[depth + 10 * sigma + offset for sigma in AXES["correlation"]] for depth in AXES["depth"]])


def test_each_point_is_the_prediction_at_its_values():
    model = ns.GenerativeModel((0.7, 0.92), (1.0, 2.0), correlation=0.3, input_dim=50)
    axes = {"shortcut_predictivity": [0.6, 0.8], "time": [3.0, np.inf], "amplification_ratio": [4.0]}
    result = sweep(axes, model, ns.MLP(0), **FAST)
    assert result["bias"].dims == tuple(axes)
    assert result["optimal_reliance"].dims == ("shortcut_predictivity", "amplification_ratio")
    assert {"discretization_error", "converged"} <= set(result.data_vars)
    for rho, flow in ((0.6, np.inf), (0.8, 3.0)):
        point = ns.GenerativeModel((rho, 0.92), (8.0, 2.0), correlation=0.3, input_dim=50)
        expected = ns.predict_bias(point, ns.MLP(0), ns.GradientFlow(flow), **FAST)
        found = result.sel(shortcut_predictivity=rho, amplification_ratio=4.0, time=flow)
        for name in ("bias", "reliance", "optimal_reliance"):
            assert float(found[name]) == pytest.approx(float(getattr(expected, name)), abs=1e-9)
    for name in (*result.data_vars, *result.coords):
        assert result[name].attrs["long_name"]
        assert result[name].attrs["units"] == ("learning rate x steps" if name == "time" else "1")
    expected = {
        "method": "population",
        "core_predictivity": 0.92,
        "core_amplification": 2.0,
        "correlation": 0.3,
        "depth": 0,
        "training": "GradientFlow",
        "num_samples": "none",
        "random_init": 0,
        "ntk_shortcuts_version": ns.__version__,
    }
    assert {name: result.attrs[name] for name in expected} == expected
    assert not {"shortcut_predictivity", "shortcut_amplification", "time"} & set(result.attrs)


@pytest.mark.parametrize(
    ("name", "values", "training", "read"),
    [
        ("shortcut_predictivity", [0.6, 0.7], None, lambda m, n, t, s: m.predictivity[0]),
        ("core_predictivity", [0.6, 0.7], None, lambda m, n, t, s: m.predictivity[1]),
        ("amplification_ratio", [2.0, 3.0], None, lambda m, n, t, s: m.amplification[0] / m.amplification[1]),
        ("shortcut_amplification", [2.0, 3.0], None, lambda m, n, t, s: m.amplification[0]),
        ("core_amplification", [2.0, 3.0], None, lambda m, n, t, s: m.amplification[1]),
        ("correlation", [-0.5, 0.1], None, lambda m, n, t, s: m.correlation),
        ("depth", [0, 4], None, lambda m, n, t, s: n.depth),
        ("width", [8, 16], None, lambda m, n, t, s: n.width),
        ("weight_variance", [1.0, 2.0], None, lambda m, n, t, s: n.weight_variance),
        ("bias_variance", [0.0, 0.1], None, lambda m, n, t, s: n.bias_variance),
        ("num_samples", [10, 20], None, lambda m, n, t, s: s),
        ("time", [1.0, 2.0], None, lambda m, n, t, s: t.time),
        ("learning_rate", [0.1, 0.2], ns.GradientDescent(0.5, 3), lambda m, n, t, s: t.learning_rate),
        ("steps", [1, 2], ns.GradientDescent(0.5, 3), lambda m, n, t, s: t.steps),
        ("strength", [0.0, 2.0], ns.Ridge(1.0), lambda m, n, t, s: t.strength),
    ],
)
def test_each_axis_varies_its_parameter_alone(name, values, training, read):
    seen = []

    def compute(*point):
        seen.append(point)
        return {"value": float(read(*point))}

    result = sweep({name: values}, training=training, compute=compute)
    assert result["value"].values.tolist() == pytest.approx(values)
    assert result[name].values.tolist() == values
    others = dict.fromkeys(("predictivity", "amplification", "correlation", "depth", "weight_variance", "bias_variance"))
    base = {**vars(ns.GenerativeModel()), **vars(ns.MLP(1))}
    for other in others:
        if other not in name and not (other == "amplification" and name == "amplification_ratio"):
            for model, network, *_ in seen:
                np.testing.assert_array_equal({**vars(model), **vars(network)}[other], base[other])


def test_a_shortcut_ratio_holds_at_each_core_amplification_and_activations_are_names():
    def compute(model, network, training, num_samples):
        assert network.weight_variance == 1.5
        return {"shortcut": float(model.amplification[0]), "erf": float(network.activation.name == "erf")}

    axes = {"amplification_ratio": [2.0, 3.0], "core_amplification": [1.0, 10.0], "activation": ["relu", "erf"]}
    result = sweep(axes, network=ns.MLP(2, weight_variance=1.5), compute=compute)
    np.testing.assert_allclose(result["shortcut"].sel(activation="relu"), [[2.0, 20.0], [3.0, 30.0]])
    assert result["erf"].sel(activation="erf").values.all() and not result["erf"].sel(activation="relu").values.any()


def test_a_stored_sweep_is_plain_zarr_and_computes_nothing_again(tmp_path):
    path, compute, progress = tmp_path / "new" / "sweep.zarr", Counted(), []
    result = sweep(AXES, compute=compute, store=path, progress=lambda *counts: progress.append(counts), offset=1.0)
    assert progress == [(done, 6) for done in range(1, 7)]
    np.testing.assert_array_equal(result["bias"], expected_grid(offset=1.0))
    stored = xarray.open_zarr(path)
    assert stored["done"].values.all() and stored.attrs["offset"] == 1.0
    xarray.testing.assert_identical(stored.drop_vars("done").load(), result.to_xarray())
    again = sweep(AXES, compute=compute, store=path, offset=1.0)
    assert len(compute.calls) == 6
    xarray.testing.assert_identical(again, result)
    assert [entry.name for entry in path.parent.iterdir()] == ["sweep.zarr"]


def test_predictions_with_times_and_names_survive_the_store(tmp_path):
    axes = {"time": [3.0, np.inf], "activation": ["relu", "erf"]}
    network = ns.MLP(0)
    result = sweep(axes, network=network, store=tmp_path / "a.zarr", **FAST)
    again = sweep(axes, network=network, store=tmp_path / "a.zarr", **FAST)
    xarray.testing.assert_equal(again, result)
    stored = xarray.open_zarr(tmp_path / "a.zarr")
    np.testing.assert_array_equal(stored["bias"].sel(activation="erf"), result["bias"].sel(activation="erf"))
    # Time is the only axis: one point of work, which a store without other dimensions holds too.
    alone = [sweep({"time": [3.0, np.inf]}, network=network, store=tmp_path / "b.zarr", **FAST) for _ in range(2)]
    np.testing.assert_allclose(alone[0]["bias"], result["bias"].sel(activation="relu"), atol=1e-12)
    xarray.testing.assert_equal(*alone)


def test_a_killed_sweep_keeps_what_was_finished(tmp_path):
    path = tmp_path / "sweep.zarr"
    with pytest.raises(RuntimeError, match="killed"):
        sweep(AXES, compute=Counted(fails_at=3), store=path)
    stored = xarray.open_zarr(path)
    assert stored["done"].values.ravel().tolist() == [True, True] + [False] * 4
    np.testing.assert_array_equal(stored["bias"].values.ravel(), [1.0, 6.0] + [np.nan] * 4)
    rest, progress = Counted(), []
    result = sweep(AXES, compute=rest, store=path, progress=lambda *counts: progress.append(counts))
    assert rest.calls == [(depth, sigma) for depth in (2, 3) for sigma in (0.0, 0.5)]
    assert progress[0] == (3, 6)
    np.testing.assert_array_equal(result["bias"], expected_grid())


def test_a_sweep_killed_inside_a_write_computes_that_point_again(tmp_path):
    path = tmp_path / "sweep.zarr"
    sweep(AXES, compute=Counted(), store=path)
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    group["done"][0, 1] = False
    rest = Counted()
    sweep(AXES, compute=rest, store=path)
    assert rest.calls == [(1, 0.5)]
    group["done"][...] = False
    sweep(AXES, compute=rest, store=path)
    assert len(rest.calls) == 7


def test_a_nan_answer_is_an_answer(tmp_path):
    compute = Counted(nan_at=2)
    for _ in range(2):
        result = sweep(AXES, compute=compute, store=tmp_path / "sweep.zarr")
    assert len(compute.calls) == 6
    assert np.isnan(result["bias"]).values.ravel().tolist() == [False, True] + [False] * 4


class Named:
    """A computation with a name of its own at odd and at even depths."""

    def __init__(self, fails_at=None):
        self.calls, self.fails_at = [], fails_at

    def __call__(self, model, network, training, num_samples):
        self.calls.append(network.depth)
        if len(self.calls) == self.fails_at:
            raise RuntimeError("killed")
        return {"bias": 1.0, ("odd" if network.depth % 2 else "even"): 10.0 * network.depth}


NAMED = {"bias": [1.0, 1.0, 1.0, 1.0], "odd": [10.0, np.nan, 30.0, np.nan], "even": [np.nan, 20.0, np.nan, 40.0]}


def test_what_only_some_points_have_is_kept_and_said_once(tmp_path):
    store = tmp_path / "sweep.zarr"
    for options in ({}, {"store": store}):
        with pytest.warns(UserWarning, match="compute returned different names") as warned:
            result = sweep({"depth": [1, 2, 3, 4]}, compute=Named(), **options)
        assert [str(warning.message).partition("points: ")[2] for warning in warned] == [
            "odd is missing at (depth=2), (depth=4); even is missing at (depth=1), (depth=3); they are NaN there"
        ]
        assert warned[0].filename == __file__
        assert set(result.data_vars) == set(NAMED)
        for name, values in NAMED.items():
            np.testing.assert_array_equal(result[name], values)
    again = Named()
    xarray.testing.assert_identical(sweep({"depth": [1, 2, 3, 4]}, compute=again, store=store), result)
    assert not again.calls
    xarray.testing.assert_identical(xarray.open_zarr(store).drop_vars("done").load(), result.to_xarray())


@pytest.mark.parametrize("fails_at", [2, 3, 4])
def test_names_of_some_points_survive_a_kill(fails_at, tmp_path):
    store, axes = tmp_path / "sweep.zarr", {"depth": [1, 2, 3, 4]}
    with pytest.raises(RuntimeError, match="killed"):
        sweep(axes, compute=Named(fails_at), store=store)
    with pytest.warns(UserWarning, match="odd is missing at"):
        result = sweep(axes, compute=Named(), store=store)
    for name, values in NAMED.items():
        np.testing.assert_array_equal(result[name], values)


def test_a_kill_while_a_name_is_added_loses_nothing(tmp_path, monkeypatch):
    store, axes = tmp_path / "sweep.zarr", {"depth": [1, 2, 3, 4]}
    with monkeypatch.context() as patched:
        patched.setattr(Store, "write", lambda self, name, *_: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(RuntimeError, match="killed"):
            sweep(axes, compute=Named(), store=store)
    sweep({"depth": [1, 3]}, compute=Named(), store=tmp_path / "odd.zarr")
    write = Store.write

    def killed(self, name, place, value):
        if name == "even":
            raise RuntimeError("killed")
        write(self, name, place, value)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write", killed)
        with pytest.raises(RuntimeError, match="killed"):
            sweep({"depth": [1, 2, 3, 4]}, compute=Named(), store=tmp_path / "odd.zarr")
    for path in (store, tmp_path / "odd.zarr"):
        with pytest.warns(UserWarning, match="is missing at"):
            result = sweep(axes, compute=Named(), store=path)
        for name, values in NAMED.items():
            np.testing.assert_array_equal(result[name], values)


WIDER = {"depth": [5, 1, 2, 3], "correlation": [0.0, 0.25, 0.5]}


def wider_grid():
    return np.array([[depth + 10 * sigma for sigma in WIDER["correlation"]] for depth in WIDER["depth"]])


def test_axes_of_a_store_can_gain_values(tmp_path):
    path = tmp_path / "sweep.zarr"
    sweep(AXES, compute=Counted(), store=path)
    rest, progress = Counted(), []
    result = sweep(WIDER, compute=rest, store=path, progress=lambda *counts: progress.append(counts))
    assert rest.calls == [(5, 0.0), (5, 0.25), (5, 0.5), (1, 0.25), (2, 0.25), (3, 0.25)]
    assert progress == [(done, 12) for done in range(7, 13)]
    np.testing.assert_array_equal(result["bias"], wider_grid())
    xarray.testing.assert_identical(result, sweep(WIDER, compute=Counted()).assign_attrs(result.attrs))
    stored = xarray.open_zarr(path)
    assert stored["done"].values.all()
    xarray.testing.assert_identical(stored.drop_vars("done").load(), result.to_xarray())
    assert [entry.name for entry in path.parent.iterdir()] == ["sweep.zarr"]
    again = Counted()
    xarray.testing.assert_identical(sweep(WIDER, compute=again, store=path), result)
    assert not again.calls


def test_what_was_not_finished_before_an_axis_gained_values_is_computed(tmp_path):
    path = tmp_path / "sweep.zarr"
    with pytest.raises(RuntimeError, match="killed"):
        sweep(AXES, compute=Counted(fails_at=4), store=path)
    with pytest.raises(RuntimeError, match="killed"):
        sweep(WIDER, compute=Counted(fails_at=3), store=path)
    stored = xarray.open_zarr(path)
    assert int(stored["done"].sum()) == 3 + 2
    assert np.isnan(stored["bias"].values[~stored["done"].values]).all()
    rest = Counted()
    result = sweep(WIDER, compute=rest, store=path)
    assert len(rest.calls) == 12 - 5 and (1, 0.0) not in rest.calls and (5, 0.0) not in rest.calls
    np.testing.assert_array_equal(result["bias"], wider_grid())


@pytest.mark.parametrize("moment", ["half written", "no store", "both"])
def test_a_kill_while_a_store_is_replaced_loses_nothing(moment, tmp_path):
    path, before = tmp_path / "sweep.zarr", tmp_path / ".sweep.zarr.replaced"
    sweep(AXES, compute=Counted(), store=path)
    if moment == "half written":
        shutil.copytree(path, tmp_path / ".sweep.zarr.12345")
        (tmp_path / ".sweep.zarr.12345" / "zarr.json").unlink()
    elif moment == "no store":
        os.replace(path, before)
    else:
        shutil.copytree(path, before)
        (before / "zarr.json").unlink()
    rest = Counted()
    result = sweep(WIDER, compute=rest, store=path)
    assert len(rest.calls) == 6 and not before.exists()
    np.testing.assert_array_equal(result["bias"], wider_grid())


def test_a_failure_while_a_store_is_replaced_leaves_the_old_one(tmp_path, monkeypatch):
    path, replace = tmp_path / "sweep.zarr", os.replace
    for survived in range(3):
        shutil.rmtree(path, ignore_errors=True)
        sweep(AXES, compute=Counted(), store=path)
        moves = []

        def failing(*paths, moves=moves, survived=survived):
            # zarr moves its files in this way too.
            moved = ".replaced" in str(paths[1]) or str(paths[1]) == str(path)
            if moved:
                moves.append(paths)
            if moved and len(moves) > survived:
                raise OSError("no space left on device")
            replace(*paths)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", failing)
            if survived < 2:
                with pytest.raises(OSError, match="no space"):
                    sweep(WIDER, compute=Counted(), store=path)
        rest = Counted()
        np.testing.assert_array_equal(sweep(WIDER, compute=rest, store=path)["bias"], wider_grid())
        assert len(rest.calls) == 6
        assert [entry.name for entry in tmp_path.iterdir()] == ["sweep.zarr"]


def test_names_and_infinite_times_gain_values(tmp_path):
    path, calls = tmp_path / "sweep.zarr", []

    def compute(model, network, training, num_samples):
        calls.append((network.activation.name, float(training.time)))
        return {"value": float(training.time) + 100 * (network.activation.name == "erf")}

    for axes in ({"activation": ["relu"], "time": [3.0]}, {"activation": ["erf", "relu"], "time": [np.inf, 3.0]}):
        result = sweep(axes, compute=compute, store=path)
    assert sorted(calls) == [("erf", 3.0), ("erf", np.inf), ("relu", 3.0), ("relu", np.inf)]
    np.testing.assert_array_equal(result["value"], [[np.inf, 103.0], [np.inf, 3.0]])


def test_axes_in_another_order_are_the_same_sweep(tmp_path):
    path, compute = tmp_path / "sweep.zarr", Counted()
    axes = {"depth": [1, 2], "correlation": [0.0, 0.5]}
    result = sweep(axes, compute=compute, store=path)
    with pytest.raises(RuntimeError, match="killed"):
        sweep({"correlation": [0.25, 0.5, 0.0], "depth": [2, 1]}, compute=Counted(fails_at=2), store=path)
    turned = sweep({"correlation": [0.25, 0.5, 0.0], "depth": [2, 1]}, compute=compute, store=path)
    assert compute.calls == [*((d, s) for d in (1, 2) for s in (0.0, 0.5)), (1, 0.25)]
    np.testing.assert_array_equal(turned["bias"], [[4.5, 3.5], [7.0, 6.0], [2.0, 1.0]])
    np.testing.assert_array_equal(result["bias"], [[1.0, 6.0], [2.0, 7.0]])


@pytest.mark.slow
@pytest.mark.branches
def test_times_can_be_added_to_a_store_of_predictions(tmp_path, monkeypatch):
    path, asked = tmp_path / "sweep.zarr", []

    def each(method, questions):
        asked.extend(np.asarray(question.training.time).tolist() for question in questions)
        return answers(method, questions)

    answers = Population.each
    monkeypatch.setattr(Population, "each", each)
    first = sweep({"depth": [0, 1], "time": [3.0, 30.0]}, store=path, **FAST)
    result = sweep({"depth": [0, 1, 2], "time": [1.0, 3.0, 30.0, 300.0]}, store=path, **FAST)
    assert asked == [[3.0, 30.0]] * 2 + [[1.0, 300.0]] * 2 + [[1.0, 3.0, 30.0, 300.0]]
    # What was there is there still, to the last digit.
    for name in ("bias", "reliance", "optimal_reliance"):
        np.testing.assert_array_equal(result.sel(depth=[0, 1], time=[3.0, 30.0])[name], first[name])
    for depth in (0, 1, 2):
        expected = ns.predict_bias(ns.GenerativeModel(), ns.MLP(depth), ns.GradientFlow([1.0, 3.0, 30.0, 300.0]), **FAST)
        np.testing.assert_allclose(result["bias"].sel(depth=depth), expected.bias, atol=FAST["tolerance"])
        alone = ns.predict_bias(ns.GenerativeModel(), ns.MLP(depth), ns.GradientFlow([1.0, 300.0]), **FAST)
        if depth < 2:
            np.testing.assert_array_equal(result["bias"].sel(depth=depth, time=[1.0, 300.0]), alone.bias)
            errors = result["discretization_error"].sel(depth=depth)
            there = first["discretization_error"].sel(depth=depth)
            mine = alone.diagnostics["discretization_error"]
            np.testing.assert_array_equal(errors, [mine, there, there, mine])
    assert result["optimal_reliance"].dims == ("depth",)
    asked.clear()  # by the predictions beside
    again = sweep({"depth": [0, 1, 2], "time": [1.0, 3.0, 30.0, 300.0]}, store=path, **FAST)
    xarray.testing.assert_identical(again, result)
    assert asked == []


def test_a_method_object_is_the_same_sweep_as_its_name_with_options(tmp_path, monkeypatch):
    arguments = {"axes": {"correlation": [0.1, 0.5]}, "network": ns.MLP(0), "store": tmp_path / "sweep.zarr"}
    result = sweep(**arguments, method=Population(random_init=False, tolerance=0.1))
    assert (result.attrs["method"], result.attrs["tolerance"]) == ("population", 0.1)
    monkeypatch.setattr("ntk_shortcuts.methods.Population.each", lambda *_, **__: pytest.fail("again"))
    xarray.testing.assert_identical(sweep(**arguments, **FAST), result)
    with pytest.raises(ValueError, match=r"differs in tolerance: 0.1 there, 0.2 here"):
        sweep(**arguments, method=Population(random_init=False, tolerance=0.2))
    with pytest.raises(ValueError, match="differs in check_laziness: none there, 0 here"):
        sweep(**arguments, **FAST, check_laziness=False)
    with pytest.raises(ValueError, match="differs in probes: none there"):
        sweep(**arguments, **FAST, probes=np.ones((4, 2)))


def test_an_array_of_the_rule_is_the_last_axis_in_one_pass(monkeypatch):
    training = ns.GradientDescent(0.05, [3, 10])
    asked = []

    def each(method, questions):
        asked.extend(np.asarray(question.training.steps).tolist() for question in questions)
        return answers(method, questions)

    answers = Population.each
    monkeypatch.setattr(Population, "each", each)
    result = sweep({"learning_rate": [0.02, 0.05]}, network=ns.MLP(0), training=training, **FAST)
    assert asked == [[3.0, 10.0]] * 2 and result["bias"].dims == ("learning_rate", "steps")
    assert result["steps"].attrs["long_name"] == "steps of gradient descent" and "steps" not in result.attrs
    expected = ns.predict_bias(ns.GenerativeModel(), ns.MLP(0), training, **FAST)
    np.testing.assert_array_equal(result["bias"].sel(learning_rate=0.05), expected.bias)
    each = sweep({"learning_rate": [0.02]}, training=training, compute=lambda m, n, t, s: {"value": float(t.steps)})
    assert each["value"].values.tolist() == [[3.0, 10.0]]


def test_a_store_of_another_sweep_is_refused(tmp_path):
    path = tmp_path / "sweep.zarr"
    probes = np.arange(6.0)
    compute = functools.partial(lambda *point, probes: {"bias": 1.0}, probes=np.arange(3))
    sweep(AXES, compute=Counted(), store=path)
    with pytest.raises(ValueError, match=r"store must be of this sweep; got '.*sweep\.zarr', whose sweep differs in input_dim"):
        sweep(AXES, ns.GenerativeModel(input_dim=7), compute=Counted(), store=path)
    with pytest.raises(ValueError, match=r"differs in input_dim: 100 there, 7 here$"):
        sweep(AXES, ns.GenerativeModel(input_dim=7), compute=Counted(), store=path)
    with pytest.raises(ValueError, match="differs in its axes or array options"):
        sweep({**AXES, "depth": [1, 2]}, compute=Counted(), store=path)
    with pytest.raises(ValueError, match=r"axis depth has 2, 3 there and not here \(it may gain values, not lose them\)"):
        sweep({**AXES, "depth": [1, 7]}, compute=Counted(), store=path)
    with pytest.raises(ValueError, match="axes depth, correlation there, depth, width here"):
        sweep({"depth": [1, 2, 3], "width": [8]}, compute=Counted(), store=path)
    with pytest.raises(ValueError, match=r"differs in offset: none there, 1.0 here"):
        sweep(AXES, compute=Counted(), store=path, offset=1.0)
    with pytest.raises(ValueError, match=r"differs in .*method"):
        sweep(AXES, compute=compute, store=path, probes=probes)
    other = tmp_path / "other.zarr"
    large = np.zeros(100)
    sweep(AXES, compute=compute, store=other, probes=large)
    with pytest.raises(ValueError, match="differs in its axes or array options"):
        sweep(AXES, compute=compute, store=other, probes=large + 1)
    with pytest.raises(ValueError, match=r"differs in its axes or array options: probes$"):
        sweep(AXES, compute=compute, store=other, probes=large + 1)
    assert xarray.open_zarr(other)["done"].values.all() and xarray.open_zarr(path)["done"].values.all()


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ({"option": {"rate": 1.0}}, {"option": {"rate": 2.0}}, "option"),
        ({"option": [np.zeros((2, 2))]}, {"option": [np.ones((2, 2))]}, "option"),
        ({"network": Preprocessed(ns.MLP(1), np.eye(2))}, {"network": Preprocessed(ns.MLP(1), 2 * np.eye(2))}, "network"),
        ({"network": Preprocessed(ns.MLP(1), np.eye(2))}, {"network": Preprocessed(ns.MLP(2), np.eye(2))}, "network"),
        ({"network": ns.MLP(1, ns.LeakyReLU(0.1))}, {"network": ns.MLP(1, ns.LeakyReLU(0.2))}, "network.activation|activation"),
        ({"compute": functools.partial(lambda *_, p: {"x": 1.0}, p=np.zeros(99))},
         {"compute": functools.partial(lambda *_, p: {"x": 1.0}, p=np.ones(99))}, "compute|method"),
    ],
)  # fmt: skip
def test_what_attributes_cannot_say_counts_too(first, second, name, tmp_path):
    def compute(*point, option=None):
        return {"x": 1.0}

    for changes in (first, first):
        sweep({"correlation": [0.1]}, store=tmp_path / "a.zarr", **{"compute": compute, **changes})
    with pytest.raises(ValueError, match=f"whose sweep differs in .*({name})"):
        sweep({"correlation": [0.1]}, store=tmp_path / "a.zarr", **{"compute": compute, **second})


def test_random_keys_are_options_that_count(tmp_path):
    def compute(model, network, training, num_samples, key):
        return {"draw": float(jax.random.normal(jax.random.fold_in(key, network.depth)))}

    keys = [jax.random.key(seed) for seed in range(2)]
    results = [sweep({"depth": [1, 2]}, compute=compute, store=tmp_path / "a.zarr", key=keys[0]) for _ in range(2)]
    xarray.testing.assert_identical(*results)
    with pytest.raises(ValueError, match="differs in key"):
        sweep({"depth": [1, 2]}, compute=compute, store=tmp_path / "a.zarr", key=keys[1])


def test_something_else_at_the_path_is_refused_and_left_alone(tmp_path):
    foreign, corrupted, file, unmarked = (tmp_path / name for name in ("foreign", "corrupted.zarr", "file", "unmarked.zarr"))
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("precious")
    file.write_text("precious")
    sweep(AXES, compute=Counted(), store=corrupted)
    (corrupted / "zarr.json").write_text("{")
    xarray.Dataset({"bias": ("x", [1.0])}).to_zarr(unmarked, zarr_format=3, consolidated=False)
    for path in (foreign, corrupted, file, unmarked):
        with pytest.raises(
            ValueError, match=rf"store must be a new path or a Zarr store that sweep wrote; got '.*{path.name}'"
        ):
            sweep(AXES, compute=Counted(), store=path)
    assert (foreign / "thesis.txt").read_text() == file.read_text() == "precious"
    truncated = tmp_path / "truncated.zarr"
    sweep(AXES, compute=Counted(), store=truncated)
    chunk = next(path for path in (truncated / "bias" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(b"x")
    with pytest.raises(ValueError, match="store must be"):
        sweep(AXES, compute=Counted(), store=truncated)
    shutil.rmtree(truncated / "done")
    with pytest.raises(ValueError, match="store must be"):
        sweep(AXES, compute=Counted(), store=truncated)


@pytest.mark.parametrize(
    ("axes", "more", "message"),
    [
        ({}, {}, "axes must be a mapping of at least one axis name to its values; got {}"),
        ([1], {}, "axes must be a mapping"),
        ({"detph": [1]}, {}, "axes must be named one of shortcut_predictivity, .*; got 'detph'"),
        ({"depth": []}, {}, r"axis depth must be one-dimensional with at least one entry, integers; got \[\]"),
        ({"depth": [1.5]}, {}, "axis depth must be .*integers"),
        ({"depth": 2}, {}, "axis depth must be one-dimensional"),
        ({"depth": [1, 1]}, {}, r"axis depth must be without repeated values; got \[1, 1\]"),
        ({"depth": [-1]}, {}, "axis depth: depth must be an integer >= 0; got -1"),
        ({"time": [1.0, np.nan]}, {}, "axis time must be numbers without NaN"),
        ({"time": ["long"]}, {}, "axis time must be one-dimensional with at least one entry, numbers"),
        ({"time": [-1.0]}, {}, "axis time: time must be >= 0"),
        ({"activation": ["rleu"]}, {}, "axis activation: activation must be"),
        ({"activation": ["relu", "relu"]}, {}, "axis activation must be without repeated values"),
        ({"shortcut_predictivity": [0.4]}, {}, r"axis shortcut_predictivity: predictivity must be in \[0.5, 1\)"),
        ({"num_samples": [0]}, {}, "axis num_samples: num_samples must be an integer >= 1; got 0"),
        ({"num_samples": [10]}, {"num_samples": 20}, "num_samples must be None where it is an axis; got 20"),
        ({"time": [1.0]}, {"training": ns.Ridge(1.0)}, "training must be GradientFlow for the axis time; got 'Ridge'"),
        ({"steps": [1]}, {}, "training must be GradientDescent for the axis steps; got 'GradientFlow'"),
        ({"depth": [1]}, {"training": ns.GradientFlow(np.ones(2))}, "training must be a rule with scalar parameters"),
        ({"depth": [1]}, {"training": 30.0}, "training must be a training rule"),
        ({"depth": [1]}, {"network": "mlp"}, "network must be an MLP for the axis depth; got 'mlp'"),
        ({"amplification_ratio": [1.0], "shortcut_amplification": [1.0]}, {}, "not both"),
        ({"depth": [1]}, {"engine": "slurm"}, "engine must be \"local\" or a dask.distributed.Client; got 'slurm'"),
        ({"depth": [1]}, {"method": "guess"}, "method must be one of .*; got 'guess'"),
        ({"depth": [1]}, {"method": "dataset"}, "method must be one that does not need a given data set"),
        ({"depth": [1]}, {"method": "population", "compute": Counted()}, "method must be None where compute"),
        ({"depth": [1]}, {"compute": 3}, "compute must be None or a function; got 3"),
        ({"depth": [1]}, {"compute": lambda *_: 1.0}, "compute must be a function that returns at least one number by name"),
        ({"depth": [1]}, {"compute": lambda *_: {"depth": 1.0}}, "compute must be a function whose names are not axes"),
        ({"depth": [1]}, {"nonsense": 1}, "option must be one of .*; got 'nonsense'"),
    ],
)
def test_mistakes_are_named(axes, more, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        sweep(axes, store=tmp_path / "sweep.zarr", **more)
    assert not any(tmp_path.iterdir())


def test_without_the_extra_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"zarr could not be imported .*python -m pip install '.\[dask\]'"):
        sweep(AXES, compute=Counted(), store=tmp_path / "sweep.zarr")
    assert sweep(AXES, compute=Counted())["bias"].shape == (3, 2)


def kills_its_first_worker(model, network, training, num_samples, flag):
    """Ends the process that computes depth 2, the first time."""
    if network.depth == 2 and not os.path.exists(flag):
        open(flag, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)  # the others are still at work when a worker has been replaced
    return {"bias": network.depth + 10 * float(model.correlation), "process": os.getpid()}


@pytest.mark.slow
def test_points_of_a_killed_dask_worker_are_computed_again(tmp_path):
    distributed, cloudpickle = pytest.importorskip("distributed"), pytest.importorskip("cloudpickle")
    flag, path, progress = tmp_path / "killed", tmp_path / "sweep.zarr", []
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        with pytest.raises(ModuleNotFoundError, match="test_sweep"):
            sweep(AXES, compute=kills_its_first_worker, engine=client, flag=str(flag))
        # Workers cannot import this file.
        cloudpickle.register_pickle_by_value(sys.modules[kills_its_first_worker.__module__])
        result = sweep(
            AXES,
            compute=kills_its_first_worker,
            engine=client,
            store=path,
            progress=lambda *counts: progress.append((*counts, int(xarray.open_zarr(path, chunks=None)["done"].sum()))),
            flag=str(flag),
        )
        assert flag.exists()
        np.testing.assert_array_equal(result["bias"], expected_grid())
        assert len(np.unique(result["process"])) >= 2
        # Stored as they arrive, not at the end.
        assert progress == [(done, 6, done) for done in range(1, 7)]
        predicted = sweep({"depth": [0, 1], "time": [3.0, 30.0]}, engine=client, **FAST)
        with pytest.raises(ValueError, match="option must be one of"):
            sweep({"depth": [0, 1]}, engine=client, nonsense=1)
    xarray.testing.assert_allclose(predicted, sweep({"depth": [0, 1], "time": [3.0, 30.0]}, **FAST))


def test_the_command_prints_and_stores_the_sweep(tmp_path, capsys):
    path = tmp_path / "sweep.zarr"
    axes = "--axis correlation=0,0.5 --axis time=3,inf"
    line = f"sweep {axes} --depth 0 --no-random-init --tolerance 0.1 --amplification 4 1 --json --store".split()
    assert main([*line, str(path)]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    model = ns.GenerativeModel(amplification=(4.0, 1.0))
    expected = sweep({"correlation": [0.0, 0.5], "time": [3.0, np.inf]}, model, ns.MLP(0), **FAST)
    assert found["bias"] == expected["bias"].values.tolist()
    assert found["correlation"] == [0.0, 0.5] and found["time"] == [3.0, "inf"]
    assert found["method"] == "population" and found["seed"] == 0
    assert captured.err == ""
    np.testing.assert_array_equal(xarray.open_zarr(path)["bias"], expected["bias"])
    assert main([*line, str(path)]) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.slow
@pytest.mark.parametrize("option", ["workers", "scheduler"])
def test_the_command_uses_other_processes(option, tmp_path, capsys):
    distributed = pytest.importorskip("distributed")
    line = "sweep --axis correlation=0,0.5 --depth 0 --no-random-init --tolerance 0.1 --json".split()
    if option == "workers":
        assert main([*line, "--workers", "2"]) == 0
    else:
        with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
            assert main([*line, "--scheduler", cluster.scheduler_address]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = sweep({"correlation": [0.0, 0.5]}, network=ns.MLP(0), **FAST)
    np.testing.assert_allclose(found["bias"], expected["bias"], atol=1e-12)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sweep", "axis"),
        ("sweep --axis depth", "axis must be NAME=VALUE,VALUE,... or NAME=MIN:MAX:COUNT; got 'depth'"),
        ("sweep --axis depth=1,x", "axis depth must be"),
        ("sweep --axis depth=1 --axis depth=2", "axis must be given once for each name; got depth twice"),
        ("sweep --axis time=1 --ridge 1", "training must be GradientFlow for the axis time; got 'Ridge'"),
        ("sweep --axis num-samples=10 --num-samples 20", "num_samples must be None where it is an axis; got 20"),
        ("sweep --axis steps=1,2", "learning-rate must be given"),
        ("sweep --axis depth=1 --output sweep.zarr", "output must end in one of .png"),
        (
            "sweep --axis depth=1,2 --axis correlation=0,0.5 --time 3,30 --output a.png",
            "output must end in one of .nc, .csv, .json for the 3 axes depth, correlation, time; got 'a.png'",
        ),
        ("sweep --axis depth=1 --workers 0", "workers must be an integer >= 1; got 0"),
        ("sweep --axis depth=1 --workers 2 --scheduler tcp://host:1", "workers must not be given with --scheduler"),
        ("sweep --axis depth=1 --scheduler nowhere://host", "scheduler must be the address of a running one"),
    ],
)
def test_the_command_names_a_mistake_in_one_line(line, message, capsys):
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and message in captured.err and captured.err.count("\n") == 1
