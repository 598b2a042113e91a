"""How much a network of finite width makes of its inputs."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from ntk_shortcuts.networks.base import FiniteNetwork

_PRODUCTS = ("dot_general", "conv_general_dilated")


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
