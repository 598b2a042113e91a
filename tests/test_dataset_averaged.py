import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from tolerances import SIGMAS

import ntk_shortcuts as ns
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.laws.eigenfunctions import sector_spectra
from ntk_shortcuts.laws.two_features.polar import latent_rays
from ntk_shortcuts.methods.average.deterministic_equivalent import scalar_kappa
from ntk_shortcuts.methods.average.scales import finite_size_error, gains_on, modes_needed

RULES = {
    "flow": ns.GradientFlow([0.0, 0.3, 30.0, 1e5, np.inf]),
    "few steps": ns.GradientDescent([0.5, 0.5], [0, 5]),
    "descent": ns.GradientDescent(0.5, 40),
    "overshooting": ns.GradientDescent(1.5, 25),
    "converged": ns.GradientDescent(0.5, np.inf),
    "ridge": ns.Ridge([1e-3, 10.0]),
}


@pytest.mark.parametrize("name", RULES)
def test_rational_filters_are_the_filters(name):
    rule, eigenvalues = RULES[name], jnp.asarray(np.geomspace(1e-5, 1.0, 50))
    rational = rule.rational(100, 1.0)
    # Learnt fractions: lambda g(lambda). Infinite time is a pole at -1e-9.
    difference = (rational(eigenvalues) - rule.filter(eigenvalues, 100)) * eigenvalues
    assert float(jnp.max(jnp.abs(difference))) < 1e-4
    assert np.all((np.asarray(rational.poles.imag) > 0) | (np.asarray(rational.poles.real) < 0))


def test_more_resolvents_are_more_accurate():
    rule, eigenvalues = ns.GradientFlow(30.0), jnp.asarray(np.geomspace(1e-5, 1.0, 50))
    errors = [
        float(jnp.max(jnp.abs((rule.rational(None, 1.0, n)(eigenvalues) - rule.filter(eigenvalues)) * eigenvalues)))
        for n in (4, 6, 8)
    ]
    assert errors[0] > 20 * errors[1] > 400 * errors[2]


@pytest.mark.parametrize("s", [-1e-3, -1e-9, 1e-3 + 2e-3j, 0.05 + 1e-3j])
def test_scalar_form_solves_its_equation(s):
    eigenvalues = jnp.asarray(1.0 / np.arange(1, 200) ** 2)
    kappa = complex(scalar_kappa(jnp.asarray(s + 0j), eigenvalues, 30.0))
    right = -s + kappa * np.sum(np.asarray(eigenvalues) / (np.asarray(eigenvalues) + kappa)) / 30
    assert abs(kappa - right) < 1e-12
    assert kappa.real > 0 if s.imag == 0 else kappa.imag < 0


def test_scalar_form_is_the_eigenlearning_equations():
    """Simon et al. (2021): learnabilities that sum to N with the ridge, and E_test = E_0 (bias + noise)."""
    rng = np.random.default_rng(0)
    eigenvalues, multiplicities = np.arange(1, 60) ** -2.0, rng.integers(1, 9, 59).astype(float)
    coefficients, count, ridge, noise = rng.normal(size=59), 40.0, 0.02, 0.3

    def learnabilities(log_kappa):
        return eigenvalues / (eigenvalues + np.exp(log_kappa))

    def excess(log_kappa):
        return multiplicities @ learnabilities(log_kappa) + ridge / np.exp(log_kappa) - count

    learnt = learnabilities(brentq(excess, -30, 10, xtol=1e-14, rtol=1e-15))
    overfitting = count / (count - multiplicities @ learnt**2)
    expected = overfitting * (np.sum(((1 - learnt) * coefficients) ** 2) + noise)

    def kappa(delta):
        return scalar_kappa(-delta + 0j, jnp.asarray(eigenvalues), count, jnp.asarray(multiplicities)).real

    found, slope = jax.jvp(kappa, (jnp.asarray(ridge / count),), (jnp.asarray(1.0),))
    ours = eigenvalues / (eigenvalues + float(found))
    np.testing.assert_allclose(ours, learnt, rtol=1e-10)
    error = float(slope) * (np.sum(((1 - ours) * coefficients) ** 2) + noise)
    assert error == pytest.approx(expected, rel=1e-10)
    # A degenerate level is as many modes of the same eigenvalue.
    repeated = jnp.asarray(np.repeat(eigenvalues, multiplicities.astype(int)))
    assert complex(scalar_kappa(jnp.asarray(-ridge / count + 0j), repeated, count)).real == pytest.approx(
        float(found), rel=1e-12
    )


@pytest.mark.slow
def test_scalar_ridge_is_the_textbook_formula():
    """Simon et al. (2021), Canatar et al. (2021): mean sum_i L_i c_i phi_i, by a decomposition of its own."""
    model, network, count, ridge = ns.GenerativeModel((0.85, 0.9), (2.0, 1.0)), ns.MLP(2), 100, 0.5
    prediction = ns.predict_bias(
        model, network, ns.Ridge(ridge), count, method="dataset_averaged", form="scalar", random_init=False
    )
    rays = latent_rays(model, 200, 32, True)
    sectors = LawKernel(model, network).in_sectors()
    odd, even = sectors(rays.points, rays.points)
    root = np.sqrt(np.asarray(rays.mass))
    spectra = [np.linalg.eigh(root[:, None] * np.asarray(k.ntk) * root) for k in (odd, even)]
    eigenvalues = np.maximum(np.concatenate([values for values, _ in spectra]), 0)
    kappa = 1.0
    for _ in range(500):
        kappa = ridge / count + kappa * np.sum(eigenvalues / (eigenvalues + kappa)) / count
    values, vectors = spectra[0]
    learnt = np.where(values > 0, values / (values + kappa), 0) / np.where(values > 0, values, 1)
    cross = np.asarray(sectors(prediction.probes, rays.points)[0].ntk)
    expected = cross @ (root * (vectors @ (learnt * (vectors.T @ (root * np.asarray(rays.slope))))))
    # Modes learnt to less than 0.2 % are left out: 5e-4 of the largest output here.
    np.testing.assert_allclose(prediction.mean, expected, atol=1e-3 * np.max(np.abs(expected)))


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(
    "network",
    [
        ns.MLP(1),
        pytest.param(ns.MLP(2, bias_variance=0.1), marks=pytest.mark.slow),
        pytest.param(ns.MLP(0), marks=pytest.mark.slow),
    ],
    ids=["relu", "biases", "linear"],
)
def test_agrees_with_sampled_data_sets_and_its_twin_does_not(network):
    model, flow, count = ns.GenerativeModel((0.8, 0.9), (2.0, 1.0)), ns.GradientFlow([3.0, 100.0]), 60
    analytic = ns.predict_bias(model, network, flow, count, method="dataset_averaged")
    sampled = ns.predict_bias(model, network, flow, count, method="monte_carlo", key=jax.random.key(0), num_datasets=150)
    error = sampled.diagnostics["bias_standard_error"]
    # 0.015: what theory leaves at N = 60, of relative order 1/N.
    allowed = SIGMAS * error + 0.015
    assert np.all(np.abs(analytic.bias - sampled.bias) < allowed)
    assert not np.all(np.abs(analytic.bias + 2 * allowed - sampled.bias) < allowed)
    scale = np.sqrt(np.mean(np.square(sampled.mean), axis=1))
    assert np.all(np.sqrt(np.mean(np.square(analytic.mean - sampled.mean), axis=1)) < 0.08 * scale)
    spreads = [np.sqrt(np.mean(np.square(p.std), axis=1)) for p in (analytic, sampled)]
    np.testing.assert_allclose(spreads[0], spreads[1], rtol=0.12)


@pytest.mark.slow
@pytest.mark.branches
def test_what_few_samples_leave_out_is_stated():
    """At N = 30 and t = 3 the average is 0.012 low, of which no other diagnostic knew."""
    model, network, flow = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)), ns.MLP(1), ns.GradientFlow(3.0)
    analytic = ns.predict_bias(model, network, flow, 30, method="dataset_averaged")
    sampled = ns.predict_bias(model, network, flow, 30, method="monte_carlo", key=jax.random.key(0), num_datasets=200)
    stated, noise = analytic.diagnostics["finite_size_error"], sampled.diagnostics["bias_standard_error"]
    assert 0.01 < stated < 0.03 and noise < 0.005 and analytic.issues == ()
    assert abs(analytic.bias - sampled.bias) < stated + SIGMAS * noise
    assert abs(analytic.bias - 2 * (stated + SIGMAS * noise) - sampled.bias) > stated + SIGMAS * noise


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(("count", "time"), [(9, 3.0), (20, 3000.0), (64, 3000.0)])
def test_few_samples_are_those_below_64_only(count, time):
    model, flow = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)), ns.GradientFlow([3.0, time])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)
        p = ns.predict_bias(model, ns.MLP(1), flow, count, method="dataset_averaged", tolerance=0.1)
    found = [issue for issue in p.issues if issue.kind == "FewSamples"]
    assert len(found) == (count < 64)
    assert all(issue.size == count and issue.error == p.diagnostics["finite_size_error"] for issue in found)
    assert 0 < p.diagnostics["finite_size_error"] <= 0.4 / count**0.5


@pytest.mark.slow
@pytest.mark.branches
def test_no_more_modes_are_learnt_than_there_are_samples():
    model = ns.GenerativeModel()
    spectra = sector_spectra(LawKernel(model, ns.MLP(1)).in_sectors(), latent_rays(model, 54, 18, False))
    assert finite_size_error(gains_on(ns.GradientFlow([3.0, np.inf]), spectra, 20), spectra, 20) == pytest.approx(0.4 / 20**0.5)
    linear = sector_spectra(LawKernel(model, ns.MLP(0)).in_sectors(), latent_rays(model, 18, 8, False))
    assert finite_size_error(gains_on(ns.GradientFlow(np.inf), linear, 20), linear, 20) == pytest.approx(0.4 * 2**0.5 / 20)


@pytest.mark.slow
def test_many_samples_are_the_population():
    model, flow = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)), ns.GradientFlow(30.0)
    average = ns.predict_bias(model, ns.MLP(3), flow, 10**8, method="dataset_averaged")
    population = ns.predict_bias(model, ns.MLP(3), flow, method="population")
    assert average.bias == pytest.approx(population.bias, abs=2e-3)
    np.testing.assert_allclose(average.std, population.std, atol=5e-3 * float(np.max(population.std)))


@pytest.mark.slow
@pytest.mark.branches
def test_local_form_agrees_between_rays_and_points():
    """A homogeneous network as rays, and the same network as points in the plane: two discretisations."""
    model, flow = ns.GenerativeModel((0.85, 0.9), (2.0, 1.0)), ns.GradientFlow(30.0)
    rays = ns.predict_bias(model, ns.MLP(1), flow, 100, method="dataset_averaged")

    class Points(ns.MLP):
        is_homogeneous = False

    points = ns.predict_bias(model, Points(1), flow, 100, method="dataset_averaged")
    assert points.diagnostics["nodes"] != rays.diagnostics["nodes"]
    assert points.bias == pytest.approx(rays.bias, abs=3e-3)
    np.testing.assert_allclose(points.std, rays.std, rtol=0.02)


@pytest.mark.slow
@pytest.mark.branches
def test_one_step_from_the_scalar_form_goes_most_of_the_way_to_the_local_one():
    model, flow = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)), ns.GradientFlow(30.0)
    scalar, one_step, local = (
        ns.predict_bias(model, ns.MLP(1), flow, 60, method="dataset_averaged", form=form)
        for form in ("scalar", "one_step", "local")
    )
    gaps = [float(np.sqrt(np.mean((np.asarray(p.mean) - local.mean) ** 2))) for p in (scalar, one_step)]
    assert gaps[1] < gaps[0] / 2, gaps
    assert one_step.diagnostics["iterations"] == 1 < local.diagnostics["iterations"]


@pytest.mark.slow
def test_descent_with_small_steps_is_flow():
    model = ns.GenerativeModel((0.85, 0.9), (2.0, 1.0))
    flow = ns.predict_bias(model, ns.MLP(1), ns.GradientFlow(30.0), 100, method="dataset_averaged")
    descent = ns.predict_bias(model, ns.MLP(1), ns.GradientDescent(0.01, 3000), 100, method="dataset_averaged")
    assert descent.bias == pytest.approx(flow.bias, abs=2e-3)


@pytest.mark.slow
def test_limits_of_time():
    model = ns.GenerativeModel((0.85, 0.9), (2.0, 1.0))
    times = ns.GradientFlow([0.0, np.inf])
    p = ns.predict_bias(model, ns.MLP(0), times, 300, method="dataset_averaged")
    own = np.asarray(jax.vmap(lambda z: LawKernel(model, ns.MLP(0))(z[None]).nngp[0, 0])(p.probes))
    np.testing.assert_allclose(p.mean[0], 0, atol=1e-12)
    np.testing.assert_allclose(p.std[0] ** 2, own, rtol=1e-9)
    covariance = np.asarray(model.covariance) + np.outer(model.means, model.means)
    regression = np.asarray(p.probes) @ np.linalg.solve(covariance, model.means)
    # Least squares on N points: relative corrections of order 1/N.
    np.testing.assert_allclose(p.mean[1], regression, atol=0.01 * np.max(np.abs(regression)))


def test_diagnostics_are_reported():
    p = ns.predict_bias(ns.GenerativeModel(), ns.MLP(2), ns.GradientFlow(300.0), 200)
    assert p.method == "dataset_averaged"
    d = p.diagnostics
    assert d["trusted"] == d["converged"] == 1 and d["stieltjes_margin"] > 0
    assert d["fixed_point_residual"] < 1e-8 and d["filter_error"] < 1e-4 and 0 <= d["initial_mass_dropped"] < 0.01
    with pytest.warns(ns.UntrustedPredictionWarning, match="4 samples are few for an average over data sets"):
        few = ns.predict_bias(ns.GenerativeModel(), ns.MLP(2), ns.GradientFlow(300.0), 4)
    assert few.diagnostics["data_std"] > d["data_std"]


def test_parts_of_a_kernel_that_is_zero_are_not_counted_as_dropped():
    """A linear network has no even functions: what rounding leaves of them is nothing to drop."""
    found = ns.predict_bias(ns.GenerativeModel(), ns.MLP(0), ns.GradientFlow(3.0), 100, tolerance=0.1)
    assert 0 <= found.diagnostics["initial_mass_dropped"] < 1e-12


@pytest.mark.slow
@pytest.mark.branches
def test_modes_that_cannot_be_learnt_are_left_out():
    model, network = ns.GenerativeModel(), ns.MLP(1, bias_variance=0.1)
    spectra = sector_spectra(LawKernel(model, network).in_sectors(), latent_rays(model, 18, 8, False))
    eigenvalues = np.asarray(spectra.basis.eigenvalues)
    kept = []
    for time, count in ((30.0, 20), (1e5, 2000)):
        filter_ = ns.GradientFlow(time).rational(count, float(eigenvalues.max()), 6)
        kept.append(modes_needed(spectra, filter_, count).kept)
        nearest = jnp.asarray(-np.min(np.abs(filter_.poles)) + 0j)
        kappa = float(scalar_kappa(nearest, jnp.ravel(spectra.basis.eigenvalues), count).real)
        assert np.all(eigenvalues[:, kept[-1] :] <= 2e-3 * kappa)
    assert kept[0] < kept[1] < eigenvalues.shape[1]


@pytest.mark.slow
@pytest.mark.branches
def test_what_misses_its_tolerance_says_so():
    with pytest.warns(UserWarning, match="not to be trusted"):
        strict = ns.predict_bias(ns.GenerativeModel(), ns.MLP(2), ns.GradientFlow(300.0), 200, tolerance=1e-9)
    assert strict.diagnostics["trusted"] == 0


@pytest.mark.parametrize(
    "network",
    [pytest.param(ns.MLP(2), marks=pytest.mark.branches), ns.MLP(1, "erf", bias_variance=0.1)],
    ids=["relu", "erf"],
)
@pytest.mark.slow
def test_gradient_is_that_of_finite_differences(network):
    def bias(shortcut, ratio, correlation, time, variance):
        model = ns.GenerativeModel(jnp.stack([shortcut, jnp.asarray(0.9)]), jnp.stack([ratio, jnp.asarray(1.0)]), correlation)
        changed = eqx.tree_at(lambda n: n.weight_variance, network, variance)
        return ns.predict_bias(model, changed, ns.GradientFlow(time), 100, method="dataset_averaged").bias

    at = tuple(jnp.asarray(v) for v in (0.8, 2.0, 0.5, 50.0, 1.8))
    gradients = jax.jit(jax.grad(bias, argnums=tuple(range(5))))(*at)
    value = jax.jit(bias)
    for index, gradient in enumerate(gradients):
        step = 1e-4 * float(at[index])
        up, down = ([a + s * step * (i == index) for i, a in enumerate(at)] for s in (1, -1))
        difference = (float(value(*up)) - float(value(*down))) / (2 * step)
        assert float(gradient) == pytest.approx(difference, rel=0.01, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"num_samples": None}, "num_samples must be an integer >= 2"),
        ({"num_samples": 1}, "num_samples must be an integer >= 2"),
        ({"form": "global"}, "form must be one of local, one_step, scalar"),
        ({"tolerance": -1.0}, "tolerance must be positive"),
    ],
)
def test_bad_arguments(arguments, text):
    options = {"num_samples": 100, "method": "dataset_averaged", **arguments}
    with pytest.raises(ValueError, match=text):
        ns.predict_bias(ns.GenerativeModel(), ns.MLP(1), ns.GradientFlow(1.0), **options)


def test_descent_beyond_its_contours():
    with pytest.raises(ValueError, match="learning_rate must be below 2 / lambda_max"):
        ns.GradientDescent(3.0, 5).rational(100, 1.0)
    # A circle would take thousands of points: the poles are fitted.
    rule, eigenvalues = ns.GradientDescent(1.5, 1000), jnp.geomspace(1e-6, 1.0, 60)
    fitted = rule.rational(100, 1.0)
    assert fitted.poles.size <= 64
    np.testing.assert_allclose(fitted(eigenvalues) * eigenvalues, rule.filter(eigenvalues) * eigenvalues, atol=1e-4)
