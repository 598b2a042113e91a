import numpy as np
import pytest

import ntk_shortcuts as ns

MODEL, NETWORK, FLOW = ns.GenerativeModel((0.85, 0.9), (1.0, 1.0)), ns.MLP(1), ns.GradientFlow(30.0)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(
    ("parameter", "bracket"), [("amplification_ratio", (1.0, 4.0)), pytest.param("time", (10.0, 300.0), marks=pytest.mark.slow)]
)
def test_bias_at_the_crossing_is_the_level(parameter, bracket):
    level = 0.5 if parameter == "amplification_ratio" else 0.2
    crossing = ns.analysis.critical_ratio(MODEL, NETWORK, FLOW, 300, level, parameter, bracket)
    assert crossing.bias == pytest.approx(level, abs=1e-3)
    assert bracket[0] <= crossing.bracket[0] <= crossing.value <= crossing.bracket[1] <= bracket[1]
    ratio, time = (crossing.value, 30.0) if parameter == "amplification_ratio" else (1.0, crossing.value)
    again = ns.predict_bias(ns.GenerativeModel((0.85, 0.9), (ratio, 1.0)), NETWORK, ns.GradientFlow(time), 300)
    assert again.bias == pytest.approx(level, abs=1e-3)


@pytest.mark.slow
def test_most_biased_is_a_maximum():
    bounds = {"shortcut_predictivity": (0.6, 0.9)}
    found = ns.analysis.most_biased(MODEL, NETWORK, FLOW, 300, bounds, starts=2)
    at = found.parameters["shortcut_predictivity"]
    biases = [ns.predict_bias(ns.GenerativeModel((rho, 0.9)), NETWORK, FLOW, 300).bias for rho in np.linspace(0.7, 0.9, 3)]
    # Biases on a finite probe grid move in steps of 0.002.
    assert found.bias >= max(biases) - 0.005
    assert 0.6 < at < 0.9 and abs(found.gradient["shortcut_predictivity"]) < 1e-3


@pytest.mark.parametrize("ratio", [0.4, 4.0])
def test_bias_at_the_halving_time_is_half_of_that_at_the_start(ratio):
    model = ns.GenerativeModel((0.85, 0.9), (ratio, 1.0))
    time = ns.linear.halving_time(model, ns.MLP(0))
    start, half, later = ns.linear.linear_bias(model, ns.MLP(0), ns.GradientFlow([1e-9, time, 1.1 * time]))
    assert float(half / start) == pytest.approx(0.5, abs=1e-8)
    assert float(later / start) < 0.49


@pytest.mark.parametrize(
    ("amplification", "text"), [((1e5, 1.0), "within a factor 1e4"), ((1.0, 1.0), "a bias at the start of training")]
)
def test_no_halving_time(amplification, text):
    # Equal uncorrelated features of equal amplification are used equally at all times.
    with pytest.raises(ValueError, match=text):
        ns.linear.halving_time(ns.GenerativeModel((0.9, 0.9), amplification, 0.0), ns.MLP(0))


def test_optimal_reliance_tends_to_its_limit():
    for rho in (0.55, 0.8, 0.88, 0.95):
        model = ns.GenerativeModel((rho, 0.9))
        fine = float(ns.linear.optimal_reliance(model, model.probe_grid(400)))
        assert float(ns.linear.optimal_reliance_limit(model)) == pytest.approx(fine, abs=0.006)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"level": 1.9}, "level must be crossed between amplification_ratio"),
        ({"parameter": "depth"}, "parameter must be one of amplification_ratio"),
        ({"bracket": (4.0, 1.0)}, "bracket must be two finite numbers"),
        ({"bracket": (0.0, 1.0)}, "bracket must be positive"),
    ],
)
def test_bad_crossings(arguments, text):
    with pytest.raises(ValueError, match=text):
        ns.analysis.critical_ratio(MODEL, NETWORK, FLOW, **{"bracket": (1.0, 2.0), **arguments})


def test_bad_bounds():
    with pytest.raises(ValueError, match="bounds must be of"):
        ns.analysis.most_biased(MODEL, NETWORK, FLOW, 300, {"depth": (1, 2)})
    with pytest.raises(ValueError, match="bounds must be two finite numbers"):
        ns.analysis.most_biased(MODEL, NETWORK, FLOW, 300, {"time": (2.0, 1.0)})
