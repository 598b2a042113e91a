"""Which training points make the bias: the expected effect of one point of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from ntk_shortcuts.issues import give
from ntk_shortcuts.laws.base import DataLaw, SectorKernels
from ntk_shortcuts.laws.eigenfunctions import sector_features, sector_spectra
from ntk_shortcuts.laws.kernel import LawKernel, own_sectors
from ntk_shortcuts.methods.average.dataset_averaged import DatasetAveraged
from ntk_shortcuts.methods.average.deterministic_equivalent import averaged_resolvent, scalar_kappa, solution_at
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.parity import stacked
from ntk_shortcuts.numerics import compiled, in_float64
from ntk_shortcuts.outputs.signs import sign_slope
from ntk_shortcuts.results.arrays import latent_coordinates, table, variable
from ntk_shortcuts.results.base import Result, origin_of
from ntk_shortcuts.training.rules import RationalFilter, TrainingRule, require_rule
from ntk_shortcuts.typing import AnyArray, Array, Float, Num
from ntk_shortcuts.validation import as_points, require, require_integer

_MODES = 64

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class Influence(Result):
    """Expected change of the law's own metric, of two features the bias, by one training point at `latents` (n, K).

    - `positive`, `negative` (n,): of a point labelled +1 and -1. `expected` (n,): averaged over P(label | z). Of a law with
      several shortcuts (n, shortcuts).
    - `density` (n,): of the data law there.
    """

    latents: Float[Array, "n K"]
    positive: Float[Array, "n *shortcuts"]
    negative: Float[Array, "n *shortcuts"]
    expected: Float[Array, "n *shortcuts"]
    density: Float[Array, "n"]

    def plot(self, ax: Any = None) -> Figure:
        """The effect over the latent plane, averaged over the label.

        Args:
            ax: matplotlib axes to draw in; by default those of a new figure.
        """
        from ntk_shortcuts.plotting.influence import plot_influence

        return plot_influence(self, ax)

    def to_xarray(self) -> xarray.Dataset:
        """Effects and density over `probe`, those of several shortcuts over `shortcut` too; the latents are coordinates."""
        effect, over = "change of the bias by one training point", ("probe", "shortcut")[: self.positive.ndim]
        names = {"positive": "labelled +1", "negative": "labelled -1", "expected": "averaged over labels"}
        variables = {name: variable(over, getattr(self, name), f"{effect} {words}") for name, words in names.items()}
        variables["density"] = variable(("probe",), self.density, "density of the data law")
        return table(variables, latent_coordinates(self.latents), self.origin)


@in_float64
def influence(
    model: DataLaw,
    network: Any,
    training: TrainingRule,
    num_samples: int,
    latents: Num[AnyArray, "n K"] | Sequence[Sequence[float]] | None = None,
    random_init: bool = True,
) -> Influence:
    r"""Expected change of the bias, or of another law's own metric, when one of the N training points lies at z with label y.

    \[\begin{aligned}&I(z,y)=\frac1N\sum_x\frac{\partial\,\mathrm{bias}}{\partial m(x)}F(x;z,y),\\
      &F(x;z,y)=\mathrm{Re}\sum_kc_kH_k(x,z)\,\frac{y-f_k(z)}{\kappa_k(z)}.\end{aligned}\]

    It is the bias with the point minus the bias without it, the other N - 1 points drawn from the data law and 1/N kept in the
    loss; to first order in 1/N. Negative values: the point drives the shortcut out. Label D9.3.

    Args:
        model: a `GenerativeModel`; `GaussianFeatures`, of which it is that of each shortcut; `Clusters`, of which it is that of
            the accuracy.
        num_samples: N >= 2, the point included.
        latents: where to evaluate, (n, K); by default the test points, of two features a 61 x 61 grid over their range.
        random_init: include the random output at initialisation in the spread of the outputs.

    Raises:
        ValueError: num_samples below 2, a rule with more than one time, wrong shapes.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow
        >>> point = [[1.0, -1.0]]  # the two features disagree
        >>> result = influence(GenerativeModel(amplification=(4.0, 1.0)), MLP(1), GradientFlow(30.0), 100, point)
        >>> bool(result.negative[0] < 0 < result.positive[0])  # labelled by its core; labelled by its shortcut
        True
    """
    kernel = LawKernel(model, network)
    require_rule(training)
    require_integer("num_samples", num_samples, 2)
    require(training.batch_shape == (), "training", "a rule with scalar parameters", training)
    law, probes = kernel.law, kernel.law.test_points()
    if latents is None:
        latents = probes.points if law.two_features is None else law.two_features.probe_grid(61)
    latents = as_points("latents", latents, dimension=probes.points.shape[1])
    average = DatasetAveraged(random_init=random_init)
    outputs = average(kernel, training, num_samples, probes)
    give(outputs.issues)
    weights = law.metric.weights(probes)
    slope = jnp.asarray(weights.reshape(len(weights), -1).T) * sign_slope(outputs.mean, outputs.std)
    nodes = kernel.nodes(0, "influence")
    parts = _influence(
        kernel.in_sectors().shared(), training, jnp.asarray(float(num_samples)), latents, probes.points, slope, nodes
    )
    label_part, residual_part = (part.T.reshape(len(latents), *weights.shape[1:]) for part in parts)
    positive, negative = ((y * label_part - residual_part) / num_samples for y in (1.0, -1.0))
    expectation = jnp.asarray(law.label_expectation(latents)).reshape(-1, *[1] * (weights.ndim - 1))
    return Influence(
        latents=latents,
        positive=positive,
        negative=negative,
        expected=(1 + expectation) / 2 * positive + (1 - expectation) / 2 * negative,
        density=law.density(latents),
        origin=origin_of(
            {"model": model, "network": kernel.network, "training": training, "method": average}, num_samples=num_samples
        ),
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
    """Sums over probes of each slope x influence, (slopes, n): what multiplies the label, and what is subtracted for f_k."""
    spectra = sector_spectra(sectors, rays)
    modes = min(_MODES, rays.count)
    features = sector_features(sectors, rays, latents, modes, 1, spectra)
    at_probes = sector_features(sectors, rays, probes, modes, 1, spectra).points
    own = stacked(own_sectors(sectors, latents)).ntk
    tail = jnp.maximum(own - jnp.sum(features.points**2, axis=2), 0)
    direction = jnp.einsum("xp,apm->xam", slope, at_probes)
    eigenvalues = spectra.basis.eigenvalues.ravel()
    transposed = jnp.swapaxes(features.points, 1, 2)

    def at_one_pole(pole: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        s, residue = pole
        start = scalar_kappa(s, eigenvalues, num_samples)
        resolvent = averaged_resolvent(s, start, rays, features, num_samples)
        solution = solution_at(transposed, resolvent.inverse_kappa, rays, features)  # (sector, modes, n)
        kappa = -s + jnp.sum(jnp.sum(transposed * solution, axis=1) + tail, axis=0) / num_samples
        source = jnp.sum(rays.weights * rays.radius * rays.targets * resolvent.inverse_kappa, axis=1)
        fitted = features.points[0] @ (resolvent.solution[0] @ source)
        weight = residue * jnp.einsum("xam,amn->xn", direction, solution) / kappa
        return weight, weight * fitted

    filter_: RationalFilter = training.rational(num_samples, jnp.max(eigenvalues), 8)
    label_part, residual_part = jax.lax.map(at_one_pole, (filter_.poles, filter_.residues))
    return jnp.sum(label_part, axis=0).real, jnp.sum(residual_part, axis=0).real
