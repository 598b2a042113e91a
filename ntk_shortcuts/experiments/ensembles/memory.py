"""How many networks are trained side by side."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.experiments.ensembles.sources import TrainingData
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.networks.sizes import preactivations

# Of the activations of a group. A step holds each about six times: before and after the nonlinearity, and their gradients.
_MEMBER_BYTES = 2**30
_COPIES = 6


def group_size(network: FiniteNetwork, seen: TrainingData, input_dim: int, count: int, dtype: Any) -> int:
    """Members whose activations and data fit into 1 GiB, a multiple of the number of devices where there are several."""
    samples, probes = len(seen.labels), len(seen.probes)
    # Outputs at the probes take one pass forward.
    passes = max(_COPIES * samples, probes)
    activations = preactivations(network, samples, input_dim, dtype) * passes // samples
    data = sum(np.size(leaf) for leaf in jax.tree.leaves(seen))
    per_member = (activations + data) * jnp.dtype(dtype).itemsize
    size = int(np.clip(_MEMBER_BYTES // per_member, 1, count))
    devices = jax.device_count()
    return size if devices == 1 or size < devices else size - size % devices
