"""Eigenfunctions of a kernel under its law, sector by sector: the coordinates in which averages and spectra are computed."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.laws.base import SectorKernels
from ntk_shortcuts.laws.kernel import own_sectors
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.parity import stacked
from ntk_shortcuts.numerics import eigh_each, safe_divide
from ntk_shortcuts.typing import Array, Float


class Eigenbasis(eqx.Module):
    r"""Eigenvalues of the integral operator, descending, and eigenvectors of \(\sqrt w\,K\sqrt w\) as columns."""

    eigenvalues: Float[Array, "*sector nodes"]
    vectors: Float[Array, "*sector nodes nodes"]


class SectorSpectra(eqx.Module):
    """Kernels between the nodes and eigenbases of the NTK; the first axis is the sector."""

    kernels: Kernels
    basis: Eigenbasis


class SectorFeatures(eqx.Module):
    r"""Leading eigenfunctions of the NTK as coordinates: \(\Theta(x,z)\approx\Phi_x\,C^{-1}\Phi_z^T\).

    The basis is held fixed when parameters are differentiated, and C, the identity at the point of evaluation, carries their
    change: derivatives of eigenvectors, which do not exist where eigenvalues cross, are never taken. The first axis of every
    array is the sector; of one sector's it is missing.

    - `nodes` (nodes, modes), `points` (points, modes): \(\Phi\). `gram` (modes, modes): C.
    - `tail` (nodes,): \(\Theta(z,z)-\Phi_zC^{-1}\Phi_z^T\), what the modes left out hold.
    - `nngp_nodes` (nodes, nodes), `nngp_cross` (points, nodes), `nngp_own` (points,): the covariance at initialisation.
    - `nngp_factor` (nodes, targets): leading eigenfunctions of the NNGP kernel, \(K\approx LL^T\); `nngp_dropped`: the
      fraction of its trace left out.
    """

    nodes: Float[Array, "*sector nodes modes"]
    points: Float[Array, "*sector points modes"]
    gram: Float[Array, "*sector modes modes"]
    tail: Float[Array, "*sector nodes"]
    nngp_nodes: Float[Array, "*sector nodes nodes"]
    nngp_cross: Float[Array, "*sector points nodes"]
    nngp_own: Float[Array, "*sector points"]
    nngp_factor: Float[Array, "*sector nodes targets"]
    nngp_dropped: Float[Array, "*sector"]


def eigenbasis(kernel: Float[Array, "sector nodes nodes"], mass: Float[Array, "nodes"]) -> Eigenbasis:
    """Eigenbases of kernel matrices under weights; constants to differentiation."""
    root = jnp.sqrt(mass)
    matrix = root[:, None] * (kernel + jnp.swapaxes(kernel, -1, -2)) / 2 * root[None, :]
    eigenvalues, vectors = eigh_each(jax.lax.stop_gradient(matrix))
    return Eigenbasis(eigenvalues[..., ::-1], vectors[..., ::-1])


def sector_spectra(sectors: SectorKernels, nodes: Nodes) -> SectorSpectra:
    """Kernels between the nodes in each sector and their eigenbases."""
    kernels = stacked(sectors(nodes.points, nodes.points))
    return SectorSpectra(kernels, eigenbasis(kernels.ntk, nodes.mass))


def sector_features(
    sectors: SectorKernels,
    nodes: Nodes,
    points: jax.Array,
    modes: int,
    initial_modes: int,
    spectra: SectorSpectra,
    kept: Any = None,
) -> SectorFeatures:
    """Leading `modes` eigenfunctions of the NTK and `initial_modes` of the NNGP kernel in each sector.

    Args:
        kept: how many of the former are not left out as zeros, an array; None: all of them.
    """
    cross = stacked(sectors(points, nodes.points))
    own = stacked(own_sectors(sectors, points))
    initial = eigenbasis(spectra.kernels.nngp, nodes.mass)
    kernels, cross, own = (Kernels(k.nngp, k.ntk, 0.0) for k in (spectra.kernels, cross, own))

    def features(kernels: Kernels, basis: Eigenbasis, initial: Eigenbasis, cross: Kernels, own: Kernels) -> SectorFeatures:
        return _features(kernels, basis, initial, cross, own, nodes.mass, modes, initial_modes, kept)

    # Over every array; the error, a number now, is the same in each sector.
    return eqx.filter_vmap(features)(kernels, spectra.basis, initial, cross, own)


def _features(
    kernels: Kernels,
    basis: Eigenbasis,
    initial: Eigenbasis,
    cross: Kernels,
    own: Kernels,
    mass: jax.Array,
    modes: int,
    initial_modes: int,
    kept: Any,
) -> SectorFeatures:
    columns, used = _scaled(basis, mass, modes, kept)
    nodes = kernels.ntk @ columns
    gram = columns.T @ nodes
    # Columns of zeros stand in for eigenvalues that are zero to the arithmetic; C stays invertible.
    gram = (gram + gram.T) / 2 + jnp.diag(jnp.where(used, 0.0, 1.0))
    # C is the identity but for its derivatives: 2 - C is its inverse, value and slope.
    captured = jnp.sum(nodes * (2 * nodes - nodes @ gram), axis=1)
    tail = jnp.maximum(jnp.diag(kernels.ntk) - captured, 0)
    factor = kernels.nngp @ _scaled(initial, mass, initial_modes)[0]
    held = jnp.sum(initial.eigenvalues[:initial_modes])
    return SectorFeatures(
        nodes=nodes,
        points=cross.ntk @ columns,
        gram=gram,
        tail=tail,
        nngp_nodes=kernels.nngp,
        nngp_cross=cross.nngp,
        nngp_own=own.nngp,
        nngp_factor=factor,
        nngp_dropped=1 - safe_divide(held, jnp.sum(jnp.maximum(initial.eigenvalues, 0))),
    )


def _scaled(basis: Eigenbasis, mass: jax.Array, modes: int, kept: Any = None) -> tuple[jax.Array, jax.Array]:
    """Columns that turn kernel sections into orthonormal coordinates, and which of them are not zero."""
    eigenvalues, vectors = basis.eigenvalues[:modes], basis.vectors[:, :modes]
    used = eigenvalues > mass.shape[0] * np.finfo(np.float64).eps * jnp.maximum(basis.eigenvalues[0], 1e-300)
    used = used if kept is None else used & (jnp.arange(modes) < kept)
    scale = jnp.where(used, 1 / jnp.sqrt(jnp.where(used, eigenvalues, 1)), 0)
    return jax.lax.stop_gradient(jnp.sqrt(mass)[:, None] * vectors * scale[None, :]), used
