"""Mercer decomposition of a kernel under the data law, sector by sector."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.generative import GenerativeModel
from ntk_shortcuts.kernels.infinite import Kernels
from ntk_shortcuts.kernels.sectors import sector_kernels
from ntk_shortcuts.numerics import eigh_each, safe_divide
from ntk_shortcuts.quadrature import LatentRays
from ntk_shortcuts.typing import Array, Float, Latents


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
    own = _stack(jax.vmap(lambda z: jax.tree.map(jnp.squeeze, sectors(z[None], z[None])))(probes))
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
