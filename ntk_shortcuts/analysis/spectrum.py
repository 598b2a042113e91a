"""Mercer decomposition of a kernel under the data law, sector by sector."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.nodes.parity import is_angular, own_sector_kernels, require_kernels, sector_kernels
from ntk_shortcuts.numerics import eigh_each, in_float64, safe_divide
from ntk_shortcuts.laws.two_features.polar import LatentRays, latent_rays
from ntk_shortcuts.typing import Array, Bool, Float, Latents
from ntk_shortcuts.validation import as_points, require, require_integer, require_values


class Eigenbasis(eqx.Module):
    r"""Eigenvalues of the integral operator, descending, and eigenvectors of \(\sqrt w\,K\sqrt w\) as columns."""

    eigenvalues: Float[Array, "*sector rays"]
    vectors: Float[Array, "*sector rays rays"]


class SectorSpectra(eqx.Module):
    """Kernels between the rays and eigenbases of the NTK; the first axis is the sector, (odd, even)."""

    kernels: Kernels
    basis: Eigenbasis


class SectorFeatures(eqx.Module):
    r"""Leading eigenfunctions of the NTK as coordinates: \(\Theta(x,z)\approx\Phi_x\,C^{-1}\Phi_z^T\).

    The basis is held fixed when parameters are differentiated, and C, the identity at the point of evaluation, carries their
    change: derivatives of eigenvectors, which do not exist where eigenvalues cross, are never taken. The first axis of every
    array is the sector, (odd, even).

    - `rays` (rays, modes), `probes` (probes, modes): \(\Phi\). `gram` (modes, modes): C.
    - `tail` (rays,): \(\Theta(z,z)-\Phi_zC^{-1}\Phi_z^T\), what the modes left out hold.
    - `nngp_rays` (rays, rays), `nngp_cross` (probes, rays), `nngp_own` (probes,): the covariance at initialisation.
    - `nngp_factor` (rays, targets): leading eigenfunctions of the NNGP kernel, \(K\approx LL^T\); `nngp_dropped`: the
      fraction of its trace left out.
    """

    rays: Float[Array, "sector rays modes"]
    probes: Float[Array, "sector probes modes"]
    gram: Float[Array, "sector modes modes"]
    tail: Float[Array, "sector rays"]
    nngp_rays: Float[Array, "sector rays rays"]
    nngp_cross: Float[Array, "sector probes rays"]
    nngp_own: Float[Array, "sector probes"]
    nngp_factor: Float[Array, "sector rays targets"]
    nngp_dropped: Float[Array, "sector"]


def eigenbasis(kernel: Float[Array, "sector rays rays"], mass: Float[Array, "rays"]) -> Eigenbasis:
    """Eigenbases of kernel matrices under weights; constants to differentiation."""
    root = jnp.sqrt(mass)
    matrix = root[:, None] * (kernel + jnp.swapaxes(kernel, -1, -2)) / 2 * root[None, :]
    eigenvalues, vectors = eigh_each(jax.lax.stop_gradient(matrix))
    return Eigenbasis(eigenvalues[..., ::-1], vectors[..., ::-1])


def sector_spectra(model: GenerativeModel, network: Any, rays: LatentRays) -> SectorSpectra:
    """Kernels between the rays of each sector and their eigenbases."""
    kernels = _stack(sector_kernels(model, network)(rays.directions, rays.directions))
    return SectorSpectra(kernels, eigenbasis(kernels.ntk, rays.mass))


def sector_features(
    model: GenerativeModel,
    network: Any,
    rays: LatentRays,
    probes: Latents,
    modes: int,
    initial_modes: int,
    spectra: SectorSpectra,
) -> SectorFeatures:
    """Leading `modes` eigenfunctions of the NTK and `initial_modes` of the NNGP kernel in each sector."""
    sectors = sector_kernels(model, network)
    cross = _stack(sectors(probes, rays.directions))
    own = _stack(own_sector_kernels(sectors, probes))
    initial = eigenbasis(spectra.kernels.nngp, rays.mass)
    kernels, cross, own = (Kernels(k.nngp, k.ntk, 0.0) for k in (spectra.kernels, cross, own))
    return jax.vmap(lambda *a: _features(*a, rays.mass, modes, initial_modes), in_axes=(_BOTH, 0, 0, _BOTH, _BOTH))(
        kernels, spectra.basis, initial, cross, own
    )


_BOTH = Kernels(0, 0, None)


def _stack(pair: tuple[Kernels, Kernels]) -> Kernels:
    return jax.tree.map(lambda *parts: jnp.stack(parts), *pair)


def _features(
    kernels: Kernels,
    basis: Eigenbasis,
    initial: Eigenbasis,
    cross: Kernels,
    own: Kernels,
    mass: jax.Array,
    modes: int,
    initial_modes: int,
) -> SectorFeatures:
    columns, used = _scaled(basis, mass, modes)
    rays = kernels.ntk @ columns
    gram = columns.T @ rays
    # Columns of zeros stand in for eigenvalues that are zero to the arithmetic; C stays invertible.
    gram = (gram + gram.T) / 2 + jnp.diag(jnp.where(used, 0.0, 1.0))
    # C is the identity but for its derivatives: 2 - C is its inverse, value and slope.
    captured = jnp.sum(rays * (2 * rays - rays @ gram), axis=1)
    tail = jnp.maximum(jnp.diag(kernels.ntk) - captured, 0)
    factor = kernels.nngp @ _scaled(initial, mass, initial_modes)[0]
    kept = jnp.sum(initial.eigenvalues[:initial_modes])
    return SectorFeatures(
        rays=rays,
        probes=cross.ntk @ columns,
        gram=gram,
        tail=tail,
        nngp_rays=kernels.nngp,
        nngp_cross=cross.nngp,
        nngp_own=own.nngp,
        nngp_factor=factor,
        nngp_dropped=1 - safe_divide(kept, jnp.sum(jnp.maximum(initial.eigenvalues, 0))),
    )


def _scaled(basis: Eigenbasis, mass: jax.Array, modes: int) -> tuple[jax.Array, jax.Array]:
    """Columns that turn kernel sections into orthonormal coordinates, and which of them are not zero."""
    eigenvalues, vectors = basis.eigenvalues[:modes], basis.vectors[:, :modes]
    used = eigenvalues > mass.shape[0] * np.finfo(np.float64).eps * jnp.maximum(basis.eigenvalues[0], 1e-300)
    scale = jnp.where(used, 1 / jnp.sqrt(jnp.where(used, eigenvalues, 1)), 0)
    return jax.lax.stop_gradient(jnp.sqrt(mass)[:, None] * vectors * scale[None, :]), used


class KernelSpectrum(eqx.Module):
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
    diagnostics: dict[str, float] = eqx.field(default_factory=dict)


@in_float64
def kernel_spectrum(
    model: GenerativeModel, network: Any, modes: int = 12, probes: Latents | None = None, tolerance: float = 1e-3
) -> KernelSpectrum:
    r"""Mercer decomposition of the NTK under the data law: which features a network learns, and when.

    Training for a time t learns the component along \(\phi_i\) to \(1-e^{-\lambda_it}\). A shortcut bias arises where
    eigenfunctions aligned with sign z_s have larger eigenvalues than those aligned with sign z_c.

    Args:
        modes: how many, of both parities together.
        probes: latents (n, 2) at which eigenfunctions are given; the 30 x 30 grid by default.
        tolerance: nodes are refined until eigenvalues move by less, relative to the largest.

    Raises:
        ValueError: modes not a positive integer, or more than the rule has nodes (32 or more per parity).

    Source: Lim, Kim & Moon, Shortcut features as top eigenfunctions of NTK (2026), on the data of Hermann et al. (2024).

    Example:
        >>> from ntk_shortcuts import MLP
        >>> spectrum = kernel_spectrum(GenerativeModel(amplification=(4.0, 1.0)), MLP(depth=1), modes=4)
        >>> first = spectrum.odd.argmax()
        >>> bool(spectrum.shortcut_alignments[first] > spectrum.core_alignments[first])
        True
    """
    require_kernels(model, network)
    require_integer("modes", modes, 1)
    require(modes <= 32, "modes", "at most 32", modes)
    require_values("tolerance", tolerance, (), "positive", lambda v: v > 0)
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)
    homogeneous = is_angular(model, network)
    rules = ((64, 24), (128, 32), (256, 48)) if homogeneous else ((18, 8), (24, 10), (36, 14), (54, 18))
    previous, change = None, float("nan")
    for angles, radii in rules:
        result = _kernel_spectrum(model, network, angles, radii, homogeneous, modes, probes)
        eigenvalues = np.asarray(result.eigenvalues)
        if previous is not None:
            change = float(np.max(np.abs(eigenvalues - previous)) / eigenvalues[0])
            if change < tolerance:
                break
        previous = eigenvalues
    diagnostics = {name: float(value) for name, value in result.diagnostics.items()}
    nodes = float(angles * radii)  # pyright: ignore[reportOperatorIssue]  there are rules
    return dataclasses.replace(result, diagnostics={"discretization_error": change, "nodes": nodes, **diagnostics})


@eqx.filter_jit
def _kernel_spectrum(
    model: GenerativeModel, network: Any, angles: int, radii: int, homogeneous: bool, modes: int, probes: jax.Array
) -> KernelSpectrum:
    rays = latent_rays(model, angles, radii, homogeneous)
    spectra = sector_spectra(model, network, rays)
    eigenvalues = spectra.basis.eigenvalues.ravel()
    order = jnp.argsort(-eigenvalues)[:modes]
    sector, index = order // rays.mass.shape[0], order % rays.mass.shape[0]
    values = eigenvalues[order]
    on_rays = safe_divide(spectra.basis.vectors[sector, :, index], jnp.sqrt(rays.mass))  # (modes, rays), at the directions
    cross = jnp.stack([k.ntk for k in sector_kernels(model, network)(probes, rays.directions)])[sector]
    at_probes = jnp.einsum("mpg,mg->mp", cross, rays.mass * on_rays) * safe_divide(jnp.ones_like(values), values)[:, None]

    def inner(function: jax.Array) -> jax.Array:
        return jnp.where(sector == 0, on_rays @ jnp.sum(rays.weights * rays.radius * function, axis=1), 0)

    target = inner(rays.targets)
    shortcut, core = (inner(jnp.sign(rays.directions[:, i, None]) * jnp.ones_like(rays.radius)) for i in (0, 1))
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
