"""What every prediction method must return, over the registry."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns

MODEL = ns.GenerativeModel((0.8, 0.9), (2.0, 1.0))
ARGUMENTS = {
    "population": {},
    "dataset": {"dataset": MODEL.sample(jax.random.key(0), 40)},
    "monte_carlo": {"num_samples": 40, "key": jax.random.key(0), "num_datasets": 3},
    "dataset_averaged": {"num_samples": 40},
    "leading_order": {},
    "population_flow": {"key": jax.random.key(0), "num_inits": 2, "order": 6},
}
NETWORKS = {"population_flow": ns.MLP(1, width=16)}


# These compile for long: of them, the repeats are slow tests.
LONG = {"dataset_averaged", "population_flow", "population", "leading_order"}
SLOW_LAST = [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in ns.known_methods()]


@pytest.mark.parametrize(
    ("method", "random_init"),
    [(name, True) for name in ns.known_methods()] + [pytest.param(*name.values, False, marks=name.marks) for name in SLOW_LAST],
)
def test_prediction(method, random_init):
    flow = ns.GradientFlow(10.0)
    network = NETWORKS.get(method, ns.MLP(1))
    p = ns.predict_bias(MODEL, network, flow, method=method, random_init=random_init, **ARGUMENTS[method])
    assert p.method == method
    assert isinstance(p.bias, float) and isinstance(p.reliance, float) and isinstance(p.optimal_reliance, float)
    assert p.bias == pytest.approx(p.reliance - p.optimal_reliance, abs=1e-12)
    assert -1 <= p.reliance <= 1
    assert p.mean.shape == p.std.shape == (900,) and p.probes.shape == (900, 2)
    assert np.all(np.isfinite(p.mean)) and np.all(p.std >= 0)
    assert p.diagnostics and all(isinstance(value, float) for value in p.diagnostics.values())


@pytest.mark.slow
@pytest.mark.parametrize("method", ns.known_methods())
def test_several_times_in_one_pass(method):
    times = [1.0, 30.0]
    network = NETWORKS.get(method, ns.MLP(1))
    together = ns.predict_bias(MODEL, network, ns.GradientFlow(times), method=method, **ARGUMENTS[method])
    assert together.bias.shape == (2,) and together.mean.shape == (2, 900)
    for index, time in enumerate(times):
        alone = ns.predict_bias(MODEL, network, ns.GradientFlow(time), method=method, **ARGUMENTS[method])
        assert float(together.bias[index]) == pytest.approx(alone.bias, abs=3e-3)


@pytest.mark.parametrize("method", SLOW_LAST)
def test_same_answer_twice(method):
    network = NETWORKS.get(method, ns.MLP(1))
    first, second = (
        ns.predict_bias(MODEL, network, ns.GradientFlow(10.0), method=method, **ARGUMENTS[method]) for _ in range(2)
    )
    assert first.bias == second.bias and first.diagnostics == second.diagnostics
    for name in ("mean", "std"):
        assert np.asarray(getattr(first, name)).tobytes() == np.asarray(getattr(second, name)).tobytes()


_RUN = """
import hashlib, json, jax, numpy as np, ntk_shortcuts as ns
model, key, flow = ns.GenerativeModel((0.8, 0.9), (2.0, 1.0)), jax.random.key(0), ns.GradientFlow([1.0, 10.0])
arguments = {
    "population": {},
    "leading_order": {},
    "dataset_averaged": {"num_samples": 40},
    "dataset": {"dataset": model.sample(key, 40)},
    "monte_carlo": {"num_samples": 40, "key": key, "num_datasets": 3},
    "population_flow": {"key": key, "num_inits": 2, "order": 6},
}
digests = {}
for method in ns.known_methods():
    network = ns.MLP(1, width=16) if method == "population_flow" else ns.MLP(1)
    p = ns.predict_bias(model, network, flow, method=method, **arguments[method])
    parts = [np.asarray(v).tobytes() for v in (p.bias, p.mean, p.std)]
    digests[method] = hashlib.sha256(b"".join(parts)).hexdigest()
e = ns.train_ensemble(model, ns.MLP(2, width=32), ns.GradientDescent(0.1, 30), 60, 2, 2, key=key, batch_size=16)
leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves((e.outputs, e.params, e.bias))]
digests["train_ensemble"] = hashlib.sha256(b"".join(leaves)).hexdigest()
print(json.dumps(digests))
"""


@pytest.mark.slow
def test_same_key_same_machine_same_bits_in_another_process():
    first, second = (subprocess.run([sys.executable, "-c", _RUN], capture_output=True, text=True, check=True) for _ in range(2))
    digests = json.loads(first.stdout)
    assert set(digests) == {*ns.known_methods(), "train_ensemble"}
    assert digests == json.loads(second.stdout)


def test_every_method_is_listed_here():
    assert set(ns.known_methods()) <= set(ARGUMENTS)
