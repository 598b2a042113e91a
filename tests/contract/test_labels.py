"""Labels that are none: every function that takes them names them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns

INPUTS = np.random.default_rng(0).normal(size=(4, 3))
WIDE, NARROW, FLOW = ns.MLP(1), ns.MLP(1, width=4), ns.GradientFlow(3.0)
MODEL = ns.GenerativeModel()
PARAMS = NARROW.init(jax.random.key(0), 3)


def given_dataset(labels):
    data = ns.Dataset(jnp.asarray(INPUTS), labels)
    return ns.predict_bias(MODEL, WIDE, FLOW, dataset=data, probe_inputs=np.ones((900, 3)))


REAL = {
    "predict_outputs": lambda labels: ns.predict_outputs(WIDE, FLOW, INPUTS, labels, INPUTS),
    "linearized_outputs": lambda labels: ns.analysis.linearized_outputs(NARROW, PARAMS, FLOW, INPUTS, labels, INPUTS),
}
SIGNS = {
    "from_arrays": lambda labels: ns.Dataset.from_arrays(INPUTS, labels),
    "from_latents": lambda labels: ns.GenerativeModel.from_latents(INPUTS[:, :2], labels),
    "predict_bias": given_dataset,
}


@pytest.mark.parametrize("name", [*REAL, *SIGNS])
@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.array(["a", "b", "a", "b"]), r"labels must be an array of real numbers; got \['a', 'b', 'a', 'b'\]"),
        (np.ones((4, 2)), r"labels must be of shape \(4,\), one label per point; got an array of shape \(4, 2\)"),
        (np.ones(3), r"labels must be of shape \(4,\), one label per point"),
    ],
)
def test_labels_that_are_no_numbers_or_too_many(name, labels, match):
    if name == "predict_outputs" and labels.ndim == 2:
        labels, match = labels[:3], r"labels must be of shape \(4, k\), one row per point; got \[\["
    with pytest.raises(ValueError, match=match):
        {**REAL, **SIGNS}[name](labels)


def test_labels_of_several_outputs_are_each_learnt_on_its_own():
    labels = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    both = ns.predict_outputs(WIDE, FLOW, INPUTS, labels, INPUTS + 0.1)
    assert both.mean.shape == both.variance.shape == (4, 2)
    for k in range(2):
        one = ns.predict_outputs(WIDE, FLOW, INPUTS, labels[:, k], INPUTS + 0.1)
        np.testing.assert_allclose(both.mean[:, k], one.mean, atol=1e-12)
        np.testing.assert_allclose(both.variance[:, k], one.variance, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", [*REAL, *SIGNS])
def test_one_label_that_is_not_finite(name, bad):
    labels = np.array([1.0, -1.0, bad, 1.0])
    says = rf"finite; got 1 NaN or infinite entries, the first at index \(2,\): {bad}" if name in REAL else r"in \{-1, \+1\}"
    with pytest.raises(ValueError, match=f"^(dataset.)?labels must be {says}"):
        {**REAL, **SIGNS}[name](labels)


@pytest.mark.parametrize("name", SIGNS)
def test_classes_that_are_not_signs_are_told_how(name):
    with pytest.raises(ValueError, match=r"labels must be in \{-1, \+1\} \(2 \* labels - 1 of classes 0 and 1\); got \[0.0"):
        SIGNS[name](np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match=r"labels must be in \{-1, \+1\}; got \[2.0"):
        SIGNS[name](np.array([2, 1, 2, 1]))


def test_a_gram_matrix_in_float32_is_told_what_to_do():
    x = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    gram = x @ x.T
    squares = np.diag(gram) * np.float32(1 - 3e-7)
    with pytest.raises(ValueError, match=r"g12 must be at most .*rounding of float32.*pass the float32 arrays"):
        WIDE.kernels_from_gram(gram.astype(np.float64), squares.astype(np.float64), squares.astype(np.float64), 5)
    assert WIDE.kernels_from_gram(gram, squares, squares, 5).ntk.dtype == np.float32
