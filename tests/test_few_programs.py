"""New settings need no new program: filters are traced, arrays filled up to a few sizes, a network's depth is a number."""

import itertools
import warnings

import jax
import numpy as np
import pytest
from compiles import compiled_programs

import ntk_shortcuts as ns
from ntk_shortcuts.padding import size_of_samples

MODELS = [
    ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)),
    ns.GenerativeModel((0.7, 0.93), (2.0, 0.7), 0.3),
    ns.GenerativeModel((0.8, 0.9), (1.5, 1.0), -0.2),
]
RULES = [
    lambda i: ns.GradientFlow(3.0 + i),
    lambda i: ns.GradientDescent(0.02 + 0.001 * i, 100 + i),
    lambda i: ns.Ridge(0.5 + 0.1 * i),
    lambda i: ns.GradientFlow([1.0 + i, 10.0, 30.0]),
]
QUICK = {"tolerance": 0.3, "check_laziness": False}


def _call(kind, rule, i):
    """A prediction in which everything is new at every i."""
    model, network, training = MODELS[i % 3], ns.MLP(1 + i % 3), RULES[rule](i)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "average":
            return ns.predict_bias(model, network, training, 40 + 17 * i, **QUICK)
        return ns.predict_bias(model, network, training, **QUICK)


@pytest.mark.parametrize("kind", ["population", pytest.param("average", marks=[pytest.mark.slow, pytest.mark.branches])])
def test_thirty_varied_calls_compile_nothing_after_the_first_ten(kind):
    with compiled_programs() as first:
        for i, rule in zip(range(10), itertools.cycle(range(4)), strict=False):
            _call(kind, rule, i)
    assert first  # the listener hears
    with compiled_programs() as after:
        for i, rule in zip(range(10, 40), itertools.cycle(range(4)), strict=False):
            _call(kind, rule, i)
    assert after == []


@pytest.mark.slow
@pytest.mark.branches
def test_data_sets_of_another_size_are_filled_up():
    """The numbers of a data set do not depend on the rows of weight zero, nor does another size need a new large program."""
    model, network, flow = MODELS[0], ns.MLP(2), ns.GradientFlow(30.0)
    sets = [model.sample(jax.random.key(i), count) for i, count in enumerate((70, 100, 128))]
    assert {size_of_samples(len(data.labels)) for data in sets} == {128}
    found = [ns.predict_bias(model, network, flow, dataset=sets[0], check_laziness=False)]
    with compiled_programs() as after:
        found += [ns.predict_bias(model, network, flow, dataset=data, check_laziness=False) for data in sets[1:]]
    assert not {"_diagonalised", "_of_gains", "series_kernels", "point_kernels"} & {name[4:-1] for name in after}
    for data, prediction in zip(sets, found, strict=True):
        kernels, cross = network.kernels(data.inputs), network.kernels(data.embedding(prediction.probes), data.inputs)
        values, vectors = np.linalg.eigh(np.asarray(kernels.ntk) / len(data.labels))
        gains = -np.expm1(-30.0 * values) / np.where(values > 0, values, 1)
        mean = np.asarray(cross.ntk) @ (vectors * gains) @ vectors.T @ np.asarray(data.labels) / len(data.labels)
        np.testing.assert_allclose(prediction.mean, mean, atol=1e-9)
