"""The symmetry (z, y) -> (-z, -y) of the data law, at the probes: half of them say it all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.results.output_error import OutputError
from ntk_shortcuts.validation import require

Unfold = Callable[..., tuple]


def half_of(probes: jax.Array) -> tuple[jax.Array, Unfold]:
    """The probes to solve for, and what turns mean (odd), variance (even) and their error there into those at all probes.

    A grid that holds -z in reverse order is solved on its first half, any other set as it is.
    """
    mirrored = not is_traced(probes) and len(probes) % 2 == 0 and np.array_equal(probes, -np.asarray(probes)[::-1])
    if not mirrored:
        return probes, lambda *values: values

    def all_of(half: jax.Array, sign: float) -> jax.Array:
        return jnp.concatenate([half, sign * half[..., ::-1]], axis=-1)

    def unfold(mean: jax.Array, variance: jax.Array | None, error: OutputError) -> tuple:
        everywhere = OutputError(all_of(error.mean, -1), all_of(error.variance, 1))
        return all_of(mean, -1), None if variance is None else all_of(variance, 1), everywhere

    return probes[: len(probes) // 2], unfold


def require_symmetric(model: GenerativeModel, network: Any, probes: jax.Array) -> None:
    """Refuse a kernel that is not symmetric under (x, x') -> (-x, -x')."""
    some = probes[:: max(1, probes.shape[0] // 4)]
    there = np.asarray(network.latent_kernels(model, some).ntk)
    back = np.asarray(network.latent_kernels(model, -some).ntk)
    require(
        bool(np.max(np.abs(there - back)) <= 1e-6 * np.max(np.abs(there))),
        "network",
        "a kernel with Theta(-x, -x') = Theta(x, x'), as every network with symmetric random weights has",
        f"a relative difference of {np.max(np.abs(there - back)) / np.max(np.abs(there)):.2g}",
    )
