"""Which training points make the bias: the expected effect of one point of a data set."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.laws.base import SectorKernels
from ntk_shortcuts.laws.eigenfunctions import sector_features, sector_spectra
from ntk_shortcuts.laws.kernel import LawKernel, own_sectors
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.methods.average.dataset_averaged import DatasetAveraged
from ntk_shortcuts.methods.average.deterministic_equivalent import averaged_resolvent, scalar_kappa
from ntk_shortcuts.metrics.reliance import mean_sign_slope
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.parity import stacked
from ntk_shortcuts.numerics import compiled, in_float64, solve_each
from ntk_shortcuts.results.issues import give
from ntk_shortcuts.training.rules import RationalFilter, TrainingRule, require_rule
from ntk_shortcuts.typing import Array, Float, Latents
from ntk_shortcuts.validation import as_points, require, require_integer

_MODES = 64


class Influence(eqx.Module):
    """Expected change of the bias by one training point at `latents` (n, 2).

    - `positive`, `negative` (n,): of a point labelled +1 and -1. `expected` (n,): averaged over P(y | z).
    - `density` (n,): of the data law there.
    """

    latents: Float[Array, "n 2"]
    positive: Float[Array, "n"]
    negative: Float[Array, "n"]
    expected: Float[Array, "n"]
    density: Float[Array, "n"]


@in_float64
def influence(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    num_samples: int,
    latents: Latents | None = None,
    random_init: bool = True,
) -> Influence:
    r"""Expected change of the shortcut bias when one of the N training points lies at z with label y.

    \[I(z,y)=\frac1N\sum_x\frac{\partial\,\mathrm{bias}}{\partial m(x)}F(x;z,y),\qquad
      F(x;z,y)=\mathrm{Re}\sum_kc_kH_k(x,z)\,\frac{y-f_k(z)}{\kappa_k(z)}.\]

    It is the bias with the point minus the bias without it, the other N - 1 points drawn from the data law and 1/N kept in the
    loss; to first order in 1/N. Negative values: the point drives the shortcut out. Label D9.3.

    Args:
        num_samples: N >= 2, the point included.
        latents: where to evaluate, (n, 2); a 61 x 61 grid over the range of the probes by default.
        random_init: include the random output at initialisation in the spread of the outputs.

    Raises:
        ValueError: num_samples below 2, a rule with more than one time, wrong shapes.

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow
        >>> point = [[1.0, -1.0]]  # the two features disagree
        >>> result = influence(GenerativeModel(amplification=(4.0, 1.0)), MLP(1), GradientFlow(30.0), 100, point)
        >>> bool(result.negative[0] < 0 < result.positive[0])  # labelled by its core; labelled by its shortcut
        True
    """
    kernel = LawKernel(model, network)
    require_rule(training)
    require_integer("num_samples", num_samples, 2)
    require(training.batch_shape == (), "training", "a rule with scalar parameters", training)
    latents = model.probe_grid(61) if latents is None else as_points("latents", latents, dimension=2)
    probes = kernel.law.test_points()
    outputs = DatasetAveraged(random_init=random_init)(kernel, training, num_samples, probes)
    give(outputs.issues)
    slope = mean_sign_slope(outputs.mean, outputs.std, probes.points)
    nodes = kernel.nodes(0, "influence")
    label_part, residual_part = _influence(
        kernel.in_sectors().shared(), training, jnp.asarray(float(num_samples)), latents, probes.points, slope, nodes
    )
    expectation = model.class_expectation(latents)
    positive, negative = ((y * label_part - residual_part) / num_samples for y in (1.0, -1.0))
    return Influence(
        latents=latents,
        positive=positive,
        negative=negative,
        expected=(1 + expectation) / 2 * positive + (1 - expectation) / 2 * negative,
        density=model.density(latents),
    )


@compiled
def _influence(
    sectors: SectorKernels,
    training: TrainingRule,
    num_samples: Any,
    latents: jax.Array,
    probes: jax.Array,
    slope: jax.Array,
    rays: Nodes,
) -> tuple[jax.Array, jax.Array]:
    """Sums over probes of slope x influence: what multiplies the label, and what is subtracted for f_k."""
    spectra = sector_spectra(sectors, rays)
    modes = min(_MODES, rays.count)
    features = sector_features(sectors, rays, latents, modes, 1, spectra)
    at_probes = sector_features(sectors, rays, probes, modes, 1, spectra).points
    own = stacked(own_sectors(sectors, latents)).ntk
    tail = jnp.maximum(own - jnp.sum(features.points**2, axis=2), 0)
    direction = jnp.einsum("p,apm->am", slope, at_probes)
    eigenvalues = spectra.basis.eigenvalues.ravel()
    transposed = jnp.swapaxes(features.points, 1, 2) + 0j

    def at_one_pole(pole: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        s, residue = pole
        start = scalar_kappa(s, eigenvalues, num_samples)
        resolvent = averaged_resolvent(s, start, rays, features, num_samples)
        density = jnp.sum(rays.weights * rays.radius**2 * resolvent.inverse_kappa, axis=1)
        matrix = features.gram + (jnp.swapaxes(features.nodes, 1, 2) * density) @ features.nodes
        solution = solve_each(matrix, transposed)  # (sector, modes, n)
        kappa = -s + jnp.sum(jnp.sum(transposed * solution, axis=1) + tail, axis=0) / num_samples
        source = jnp.sum(rays.weights * rays.radius * rays.targets * resolvent.inverse_kappa, axis=1)
        fitted = features.points[0] @ (resolvent.solution[0] @ source)
        weight = residue * jnp.einsum("am,amn->n", direction, solution) / kappa
        return weight, weight * fitted

    filter_: RationalFilter = training.rational(num_samples, jnp.max(eigenvalues), 8)
    label_part, residual_part = jax.lax.map(at_one_pole, (filter_.poles, filter_.residues))
    return jnp.sum(label_part, axis=0).real, jnp.sum(residual_part, axis=0).real
