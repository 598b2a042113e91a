"""Mercer decomposition of a kernel under the data law: sector by sector, or on samples of one's own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, overload

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.analysis.samples.own import as_pool
from ntk_shortcuts.analysis.samples.spectrum import SampleSpectrum, sample_spectrum
from ntk_shortcuts.laws.eigenfunctions import sector_spectra
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.methods.refine import refine
from ntk_shortcuts.networks.base import as_network
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.numerics import compiled, in_float64, safe_divide
from ntk_shortcuts.results.arrays import TIME_UNITS, latent_coordinates, table, variable
from ntk_shortcuts.results.base import Result, origin_of
from ntk_shortcuts.typing import Array, Bool, Float, Latents
from ntk_shortcuts.validation import require, require_integer, require_values

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class KernelSpectrum(Result):
    r"""Leading eigenfunctions of the NTK under the data law, \(T\phi_i=\lambda_i\phi_i\), \(\int p\,\phi_i\phi_j=\delta_{ij}\).

    - `eigenvalues` (modes,), descending; `learning_times` 1/lambda, in units of learning rate x steps; `odd` (modes,): whether
      \(\phi_i(-z)=-\phi_i(z)\). Only odd ones carry the target.
    - `target_coefficients` \(c_i=\int p f^*\phi_i\).
    - `shortcut_alignments`, `core_alignments`: \(\int p\,\mathrm{sign}(z_s)\phi_i\) and the same of z_c, cosines in [-1, 1];
      signs are chosen so that the larger of the two is positive.
    - `eigenfunctions` (modes, probes) at `probes` (probes, 2).
    - `trace` of T; `label_noise` \(\int p\,(1-f^{*2})\).
    - `diagnostics`: `discretization_error` (relative change of the eigenvalues under refinement, the largest),
      `tail_mass` (fraction of the trace in the modes left out), `target_dropped` (fraction of \(\int p f^{*2}\) there).
    """

    sources: ClassVar[tuple[str, ...]] = ("lim2026shortcut",)

    eigenvalues: Float[Array, "modes"]
    learning_times: Float[Array, "modes"]
    odd: Bool[Array, "modes"]
    target_coefficients: Float[Array, "modes"]
    shortcut_alignments: Float[Array, "modes"]
    core_alignments: Float[Array, "modes"]
    eigenfunctions: Float[Array, "modes probes"]
    probes: Float[Array, "probes 2"]
    trace: Float[Array, ""]
    label_noise: Float[Array, ""]
    diagnostics: dict[str, Any] = eqx.field(default_factory=dict)

    def plot(self, ax: Any = None) -> Figure:
        """Learning times, and the shares of shortcut, core and target that the odd eigenfunctions carry.

        Args:
            ax: matplotlib axes to draw in; by default those of a new figure.
        """
        from ntk_shortcuts.plotting.spectrum import plot_spectrum

        return plot_spectrum(self, ax)

    def to_xarray(self) -> xarray.Dataset:
        """Everything over the dimensions `mode` and `probe`; attributes hold every parameter, the versions and diagnostics."""
        modes = {
            "eigenvalues": variable(("mode",), self.eigenvalues, "eigenvalue of the integral operator"),
            "learning_times": variable(("mode",), self.learning_times, "learning time", TIME_UNITS),
            "odd": variable(("mode",), self.odd, "whether the eigenfunction is odd"),
            "target_coefficients": variable(("mode",), self.target_coefficients, "coefficient of the target"),
            "shortcut_alignments": variable(("mode",), self.shortcut_alignments, "cosine with the shortcut's sign"),
            "core_alignments": variable(("mode",), self.core_alignments, "cosine with the core's sign"),
            "eigenfunctions": variable(("mode", "probe"), self.eigenfunctions, "eigenfunction"),
            "trace": variable((), self.trace, "trace of the operator"),
            "label_noise": variable((), self.label_noise, "label noise"),
        }
        return table(modes, latent_coordinates(self.probes), self.origin, self.diagnostics)


@overload
def kernel_spectrum(
    model: GenerativeModel, network: Any, modes: int = 12, probes: Latents | None = None, tolerance: float = 1e-3
) -> KernelSpectrum: ...


@overload
def kernel_spectrum(model: Pool | Dataset, network: Any, modes: int = 12) -> SampleSpectrum: ...


def kernel_spectrum(
    model: Any, network: Any, modes: int = 12, probes: Any = None, tolerance: float = 1e-3
) -> KernelSpectrum | SampleSpectrum:
    r"""Mercer decomposition of the NTK under the data law: which features a network learns, and when.

    Training for a time t learns the component along \(\phi_i\) to \(1-e^{-\lambda_it}\). A shortcut bias arises where
    eigenfunctions aligned with sign z_s have larger eigenvalues than those aligned with sign z_c.

    Args:
        model: a `GenerativeModel`; or samples of your own, a `Pool` or a `Dataset`, which are then the whole law: their weights
            are its density, and the answer is a `SampleSpectrum`, with alignments of the label and of each attribute.
        modes: how many, of both parities together; of samples at most as many as there are.
        probes: latents (n, 2) at which eigenfunctions are given; the 30 x 30 grid by default. Of samples: at these.
        tolerance: nodes are refined until eigenvalues move by less, relative to the largest. Samples are not refined.

    Raises:
        ValueError: modes not a positive integer, or more than the rule has nodes (32 or more per parity); probes with samples.

    Source: Lim, Kim & Moon, Shortcut features as top eigenfunctions of NTK (2026), on the data of Hermann et al. (2024).

    Example:
        >>> from ntk_shortcuts import MLP
        >>> spectrum = kernel_spectrum(GenerativeModel(amplification=(4.0, 1.0)), MLP(depth=1), modes=4)
        >>> first = spectrum.odd.argmax()
        >>> bool(spectrum.shortcut_alignments[first] > spectrum.core_alignments[first])
        True

        >>> import numpy as np
        >>> inputs, labels = [[1.0, 4.0], [1.0, -4.0], [-1.0, 4.0], [-1.0, -4.0]], [1, 1, -1, -1]
        >>> found = kernel_spectrum(Pool(inputs, labels, {"patch": [1, -1, 1, -1]}), MLP(depth=0), modes=2)
        >>> np.abs(found.attribute_alignments["patch"]).round(6).tolist(), found.learning_times.round(6).tolist()
        ([1.0, 0.0], [0.0625, 1.0])
    """
    if isinstance(model, Pool | Dataset):
        require(probes is None, "probes", "None for samples, at which eigenfunctions are given", probes)
        return sample_spectrum(as_pool(model), network, modes)
    return _of_a_law(model, network, modes, probes, tolerance)


@in_float64
def _of_a_law(model: GenerativeModel, network: Any, modes: int, probes: Latents | None, tolerance: float) -> KernelSpectrum:
    kernel = LawKernel(model, network)
    require_integer("modes", modes, 1)
    require(modes <= 32, "modes", "at most 32", modes)
    require_values("tolerance", tolerance, (), "positive", lambda v: v > 0)
    points = kernel.law.test_points(probes).points

    def at_level(level: int) -> tuple[KernelSpectrum, int]:
        nodes = kernel.nodes(level, "spectrum")
        return _kernel_spectrum(kernel, nodes, modes, points), nodes.radius.size

    refined = refine(at_level, kernel.levels("spectrum"), lambda found: found[0].eigenvalues, tolerance, relative=True)
    result, nodes = refined.found
    diagnostics = {name: float(value) for name, value in result.diagnostics.items()}
    sizes = {"discretization_error": refined.change, "nodes": float(nodes)}
    origin = origin_of({"model": model, "network": as_network(network)}, modes=modes)
    return dataclasses.replace(result, diagnostics={**sizes, **diagnostics}, origin=origin)


@compiled
def _kernel_spectrum(kernel: LawKernel, rays: Nodes, modes: int, probes: jax.Array) -> KernelSpectrum:
    spectra = sector_spectra(kernel, rays)
    eigenvalues = spectra.basis.eigenvalues.ravel()
    order = jnp.argsort(-eigenvalues)[:modes]
    sector, index = order // rays.count, order % rays.count
    values = eigenvalues[order]
    on_rays = safe_divide(spectra.basis.vectors[sector, :, index], jnp.sqrt(rays.mass))  # (modes, rays), at the directions
    cross = jnp.stack([k.ntk for k in kernel.in_sectors()(probes, rays.points)])[sector]
    at_probes = jnp.einsum("mpg,mg->mp", cross, rays.mass * on_rays) * safe_divide(jnp.ones_like(values), values)[:, None]

    def inner(function: jax.Array) -> jax.Array:
        return jnp.where(sector == 0, on_rays @ jnp.sum(rays.weights * rays.radius * function, axis=1), 0)

    target = inner(rays.targets)
    shortcut, core = (inner(jnp.sign(rays.points[:, i, None]) * jnp.ones_like(rays.radius)) for i in (0, 1))
    flip = jnp.where(jnp.where(jnp.abs(shortcut) > jnp.abs(core), shortcut, core) < 0, -1.0, 1.0)
    trace = jnp.sum(eigenvalues)
    power = jnp.sum(rays.weights * rays.targets**2)
    return KernelSpectrum(
        eigenvalues=values,
        learning_times=1 / values,
        odd=sector == 0,
        target_coefficients=flip * target,
        shortcut_alignments=flip * shortcut,
        core_alignments=flip * core,
        eigenfunctions=flip[:, None] * at_probes,
        probes=probes,
        trace=trace,
        label_noise=jnp.sum(rays.weights * (1 - rays.targets**2)),
        diagnostics={"tail_mass": 1 - jnp.sum(values) / trace, "target_dropped": 1 - jnp.sum(target**2) / power},
    )
