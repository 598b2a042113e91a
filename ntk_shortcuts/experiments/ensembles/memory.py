"""How many networks are trained side by side."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from ntk_shortcuts.experiments.ensembles.sources import TrainingData
from ntk_shortcuts.networks.base import FiniteNetwork

# Of the activations of a group. A step holds each about six times: before and after the nonlinearity, and their gradients.
_MEMBER_BYTES = 2**30
_COPIES = 6

_PRODUCTS = ("dot_general", "conv_general_dilated")


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


def preactivations(network: FiniteNetwork, num_samples: int, input_dim: int, dtype: Any) -> int:
    """Numbers that matrix products and convolutions make in one pass over the samples, the outputs not among them.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> preactivations(MLP(2, width=8), 10, 3, "float32")
        160
    """
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), input_dim, dtype))
    inputs = jax.ShapeDtypeStruct((num_samples, input_dim), dtype)
    program = jax.make_jaxpr(network.apply)(params, inputs)
    return max(_products(program.jaxpr) - num_samples, num_samples)


def _products(program: Jaxpr) -> int:
    total = 0
    for equation in program.eqns:
        if equation.primitive.name in _PRODUCTS:
            total += sum(int(np.prod(variable.aval.shape)) for variable in equation.outvars)  # type: ignore[attr-defined]
        inner = [part for value in equation.params.values() for part in (value if isinstance(value, tuple) else (value,))]
        programs = [part.jaxpr if isinstance(part, ClosedJaxpr) else part for part in inner]
        # A scan keeps what each of its turns makes.
        turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += turns * sum(_products(part) for part in programs if isinstance(part, Jaxpr))
    return total
