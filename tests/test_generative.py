import jax
import numpy as np
import pytest
from scipy.stats import norm

import ntk_shortcuts as ns

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0), 0.6)


def test_moments_and_bayes_direction():
    np.testing.assert_allclose(MODEL.means, norm.ppf([0.85, 0.9]), rtol=1e-12)
    np.testing.assert_allclose(MODEL.bayes_direction, np.linalg.solve(MODEL.covariance, MODEL.means), rtol=1e-12)


def test_sample_follows_the_law():
    data = MODEL.sample(jax.random.key(0), 40_000)
    latents, labels = np.asarray(data.latents), np.asarray(data.labels)
    assert labels.sum() == 0
    agreement = (np.sign(latents) == labels[:, None]).mean(axis=0)
    error = np.sqrt(np.array([0.85 * 0.15, 0.9 * 0.1]) / len(labels))
    assert np.all(np.abs(agreement - [0.85, 0.9]) < 4 * error)
    assert not np.all(np.abs(agreement - [0.86, 0.91]) < 4 * error)
    residual = latents - labels[:, None] * np.asarray(MODEL.means)
    assert abs(np.corrcoef(residual.T)[0, 1] - 0.6) < 4 * (1 - 0.36) / np.sqrt(len(labels))
    # E[y | z] is calibrated: y - E[y | z] is uncorrelated with any function of z.
    surprise = labels - np.asarray(MODEL.class_expectation(latents))
    for function in (latents[:, 0], latents[:, 1], np.tanh(latents @ [1, -1])):
        product = surprise * function
        assert abs(product.mean()) < 4 * product.std() / np.sqrt(len(labels))


def test_density_integrates_to_one():
    axis = np.linspace(-9, 9, 361)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert np.sum(np.asarray(MODEL.density(grid))) * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-10)


def test_same_data_in_any_precision():
    with jax.enable_x64(False):
        low = MODEL.sample(jax.random.key(3), 10)
    np.testing.assert_array_equal(np.asarray(low.inputs), np.asarray(MODEL.sample(jax.random.key(3), 10).inputs))


@pytest.mark.parametrize(
    "nesting", [(0, 0), pytest.param((1, 0), marks=pytest.mark.slow), pytest.param((2, 1), marks=pytest.mark.slow)]
)
def test_sampled_gram_approaches_the_limit_like_inverse_root_dimension(nesting):
    dimensions = np.array([50, 100, 200, 400])
    latents = np.random.default_rng(1).normal(size=(12, 2))
    errors = []
    for dimension in dimensions:
        model = ns.GenerativeModel((0.85, 0.9), (2.0, 1.0), nesting=nesting, input_dim=int(dimension), nesting_bias=0.2)
        limit = np.asarray(model.gram(latents))
        squares = []
        for seed in range(40):
            inputs = np.asarray(model.embedding(jax.random.key(seed))(latents))
            squares.append(np.mean((inputs @ inputs.T - limit) ** 2))
        errors.append(np.sqrt(np.mean(squares)))
    slope = np.polyfit(np.log(dimensions), np.log(errors), 1)[0]
    assert -0.65 < slope < -0.35


def test_from_latents_recovers_the_law():
    data = MODEL.sample(jax.random.key(1), 20_000)
    fitted = ns.GenerativeModel.from_latents(np.asarray(data.latents) * [3.0, 1.0], data.labels)
    np.testing.assert_allclose(fitted.predictivity, [0.85, 0.9], atol=0.008)
    np.testing.assert_allclose(fitted.correlation, 0.6, atol=0.02)
    np.testing.assert_allclose(fitted.amplification, [3.0, 1.0], rtol=0.03)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"predictivity": (0.4, 0.9)}, r"predictivity must be in \[0.5, 1\)"),
        ({"predictivity": (0.85, 1.0)}, "predictivity must be"),
        ({"predictivity": (float("nan"), 0.9)}, "predictivity must be"),
        ({"predictivity": 0.9}, "predictivity must be"),
        ({"amplification": (0.0, 1.0)}, "amplification must be positive"),
        ({"amplification": (float("inf"), 1.0)}, "amplification must be positive and finite"),
        ({"correlation": 1.0}, r"correlation must be in \(-1, 1\)"),
        ({"nesting": (-1, 0)}, "nesting must be an integer >= 0"),
        ({"nesting": (0.5, 0)}, "nesting must be an integer >= 0"),
        ({"nesting": 1}, "nesting must be two integers"),
        ({"input_dim": 1}, "input_dim must be an integer >= 2"),
        ({"nesting_gain": 0.0}, "nesting_gain must be positive"),
    ],
)
def test_bad_models(arguments, text):
    with pytest.raises(ValueError, match=text):
        ns.GenerativeModel(**arguments)


def test_bad_data():
    with pytest.raises(ValueError, match="num_samples must be even"):
        MODEL.sample(jax.random.key(0), 11)
    with pytest.raises(ValueError, match=r"labels must be in \{-1, \+1\}"):
        ns.Dataset.from_arrays(np.ones((2, 3)), [0, 1])
    with pytest.raises(ValueError, match="inputs must be finite"):
        ns.Dataset.from_arrays([[np.nan, 1.0]], [1])
    with pytest.raises(ValueError, match="latents must be an array of shape"):
        MODEL.class_expectation(np.ones(3))
