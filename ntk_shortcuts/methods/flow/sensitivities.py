r"""Derivatives of a flow's outputs in the setting.

The derivative in a parameter p of the data law or the network obeys the linearised flow

\[\dot v_p=\partial_\theta F(\theta;p)\,v_p+\partial_pF(\theta;p),\qquad v_p(0)=\partial_p\theta_0(p),\]

integrated beside \(\theta\): it is as stable as the flow itself, which the adjoint run backwards in time is not. There are few
parameters p, so all their derivatives are made on the way forward, and reverse mode contracts them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import OutOfSteps, give
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.methods.flow.equation import (
    FlowPoints,
    FlowRules,
    Start,
    draw,
    draw_labels,
    flow_path,
    integrate,
    probe_outputs,
    started,
    velocity,
)
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.typing import Array, Float, Key, Scalar


def differentiable_outputs(
    kernel: LawKernel,
    keys: jax.Array,
    points: Callable[[Any], FlowPoints],
    times: jax.Array,
    rules: FlowRules,
) -> Float[Array, "inits times probes"]:
    """Outputs of :func:`flow_path` under JAX's tracing, with derivatives in the traced parameters of law and network and in
    the (sorted) times."""
    dynamic, fixed = eqx.partition(kernel, is_traced)
    return _sensitive_outputs((dynamic, times), fixed, keys, points, rules)


@eqx.filter_custom_vjp
def _sensitive_outputs(varied: Any, fixed: Any, keys: jax.Array, points: Any, rules: FlowRules) -> jax.Array:
    dynamic, times = varied
    kernel = eqx.combine(dynamic, fixed)
    path = flow_path(kernel, keys, points(kernel.law), times, rules)
    jax.debug.callback(_say_if_unfinished, path.reached, times[-1])
    return path.outputs


@_sensitive_outputs.def_fwd
def _forward(perturbed: Any, varied: Any, fixed: Any, keys: jax.Array, points: Any, rules: FlowRules) -> tuple:
    dynamic, times = varied
    directions = _unit_tangents(dynamic, perturbed[0])

    def start_of(dynamic: Any, key: Key) -> Start:
        kernel = eqx.combine(dynamic, fixed)
        drawn, nodes = draw(kernel, key, rules), points(kernel.law)
        return started(drawn, draw_labels(drawn.data_key, nodes, rules), kernel.network, nodes, rules)

    def one(key: Key) -> tuple:
        start = start_of(dynamic, key)

        def field(params: Any, start: Start, dynamic: Any) -> Any:
            return velocity(0.0, params, start, eqx.combine(dynamic, fixed).network, rules)

        def outputs(params: Any, start: Start, dynamic: Any) -> jax.Array:
            return probe_outputs(params, start, eqx.combine(dynamic, fixed).network)

        def along(function: Callable, params: Any, tangents: Any) -> Any:
            """Derivatives of a function of (params, start, dynamic) in every direction."""

            def single(tangent: Any, moved: Start, direction: Any) -> Any:
                return jax.jvp(function, (params, start, dynamic), (tangent, moved, direction))[1]

            return jax.vmap(single)(tangents, moves, directions)

        moves = jax.vmap(lambda direction: jax.jvp(lambda d: start_of(d, key), (dynamic,), (direction,))[1])(directions)

        def speed_of(time: Scalar, state: tuple) -> tuple:
            params, tangents = state
            return field(params, start, dynamic), along(field, params, tangents)

        def observed(state: tuple) -> tuple:
            params, tangents = state
            value, speed = jax.jvp(lambda p: outputs(p, start, dynamic), (params,), (field(params, start, dynamic),))
            return value, along(outputs, params, tangents), speed

        found, last, _ = integrate((start.params, moves.params), speed_of, observed, times, rules)
        return found, last

    # Without anything perturbed but the times, the stack of directions is empty, and so are the tangents.
    (values, slopes, speeds), last = jax.vmap(one)(keys)
    jax.debug.callback(_say_if_unfinished, last, times[-1])
    return values, (slopes, speeds)


@_sensitive_outputs.def_bwd
def _backward(residuals: tuple, cotangent: jax.Array, perturbed: Any, varied: Any, *_: Any) -> tuple:
    slopes, speeds = residuals  # (inits, times, directions, probes), (inits, times, probes)
    dynamic, times = varied
    contracted = jnp.einsum("itkp,itp->k", slopes, cotangent)
    leaves, structure = jax.tree.flatten(dynamic)
    found, position = [], 0
    for leaf, moved in zip(leaves, jax.tree.leaves(perturbed[0]), strict=True):
        size = leaf.size if moved else 0
        part = contracted[position : position + size].reshape(leaf.shape) if moved else jnp.zeros(leaf.shape)
        found.append(part.astype(leaf.dtype))
        position += size
    slope_of_times = jnp.einsum("itp,itp->t", speeds, cotangent).astype(times.dtype)
    return jax.tree.unflatten(structure, found), slope_of_times


def _say_if_unfinished(reached: jax.Array, wanted: jax.Array) -> None:
    """Said when the compiled program runs: a trace does not know."""
    if not np.all(np.asarray(reached) >= np.asarray(wanted, np.asarray(reached).dtype)):
        give((OutOfSteps(float(np.min(reached)), float(np.max(wanted))),))


def _unit_tangents(dynamic: Any, perturbed: Any) -> Any:
    """One tangent for every entry of every perturbed leaf, stacked: leaves (directions, *shape)."""
    leaves, structure = jax.tree.flatten(dynamic)
    moved = jax.tree.leaves(perturbed)
    total = sum(leaf.size for leaf, m in zip(leaves, moved, strict=True) if m)
    position, stacked = 0, []
    for leaf, m in zip(leaves, moved, strict=True):
        rows = jnp.zeros((total, leaf.size), leaf.dtype)
        if m:
            rows = rows.at[position : position + leaf.size].set(jnp.eye(leaf.size, dtype=leaf.dtype))
            position += leaf.size
        stacked.append(rows.reshape(total, *leaf.shape))
    return jax.tree.unflatten(structure, stacked)
