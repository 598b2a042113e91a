"""What every predictor returns: outputs at the probes, the bias they make, and how far to trust them."""

from __future__ import annotations

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.metrics.reliance import expected_reliance, optimal_reliance
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.numerics import is_traced, safe_divide, safe_sqrt
from ntk_shortcuts.results.output_error import DRAWS, OutputError
from ntk_shortcuts.training.spectral import SpectralDiagnostics
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import require

# Relative to an output that grows linearly from the origin.
_BOUNDARY = 1e-6
_TRUSTED_ROUNDING = 2e-3


class UntrustedPredictionWarning(UserWarning):
    """An error estimate of the prediction is above the tolerance."""


class Prediction(eqx.Module):
    """Predicted outputs and shortcut bias.

    - `bias`, `reliance`, `optimal_reliance`: floats; arrays (T,) where the training rule has T times.
    - `mean`, `std`: of the output at the probes, (probes,) or (T, probes), over initialisations and, where the method has
      them, data sets.
    - `probes`: latents (probes, 2).
    - `bias_std`: standard deviation of the bias over initialisations, shaped like `bias`, where the method runs single
      networks; else None.
    - `method`: its registered name.
    - `diagnostics`: size of every approximation made, by name.
    """

    bias: float | Float[Array, "*batch"]
    reliance: float | Float[Array, "*batch"]
    optimal_reliance: float | Float[Array, ""]
    mean: Float[Array, "*batch probes"]
    std: Float[Array, "*batch probes"]
    probes: Float[Array, "probes 2"]
    method: str = eqx.field(static=True)
    diagnostics: dict[str, float] = eqx.field(default_factory=dict)
    bias_std: float | Float[Array, "*batch"] | None = None

    def with_diagnostics(self, diagnostics: dict[str, float]) -> Prediction:
        """The same prediction with diagnostics added."""
        return dataclasses.replace(self, diagnostics={**self.diagnostics, **diagnostics})


def prediction_from_law(
    method: str,
    model: GenerativeModel,
    probes: jax.Array,
    mean: jax.Array,
    variance: jax.Array | None,
    error: OutputError | None = None,
) -> Prediction:
    """Bias of Gaussian outputs with the given mean and variance (None: no spread) at the probes.

    Probes on the decision boundary, to a relative 1e-6 of the mean output, count as undecided (sign 0), as they do for the
    optimal classifier.

    Args:
        error: what the law may be off by. The largest move of the bias under it is the diagnostic `rounding_error`.

    Raises:
        ValueError: outputs that are not finite: an overflow.
    """
    std = jnp.zeros_like(mean) if variance is None else safe_sqrt(variance)
    require_finite_outputs(mean, std)
    reliance, optimum, moved = _reliances(model, mean, std, probes, error)
    found = {}
    if moved is not None and not is_traced(moved):
        found["rounding_error"] = float(jnp.max(moved))
    return Prediction(
        bias=plain(reliance - optimum),
        reliance=plain(reliance),
        optimal_reliance=plain(optimum),
        mean=mean,
        std=std,
        probes=probes,
        method=method,
        diagnostics=found,
    )


def require_finite_outputs(mean: jax.Array, spread: jax.Array) -> None:
    """Refuse outputs that overflowed; traced ones cannot tell."""
    if not is_traced(mean, spread):
        finite = bool(jnp.all(jnp.isfinite(mean)) & jnp.all(jnp.isfinite(spread)))
        require(finite, "outputs", f"finite: kernel and training rule within the range of {mean.dtype}", "an overflow")


def warn_of_rounding(prediction: Prediction, stacklevel: int = 4) -> None:
    """Warn where errors of the arithmetic, or of a sum of resolvents, move the bias by more than 0.002."""
    moved = prediction.diagnostics.get("rounding_error", 0.0)
    if not moved <= _TRUSTED_ROUNDING:
        warnings.warn(
            f"rounding moves the bias by up to {moved:.2g}: at some probes the outputs are within the error of the arithmetic. "
            "Either the random output at initialisation is many orders of magnitude above what is left of it "
            "(random_init=False leaves it out), or training reaches a direction in which the data hardly vary",
            UntrustedPredictionWarning,
            stacklevel=stacklevel + 1,
        )


def warn_of_unresolved_direction(
    model: GenerativeModel,
    training: TrainingRule,
    largest: jax.Array,
    resolution: float,
    num_samples: int | None = None,
    stacklevel: int = 4,
) -> None:
    """Warn where one direction of the data has too little variance for the method, and so much time that it is learnt.

    Args:
        largest: eigenvalue; resolution: smallest eigenvalue, relative to it, of which the method says itself what it misses.
    """
    if any(model.nesting):
        return
    large, small = (float(value) for value in model.second_moment_eigenvalues)
    eigenvalue = float(largest) * small / large
    learnt = float(jnp.max(training.filter(jnp.asarray([eigenvalue]), num_samples))) * eigenvalue
    if small / large < resolution and learnt > 1e-3:
        warnings.warn(
            f"the inputs' second moment in one direction is {small / large:.1g} of that in the other, below the "
            f"resolution of the arithmetic, and {learnt:.1g} of the target's part there would be learnt, but is left out; "
            'linear networks and one hidden layer of ReLU have a closed form, method="leading_order"',
            UntrustedPredictionWarning,
            stacklevel=stacklevel + 1,
        )


@eqx.filter_jit
def _reliances(
    model: GenerativeModel, mean: jax.Array, std: jax.Array, probes: jax.Array, error: OutputError | None
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Expected reliance, the optimal one, and how far errors of the outputs move the former at most."""
    distance = safe_sqrt(jnp.sum(probes**2, axis=-1))

    def decided(mean: jax.Array, std: jax.Array) -> jax.Array:
        slope = jnp.max(jnp.abs(safe_divide(mean, jnp.broadcast_to(distance, mean.shape))), axis=-1, keepdims=True)
        undecided = jnp.abs(mean) <= _BOUNDARY * slope * distance
        # The value is 0, the derivative stays.
        mean = mean - jax.lax.stop_gradient(jnp.where(undecided, mean, 0))
        return expected_reliance(mean, std, probes)

    reliance, optimum = decided(mean, std), optimal_reliance(model, probes)
    if error is None:
        return reliance, optimum, None
    draws = np.random.default_rng(1).normal(size=(DRAWS, probes.shape[0])).astype(mean.dtype)
    noise = error.variance[..., None, :] * draws
    # Both ways, and twice the expected size: the outputs hold such an error already.
    by_mean, by_variance = (
        jnp.concatenate([2 * part, -2 * part], axis=-2) for part in (jnp.broadcast_to(error.mean, noise.shape), noise)
    )
    shifted = safe_sqrt(jnp.maximum(std[..., None, :] ** 2 + by_variance, 0))
    moved = decided(mean[..., None, :] + by_mean, shifted) - reliance[..., None]
    return reliance, optimum, jnp.max(jnp.abs(moved), axis=-1)


def plain(value: jax.Array) -> float | jax.Array:
    """A concrete scalar as a Python float."""
    return value if is_traced(value) or value.ndim else float(value)


def describe_spectrum(spectrum: SpectralDiagnostics) -> dict[str, float]:
    """Spectral diagnostics as plain numbers."""
    return {field.name: float(getattr(spectrum, field.name)) for field in dataclasses.fields(spectrum)}
