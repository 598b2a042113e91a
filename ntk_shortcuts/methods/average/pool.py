"""The average over data sets drawn from a pool, as a method's outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import Issue, UntrustedAverage
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.methods.average.atoms.average import Atoms, Averaged, averaged, pool_coordinates
from ntk_shortcuts.methods.average.atoms.rare import RareNodes, drawn_labels, rare_nodes
from ntk_shortcuts.networks.gram import Gram
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.outputs import GaussianOutputs, Outputs, SampledOutputs
from ntk_shortcuts.training.rules import TrainingRule

_RESOLVENTS = 6
# Part of the variance that feedback may still move in its last pass: a spread to half a percent.
_MOVED = 0.01


class Options(NamedTuple):
    """What a user may choose: the random output at initialisation, feedback of the variance, draws of rare groups and their
    seed."""

    random_init: bool
    feedback: bool
    num_draws: int
    rng: np.random.Generator


def pool_outputs(
    kernel: LawKernel, training: TrainingRule, counts: Counts, num_samples: int, points: TestPoints, options: Options
) -> Outputs:
    """Mean and variance over data sets of the outputs at the test points; drawn over rare groups, where there are any."""
    atoms = _atoms(kernel, counts, num_samples, points, options)
    largest = _largest(atoms)
    filter_ = training.rational(num_samples, _edge(atoms, largest), _RESOLVENTS)
    poles, residues = np.asarray(filter_.poles), np.asarray(filter_.residues)
    where = pool_coordinates(atoms, poles)
    rows = zip(np.atleast_2d(poles), np.atleast_2d(residues), strict=True)
    times = [averaged(atoms, where, s, c, options.random_init, options.feedback) for s, c in rows]
    gains = training.filter(jnp.asarray(where.eigenvalues), num_samples)
    error = float(np.max(np.abs(np.asarray(filter_(jnp.asarray(where.eigenvalues)) - gains)) * where.eigenvalues))
    means, covariance = (np.stack([getattr(law, name) for law in times]) for name in ("means", "covariance"))
    outputs = _outputs(means, covariance, poles.shape[:-1], points.classes is not None, atoms.rare is not None)
    residual = max(law.residual for law in times)
    issues: list[Issue] = list(training.issues(largest))
    moved = max(law.moved for law in times)
    trusted = residual <= 1e-5 and error <= 2e-3 and moved <= _MOVED
    if not trusted:
        issues.append(UntrustedAverage(0.0, 2e-3, residual, 1.0, error, moved))
    found = {"fixed_point_residual": residual, "filter_error": error, "variance_moved": moved, "trusted": float(trusted)}
    return outputs.with_notes(_diagnostics(atoms, times) | found, tuple(issues))


def _outputs(means: np.ndarray, covariance: np.ndarray, batch: tuple[int, ...], several: bool, drawn: bool) -> Outputs:
    """Of means (T, draws, n, k) and covariances (T, n, k, k), one output as arrays without that axis."""
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    if not several:
        means, variance = means[..., 0], variance[..., 0]
    values = np.swapaxes(means, 0, 1)
    values = values.reshape(len(values), *batch, *values.shape[2:])
    variance = variance.reshape(*batch, *variance.shape[1:])
    joint = covariance.reshape(*batch, *covariance.shape[1:]) if several else None
    if not drawn:
        together = None if joint is None else jnp.asarray(joint)
        return GaussianOutputs(location=jnp.asarray(values[0]), variance=jnp.asarray(variance), covariance=together)
    each = jnp.broadcast_to(jnp.asarray(variance), values.shape)
    together = None if joint is None else jnp.broadcast_to(jnp.asarray(joint), (len(values), *joint.shape))
    return SampledOutputs(values=jnp.asarray(values), variances=each, covariance=together, networks=False)


def _atoms(kernel: LawKernel, counts: Counts, num_samples: int, points: TestPoints, options: Options) -> Atoms:
    nodes = kernel.nodes(0, "resolvents")
    train, cross = kernel(nodes.points), kernel(points.points, nodes.points)
    own = kernel.own(points.points)
    parts = (train.ntk, train.nngp, cross.ntk, cross.nngp, own.nngp)
    gram = Gram(*(np.asarray(part) for part in parts))
    targets = np.asarray(nodes.slope)
    targets = targets.reshape(len(targets), -1)
    rare, numbers = None, rare_nodes(counts)
    if len(numbers):
        drawn = np.stack([kernel.law.drawn_counts(options.rng, num_samples)[numbers] for _ in range(options.num_draws)])
        labels = drawn_labels(options.rng, targets[numbers], drawn) if kernel.law.flips_labels else None
        rare = RareNodes(numbers, drawn, labels)
    return Atoms(gram, targets, np.asarray(nodes.mass), counts, num_samples, rare, kernel.law.flips_labels)


def _largest(atoms: Atoms) -> float:
    """The largest eigenvalue of the kernel under the law, by the power method."""
    root = np.sqrt(atoms.weights)
    vector = root * np.sqrt(np.diag(atoms.gram.ntk))
    for _ in range(30):
        vector = vector / np.linalg.norm(vector)
        vector = root * (atoms.gram.ntk @ (root * vector))
    return float(np.linalg.norm(vector))


def _edge(atoms: Atoms, largest: float) -> float:
    """About the largest eigenvalue of a data set's Gram matrix over N."""
    trace = float(atoms.weights @ np.diag(atoms.gram.ntk))
    return largest * (1 + np.sqrt(trace / (atoms.num_samples * largest))) ** 2


def _diagnostics(atoms: Atoms, times: list[Averaged]) -> dict[str, Any]:
    spread = max(float(np.sqrt(np.mean(law.data_variance))) for law in times)
    drawn = (
        {} if atoms.rare is None else {"num_datasets": float(len(atoms.rare.drawn)), "rare_nodes": float(len(atoms.rare.nodes))}
    )
    return {
        "data_std": spread,
        "nodes": float(len(atoms.weights)),
        "modes_kept": float(max(law.modes for law in times)),
        "iterations": float(max(law.iterations for law in times)),
        **drawn,
    }
