"""Learning curves: exponents of known power laws, of predictions beside theory, and the figure."""

import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.analysis.learning_curve import fitted_exponent
from ntk_shortcuts.plotting import plot_learning_curve

COUNTS = [50, 100, 200, 400, 800]
INDEX = np.arange(1.0, 20_001.0)
spectral = ns.analysis.spectral_learning_curve


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(("alpha", "beta", "exponent"), [(1.5, 2.2, 1.2), (2.0, 7.0, 4.0), (2.0, 3.0, 2.0)])
def test_power_law_spectra_have_their_exponents(alpha, beta, exponent):
    curve = spectral(INDEX**-alpha, INDEX ** (-beta / 2), COUNTS)
    assert abs(curve.exponent - exponent) < 0.03 and curve.exponent_error < 0.02
    assert abs(curve.theory - exponent) < 0.05
    assert not abs(curve.exponent - exponent - 0.2) < 0.03


def test_noise_and_ridges_are_those_of_the_fixed_point():
    values, coefficients = INDEX[:200] ** -1.5, INDEX[:200] ** -1.0
    curve = spectral(values, coefficients, [20, 60], ridge=0.5, noise=0.1)
    assert curve.theory is None and np.isnan(curve.exponent)
    for count, error in zip((20, 60), curve.values, strict=True):
        low, high = 1e-9, 10.0  # kappa by bisection, written out
        for _ in range(200):
            middle = np.sqrt(low * high)
            over = np.sum(values / (values + middle)) + 0.5 / middle > count
            low, high = (middle, high) if over else (low, middle)
        learnt = values / (values + middle)
        spread = np.sum(learnt**2) / count
        assert error == pytest.approx((coefficients**2 @ (1 - learnt) ** 2 + 0.1 * spread) / (1 - spread), rel=1e-6)


def test_fits_are_those_of_their_line_and_leave_out_what_is_not_resolved():
    counts = np.array(COUNTS)
    distances = np.stack([3.0 * counts**-0.7, 1.0 / counts**2], axis=1)
    exponent, error = fitted_exponent(counts, distances, np.zeros(5))
    np.testing.assert_allclose(exponent, [0.7, 2.0], atol=1e-12)
    assert np.all(error < 1e-10)
    exponent, _ = fitted_exponent(counts, distances, np.full(5, 1e-3))
    assert abs(exponent[0] - 0.7) < 1e-12 and np.isnan(exponent[1])


@pytest.mark.slow
@pytest.mark.branches
def test_biases_and_group_accuracies_tend_to_their_limits():
    model, rule = ns.GenerativeModel(amplification=(4.0, 1.0)), ns.GradientFlow(30.0)
    curve = ns.analysis.learning_curve(model, ns.MLP(0), rule, COUNTS, read="bias")
    assert abs(curve.exponent - curve.theory) < 0.1 and curve.table().dims == ("num_samples",)
    method = ns.DatasetAveraged(random_init=False)
    birds = ns.Clusters.waterbirds(0.9)
    groups = ns.analysis.learning_curve(
        birds, ns.MLP(0, bias_variance=1.0), ns.GradientFlow(3.0), COUNTS, "group_accuracy", method
    )
    assert groups.table().dims == ("num_samples", "label", "background") and groups.exponent.shape == (2, 2)
    # Signs at 512 points a cluster: distances of a thousandth are near their resolution, and so no exponent is asked for.
    assert np.all(np.abs(groups.values[-1] - groups.limit) < 0.01)


def test_figures_have_a_line_a_curve_and_say_the_exponents():
    one = spectral(INDEX**-1.5, INDEX**-1.1, COUNTS)
    drawing = plot_learning_curve(one, measured={100: (0.1, 0.01)}, distance=True)
    words = drawing.axes[0].get_legend().get_texts()[0].get_text()
    assert words.startswith("exponent 1.2") and "(theory 1.21)" in words
    axes = {"label": [-1, 1]}
    two = ns.analysis.LearningCurve(
        np.array([10, 20]), np.ones((2, 2)), np.zeros(2), np.full(2, np.nan), np.full(2, np.nan), None, axes
    )
    legend = plot_learning_curve({"a": two, "b": one}).axes[0].get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:2] == ["a, label \N{MINUS SIGN}1", "a, label +1"] and texts[2].startswith("b: exponent")
    for curves, measured, message in (
        ({}, None, "curves must be at least one"),
        ({"a": one, "b": one}, {}, "measured must be None"),
    ):
        with pytest.raises(ValueError, match=message):
            plot_learning_curve(curves, measured)
    with pytest.raises(ValueError, match="measured must be of shape"):
        plot_learning_curve(one, {10: ([1.0, 2.0], [0.1, 0.1])})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1.0, 1.0], COUNTS), "eigenvalues must be positive and descending"),
        (([1.0], [1.0], COUNTS), r"eigenvalues must be an array \(modes,\)"),
        (([2.0, 1.0], [1.0], COUNTS), "coefficients must be finite"),
        (([2.0, 1.0], [1.0, 1.0], COUNTS), "num_samples must be below 2"),
        ((INDEX**-1.5, INDEX**-1.0, [20, 10]), "num_samples must be at least two numbers, ascending"),
        ((INDEX**-1.5, INDEX**-1.0, COUNTS, -1.0), "ridge must be >= 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        spectral(*arguments)
