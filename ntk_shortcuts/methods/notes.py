"""Diagnostics and issues that several methods find in the same way."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import ROUNDING_OF_BIAS, Rounding, UnresolvedDirection, UnresolvedLabels
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.training.frozen_kernel import OutputLaw
from ntk_shortcuts.training.rules import SpectralFilter


def rounding_notes(outputs: Any, moved: float | None) -> Any:
    """Outputs with the largest move of the bias under errors of the arithmetic, or of a sum of resolvents."""
    if moved is None:
        return outputs
    issues = () if moved <= ROUNDING_OF_BIAS else (Rounding(moved),)
    return outputs.with_notes({"rounding_error": moved}, issues)


def unresolved_direction(
    law: DataLaw, training: SpectralFilter, largest: Any, resolution: float, num_samples: Any = None
) -> tuple[UnresolvedDirection, ...]:
    """Where one direction of the data has too little variance for the method, and so much time that it is learnt.

    Args:
        largest: eigenvalue; resolution: smallest eigenvalue, relative to it, of which the method says itself what it misses.
    """
    flattest = law.flattest
    if flattest is None:
        return ()
    ratio = float(flattest)
    if ratio >= resolution:
        return ()
    eigenvalue = float(largest) * ratio
    learnt = _most_learnt(training, eigenvalue, num_samples)
    return (UnresolvedDirection(ratio, learnt),) if learnt > 1e-3 else ()


def unresolved_labels(network: Any, training: SpectralFilter, law: OutputLaw, num_samples: int) -> tuple[UnresolvedLabels, ...]:
    """Where training goes on until it reaches eigenvalues below rounding, and labels lie there.

    Linear networks have none: their kernels are zero beyond the dimension of the inputs.
    """
    if network.facts.linear:
        return ()
    resolution = num_samples * float(jnp.finfo(law.mean.dtype).eps) * float(law.spectrum.largest_eigenvalue)
    learnt = _most_learnt(training, resolution, num_samples)
    dropped = float(law.spectrum.mass_dropped)
    return (UnresolvedLabels(dropped, resolution),) if learnt > 0.01 and dropped > 0.01 else ()


def _most_learnt(training: SpectralFilter, eigenvalue: float, num_samples: Any) -> float:
    """What is learnt of a mode, the largest over the rule's batch."""
    number = None if num_samples is None else np.asarray(float(num_samples))
    return float(np.max(np.asarray(_gains(training.enlarged(), np.asarray([eigenvalue]), number)))) * eigenvalue


@compiled
def _gains(training: SpectralFilter, eigenvalues: Any, num_samples: Any) -> jax.Array:
    return training.filter(eigenvalues, num_samples)
