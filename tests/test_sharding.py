"""Kernels of inputs that are spread over several devices: rows stay where their inputs are, with the numbers of one device."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import ntk_shortcuts as ns

jax.config.update("jax_enable_x64", True)
mesh = Mesh(np.array(jax.devices()), ("points",))
data = ns.GenerativeModel(amplification=(4.0, 1.0)).sample(jax.random.key(0), 800)
rows, others = data.inputs, data.inputs[:100]
spread = jax.device_put(rows, NamedSharding(mesh, PartitionSpec("points")))

def closed_form(network):
    return lambda *x: network.kernels(*x).ntk

def empirical(network):
    params = network.init(jax.random.key(1), 100)
    return lambda *x: ns.empirical_ntk(network, params, *x, memory=1e6)

found = {}
for name, kernel in {
    "biases": closed_form(ns.MLP(2, bias_variance=0.1)),
    "empirical": empirical(ns.MLP(2, width=32)),
}.items():
    for x, expected in (((spread, others), kernel(rows, others)), ((spread,), kernel(rows))):
        sharded = kernel(*x)
        found[f"{name}, {len(x)}"] = {
            "devices": len(sharded.sharding.device_set),
            "rows": sorted({shard.data.shape[0] for shard in sharded.addressable_shards}),
            "difference": float(np.max(np.abs(sharded - expected)) / np.max(np.abs(expected))),
        }
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.branches
def test_rows_stay_on_their_devices():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=300)
    assert run.returncode == 0, run.stderr
    # One test for all, and not one for each: two test processes would run the program twice.
    found_by_name = json.loads(run.stdout)
    assert sorted(found_by_name) == ["biases, 1", "biases, 2", "empirical, 1", "empirical, 2"]
    for name, found in found_by_name.items():
        assert found["devices"] == 4 and found["rows"] == [200], name
        assert found["difference"] < 1e-13, name
