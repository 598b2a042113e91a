"""Gradient flow of finite networks on given samples, for a look at how far their kernel moves there."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.methods.flow.equation import Drawn, FlowPoints, FlowRules, flow_from
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.outputs import SampledOutputs
from ntk_shortcuts.typing import Key


def flow_on_samples(
    network: FiniteNetwork,
    inputs: Any,
    labels: Any,
    probe_inputs: Any,
    times: np.ndarray,
    rules: FlowRules,
    keys: Key,
) -> SampledOutputs:
    """Outputs at the probe inputs of networks in gradient flow on the samples, loss mean over them, one network a key.

    Args:
        labels: in {-1, +1}; times: any shape, finite.
    """
    stops, where = np.unique(np.atleast_1d(times), return_inverse=True)
    count, dimension = inputs.shape
    inputs, labels, probe_inputs = (jnp.asarray(values) for values in (inputs, labels, probe_inputs))
    points = FlowPoints(inputs, jnp.full(count, 1 / count), labels, probe_inputs)
    frame = jnp.eye(dimension)
    outputs = []
    for key in keys:
        init_key, data_key = jax.random.split(key)
        drawn = Drawn(network.init(init_key, dimension, rules.dtype), frame, data_key)
        outputs.append(np.asarray(flow_from(drawn, network, points, jnp.asarray(stops), rules).outputs, np.float64)[where])
    return SampledOutputs(values=np.stack(outputs).reshape(len(keys), *np.shape(times), -1))
