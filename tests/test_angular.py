import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.laws import LawKernel

REPEATED = [(depth, "linear") for depth in (0, 1, 3, 5, 8)] + [(depth, ns.LeakyReLU(0.3)) for depth in (0, 1, 2, 5)]
REPEATED += [(3, "relu"), (5, "relu"), (1, "relu"), (8, ns.LeakyReLU(0.3))]


@pytest.mark.parametrize(
    ("depth", "activation"),
    [(0, "relu"), (2, "relu"), (8, "relu"), (2, "linear"), (3, ns.LeakyReLU(0.3))]
    + [pytest.param(*setting, marks=pytest.mark.slow) for setting in REPEATED],
)
def test_sectors_are_the_parts_of_the_exact_kernel(depth, activation, rng):
    network = ns.MLP(depth, activation, weight_variance=1.7)
    u1, u2 = rng.normal(size=(6, 2)), rng.normal(size=(5, 2))
    u2[0], u2[1] = u1[0], -3 * u1[1]
    profile = network.angular_kernels(2)
    assert float(profile.error) < 1e-12
    for part, sign in zip(profile.sectors(u1, u2), (-1, 1), strict=True):
        for name in ("nngp", "ntk"):
            same, flipped = (np.asarray(getattr(network.kernels(u1, s * u2), name)) for s in (1, -1))
            np.testing.assert_allclose(getattr(part, name), (same + sign * flipped) / 2, atol=1e-12 * np.max(np.abs(same)))


def test_error_of_very_deep_networks_is_reported(rng):
    network = ns.MLP(50)
    u = rng.normal(size=(8, 2))
    profile = network.angular_kernels(2)
    odd, even = profile.sectors(u, u)
    exact = np.asarray(network.kernels(u).ntk)
    actual = np.max(np.abs(odd.ntk + even.ntk - exact)) / np.max(np.abs(exact))
    assert 1e-12 < actual < 10 * float(profile.error) < 1e-4


@pytest.mark.parametrize("network", [ns.MLP(1, bias_variance=0.1), ns.MLP(1, "tanh")])
def test_other_networks_have_no_profile(network):
    with pytest.raises(ValueError, match="network must be bias-free with a piecewise linear activation"):
        network.angular_kernels(2)
    assert not ns.GenerativeModel().merges_rays(network.facts)


@pytest.mark.parametrize(
    ("network", "nesting"),
    [(ns.MLP(2), (0, 0)), (ns.MLP(2, bias_variance=0.3), (1, 0))]
    + [
        pytest.param(network, nesting, marks=pytest.mark.slow)
        for network, nesting in (
            *((ns.MLP(2), (1, 0)), (ns.MLP(2, bias_variance=0.3), (0, 0))),
            *((ns.MLP(1, "tanh"), (0, 0)), (ns.MLP(1, "tanh"), (1, 0))),
        )
    ],
)
def test_sector_kernels_are_odd_and_even_and_add_up(network, nesting, rng):
    model = ns.GenerativeModel(amplification=(3.0, 1.0), nesting=nesting)
    z1, z2 = rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    kernel = LawKernel(model, network)
    odd, even = kernel.in_sectors()(z1, z2)
    odd_back, even_back = kernel.in_sectors()(z1, -z2)
    np.testing.assert_allclose(odd.ntk, -odd_back.ntk, atol=1e-13)
    np.testing.assert_allclose(even.ntk, even_back.ntk, atol=1e-13)
    np.testing.assert_allclose(odd.ntk + even.ntk, kernel(z1, z2).ntk, rtol=1e-10, atol=1e-12)


def test_no_series_where_its_coefficients_overflow_and_its_values_do_not(rng):
    network, x = ns.MLP(30, weight_variance=10**1.5), 0.1 * rng.normal(size=(5, 3))
    kernel = network.kernels(x.astype(np.float32)).ntk
    np.testing.assert_allclose(np.asarray(kernel, np.float64), network.kernels(x).ntk, rtol=1e-4)
