"""Curves of accuracy by group: every group a line at its numbers, the worst one marked, trained networks beside."""

import subprocess
import sys

import jax
import numpy as np
import pytest
import xarray

import ntk_shortcuts as ns
from ntk_shortcuts.plotting import plot_group_curves
from ntk_shortcuts.plotting.style import new_figure

pytestmark = pytest.mark.xdist_group("plot_group_curves")

rng = np.random.default_rng(0)
LABELS = np.tile([-1, 1], 30)
POOL, TEST = ns.Pool(rng.normal(size=(60, 4)), LABELS, {"patch": np.where(rng.uniform(size=60) < 0.7, LABELS, -LABELS)}).split(
    jax.random.key(0), 0.5
)
TIMES = np.array([1.0, 4.0, 30.0])
NAMES = [f"label {label}, patch {patch}" for label in ("−1", "+1") for patch in ("−1", "+1")]
TRAINED = "trained networks\n± standard error"


def predicted(training, **options):
    return ns.predict(POOL, ns.MLP(0), training, method="dataset", test=TEST, **options)


@pytest.fixture(scope="module")
def flow():
    return predicted(ns.GradientFlow(TIMES))


def train(steps, count=10):
    training = ns.GradientDescent(0.5, steps)
    return ns.train_ensemble(POOL, ns.MLP(0), training, count, 3, 2, test=TEST, key=jax.random.key(1))


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")}


def words(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_group_is_a_line_and_the_worst_is_marked(flow, tmp_path):
    figure = plot_group_curves(flow)
    drawn = lines(figure)
    assert list(drawn) == ["worst group", *NAMES] and words(figure) == [*NAMES, "worst group"]
    values = flow.group_accuracy.values.reshape(3, 4)
    for index, name in enumerate(NAMES):
        np.testing.assert_allclose(drawn[name].get_data(), [TIMES, values[:, index]])
    np.testing.assert_allclose(drawn["worst group"].get_ydata(), flow.worst_group_accuracy)
    # Conflicting groups are dashed, and all are of different colours.
    assert [drawn[name].get_linestyle() for name in NAMES] == ["-", "--", "--", "-"]
    assert len({drawn[name].get_color() for name in NAMES}) == 4
    axes = figure.axes[0]
    assert axes.get_xscale() == "log" and axes.get_xlabel() == r"time = learning rate $\times$ steps"
    assert axes.get_ylabel() == "accuracy in the group"
    figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.branches
def test_trained_networks_stand_at_their_times_with_errors(flow):
    ensemble = train(np.array([2, 20]))
    figure = plot_group_curves(flow, ensemble)
    bars = figure.axes[0].containers
    assert len(bars) == 4 and words(figure)[-1] == TRAINED
    mean, error = ensemble.mean_group_accuracy.values.reshape(2, 4), ensemble.standard_error.values.reshape(2, 4)
    for index, (points, _, (segments,)) in enumerate(bars):
        np.testing.assert_allclose(points.get_data(), [[1.0, 10.0], mean[:, index]])
        ends = np.array([np.asarray(segment)[:, 1] for segment in segments.get_segments()])
        np.testing.assert_allclose(ends, mean[:, index, None] + np.outer(error[:, index], [-1, 1]))
    alone = plot_group_curves(flow, train(8))
    np.testing.assert_allclose(alone.axes[0].containers[0][0].get_xdata(), [4.0])


@pytest.mark.slow
@pytest.mark.branches
def test_training_samples_are_an_axis_of_sweeps_and_of_predictions_by_number():
    swept = ns.sweep({"num_samples": [10, 20], "time": [3.0]}, POOL, ns.MLP(0), test=TEST, method="monte_carlo",
                     key=jax.random.key(0), num_datasets=2)  # fmt: skip
    ensembles = [train(6, count) for count in (10, 20)]
    figure = plot_group_curves(swept, ensembles, x="num_samples")
    by_number = {
        count: ns.predict(POOL, ns.MLP(0), ns.GradientFlow(3.0), num_samples=count, test=TEST, method="monte_carlo",
                          key=jax.random.key(0), num_datasets=2) for count in (20, 10)
    }  # fmt: skip
    again = plot_group_curves(by_number, {10: ensembles[0], 20: ensembles[1]}, x="num_samples")
    for name in ("worst group", *NAMES):
        np.testing.assert_allclose(lines(figure)[name].get_data(), lines(again)[name].get_data(), atol=1e-12)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "training samples $N$" and [t.get_text() for t in axes.get_xticklabels()] == ["10", "20"]
    there = [point for container in axes.containers for point in container[0].get_xdata()]
    assert there == [10, 20] * 4 or sorted(there) == [10] * 4 + [20] * 4
    assert len(again.axes[0].containers) == 4


def test_axes_of_ones_own_are_drawn_in(flow):
    figure = new_figure((6.0, 3.0))
    left, right = figure.subplots(1, 2)
    assert plot_group_curves(flow, ax=right) is figure
    assert not left.lines and len(right.lines) == 6 and right.get_legend() is not None and not figure.legends


def test_groups_without_points_are_left_out(flow):
    values = flow.group_accuracy.copy()
    values[:, 0, 1] = np.nan
    drawn = lines(plot_group_curves(values))
    assert list(drawn) == ["worst group", NAMES[0], *NAMES[2:]]
    assert np.isfinite(drawn["worst group"].get_ydata()).all()


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "epoch"}, "x must be one of time, num_samples"),
        ({"predicted": 3.0}, "predicted must be a Prediction on a pool"),
        ({"predicted": xarray.Dataset({"bias": 1.0})}, "predicted must be a Prediction on a pool"),
        ({"predicted": {}}, "predicted must be a mapping with at least one"),
        ({"x": "num_samples"}, "predicted must be with the axis num_samples"),
        ({"ensemble": 3}, "ensemble must be of networks trained on a pool"),
        ({"x": "agreement", "ensemble": "one"}, "ensemble"),
    ],
)
def test_mistakes_are_named(flow, arguments, message):
    more = {"predicted": {0.7: predicted(ns.GradientFlow(3.0))}} if arguments.get("x") == "agreement" else {}
    ensemble = train(6) if arguments.get("ensemble") == "one" else arguments.get("ensemble")
    with pytest.raises(ValueError, match=message):
        plot_group_curves(**{"predicted": flow, **arguments, **more, "ensemble": ensemble})


def test_what_the_axis_cannot_show_is_named(flow):
    with pytest.raises(ValueError, match="predicted must be of time positive and finite"):
        plot_group_curves(predicted(ns.GradientFlow(np.array([0.0, 1.0]))))
    with pytest.raises(ValueError, match="predicted must be with the axis time"):
        plot_group_curves(predicted(ns.GradientFlow(1.0)))
    two = xarray.concat([flow.group_accuracy] * 2, xarray.IndexVariable("depth", [1, 2]))
    with pytest.raises(ValueError, match=r"with one value of every axis but time: select some with \.sel; got \{'depth': 2\}"):
        plot_group_curves(two)
    plot_group_curves(two.sel(depth=[1]))
    with pytest.raises(ValueError, match="at one time each"):
        plot_group_curves({10: flow}, x="num_samples")


def test_matplotlib_waits_for_the_first_figure():
    code = "import sys, ntk_shortcuts.plotting; assert 'matplotlib' not in sys.modules and 'xarray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_coordinates_are_those_of_the_rule():
    assert predicted(ns.GradientFlow(3.0)).group_accuracy.dims == ("label", "patch")
    ridge = predicted(ns.Ridge(np.array([0.1, 1.0]))).group_accuracy
    assert ridge.dims[0] == "strength" and ridge.strength.values.tolist() == [0.1, 1.0]
    descent = predicted(ns.GradientDescent(np.array([0.1, 0.2]), 10)).group_accuracy
    np.testing.assert_allclose(descent.time, [1.0, 2.0])
    figure = plot_group_curves(predicted(ns.Ridge(np.array([1.0, 0.1]))), x="strength")
    assert lines(figure)[NAMES[0]].get_xdata().tolist() == [0.1, 1.0]
