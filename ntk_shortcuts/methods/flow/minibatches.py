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


def draw_pieces(
    key: Key, positive: Float[Array, "m"], weights: Float[Array, "m"], batches: Minibatches, num_samples: int | None = None
) -> Pieces:
    """The samples of every piece. Label D4.6.

    Args:
        key: of the batches.
        positive, weights: P(y = 1) and weights at the nodes, of the data law, or of a data set's samples.
        num_samples: of that data set, which is then gone through in a new random order every epoch; None: fresh samples.
    """
    # On the host: there is nothing to differentiate, and JAX would compile for seconds what runs in milliseconds.
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    chance, mass = np.asarray(positive, float), np.asarray(weights, float)
    law = np.concatenate([mass * chance, mass * (1 - chance)])
    law /= law.sum()
    sizes = int(batches.size) * np.diff(np.asarray(batches.steps), prepend=0)
    drawn = rng.multinomial(sizes, law) if num_samples is None else _epochs(rng, np.rint(num_samples * law).astype(int), sizes)
    drawn = drawn.reshape(len(sizes), 2, -1)
    total = drawn.sum(axis=1)
    order = np.argsort(total == 0, axis=1, stable=True)
    shares = np.where(total > 0, drawn[:, 0] / np.maximum(total, 1), 0.5)
    sorted_leaves = (jnp.asarray(np.take_along_axis(leaf, order, axis=1)) for leaf in (shares, total / sizes[:, None]))
    return Pieces(batches.ends, jnp.asarray(order), *sorted_leaves)


def _epochs(rng: np.random.Generator, counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Counts (sizes, m) of the next samples each time, out of a pool that is filled again when it is empty."""
    found, pool = np.zeros((len(sizes), len(counts)), int), counts.copy()
    for row, size in zip(found, sizes, strict=True):
        while size > 0:
            number = min(size, pool.sum())
            taken = rng.multivariate_hypergeometric(pool, number, method="marginals")
            row += taken
            pool, size = pool - taken, size - number
            if not pool.any():
                pool = counts.copy()
    return found
