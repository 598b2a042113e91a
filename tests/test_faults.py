"""Faults found in use, each with the right answer: what misled, what had no word, what was a sign of rounding."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts import issues

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
FLOW = ns.GradientFlow(30.0)


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)
        return ns.predict_bias(*arguments, **options)


@pytest.mark.slow
@pytest.mark.branches
def test_the_laziness_gap_is_that_of_the_samples_given():
    """It was the same whatever the data: that of the model."""
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(60) % 2, 1.0, -1.0)
    inputs = np.stack([4 * labels * (rng.random(60) < 0.9), labels + rng.normal(size=60), rng.normal(size=60)], axis=1)
    probes = np.random.default_rng(1).normal(size=(40, 2))
    at = np.concatenate([probes * [4, 1], np.zeros((40, 1))], axis=1)
    network = ns.MLP(2, width=16, parameterization="standard", initialization="torch")
    found = {}
    for scale in (1.0, 0.05):
        data = ns.Dataset.from_arrays(inputs * scale, labels)
        p = quietly(MODEL, network, FLOW, dataset=data, probes=probes, probe_inputs=at * scale)
        found[scale] = p.diagnostics["laziness_gap"]
        (gap,) = [issue for issue in p.issues if issue.kind == "LazinessGap"] or [None]
        assert (gap is not None) == (found[scale] > issues.LAZINESS)
        assert gap is None or (gap.on_samples and "train_ensemble" in gap.advice)
    assert found[1.0] != found[0.05]
    few = quietly(MODEL, network, FLOW, dataset=data, probes=probes, probe_inputs=at, sample_weight=np.ones(60))
    assert "laziness_gap" not in few.diagnostics  # the loss of the coarse flow has no weights


@pytest.mark.slow
@pytest.mark.branches
def test_wide_networks_are_lazy_on_samples_too():
    data = MODEL.sample(jax.random.key(0), 20)
    p = quietly(MODEL, ns.MLP(1, width=1024), ns.GradientFlow(1.0), dataset=data, random_init=False)
    assert p.diagnostics["laziness_gap"] < 0.1 and p.issues == ()


def test_a_model_whose_shortcut_is_the_better_feature_says_so():
    """The bias is -0.05 where the accuracy is 0.03."""
    better = ns.GenerativeModel((0.95, 0.85))
    with pytest.warns(ns.UntrustedPredictionWarning, match="more predictive feature"):
        p = ns.predict_bias(better, ns.MLP(1), ns.GradientFlow(300.0), method="leading_order")
    (issue,) = p.issues
    assert issue.kind == "ShortcutIsOptimal" and issue.size == p.optimal_reliance > 0
    assert p.accuracy_conflicting == pytest.approx((1 - p.reliance) / 2, abs=1e-12) and p.accuracy_conflicting < 0.1
    assert p.accuracy_agreeing > 0.95
    assert ns.predict_bias(MODEL, ns.MLP(1), FLOW, method="leading_order").issues == ()


def test_a_fit_of_a_gaussian_to_an_attribute_of_two_values_says_so():
    """Agreement of 0.95 was fitted with a predictivity of 0.98, without a word."""
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(2000) % 2, 1, -1)
    attribute = np.where(rng.random(2000) < 0.95, labels, -labels)
    core = 1.28 * labels + rng.normal(size=2000)
    with pytest.warns(ns.UntrustedPredictionWarning, match="shortcut is not Gaussian within a class .it takes 2 values only"):
        ns.GenerativeModel.from_latents(np.stack([attribute, core], axis=1), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = ns.GenerativeModel((0.8, 0.9), input_dim=10).sample(jax.random.key(0), 2000)
        fitted = ns.GenerativeModel.from_latents(data.latents, data.labels)
    np.testing.assert_allclose(fitted.predictivity, [0.8, 0.9], atol=0.03)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("activation", [ns.LeakyReLU(-1.0), jnp.cos, jnp.square], ids=["leaky_relu(-1)", "cos", "square"])
def test_a_network_that_cannot_see_the_target_says_so(activation):
    """Outputs of 1e-14 had signs, and a bias of 1.6; others were called an overflow."""
    with pytest.warns(ns.UntrustedPredictionWarning, match="even in its inputs"):
        p = ns.predict_bias(MODEL, ns.MLP(1, activation), FLOW, method="leading_order")
    assert np.all(p.mean == 0) and p.reliance == 0 and p.bias == -p.optimal_reliance
    assert [issue.kind for issue in p.issues] == ["UnseenTarget"]


@pytest.mark.slow
@pytest.mark.branches
def test_even_networks_by_the_operator_and_by_averages():
    network = ns.MLP(1, ns.LeakyReLU(-1.0))
    options = {"random_init": False, "tolerance": 0.05}
    for samples in (None, 100):
        p = quietly(MODEL, network, FLOW, samples, **options)
        assert np.all(p.mean == 0) and p.bias == -p.optimal_reliance and [i.kind for i in p.issues] == ["UnseenTarget"]
    # Biases see it.
    seen = ns.predict_bias(MODEL, ns.MLP(1, ns.LeakyReLU(-1.0), bias_variance=0.5), FLOW, method="leading_order")
    assert np.max(np.abs(seen.mean)) > 0.1 and seen.issues == ()


def test_a_method_is_an_object_or_its_name():
    arguments = (MODEL, ns.MLP(1), FLOW)
    by_name = ns.predict_bias(*arguments, method="population", tolerance=0.1, random_init=False)
    by_object = ns.predict_bias(*arguments, method=ns.Population(tolerance=0.1, random_init=False))
    changed = ns.predict_bias(*arguments, method=ns.Population(tolerance=0.1), random_init=False)
    assert by_name.bias == by_object.bias == changed.bias and by_name.method == by_object.method == "population"
    with pytest.raises(ValueError, match=r'option must be one of .*tolerance.* for method="population" .*option of .*_flow'):
        ns.predict_bias(*arguments, batch_size=8)
    with pytest.raises(ValueError, match='dataset must be given for method="dataset"'):
        ns.predict_bias(*arguments, method="dataset")
    with pytest.raises(ValueError, match=r"name must be one that .*registered"):

        class Again(ns.methods.Method):
            name = "population"

    class Unnamed(ns.methods.Method):  # what methods share may have a class without a name
        pass

    assert Unnamed not in ns.methods.METHODS.values()


@pytest.mark.slow
@pytest.mark.branches
def test_the_flow_of_a_network_without_a_reduction_is_the_same():
    """A finite network that does not know the plane flows in R^d, and gives the same outputs."""
    plain = ns.MLP(1, width=8)

    class Whole(ns.networks.FiniteNetwork):
        inner: ns.MLP

        def kernels(self, x1, x2=None):
            return self.inner.kernels(x1, x2)

        def init(self, key, input_dim, dtype=None):
            return self.inner.init(key, input_dim, dtype)

        def apply(self, params, x):
            return self.inner.apply(params, x)

        @property
        def is_finite(self):
            return True

    model = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0), input_dim=5)
    method = ns.PopulationFlow(key=jax.random.key(0), num_inits=1, order=4, step_tolerance=1e-3)
    found = [quietly(model, n, ns.GradientFlow(2.0), method=method, check_laziness=False).mean for n in (plain, Whole(plain))]
    np.testing.assert_allclose(*found, atol=2e-3 * np.max(np.abs(found[0])))


def test_trained_outputs_on_the_boundary_count_half():
    """Rounding decided the sign at 30 of 900 probes, and 0.067 of the bias, of networks; predictions were mended before."""
    model = ns.GenerativeModel((0.9, 0.9))
    probes = np.asarray(model.probe_grid())
    outputs, rounding = probes.sum(axis=1), 1e-8 * np.sign(probes[:, 0])
    tied = np.abs(outputs) < 1e-12
    assert tied.sum() == 30 and abs(np.sign(outputs + rounding)[tied] @ np.sign(probes[tied, 0])) == 30
    for added in (0 * rounding, rounding, -rounding):
        values = np.where(tied, 0, outputs) + added
        assert float(ns.metrics.reliance(values, probes)) == float(ns.metrics.expected_reliance(values, 0.0, probes)) == 0
        assert float(ns.metrics.shortcut_bias(np.stack([values, 3 * values]), model)[1]) == 0
    assert float(ns.metrics.reliance(outputs + 1e5 * rounding, probes)) == pytest.approx(60 / 900)
    # Two samples on the diagonal: descent from zero moves a linear network along it, in float32 up to rounding.
    data = ns.Dataset.from_arrays([[1.0, 1.0], [-1.0, -1.0]], [1, -1])
    given = {"dataset": data, "probes": probes, "probe_inputs": probes, "key": jax.random.key(1), "dtype": jnp.float32}
    trained = ns.train_ensemble(model, ns.MLP(0), ns.GradientDescent(0.3, 7), num_inits=4, centred=True, **given)
    assert np.any(np.asarray(trained.outputs)[..., tied] != 0)
    np.testing.assert_array_equal(trained.bias, 0)


def test_an_output_of_zero_is_half_right_on_validation_data():
    """It was wrong on all of it."""

    class Mute(ns.MLP):
        def apply(self, params, x):
            return 0 * super().apply(params, x)

    trained = ns.train_ensemble(MODEL, Mute(0), ns.GradientDescent(0.1, 1), 4, num_validation=6, key=jax.random.key(0))
    np.testing.assert_array_equal(trained.validation_accuracy, 0.5)


def test_specs_and_predictions_show_their_numbers():
    """Fault 17."""
    model = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
    assert repr(model).startswith("GenerativeModel(predictivity=[0.85, 0.9], amplification=[4, 1], correlation=0.6")
    assert repr(ns.Population(tolerance=0.01)) == "Population(tolerance=0.01)" and repr(ns.Population()) == "Population()"
    p = ns.predict(model, ns.MLP(0), ns.GradientFlow([3.0, 30.0]), method="leading_order")
    numbers = ", ".join(f"{value:.6g}" for value in p.bias)
    assert repr(p).startswith(f"Prediction(method='leading_order', bias=[{numbers}]") and "time=[3, 30]" in repr(p)
    assert repr(p).endswith("issues=none)")
