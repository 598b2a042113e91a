"""Odd and even parts of a kernel under z -> -z, a symmetry of the data law and of every network with symmetric weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.validation import require

Sectors = tuple[Kernels, Kernels]
SectorKernels = Callable[[jax.Array, jax.Array], Sectors]


def require_kernels(model: Any, network: Any) -> None:
    """Refuse what is no data law, or has no kernels between its latents."""
    require(isinstance(model, GenerativeModel), "model", "a GenerativeModel", model)
    fits = hasattr(network, "latent_kernels") and hasattr(network, "kernels")
    require(fits, "network", "an MLP, or a stax network through from_stax", network)


def is_angular(model: GenerativeModel, network: Any) -> bool:
    """Whether the kernel between latents is a product of norms and a function of an angle."""
    return model.nesting == (0, 0) and bool(getattr(network, "is_homogeneous", False))


def sector_kernels(model: GenerativeModel, network: Any) -> SectorKernels:
    """A function of latents (n1, 2) and (n2, 2) to the odd and even parts (K(z, z') -+ K(z, -z')) / 2.

    They act on functions of a half-plane. Homogeneous networks in the plane take the polynomial in the angle; its error
    is the result's `quadrature_error`.
    """
    if is_angular(model, network):
        profile = network.angular_kernels(model.input_dim)
        amplification = jnp.asarray(model.amplification)
        return lambda z1, z2: profile.sectors(z1 * amplification, z2 * amplification)

    def general(z1: jax.Array, z2: jax.Array) -> Sectors:
        # One evaluation, not one for z2 and one for -z2: compiling a kernel takes longer than evaluating it.
        both, count = network.latent_kernels(model, z1, jnp.concatenate([z2, -z2])), z2.shape[0]

        def part(kernel: jax.Array, sign: float) -> jax.Array:
            return (kernel[:, :count] + sign * kernel[:, count:]) / 2

        error = jnp.asarray(both.quadrature_error)
        odd, even = (Kernels(part(both.nngp, sign), part(both.ntk, sign), error) for sign in (-1.0, 1.0))
        return odd, even

    return general


def stacked_sector_kernels(sectors: SectorKernels, nodes: jax.Array, probes: jax.Array) -> tuple[Sectors, Sectors]:
    """Kernels between the nodes, and between probes and nodes, from one evaluation for both (see `general`)."""
    together, count = sectors(jnp.concatenate([nodes, probes]), nodes), nodes.shape[0]

    def rows(start: int | None, stop: int | None) -> Sectors:
        odd, even = (Kernels(k.nngp[start:stop], k.ntk[start:stop], k.quadrature_error) for k in together)
        return odd, even

    return rows(None, count), rows(count, None)


def own_sector_kernels(sectors: SectorKernels, points: jax.Array) -> Sectors:
    """Kernels of each point with itself, (n,)."""
    return jax.vmap(lambda z: jax.tree.map(jnp.squeeze, sectors(z[None], z[None])))(points)
