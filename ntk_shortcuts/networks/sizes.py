"""How much a network of finite width makes of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from ntk_shortcuts.networks.base import FiniteNetwork

_CONVOLUTION = "conv_general_dilated"
_PRODUCTS = ("dot_general", _CONVOLUTION)


def preactivations(network: FiniteNetwork, num_samples: int, input_dim: int, dtype: Any) -> int:
    """Numbers that matrix products and convolutions make in one pass over the samples, the outputs not among them.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> preactivations(MLP(2, width=8), 10, 3, "float32")
        160
    """
    program = _program(network, num_samples, input_dim, dtype)
    made = [(turns, equation.outvars) for equation, turns in _equations(program) if equation.primitive.name in _PRODUCTS]
    total = sum(turns * int(np.prod(out.aval.shape)) for turns, outs in made for out in outs)  # type: ignore[attr-defined]
    return max(total - num_samples, num_samples)


def convolves(network: FiniteNetwork, input_dim: int, dtype: Any) -> bool:
    """Whether convolutions are among its layers.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> convolves(MLP(2, width=8), 3, "float32")
        False
    """
    return any(equation.primitive.name == _CONVOLUTION for equation, _ in _equations(_program(network, 1, input_dim, dtype)))


def _program(network: FiniteNetwork, num_samples: int, input_dim: int, dtype: Any) -> Jaxpr:
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), input_dim, dtype))
    inputs = jax.ShapeDtypeStruct((num_samples, input_dim), dtype)
    return jax.make_jaxpr(network.apply)(params, inputs).jaxpr


def _equations(program: Jaxpr, turns: int = 1) -> Iterator[tuple[JaxprEqn, int]]:
    """Every equation of a program and of those within it, and how often it is run."""
    for equation in program.eqns:
        yield equation, turns
        inner = [part for value in equation.params.values() for part in (value if isinstance(value, tuple) else (value,))]
        programs = [part.jaxpr if isinstance(part, ClosedJaxpr) else part for part in inner]
        # A scan keeps what each of its turns makes.
        more = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for part in programs:
            if isinstance(part, Jaxpr):
                yield from _equations(part, turns * more)
