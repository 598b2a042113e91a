"""Bias maps: each point is the prediction for its model, labelled, and safe to store."""

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns

MODEL = ns.GenerativeModel(predictivity=(0.7, 0.92), amplification=(1.0, 2.0), correlation=0.3, input_dim=50)
NETWORK = ns.MLP(depth=1)
FLOW = ns.GradientFlow(time=10.0)
AXES = ([0.6, 0.8], [0.5, 1.0, 4.0])
FAST = {"random_init": False, "tolerance": 0.1}


def test_each_point_is_the_prediction_for_its_own_model():
    result = ns.bias_map(MODEL, NETWORK, FLOW, *AXES, **FAST)
    assert result["bias"].dims == ("shortcut_predictivity", "amplification_ratio")
    point = ns.GenerativeModel((0.8, 0.92), (8.0, 2.0), correlation=0.3, input_dim=50)
    expected = ns.predict_bias(point, NETWORK, FLOW, **FAST)
    found = result.sel(shortcut_predictivity=0.8, amplification_ratio=4.0)
    for name in ("bias", "reliance", "optimal_reliance"):
        assert float(found[name]) == pytest.approx(float(getattr(expected, name)), abs=1e-12)
    np.testing.assert_allclose(result["bias"], result["reliance"] - result["optimal_reliance"], atol=1e-12)


def test_several_times_are_a_third_dimension():
    result = ns.bias_map(MODEL, NETWORK, ns.GradientFlow(np.array([1.0, 10.0])), [0.8], [4.0], **FAST)
    assert result["bias"].dims == ("shortcut_predictivity", "amplification_ratio", "time")
    assert result["optimal_reliance"].dims == ("shortcut_predictivity", "amplification_ratio")
    alone = ns.bias_map(MODEL, NETWORK, FLOW, [0.8], [4.0], **FAST)
    np.testing.assert_allclose(result["bias"].sel(time=10.0), alone["bias"], atol=1e-12)


def test_a_map_is_a_sweep_and_resumes_like_one(tmp_path, monkeypatch):
    times = ns.GradientFlow(np.array([1.0, 10.0]))
    stored = ns.bias_map(MODEL, NETWORK, times, *AXES, store=tmp_path / "map.zarr", **FAST)
    axes = {"shortcut_predictivity": AXES[0], "amplification_ratio": AXES[1], "time": [1.0, 10.0]}
    swept = ns.sweep(axes, MODEL, NETWORK, ns.GradientFlow(3.0), **FAST)
    for name in stored.data_vars:
        np.testing.assert_array_equal(stored[name], swept[name])
    assert stored["time"].values.tolist() == stored.attrs["time"] == [1.0, 10.0]
    predictions = "ntk_shortcuts.methods.Population.each"
    monkeypatch.setattr(predictions, lambda *_, **__: pytest.fail("work was done"))
    again = ns.bias_map(MODEL, NETWORK, times, *AXES, store=tmp_path / "map.zarr", **FAST)
    np.testing.assert_array_equal(again["bias"], stored["bias"])
    assert again.attrs == stored.attrs


def test_labels_and_attributes_say_what_was_computed():
    result = ns.bias_map(MODEL, NETWORK, FLOW, *AXES, **FAST)
    for name in (*result.data_vars, *result.coords):
        assert result[name].attrs["long_name"] and result[name].attrs["units"] == "1"
    expected = {
        "method": "population",
        "core_predictivity": 0.92,
        "core_amplification": 2.0,
        "correlation": 0.3,
        "nesting": [0, 0],
        "input_dim": 50,
        "depth": 1,
        "activation": "relu",
        "weight_variance": 2.0,
        "training": "GradientFlow",
        "time": 10.0,
        "num_samples": "none",
        "random_init": 0,
        "tolerance": 0.1,
        "jax_version": jax.__version__,
        "ntk_shortcuts_version": ns.__version__,
    }
    assert {name: result.attrs[name] for name in expected} == expected


@pytest.mark.slow
@pytest.mark.branches
def test_monte_carlo_map_has_its_standard_error_and_reports_progress():
    calls = []
    result = ns.bias_map(
        MODEL,
        NETWORK,
        FLOW,
        [0.8],
        [1.0, 2.0],
        num_samples=20,
        method="monte_carlo",
        key=jax.random.key(3),
        num_datasets=2,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 2), (2, 2)]
    assert (result["bias_standard_error"] > 0).all()
    assert result.attrs["num_datasets"] == 2 and result.attrs["num_samples"] == 20
    point = ns.GenerativeModel((0.8, 0.92), (4.0, 2.0), correlation=0.3, input_dim=50)
    alone = ns.predict_bias(point, NETWORK, FLOW, 20, "monte_carlo", key=jax.random.key(3), num_datasets=2)
    assert float(result["bias"][0, 1]) == pytest.approx(alone.bias, abs=1e-9)


def test_round_trip_through_netcdf(tmp_path):
    import xarray

    result = ns.bias_map(MODEL, NETWORK, FLOW, *AXES, **FAST)
    result.to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "map.nc", engine="h5netcdf") as loaded:
        xarray.testing.assert_equal(loaded.load(), result.to_xarray())
        assert loaded.attrs["time"] == 10.0 and list(loaded.attrs["nesting"]) == [0, 0]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"shortcut_predictivities": []}, "shortcut_predictivities"),
        ({"shortcut_predictivities": [[0.6]]}, "shortcut_predictivities"),
        ({"shortcut_predictivities": [0.6, 1.0]}, "shortcut_predictivities"),
        ({"shortcut_predictivities": [0.6, float("nan")]}, "shortcut_predictivities"),
        ({"amplification_ratios": [0.0, 1.0]}, "amplification_ratios"),
        ({"amplification_ratios": ["wide"]}, "amplification_ratios"),
        ({"training": ns.GradientDescent(np.array([0.1, 0.2]), np.array([1, 2]))}, "training"),
        ({"training": 30.0}, "training"),
        ({"model": None}, "model"),
        ({"method": "guess"}, "method"),
        ({"method": "dataset"}, "method"),
        ({"progress": 3}, "progress"),
        ({"amplification_ratios": [1.0, 2.0, 1.0]}, "amplification_ratios"),
        ({"training": ns.GradientFlow([1.0, 1.0])}, "training"),
        ({"model": ns.MLP(1)}, "model"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(change, name, monkeypatch):
    predictions = "ntk_shortcuts.methods.Population.each"
    monkeypatch.setattr(predictions, lambda *_, **__: pytest.fail("work was done"))
    arguments = {
        "model": MODEL,
        "network": NETWORK,
        "training": FLOW,
        "shortcut_predictivities": AXES[0],
        "amplification_ratios": AXES[1],
    }
    with pytest.raises(ValueError, match=rf"^{name} must be .*; got "):
        ns.bias_map(**{**arguments, **change})
