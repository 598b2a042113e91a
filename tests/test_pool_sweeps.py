"""Sweeps of predictions on a pool: each point is the prediction there, groups are labelled, and kernels are evaluated once."""

import jax
import numpy as np
import pytest
import xarray

import ntk_shortcuts as ns
from ntk_shortcuts.networks import gram

rng = np.random.default_rng(0)
LABELS = np.tile([-1, 1], 40)
PATCH = np.where(rng.uniform(size=80) < 0.6, LABELS, -LABELS)
INPUTS = rng.normal(size=(80, 6))
INPUTS[:, 0] += 2 * LABELS
INPUTS[:, 1] += 2 * PATCH
POOL, TEST = ns.Pool(INPUTS, LABELS, {"patch": PATCH}).split(jax.random.key(0), 0.5)
AXES = {"num_samples": [10, 20], "agreement": [0.8, 0.95], "time": [1.0, 10.0]}


class Counted:
    """A network that counts the pairs of samples whose kernels it is asked for."""

    def __init__(self):
        self.network, self.pairs = ns.MLP(1), []

    def kernels(self, x1, x2=None):
        self.pairs.append(len(x1) * len(x1 if x2 is None else x2))
        return self.network.kernels(x1, x2)


@pytest.fixture(scope="module")
def swept():
    gram._recent.clear()
    network = Counted()
    return network, ns.sweep(AXES, POOL, network, test=TEST)


@pytest.mark.slow
@pytest.mark.branches
def test_each_point_is_the_prediction_at_its_values(swept):
    found = swept[1]
    assert found["group_accuracy"].dims == ("num_samples", "agreement", "time", "label", "patch")
    for name in ("accuracy", "worst_group_accuracy", "reliance_on_patch"):
        assert found[name].dims == tuple(AXES)
    assert {name: found[name].values.tolist() for name in found.coords} == {**AXES, "label": [-1, 1], "patch": [-1, 1]}
    for count, agreement in ((10, 0.95), (20, 0.8)):
        training = ns.GradientFlow(np.array(AXES["time"]))
        p = ns.predict(POOL.with_agreement(agreement), ns.MLP(1), training, num_samples=count, test=TEST)
        there = found.sel(num_samples=count, agreement=agreement)
        np.testing.assert_allclose(there["group_accuracy"], p.group_accuracy, atol=1e-12)
        np.testing.assert_allclose(there["accuracy"], p.accuracy, atol=1e-12)
        np.testing.assert_allclose(there["worst_group_accuracy"], p.worst_group_accuracy, atol=1e-12)
        np.testing.assert_allclose(there["reliance_on_patch"], p.reliance, atol=1e-12)
    assert found.attrs["model"] == "Pool" and "agreement" not in found.attrs and "weights" not in found.attrs
    for name in (*found.data_vars, *found.coords):
        assert found[name].attrs["long_name"]
        assert found[name].attrs["units"] == ("learning rate x steps" if name == "time" else "1")


def test_the_kernels_are_evaluated_once(swept):
    """For all four points: of all samples with those of the pool, and of test samples with themselves in two blocks."""
    counted = swept[0].pairs
    assert [pairs for pairs in counted if pairs > 9] == [80 * 40, 20 * 20, 20 * 20]
    # The network is recognised by what it makes of three samples, at every point.
    assert counted.count(9) == 4


@pytest.mark.slow
@pytest.mark.branches
def test_a_stored_sweep_of_groups_resumes_and_gains_values(tmp_path):
    less = {"num_samples": [10], "time": [1.0, 10.0]}
    options = {"test": TEST, "store": tmp_path / "swept.zarr", "method": "monte_carlo", "num_datasets": 2}
    options |= {"key": jax.random.key(0)}
    first = ns.sweep(less, POOL, ns.MLP(0), **options)
    calls = []
    more = {"num_samples": [10, 20], "time": [1.0, 5.0, 10.0]}
    second = ns.sweep(more, POOL, ns.MLP(0), progress=lambda done, total: calls.append(done), **options)
    assert calls[-1] == 2
    same = second["group_accuracy"].sel(num_samples=[10], time=[1.0, 10.0])
    np.testing.assert_array_equal(same, first["group_accuracy"])
    assert bool(second["group_accuracy"].notnull().all())
    xarray.testing.assert_equal(xarray.open_zarr(tmp_path / "swept.zarr").load()["group_accuracy"], second["group_accuracy"])
    with pytest.raises(ValueError, match="store must be of this sweep"):
        ns.sweep(more, POOL.with_agreement(0.9), ns.MLP(0), **options)
    with pytest.raises(ValueError, match="store must be of this sweep"):
        ns.sweep(more, POOL, ns.MLP(0), **{**options, "test": TEST.balanced()})


def test_steps_are_an_axis_too_and_a_pool_is_a_data_set_itself():
    training = ns.GradientDescent(0.1, np.array([3, 30]))
    found = ns.sweep({"agreement": [0.6, 0.9]}, POOL, ns.MLP(0), training, method="dataset", test=TEST)
    assert found["group_accuracy"].dims == ("agreement", "steps", "label", "patch")
    p = ns.predict(POOL.with_agreement(0.9), ns.MLP(0), training, method="dataset", test=TEST)
    np.testing.assert_allclose(found["group_accuracy"].sel(agreement=0.9), p.group_accuracy, atol=1e-12)
    np.testing.assert_allclose(p.group_accuracy.time, [0.3, 3.0])


TWO = ns.Pool(INPUTS, LABELS, {"patch": PATCH, "border": -PATCH})


@pytest.mark.parametrize(
    ("axes", "model", "options", "message"),
    [
        ({"agreement": [0.5, 1.2]}, POOL, {"test": TEST}, r"axis agreement: agreement must be in \[0, 1\]"),
        ({"agreement": [0.5]}, TWO, {"test": TWO}, "axis agreement: agreement must be an axis of a pool with one attribute"),
        ({"agreement": [0.5]}, ns.GenerativeModel(), {}, "model must be a Clusters or a Pool for the axis agreement"),
        ({"correlation": [0.5]}, POOL, {"test": TEST}, "model must be a GenerativeModel"),
        ({"agreement": [0.5]}, POOL, {}, "test must be a Pool"),
        ({"num_samples": [10]}, ns.MLP(0), {}, "model must be a data law"),
        ({"depth": [1]}, ns.Pool(INPUTS, LABELS, {"depth": PATCH}), {"test": TEST}, "test must be with the pool's attributes"),
    ],
)
def test_mistakes_are_named(axes, model, options, message):
    with pytest.raises(ValueError, match=message):
        ns.sweep(axes, model, ns.MLP(0), method="dataset", **options)


def test_attributes_named_like_an_axis_are_refused():
    pool, test = ns.Pool(INPUTS, LABELS, {"depth": PATCH}).split(jax.random.key(0), 0.5)
    with pytest.raises(ValueError, match="axes must be named unlike the pool's attributes; got 'depth'"):
        ns.sweep({"depth": [1, 2]}, pool, ns.MLP(0), method="dataset", test=test)
