r"""Initialisations drawn together: one network, of which the plane of the two features is turned.

The directions \(w_s,w_c\) are independent and uniform, so that with an orthonormal basis Q of their plane and their overlap
c, \(w_s=Qe_1,\ w_c=Q(c,\sqrt{1-c^2})\), Q is uniform and independent of c, and c as likely as -c. So are QR for a fixed
rotation R, and the network, which is drawn independently, sees each of the four embeddings

\[(R_0,c),\ (R_{180},-c),\ (R_{90},-c),\ (R_{270},c)\]

with the law of a single draw: means over such groups are unbiased. What is odd in its first-layer weights, as the output at
initialisation, changes sign between the first two and between the last two; their anisotropy, by which the kernel of one
feature is larger than that of the other, between the two pairs; what is odd in c within each pair. To first order all three
leave no trace in the group's mean. Label D13.5.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.embedding import Embedding
from ntk_shortcuts.laws.two_features.plane import plane_basis
from ntk_shortcuts.numerics import safe_sqrt
from ntk_shortcuts.typing import Array, Int, Key

# Rotations of the plane, and signs of the overlap.
_TURNS = np.array([[[1, 0], [0, 1]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]], [[0, 1], [-1, 0]]], float)
_SIGNS = np.array([1.0, -1.0, -1.0, 1.0])
GROUP = len(_SIGNS)


class Draw(NamedTuple):
    """What one initialisation is drawn from: the key of its group, and its number in it; or arrays (n,) of several."""

    key: Key
    member: Int[Array, "*n"]


def draws(key: Key, count: int) -> Draw:
    """So many initialisations, in groups of four whose last may be cut.

    Example:
        >>> draws(jax.random.key(0), 6).member.tolist()
        [0, 1, 2, 3, 0, 1]
    """
    numbers = jnp.arange(count)
    return Draw(jax.random.split(key, -(-count // GROUP))[numbers // GROUP], numbers % GROUP)


def singly(several: Draw) -> list[Draw]:
    """Several draws one by one."""
    return [Draw(several.key[index], several.member[index]) for index in range(len(several.member))]


def turned(embedding: Embedding, member: Int[Array, ""]) -> Embedding:
    """The embedding of one member of the group, of two features without nesting."""
    basis = plane_basis(embedding)
    overlap = jnp.asarray(_SIGNS, basis.dtype)[member] * jnp.sum(embedding.directions[0] * embedding.directions[1])
    places = jnp.stack([jnp.stack([jnp.ones_like(overlap), overlap]), jnp.stack([0 * overlap, safe_sqrt(1 - overlap**2)])])
    directions = (basis @ (jnp.asarray(_TURNS, basis.dtype)[member] @ places)).T
    return eqx.tree_at(lambda e: e.directions, embedding, directions)
