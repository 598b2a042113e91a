r"""The noise of minibatches along a flow: in a piece of time the risk is that of the samples that its steps see.

Steps of learning rate \(\eta\) on batches of B samples add noise of covariance \(\eta\,\mathrm{Cov}(\nabla\ell)/B\) per unit
of time to the flow. So do the Bs samples of s steps, all at once for a time \(s\eta\), in every direction that changes little
in that time. Where the risk is curved by \(\lambda\) the scatter they keep up is short of that of the single steps by
\(\tanh(x)/x,\ x=s\eta\lambda/2\), in variance. Time is cut into pieces that grow with the time passed.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from ntk_shortcuts.typing import Array, Float, Key, Scalar

# A piece is at most this part of the time before it.
_GROWTH = 8


class Minibatches(eqx.Module):
    """Batches of `size` samples: pieces end after `steps` (pieces,) steps, each of `duration` in the flow's time."""

    size: Scalar
    duration: Scalar
    steps: Int[Array, "pieces"]

    @property
    def ends(self) -> Float[Array, "pieces"]:
        """Times at which the samples change."""
        return self.steps * self.duration


class Pieces(NamedTuple):
    """For every piece of time (ends (pieces,)) the nodes at which its samples lie, those first that hold some: their numbers,
    P(y = 1) and weights, (pieces, m) each."""

    ends: Float[Array, "pieces"]
    order: Int[Array, "pieces m"]
    positive: Float[Array, "pieces m"]
    weights: Float[Array, "pieces m"]


def minibatches(size: int, learning_rate: float, momentum: float, last_step: float) -> Minibatches:
    """Pieces of one step each at first, and later of an eighth of the steps before."""
    steps = [1]
    while steps[-1] < last_step:
        steps.append(steps[-1] + max(1, steps[-1] // _GROWTH))
    duration = learning_rate / (1 - momentum)
    return Minibatches(jnp.asarray(float(size)), jnp.asarray(duration), jnp.asarray(np.array(steps)))


def draw_pieces(key: Key, positive: Float[Array, "m"], weights: Float[Array, "m"], batches: Minibatches) -> Pieces:
    """The samples of every piece, drawn with replacement from the labels and nodes of a risk. Label D4.6."""
    law = jnp.concatenate([weights * positive, weights * (1 - positive)])
    counts = batches.size * jnp.diff(batches.steps, prepend=0)
    keys = jax.random.split(key, len(counts))
    drawn = jax.vmap(lambda key, count: jax.random.multinomial(key, count, law / law.sum()))(keys, counts)
    drawn = drawn.reshape(len(counts), 2, -1)
    total = drawn.sum(axis=1)
    order = jnp.argsort(total == 0, axis=1, stable=True)
    shares = jnp.where(total > 0, drawn[:, 0] / jnp.maximum(total, 1), 0.5)
    sorted_leaves = (jnp.take_along_axis(leaf, order, axis=1) for leaf in (shares, total / counts[:, None]))
    return Pieces(batches.ends, order, *sorted_leaves)
