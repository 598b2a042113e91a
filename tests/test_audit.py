"""Audits: closed forms of linear kernels, the two routes to a learning time, and the order in which training follows."""

import jax
import numpy as np
import pytest
import xarray
from scipy.linalg import expm
from scipy.optimize import brentq

import ntk_shortcuts as ns
from ntk_shortcuts.analysis.samples import operator
from ntk_shortcuts.analysis.samples.functions import centred

LABEL, PATCH = np.repeat([-1, 1], 8), np.tile([-1, 1], 8)
SCALES = np.array([1.0, 3.0])


def crossed(agreement=0.5, **more):
    """Inputs (y, 3 a): two functions, of which the kernel has nothing but multiples."""
    pool = ns.Pool(np.stack([LABEL, PATCH], axis=1) * SCALES, LABEL, {"patch": PATCH, **more})
    return pool.with_agreement(agreement, "patch")


def test_independent_functions_are_eigenfunctions_of_a_linear_kernel():
    """Eigenvalues sigma_w^2/d times the squares of the scales; half of a square is learnt at log 2/(2 lambda)."""
    found = ns.audit(crossed(), ns.MLP(0), modes=2)
    eigenvalues = 2 / 2 * SCALES**2
    np.testing.assert_allclose(found.availability, np.log(2) / (2 * eigenvalues), rtol=1e-9)
    np.testing.assert_allclose(found.relative_availability, [1, 9], rtol=1e-9)
    np.testing.assert_allclose(found.alignment, 1, rtol=1e-9)
    np.testing.assert_allclose(found.kernel_alignment, eigenvalues / np.linalg.norm(eigenvalues), rtol=1e-9)
    np.testing.assert_allclose(found.predictivity, [1, 0.5], rtol=1e-12)
    first = ns.audit(crossed(), ns.MLP(0), modes=1)
    np.testing.assert_allclose(first.alignment, [0, 1], atol=1e-9)


def test_a_predictive_attribute_makes_the_label_faster():
    """In the plane of the two functions the operator is D G, with their Gram matrix G: its exponential by scipy."""
    found = ns.audit(crossed(0.9), ns.MLP(0))
    gram = np.array([[1, 0.8], [0.8, 1]])
    flow = np.diag(SCALES**2) @ gram
    for place in (0, 1):

        def left(time, place=place):
            return (gram @ expm(-2 * time * flow))[place, place] - 0.5

        assert float(found.availability[place]) == pytest.approx(brentq(left, 1e-6, 10, xtol=1e-14), rel=1e-9)
        alignment = (gram @ flow)[place, place] / np.sqrt(np.trace(flow @ flow))
        assert float(found.kernel_alignment[place]) == pytest.approx(alignment, rel=1e-9)
    assert float(found.availability[0]) < np.log(2) / 2 and float(found.predictivity[1]) == pytest.approx(0.9)


def test_what_a_kernel_cannot_see_is_never_learnt_and_what_is_constant_is_not_a_function():
    colour = np.arange(16) % 4 // 2 * LABEL  # orthogonal to both
    found = ns.audit(crossed(colour=colour, camera=np.ones(16, int)), ns.MLP(0))
    assert np.isinf(found.availability.sel(function="colour")) and np.isnan(found.availability.sel(function="camera"))
    assert float(found.relative_availability.sel(function="colour")) == 0
    assert float(found.alignment.sel(function="colour")) < 0.5 and np.isnan(found.alignment.sel(function="camera"))
    assert found.predictivity.sel(function=["colour", "camera"]).values.tolist() == [0.75, 0.5]


def test_many_values_are_indicators_and_their_best_rule():
    labels, colour = np.tile([0, 1, 2], 6), np.repeat([0, 1, 2], 6)
    inputs = np.concatenate([np.eye(3)[labels], 2 * np.eye(3)[colour]], axis=1)
    found = ns.audit(ns.Pool(inputs, labels, {"colour": colour}), ns.MLP(0), modes=5)
    assert float(found.predictivity[1]) == pytest.approx(1 / 3)
    # Indicators of k equal values: eigenvalues sigma_w^2/d times scale^2/k, beside the constant's.
    expected = np.log(2) / 2 / (2 / 6 * np.array([1, 4]) / 3)
    np.testing.assert_allclose(found.availability, expected, rtol=1e-9)


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(0)
    labels = np.tile([-1, 1], 120)
    patch = np.where(rng.random(240) < 0.8, labels, -labels)
    inputs = rng.normal(size=(240, 12)) + np.outer(labels, rng.normal(size=12)) / 3
    inputs[:, 0] += 2 * patch
    return ns.Pool(inputs, labels, {"patch": patch, "kind": rng.integers(0, 3, 240)}, rng.uniform(0.5, 2, 240))


def test_learning_times_without_the_spectrum(many, monkeypatch):
    """Large pools: Lanczos's quadrature and the leading pairs, against the whole spectrum, and against scipy's exponential."""
    network = ns.MLP(2)
    whole = ns.audit(many, network)
    monkeypatch.setattr(operator, "WHOLE", 0)
    parts = ns.audit(many, network)
    xarray.testing.assert_allclose(whole, parts, rtol=1e-9)
    kernel = np.asarray(network.kernels(many.inputs).ntk)
    functions = centred(many.labels, many.weights)
    time = float(whole.availability[0])
    left = functions.T @ np.diag(many.weights) @ expm(-2 * time * kernel @ np.diag(many.weights)) @ functions
    assert left.item() == pytest.approx(0.5 * float(many.weights @ functions[:, 0] ** 2), rel=1e-8)


def test_it_is_a_dataset_that_draws_itself(many, tmp_path):
    found = ns.audit(many, ns.MLP(1))
    assert isinstance(found, xarray.Dataset) and isinstance(found, ns.analysis.Audit)
    assert found.function.values.tolist() == ["label", "patch", "kind"] and found.attrs["modes"] == 10
    assert all({"long_name", "units"} <= found[name].attrs.keys() for name in found.data_vars)
    for table in (found, found.sel(function=["patch", "kind"]), ns.audit(many.reweighted(many.weights), ns.MLP(1))):
        axes = table.plot().axes[0]
        assert axes.get_xscale() == "log" and len(axes.get_yticks()) == table.sizes["function"]
    written = {text.get_text() for text in found.plot().axes[0].texts}
    assert f"{float(found.predictivity[1]):.2f}" in written and f"{float(found.availability[0]):.3g}" in written
    found.to_netcdf(tmp_path / "audit.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "audit.nc", engine="h5netcdf") as loaded:
        xarray.testing.assert_allclose(ns.analysis.Audit(loaded.data_vars, loaded.coords), found)


def test_words_stand_where_there_is_no_time():
    found = ns.audit(crossed(colour=np.arange(16) % 4 // 2 * LABEL, camera=np.ones(16, int)), ns.MLP(0))
    written = {text.get_text() for text in found.plot().axes[0].texts}
    assert {"never learnt to half", "does not vary"} <= written


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.images
def test_brighter_patches_are_learnt_earlier_and_followed_more():
    """Four cases: the order of relative availability is that of the conflicting groups' accuracy after training on the pool."""
    earlier, right = [], []
    for brightness in (0.2, 0.6, 1.5, 4.0):
        images = ns.images.digits_patch(num_images=300, brightness=brightness)
        pool, test = images.split(jax.random.key(0), 0.6)
        pool = pool.with_agreement(0.9)
        earlier.append(float(ns.audit(pool, ns.MLP(1)).relative_availability.sel(function="patch")))
        training = ns.GradientFlow(10.0)
        trained = ns.predict(pool, ns.MLP(1), training, method="dataset", test=test, random_init=False)
        right.append(trained.reliance)
    assert earlier == sorted(earlier) and right == sorted(right)
    assert earlier[0] < 1 < earlier[-1] and right[-1] > right[0] + 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pool": ns.GenerativeModel()}, "pool must be a Pool; got 'GenerativeModel'"),
        ({"network": 3}, "network must be"),
        ({"modes": 0}, "modes must be an integer >= 1"),
    ],
)
def test_what_is_refused(change, words):
    arguments = {"pool": crossed(), "network": ns.MLP(0), **change}
    with pytest.raises(ValueError, match=words):
        ns.audit(**arguments)


def test_a_finite_width_is_said_to_be_ignored():
    with pytest.warns(ns.UntrustedPredictionWarning, match="as if infinitely wide"):
        found = ns.audit(crossed(), ns.MLP(1, width=64))
    xarray.testing.assert_allclose(found, ns.audit(crossed(), ns.MLP(1)))
