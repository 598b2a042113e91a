"""The laziness diagnostic: silent for wide networks, loud where the kernel moves."""

import warnings

import numpy as np
import pytest

import ntk_shortcuts as ns

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
PRACTICE = ns.MLP(1, width=16, parameterization="standard", initialization="torch")


@pytest.mark.slow
@pytest.mark.branches
def test_a_moving_kernel_warns():
    """After 100 units of time networks of width 16 have dropped the shortcut, the frozen kernel has not."""
    with pytest.warns(ns.UntrustedPredictionWarning, match=r'at width 16 the kernel moves.*method="population_flow"'):
        p = ns.predict_bias(MODEL, PRACTICE, ns.GradientFlow([1.0, 20.0]))
    assert p.diagnostics["laziness_gap"] > 0.1
    gaps = [
        ns.analysis.laziness_gap(MODEL, PRACTICE, ns.GradientFlow([1.0, 20.0]), random_init) for random_init in (True, False)
    ]
    assert gaps[0].shape == (2,) and float(np.min(gaps, axis=0).max()) == p.diagnostics["laziness_gap"]


@pytest.mark.slow
@pytest.mark.branches
def test_a_wide_network_in_the_ntk_parameterisation_does_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ns.UntrustedPredictionWarning)
        wide, times = ns.MLP(1, width=1024), ns.GradientFlow([3.0, 30.0])
        predictions = [ns.predict_bias(MODEL, wide, times, random_init=start) for start in (True, False)]
    assert all(p.diagnostics["laziness_gap"] < 0.1 for p in predictions)


@pytest.mark.parametrize(
    ("network", "training", "options"),
    [
        (ns.MLP(1), ns.GradientFlow(1.0), {}),
        pytest.param(PRACTICE, ns.GradientFlow(np.inf), {}, marks=[pytest.mark.slow, pytest.mark.branches]),
        (PRACTICE, ns.Ridge(0.1), {}),
        pytest.param(PRACTICE, ns.GradientFlow(20.0), {"check_laziness": False}, marks=pytest.mark.slow),
    ],
)
def test_no_diagnostic_where_none_applies(network, training, options):
    p = ns.predict_bias(MODEL, network, training, **options)
    assert "laziness_gap" not in p.diagnostics
