"""Mean and variance of outputs over data sets, from the averaged resolvents of one filter."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.eigenfunctions import SectorFeatures
from ntk_shortcuts.methods.average.deterministic_equivalent import Resolvent
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.parity import Parity
from ntk_shortcuts.outputs import OutputError
from ntk_shortcuts.typing import Array, Float

_FEEDBACK_PASSES = 8


class Switches(eqx.Module):
    """Options as factors of 0 or 1 and not as branches, so that one compilation serves them all."""

    random_init: Any
    balanced: Any
    feedback: Any
    uniform_noise: Any


class AveragedLaw(eqx.Module):
    """Law of the outputs over data sets and initialisations, at the probes, with what its approximations dropped.

    - `mean`, `variance`, `data_variance` (the part over data sets): (*batch, probes).
    - `error`: what the poles miss, and the rounding of the variance.
    - `residual`, `margin`, `iterations` of the fixed points, `filter_error` of the resolvent sum on the spectrum,
      `nngp_dropped`: (*batch,).
    """

    mean: Float[Array, "*batch probes"]
    variance: Float[Array, "*batch probes"]
    data_variance: Float[Array, "*batch probes"]
    error: OutputError
    residual: jax.Array
    margin: jax.Array
    iterations: jax.Array
    filter_error: jax.Array
    nngp_dropped: jax.Array


def averaged_law(
    residues: jax.Array,
    resolvents: Resolvent,
    nodes: Nodes,
    features: SectorFeatures,
    parity: Parity,
    num_samples: Any,
    switches: Switches,
) -> AveragedLaw:
    """Mean and variance from the K resolvents of one filter. Labels D9.3 and D9.4."""
    weights, radius, targets = nodes.weights, nodes.radius, nodes.targets
    inverse = resolvents.inverse_kappa  # (K, nodes, radii)
    density = jnp.sum(weights * radius**2 * inverse, axis=-1)  # (K, nodes)
    source = jnp.sum(weights * radius * targets * inverse, axis=-1)

    # Mean: in the first sector only. Coordinates (K, modes), and values f_k at the nodes.
    coordinates = jnp.einsum("kmg,kg->km", resolvents.solution[:, 0], source)
    mean = features.points[0] @ (residues @ coordinates).real
    fitted = coordinates @ features.nodes[0].T

    # The label's variance, and its covariance with the class: the same unless labels are flipped.
    sides, (positive, negative) = nodes.sides, nodes.labels_by_class
    noise, shared = (
        part + switches.uniform_noise * (jnp.sum(weights * part) - part)
        for part in (1 - targets**2, positive - negative - sides * targets)
    )

    # Influence of a training point at node (g, j), in coordinates of each sector: the label's and the residual's part.
    label_part = residues[:, None, None] * radius * inverse
    residual_part = label_part * (targets - radius * fitted[:, :, None])
    by_label = _contract(resolvents.solution, label_part)
    by_residual = _contract(resolvents.solution, residual_part)
    # Averages over one class are `together` plus or minus `apart`: the residual lies in the first sector, an odd factor takes
    # it on.
    together = parity.even[:, :1] * jnp.sum(weights * by_residual, axis=(2, 3))
    apart = parity.odd[:, :1] * jnp.sum(weights * (shared * by_label + sides * by_residual), axis=(2, 3))
    # Fixed counts of classes of shares (1 +- b)/2, b = E[y], take sum_c P(c) E[F | c]^2 off, which is together^2 +
    # (apart - b together)^2 / (1 - b^2).
    imbalance = _imbalance(nodes, parity)
    apart = switches.balanced * (apart - imbalance * together) / jnp.sqrt(1 - imbalance**2)

    covariance = _second_moment(by_residual, weights) - _outer(jnp.asarray(together)) - _outer(jnp.asarray(apart))
    initial_part = _initial_influence(residues, density, resolvents, nodes, features, parity, switches.balanced)
    covariance += switches.random_init * initial_part
    initial_variance = switches.random_init * _remaining_variance(residues, density, resolvents.solution, features)

    def with_noise(extra: jax.Array) -> jax.Array:
        return covariance + _second_moment(by_label, weights * (noise + extra))

    def spread(matrices: jax.Array, points: jax.Array) -> jax.Array:
        return jnp.maximum(jnp.sum((points @ matrices) * points, axis=(0, 2)), 0) / num_samples

    # Feedback: Var f at a node is radius^2 v on its ray, v = v_0 + B v, B the mean squared influence of one ray on another.
    # Each pass multiplies the change by B, below 1: a geometric series.
    moved = jnp.sum((features.nodes @ by_label.reshape(*by_label.shape[:2], -1)) ** 2, axis=0).reshape(-1, *noise.shape)
    passed = jnp.sum(weights * radius**2 * moved, axis=2) / num_samples
    first = spread(with_noise(jnp.zeros_like(noise)), features.nodes)
    variance = jax.lax.fori_loop(0, _FEEDBACK_PASSES, lambda _, v: first + passed @ v, first)
    extra = switches.feedback * variance[:, None] * radius**2
    matrices = with_noise(extra)
    data_variance = spread(matrices, features.points)
    return AveragedLaw(
        mean=mean,
        variance=initial_variance + data_variance,
        data_variance=data_variance,
        error=OutputError(
            jnp.zeros_like(mean)[None],
            16 * np.finfo(np.float64).eps * switches.random_init * jnp.sum(features.nngp_own, axis=0),
        ),
        residual=jnp.max(resolvents.residual),
        margin=jnp.min(resolvents.margin),
        iterations=jnp.max(resolvents.iterations),
        filter_error=jnp.zeros(()),
        nngp_dropped=_dropped(features, nodes),
    )


# Of the variance at initialisation, what rounding leaves in the sector of functions that the network cannot have.
_NOTHING = 1e-12


def _dropped(features: SectorFeatures, nodes: Nodes) -> jax.Array:
    """The largest fraction of the NNGP kernel left out in a sector that holds any of it."""
    held = jnp.sum(nodes.mass * jnp.diagonal(features.nngp_nodes, axis1=1, axis2=2), axis=1)
    return jnp.max(jnp.where(held > _NOTHING * jnp.sum(held), features.nngp_dropped, 0))


def _contract(solution: jax.Array, parts: jax.Array) -> jax.Array:
    """Re sum_k solution[k, sector, m, g] parts[k, g, j], as real products: (sector, modes, nodes, radii)."""
    left = jnp.concatenate([solution.real, -solution.imag])
    right = jnp.concatenate([parts.real, parts.imag])
    return jnp.einsum("kamg,kgj->amgj", left, right)


def _second_moment(vectors: jax.Array, weights: jax.Array) -> jax.Array:
    flat = vectors.reshape(*vectors.shape[:2], -1)
    return (flat * weights.reshape(-1)) @ jnp.swapaxes(flat, 1, 2)


def _remaining_variance(residues: jax.Array, density: jax.Array, solution: jax.Array, f: SectorFeatures) -> jax.Array:
    """Variance at the probes of (1 - W) f_0, W the mean linear map from targets to outputs."""
    fitted = f.points @ jnp.einsum("k,kamg,kg->amg", residues, solution, density).real
    change = jnp.sum((fitted @ f.nngp_nodes - 2 * f.nngp_cross) * fitted, axis=2)
    return jnp.maximum(jnp.sum(f.nngp_own + change, axis=0), 0)


def _initial_influence(
    residues: jax.Array,
    density: jax.Array,
    resolvents: Resolvent,
    nodes: Nodes,
    features: SectorFeatures,
    parity: Parity,
    balanced: Any,
) -> jax.Array:
    """Second moment of the influence when the targets are eigenfunctions of the random output at initialisation."""
    part = residues[:, None, None] * nodes.radius**2 * resolvents.inverse_kappa
    coordinates = jnp.einsum("kamg,kg,agq->kamq", resolvents.solution, density, features.nngp_factor)
    left_over = features.nngp_factor - features.nodes @ coordinates  # (K, target sector, nodes, targets)
    # The influence of a point at node (g, j) for target q, contracted over the resolvents only after the second moment is
    # taken over j and q: 2 K columns per ray instead of radii x targets.
    change = part[:, None, :, None, :] * left_over[..., None]
    change = jnp.concatenate([change.real, change.imag])  # (2 K, target sector, nodes, targets, radii)
    solution = jnp.concatenate([resolvents.solution.real, -resolvents.solution.imag])  # (2 K, sector, modes, nodes)
    moments = jnp.einsum("kbgqj,lbgqj,gj->gkl", change, change, nodes.weights)
    mixed = jnp.einsum("kamg,gkl->amgl", solution, moments)
    second = jnp.einsum("amgl,lang->amn", mixed, solution)
    # An odd target moves the two classes' averages of the odd output together and of the even one apart.
    together = jnp.einsum("kbgqj,gj->kbgq", change, nodes.weights)
    imbalance = _imbalance(nodes, parity)
    side = balanced * (nodes.sides - imbalance) / jnp.sqrt(1 - imbalance**2)
    apart = jnp.einsum("kbgqj,gj->kbgq", change, nodes.weights * side)
    for part, leads in ((together, parity.even), (apart, parity.odd)):
        average = jnp.einsum("kamg,kbgq->abmq", solution, part) * leads[:, :, None, None]
        second = second - jnp.einsum("abmq,abnq->amn", average, average)
    return second


def _imbalance(nodes: Nodes, parity: Parity) -> jax.Array:
    """E[class], 0 under a symmetry that exchanges the classes."""
    return parity.odd[0, 0] * jnp.sum(nodes.weights * nodes.sides)


def _outer(vectors: Any) -> jax.Array:
    return vectors[:, :, None] * vectors[:, None, :]
