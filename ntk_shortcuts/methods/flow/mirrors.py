r"""Initialisations drawn together: one network, in which the span of the features is turned.

The directions \(w_1,\dots,w_K\) are independent and uniform. With an orthonormal basis Q of their span, the first along
\(w_1\), they are the columns of QU with U upper triangular; Q is uniform and independent of U. Then QR has the law of Q for
every fixed orthogonal R. With D a diagonal of alternating signs, DUD has the law of U: it is U for \(w_2,w_4,\dots\) reversed.
The network is drawn independently of both and sees each of

\[QU,\quad -Q\,DUD,\quad QC\,DUD,\quad -QC\,U,\qquad C=\text{a cyclic shift of the axes, one of them reversed,}\]

with the law of a single draw: means over such groups are unbiased. C is for two features the rotation by 90 degrees and DUD
reverses their overlap. What is odd in the first layer's weights, as the output at initialisation, changes sign between the
first two and between the last two; their anisotropy, by which the kernel of one feature is larger than that of the other,
between the two pairs; what is odd in the overlap within each pair. To first order all three leave no trace in the group's
mean. Label D13.5.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.methods.flow.equation import Drawn, FlowRules, draw_several
from ntk_shortcuts.typing import Float, Key

GROUP = 4


def mirrored_draws(kernel: LawKernel, key: Key, count: int, rules: FlowRules, on_plane: bool = True) -> Drawn:
    """So many initialisations, stacked, in groups of four whose last may be cut; each has a data set of its own."""
    firsts = draw_several(kernel, jax.random.split(key, -(-count // GROUP)), rules, on_plane)
    params, data_keys = jax.tree.map(lambda leaf: jnp.repeat(leaf, GROUP, axis=0)[:count], (firsts.params, firsts.data_key))
    members = np.stack([turned(np.asarray(firsts.frame), member) for member in range(GROUP)], axis=1)
    frames = jnp.asarray(members.reshape(-1, *firsts.frame.shape[1:])[:count], firsts.frame.dtype)
    return Drawn(params, frames, jax.vmap(jax.random.fold_in)(data_keys, jnp.arange(count) % GROUP))


def turned(frame: Float[np.ndarray, "*draws K k"], member: int) -> Float[np.ndarray, "*draws K k"]:
    """The frame of a member, from that of number 0: the rows are the columns of QU, each times its feature's amplification.

    Label D13.5.
    """
    basis, places = np.linalg.qr(np.swapaxes(frame, -1, -2).astype(np.float64))
    # LAPACK's signs are fixed ones, which would turn with the features; those of Gram and Schmidt do not.
    signs = np.where(np.diagonal(places, axis1=-2, axis2=-1) < 0, -1, 1)
    (turn, reversed_rows), (_, reversed_columns) = (turns(count)[member] for count in places.shape[-2:])
    places = reversed_rows[:, None] * (signs[..., None] * places) * reversed_columns
    return np.swapaxes((basis * signs[..., None, :]) @ turn @ places, -1, -2)


def turns(features: int) -> list[tuple[np.ndarray, np.ndarray]]:
    r"""The four turns \(1,-1,C,-C\) of the span of K features (K, K), and the signs (K,) on the diagonal of D or of 1.

    Example:
        >>> [turn.tolist() for turn, _ in turns(2)]
        [[[1, 0], [0, 1]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]], [[0, 1], [-1, 0]]]
        >>> [signs.tolist() for _, signs in turns(2)]
        [[1, 1], [1, -1], [1, -1], [1, 1]]
    """
    still, ones, alternating = np.eye(features, dtype=int), np.ones(features, int), (-1) ** np.arange(features)
    shift = np.roll(still, 1, axis=0)
    shift[0] *= -1
    return [(still, ones), (-still, alternating), (shift, alternating), (-shift, ones)]
