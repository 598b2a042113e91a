"""Figures: labels, boundaries and colours say what the results are."""

import subprocess
import sys
import types

import jax
import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

import ntk_shortcuts as ns
from ntk_shortcuts import plotting

MODEL = ns.GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0))


@pytest.fixture(scope="module")
def prediction():
    return ns.predict_bias(MODEL, ns.MLP(depth=1), ns.GradientFlow(time=30.0), random_init=False)


@pytest.fixture(scope="module")
def several(prediction):
    """As of three times: at each the mean is another multiple of one function."""
    mean = np.asarray(prediction.mean)
    parts = {"bias": np.array([1.5, 0.7, 0.1]), "mean": np.stack([0.2 * mean, -0.5 * mean, mean])}
    return types.SimpleNamespace(method=prediction.method, probes=prediction.probes, **parts)


def bias_dataset(values):
    coordinates = {"shortcut_predictivity": [0.6, 0.75, 0.9], "amplification_ratio": [0.25, 1.0, 4.0]}
    return xarray.Dataset({"bias": (tuple(coordinates), values)}, coordinates, {"depth": 1, "method": "population"})


VALUES = np.array([[-0.2, 0.0, 0.1], [-0.4, 0.0, 0.5], [-0.6, 0.1, 0.8]])


def texts(figure):
    found = {axes.get_xlabel() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    for owner in (figure, *figure.axes):
        legends = owner.legends if isinstance(owner, Figure) else [owner.get_legend()]
        found |= {text.get_text() for legend in legends if legend for text in legend.get_texts()}
    return found


def test_bias_map_is_labelled_and_centred_at_zero(tmp_path):
    figure = plotting.plot_bias_map(bias_dataset(VALUES))
    assert {plotting.PREDICTIVITY_LABEL, plotting.RATIO_LABEL, plotting.BIAS_LABEL} <= texts(figure)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    mesh = axes.collections[0]
    assert mesh.norm.vmin == -0.8 and mesh.norm.vmax == 0.8
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(3, 3), VALUES)
    for suffix in ("png", "svg", "pdf"):
        figure.savefig(tmp_path / f"map.{suffix}")
        assert (tmp_path / f"map.{suffix}").stat().st_size > 1000


def test_bias_map_marks_the_point_of_its_second_panel(prediction):
    inset = plotting.Inset(prediction, MODEL, MODEL.sample(jax.random.key(0), 40))
    figure = plotting.plot_bias_map(bias_dataset(VALUES), inset)
    star = figure.axes[0].lines[-1]
    np.testing.assert_allclose(star.get_xydata(), [[4.0, 0.85]])
    assert {"predicted boundary", "Bayes boundary", "class +1", "class -1"} <= texts(figure)


@pytest.mark.parametrize("values", [np.zeros((3, 3)), np.full((3, 3), np.nan), VALUES.T])
def test_bias_map_draws_flat_missing_and_transposed_values(values, tmp_path):
    plotting.plot_bias_map(bias_dataset(values).transpose()).savefig(tmp_path / "map.png")


def test_bias_map_of_one_point_and_of_unsorted_axes(tmp_path):
    dataset = bias_dataset(VALUES)
    plotting.plot_bias_map(dataset.isel(shortcut_predictivity=[0], amplification_ratio=[2])).savefig(tmp_path / "a.png")
    turned = plotting.plot_bias_map(dataset.isel(amplification_ratio=[2, 0, 1]))
    np.testing.assert_array_equal(np.asarray(turned.axes[0].collections[0].get_array()).reshape(3, 3), VALUES)


def test_bias_over_time_has_one_labelled_line_per_ratio():
    biases = {0.5: [0.0, -0.1, 0.0], 4.0: [1.0, 0.6, 0.1]}
    figure = plotting.plot_bias_over_time([100.0, 1.0, 10.0], biases)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert {plotting.TIME_LABEL, plotting.BIAS_LABEL, "4", "0.5"} <= texts(figure)
    line = next(line for line in axes.lines if line.get_label() == "4")
    np.testing.assert_array_equal(line.get_xydata(), [[1.0, 0.6], [10.0, 0.1], [100.0, 1.0]])


def test_decision_surface_shows_the_output_and_the_bayes_line(prediction, tmp_path):
    figure = plotting.plot_decision_surface(prediction, MODEL)
    assert {
        "shortcut feature $z_s$",
        "core feature $z_c$",
        "predicted mean output",
        "Bayes boundary",
    } <= texts(figure)
    axes = figure.axes[0]
    bayes = next(line for line in axes.lines if line.get_linestyle() == "--").get_xydata()
    np.testing.assert_allclose(bayes @ np.asarray(MODEL.bayes_direction), 0, atol=1e-9)
    # Rows of the mesh are the core feature, columns the shortcut.
    drawn = np.asarray(axes.collections[0].get_array()).reshape(30, 30)
    np.testing.assert_array_equal(drawn, np.asarray(prediction.mean).reshape(30, 30).T)
    figure.savefig(tmp_path / "surface.png")


@pytest.mark.parametrize(("index", "bias"), [(0, "1.500"), (1, "0.700"), (2, "0.100"), (-1, "0.100"), (-3, "1.500")])
def test_decision_surface_of_several_times_draws_the_one_that_its_title_names(several, index, bias):
    figure = plotting.plot_decision_surface(several, MODEL, index=index, training=ns.GradientFlow([3.0, 30.0, 300.0]))
    axes, time = figure.axes[0], (3, 30, 300)[index]
    assert axes.get_title() == f"population: shortcut bias {bias}, time {time} ({index % 3 + 1} of 3)"
    drawn = np.asarray(axes.collections[0].get_array()).reshape(30, 30)
    np.testing.assert_array_equal(drawn, several.mean[index].reshape(30, 30).T)


def test_decision_surface_of_several_times_names_the_last_where_nothing_is_chosen(several):
    axes = plotting.plot_decision_surface(several, MODEL).axes[0]
    assert axes.get_title() == "population: shortcut bias 0.100, setting 3 of 3 of the training rule"
    np.testing.assert_array_equal(
        np.asarray(axes.collections[0].get_array()).reshape(30, 30), several.mean[2].reshape(30, 30).T
    )
    training = ns.GradientDescent(0.5, [4, 8, 16])
    title = plotting.plot_decision_surface(several, MODEL, index=1, training=training).axes[0].get_title()
    assert title.endswith(", learning rate 0.5, steps 8 (2 of 3)")


def test_decision_surface_of_one_time_names_it_only_where_the_rule_is_given(prediction):
    title = f"population: shortcut bias {prediction.bias:.3f}"
    assert plotting.plot_decision_surface(prediction, MODEL).axes[0].get_title() == title
    given = plotting.plot_decision_surface(prediction, MODEL, training=ns.GradientFlow(30.0))
    assert given.axes[0].get_title() == f"{title}, time 30"


def test_second_panel_of_a_bias_map_names_its_time(several):
    rule = ns.GradientFlow([3.0, 30.0, 300.0])
    chosen = plotting.plot_bias_map(bias_dataset(VALUES), plotting.Inset(several, MODEL, index=1, training=rule)).axes[1]
    assert chosen.get_title().endswith("bias 0.70\ntime 30 (2 of 3)")
    np.testing.assert_array_equal(
        np.asarray(chosen.collections[0].get_array()).reshape(30, 30), several.mean[1].reshape(30, 30).T
    )
    last = plotting.plot_bias_map(bias_dataset(VALUES), (several, MODEL)).axes[1]
    assert last.get_title().endswith("bias 0.10\nsetting 3 of 3 of the training rule")


def test_bias_map_names_what_was_chosen_of_several():
    several = xarray.concat([bias_dataset(VALUES), bias_dataset(2 * VALUES)], xarray.Variable("time", [3.0, 30.0]))
    several = xarray.concat([several, several], xarray.Variable("width", [32, 64])).assign_attrs(depth=1, time=[3.0, 30.0])

    def last_line(dataset):
        return plotting.plot_bias_map(dataset).axes[0].get_title().splitlines()[-1]

    assert last_line(several.sel(time=30.0, width=64)) == "depth 1, time 30, population, width 64"
    assert last_line(several.isel(time=0, width=0)) == "depth 1, time 3, population, width 32"
    assert last_line(several.isel(time=0, width=0, drop=True)) == "depth 1, time not stated, population"
    with pytest.raises(ValueError, match=r"of several times choose one: .*; got .*'time'"):
        plotting.plot_bias_map(several)


def test_decision_surface_says_how_many_of_the_training_points_it_shows(prediction):
    figure = plotting.plot_decision_surface(prediction, MODEL, MODEL.sample(jax.random.key(0), 300))
    assert {"class +1, 75 of 150", "class -1, 75 of 150"} <= texts(figure)
    shown = [line for line in figure.axes[0].lines if line.get_label().startswith("class")]
    assert [len(line.get_xdata()) for line in shown] == [75, 75]


def test_no_series_is_left_out_where_there_are_many():
    lines = [plotting.Gaps(f"line {i}", np.array([1.0, 2.0]), np.array([1.0 + i, 0.5]), np.full(2, 0.1)) for i in range(8)]
    figure = plotting.plot_gaps({"many": lines}, "width")
    assert {f"line {i}" for i in range(8)} <= texts(figure)
    records = [{"depth": 1, "width": 2**i, "core": 1.0, "release": 3.0, "frozen_release": 9.0} for i in range(8)]
    axes = plotting.plot_release_times(records).axes[0]
    drawn = [line for line in axes.lines if line.get_label().startswith("width")]
    assert len({(line.get_color(), line.get_marker()) for line in drawn}) == 8


def test_figures_leave_pyplot_alone(prediction):
    loaded = "matplotlib.pyplot" in sys.modules
    plotting.plot_decision_surface(prediction, MODEL)
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_matplotlib_waits_for_the_first_figure():
    script = "import sys, ntk_shortcuts.plotting; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_bad_arguments_are_named(prediction):
    with pytest.raises(ValueError, match=r"^dataset must be from bias_map"):
        plotting.plot_bias_map(xarray.Dataset())
    with pytest.raises(ValueError, match=r"^times must be one-dimensional, positive"):
        plotting.plot_bias_over_time([0.0, 1.0], {1.0: [0.0, 0.0]})
    with pytest.raises(ValueError, match=r"^biases_by_ratio must be values of shape \(2,\) for ratio 3"):
        plotting.plot_bias_over_time([1.0, 2.0], {3.0: [0.0]})
    with pytest.raises(ValueError, match=r"^biases_by_ratio must be a mapping"):
        plotting.plot_bias_over_time([1.0, 2.0], {})
    few = ns.predict_bias(
        MODEL,
        ns.MLP(depth=1),
        ns.GradientFlow(time=30.0),
        random_init=False,
        tolerance=0.1,
        probes=[[1.0, 2.0], [2.0, 1.0], [0.5, 0.5]],
    )
    with pytest.raises(ValueError, match=r"^prediction.probes must be a full grid"):
        plotting.plot_decision_surface(few, MODEL)


@pytest.mark.parametrize("index", [3, -4, 1.0, True, None])
def test_an_index_that_the_prediction_does_not_have_is_refused(several, index):
    with pytest.raises(ValueError, match=r"^index must be an integer from -3 to 2 \(the prediction has 3\); got"):
        plotting.plot_decision_surface(several, MODEL, index=index)


@pytest.mark.parametrize("training", [ns.GradientFlow(30.0), ns.GradientFlow([3.0, 30.0]), [3.0, 30.0, 300.0]])
def test_a_rule_that_is_not_the_predictions_is_refused(several, training):
    with pytest.raises(ValueError, match=r"^training must be .*the (training )?rule of the prediction"):
        plotting.plot_decision_surface(several, MODEL, training=training)


@pytest.mark.slow
def test_telescope_draws_trained_telescoped_and_frozen_biases_and_the_kernel_below():
    result = ns.analysis.telescope(MODEL, ns.MLP(0), ns.GradientDescent(0.5, [1, 4, 16]), 20, (1, 3), key=jax.random.key(0))
    frozen = types.SimpleNamespace(bias=np.array([0.3, 0.2, 0.1]))
    figure = plotting.plot_telescope({"narrow": result}, {"narrow": frozen})
    wanted = {"trained", "own kernel, frozen", "telescoped, 3 segments", "infinite width, frozen", "alignment with target"}
    assert wanted <= texts(figure)
    drawn = {line.get_label(): line.get_ydata() for axes in figure.axes for line in axes.lines}
    np.testing.assert_array_equal(drawn["telescoped, 3 segments"], result.telescoped_bias[1, 1:])
    np.testing.assert_array_equal(drawn["relative change"], result.kernel_change[1:])
    with pytest.raises(ValueError, match="frozen must be"):
        plotting.plot_telescope({"narrow": result}, {"narrow": types.SimpleNamespace(bias=0.1)})


def test_release_times_have_a_line_for_each_width_and_leave_out_what_came_later():
    records = [
        {"depth": depth, "width": width, "core": core, "release": 3 / core, "frozen_release": None if core < 1 else 9.0}
        for depth in (1, 2)
        for width in (32, 128)
        for core in (1.0, 0.1)
    ]
    figure = plotting.plot_release_times(records)
    assert {"width 32", "width 128", "frozen kernel"} <= texts(figure)
    assert [axes.get_title() for axes in figure.axes] == ["depth 1", "depth 2"]
    drawn = [line.get_xydata().tolist() for line in figure.axes[1].lines]
    assert drawn == 2 * [[[0.1, 30.0], [1.0, 3.0]], [[1.0, 9.0]]]
    with pytest.raises(ValueError, match="records must be at least one"):
        plotting.plot_release_times([])
