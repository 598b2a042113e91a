"""Every figure is drawn in axes of one's own, and leaves to `matplotlib.rcParams` what that has parameters for."""

import functools
import types

import matplotlib
import numpy as np
import pytest
import xarray
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import ntk_shortcuts as ns
from ntk_shortcuts import plotting
from ntk_shortcuts.plotting.style import axes_for

MODEL = ns.GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0))
PROBES = MODEL.probe_grid()
TIMES = np.array([3.0, 30.0])
MEAN = np.tanh(PROBES @ np.array([0.8, 0.4]))
GROUPS = xarray.DataArray(
    np.linspace(0.2, 0.9, 8).reshape(2, 2, 2), {"time": TIMES, "label": [-1, 1], "patch": [-1, 1]}, ("time", "label", "patch")
)


def record(**values):
    return types.SimpleNamespace(**values)


def bias_map():
    axes = {"shortcut_predictivity": [0.6, 0.75, 0.9], "amplification_ratio": [0.25, 1.0, 4.0]}
    return xarray.Dataset({"bias": (tuple(axes), np.linspace(-0.5, 0.8, 9).reshape(3, 3))}, axes, {"depth": 1})


def predicted(mean, biases, **more):
    return record(method="population", probes=PROBES, bias=biases, mean=mean, **more)


def audited():
    columns = {"availability": [3.0, 1.0, np.inf], "predictivity": [1.0, 0.9, 0.5]}
    return xarray.Dataset({name: ("function", values) for name, values in columns.items()}, {"function": ["label", "a", "b"]})


def mitigated():
    dims, names = ("mitigation", "time"), ["none", "attribute_removed", "balanced_weights"]
    over = {name: (dims, np.full((3, 2), value)) for name, value in (("worst_group_accuracy", 0.6), ("standard_error", 0.05))}
    best = {name: ("mitigation", np.array([0.5, 0.7, 0.6])) for name in ("best", "best_error", "best_time")}
    return xarray.Dataset({**over, **best}, {"mitigation": names, "time": TIMES})


def several_times():
    """A prediction of features at several times, from outputs of no meaning."""
    law = ns.GaussianFeatures((0.8, 0.85, 0.9), (4.0, 2.0, 1.0))
    points = law.test_points()
    numbers = {"bias": np.array([[0.5, 0.1], [0.2, 0.3]])}
    shown = {"points": points, "metric": law.metric, "mean": np.zeros((2, len(points.points)))}
    return record(numbers=lambda: numbers, coordinates={"time": TIMES}, **shown)


def learning_curve():
    counts = np.array([50, 100, 200])
    return record(
        num_samples=counts,
        values=0.2 + 1.0 / counts,
        limit=np.array(0.2),
        exponent=np.array(1.0),
        exponent_error=np.array(0.1),
        theory=1.0,
        axes={},
    )


def spectrum():
    number = np.linspace(0.2, 0.8, 4)
    series = {"label_alignments": number, "attribute_alignments": {"patch": number[::-1]}}
    return record(learning_times=np.array([1.0, 3.0, 10.0, 30.0]), **series)


def telescope():
    named = {name: np.array([0.1, 0.5, 0.7]) for name in ("trained_bias", "kernel_change", "kernel_alignment")}
    times = np.array([0.0, 1.0, 2.0])
    biases = {"segments": np.array([1, 2]), "telescoped_bias": np.array([[0.1, 0.2, 0.3], [0.1, 0.3, 0.5]])}
    return record(times=times, target_alignment=named["trained_bias"], **biases, **named)


def influenced():
    points = MODEL.probe_grid(5)
    effect = np.sin(points @ np.array([1.0, 0.5]))
    return record(latents=points, positive=effect, negative=-effect, expected=0.5 * effect, density=np.exp(-(points**2).sum(1)))


def images():
    rng = np.random.default_rng(0)
    return ns.Pool(rng.normal(size=(8, 5, 5, 1)), np.tile([-1, 1], 4), {"patch": np.repeat([-1, 1], 4)})


def scatter():
    ones = np.ones(3)
    return plotting.Scatter("one", np.arange(3.0), np.arange(3.0) + 0.1, 0.1 * ones, np.array([3.0, 3.0, 30.0]), ones)


GAPS = [plotting.Gaps("line", np.array([8.0, 16.0]), np.array([0.5, -0.1]), np.full(2, 0.1), (1.0, -1.0), True)]
RELEASES = [{"depth": 1, "width": 8, "core": core, "release": 3 / core, "frozen_release": 9.0} for core in (0.5, 1.0)]

CASES = {
    "plot_agreement": lambda ax=None: plotting.plot_agreement([scatter()], ax=ax),
    "plot_audit": lambda ax=None: plotting.plot_audit(audited(), ax=ax),
    "plot_bias_map": lambda ax=None: plotting.plot_bias_map(bias_map(), (predicted(MEAN, 0.3), MODEL), ax=ax),
    "plot_bias_over_time": lambda ax=None: plotting.plot_bias_over_time(TIMES, {1.0: [0.1, 0.2], 4.0: [0.5, 0.3]}, ax=ax),
    "plot_decision_surface": lambda ax=None: plotting.plot_decision_surface(predicted(MEAN, 0.3), MODEL, ax=ax),
    "plot_examples": lambda ax=None: plotting.plot_examples(images(), 2, ax=ax),
    "plot_gaps": lambda ax=None: plotting.plot_gaps({"a": GAPS, "b": GAPS}, "width", ax=ax),
    "plot_group_curves": lambda ax=None: plotting.plot_group_curves(record(group_accuracy=GROUPS), ax=ax),
    "plot_influence": lambda ax=None: plotting.plot_influence(influenced(), ax=ax),
    "plot_learning_curve": lambda ax=None: plotting.plot_learning_curve(learning_curve(), distance=True, ax=ax),
    "plot_map": lambda ax=None: plotting.plot_map(bias_map().expand_dims(shortcut=[0, 1]), ax=ax),
    "plot_mitigations": lambda ax=None: plotting.plot_mitigations(mitigated(), ax=ax),
    "plot_networks": lambda ax=None: plotting.plot_networks(np.ones((2, 3, 2)), [0.1, 0.1], ("time", TIMES), ax=ax),
    "plot_numbers": lambda ax=None: plotting.plot_numbers({"a": TIMES, "b": -TIMES}, ("time", TIMES), "bias", ax=ax),
    "plot_outputs": lambda ax=None: plotting.plot_outputs(MEAN[:4], np.ones(4), ax=ax),
    "plot_prediction": lambda ax=None: plotting.plot_prediction(several_times(), ax=ax),
    "plot_release_times": lambda ax=None: plotting.plot_release_times(RELEASES, ax=ax),
    "plot_spectrum": lambda ax=None: plotting.plot_spectrum(spectrum(), ax=ax),
    "plot_surfaces": lambda ax=None: plotting.plot_surfaces([plotting.Surfaces("one", MODEL, MEAN, MEAN)], ax=ax),
    "plot_sweep": lambda ax=None: plotting.plot_sweep(bias_map().isel(shortcut_predictivity=[0, 2]), ax=ax),
    "plot_telescope": lambda ax=None: plotting.plot_telescope({"one": telescope()}, ax=ax),
}
# Surfaces and images, of which a colour map or the data say the colours.
WITHOUT_SERIES = {"plot_bias_map", "plot_decision_surface", "plot_examples", "plot_influence", "plot_map", "plot_surfaces"}
CYCLE = [f"#{number:06x}" for number in range(0x123456, 0x123456 + 12)]


@functools.cache
def usual(name):
    """The figure as nobody has set anything."""
    return CASES[name]()


drawings = pytest.mark.parametrize("name", CASES)


def widths(figure):
    drawn = [line for axes in figure.axes for line in axes.lines if line.get_linestyle() not in ("None", "none")]
    return np.array([line.get_linewidth() for line in drawn])


def colours(figure):
    lines = [line.get_color() for axes in figure.axes for line in axes.lines]
    return {to_hex(colour) for colour in lines}


def has_grid(figure):
    return any(line.get_visible() for axes in figure.axes for line in axes.get_ygridlines())


def test_every_figure_is_among_them():
    assert set(CASES) == {name for name in plotting.__all__ if name.startswith("plot_")}


@drawings
def test_figures_are_drawn_in_the_axes_given_and_nowhere_else(name):
    figure = Figure(figsize=(9.0, 4.0))
    left, right = figure.subplots(1, 2)
    assert CASES[name](ax=right) is figure and not left.has_data() and len(left.texts) == 0
    drawn = [axes for axes in figure.axes if axes is not left]
    assert any(axes.has_data() or axes.images for axes in drawn) and tuple(figure.get_size_inches()) == (9.0, 4.0)
    # Of several panels the place is divided: all of them stand in the right half.
    panels = [axes for axes in drawn if axes.get_subplotspec() is not None]
    assert all(axes.get_position().x0 > left.get_position().x1 for axes in panels)
    assert isinstance(usual(name), Figure)


@drawings
def test_sizes_of_figures_follow_the_one_that_is_set(name):
    size = usual(name).get_size_inches()
    with matplotlib.rc_context({"figure.figsize": (3.2, 4.8)}):
        np.testing.assert_allclose(CASES[name]().get_size_inches(), size * [0.5, 1.0])


@drawings
def test_lines_and_grids_follow_those_that_are_set(name):
    with matplotlib.rc_context({"lines.linewidth": 2 * matplotlib.rcParams["lines.linewidth"], "axes.grid": True}):
        wide = CASES[name]()
    np.testing.assert_allclose(widths(wide), 2 * widths(usual(name)))
    # Images have no axes.
    assert has_grid(wide) == (name != "plot_examples") and not has_grid(usual(name))


@pytest.mark.parametrize("name", sorted(CASES.keys() - WITHOUT_SERIES))
def test_series_have_the_colours_that_are_set(name):
    with matplotlib.rc_context({"axes.prop_cycle": matplotlib.cycler(color=CYCLE)}):
        own = colours(CASES[name]())
    grey = {colour for colour in own if len({colour[1:3], colour[3:5], colour[5:7]}) == 1}
    assert own & set(CYCLE) and own <= {*CYCLE, *grey} and not colours(usual(name)) & set(CYCLE)


def test_axes_that_are_no_axes_or_too_few_are_named():
    figure = Figure()
    for given, message in (
        (3, "ax must be matplotlib axes: one; got 'int'"),
        (figure.subplots(1, 3), "ax must be matplotlib axes: one; got '3 of them'"),
    ):
        with pytest.raises(ValueError, match=message):
            axes_for(given)
    with pytest.raises(ValueError, match="one, or 2 in order; got '3 of them'"):
        axes_for(Figure().subplots(1, 3), 1, 2)
    with pytest.raises(ValueError, match="made by subplots so that its place can be divided"):
        axes_for(Figure().add_axes((0.1, 0.1, 0.8, 0.8)), 1, 2)


# Figures of `validate`: gaps over width and over time.


def gaps_of(values, at=(32, 128, 512)):
    return plotting.Gaps("line", np.asarray(at, float), np.asarray(values), np.full(len(values), 0.05), None)


def test_gaps_that_noise_hides_are_drawn_as_what_they_may_be_at_most():
    axes = plotting.plot_gaps({"width": [gaps_of([0.5, 0.2, -0.01])]}, "width", base=2).axes[0]
    hidden = next(line for line in axes.lines if str(line.get_label()).startswith("at or below 0"))
    np.testing.assert_allclose(hidden.get_xydata(), [[512.0, 0.05]])
    shown = np.concatenate([line.get_xdata() for line in axes.lines if line is not hidden])
    assert 512.0 not in shown and axes.get_ylim()[0] > 0


def test_the_legend_of_gaps_lies_below_the_data():
    figure = plotting.plot_gaps({"a": [gaps_of([0.5, 0.2, 0.1])] * 3, "b": [gaps_of([0.5, 0.2, 0.1])]}, "width", base=2)
    figure.draw_without_rendering()
    for axes in figure.axes:
        legend, panel = axes.get_legend().get_window_extent(), axes.get_window_extent()
        assert legend.y1 <= panel.y0 and figure.bbox.y0 <= legend.y0


def test_places_of_gaps_are_named_where_they_are_few():
    axes = plotting.plot_gaps({"time": [gaps_of([0.5, 0.2, 0.1], (3, 30, 300))]}, "time").axes[0]
    axes.figure.draw_without_rendering()
    words = [label.get_text() for label in axes.get_xticklabels() if label.get_text()]
    assert words == ["3", "30", "300"]
