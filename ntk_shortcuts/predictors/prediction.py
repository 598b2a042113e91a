"""What every predictor returns: outputs at the probes, the bias they make, and how far to trust them."""

from __future__ import annotations

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.bias import expected_reliance, optimal_reliance
from ntk_shortcuts.generative import GenerativeModel
from ntk_shortcuts.numerics import is_traced, safe_divide, safe_sqrt
from ntk_shortcuts.predictors.spectral import SpectralDiagnostics
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
    rounding: jax.Array | None = None,
) -> Prediction:
    """Bias of Gaussian outputs with the given mean and variance (None: no spread) at the probes.

    Probes on the decision boundary, to a relative 1e-6 of the mean output, count as undecided (sign 0), as they do for the
    optimal classifier.

    Args:
        rounding: of the variance, at the probes. The move of the bias under it is the diagnostic `rounding_error`.

    Raises:
        ValueError: outputs that are not finite: an overflow.
    """
    std = jnp.zeros_like(mean) if variance is None else safe_sqrt(variance)
    require_finite_outputs(mean, std)
    reliance, optimum, moved = _reliances(model, mean, std, probes, 0.0 if rounding is None else rounding)
    error = {}
    if rounding is not None and not is_traced(moved):
        error["rounding_error"] = float(jnp.max(moved))
    return Prediction(
        bias=plain(reliance - optimum),
        reliance=plain(reliance),
        optimal_reliance=plain(optimum),
        mean=mean,
        std=std,
        probes=probes,
        method=method,
        diagnostics=error,
    )


def require_finite_outputs(mean: jax.Array, spread: jax.Array) -> None:
    """Refuse outputs that overflowed; traced ones cannot tell."""
    if not is_traced(mean, spread):
        finite = bool(jnp.all(jnp.isfinite(mean)) & jnp.all(jnp.isfinite(spread)))
        require(finite, "outputs", f"finite: kernel and training rule within the range of {mean.dtype}", "an overflow")


def warn_of_rounding(prediction: Prediction, stacklevel: int = 4) -> None:
    """Warn where the rounding of the outputs' variance moves the bias by more than 0.002."""
    moved = prediction.diagnostics.get("rounding_error", 0.0)
    if moved > _TRUSTED_ROUNDING:
        warnings.warn(
            f"rounding of the outputs' variance moves the bias by up to {moved:.2g}: the random output at initialisation is "
            "many orders of magnitude above what is left of it (random_init=False leaves it out)",
            UntrustedPredictionWarning,
            stacklevel=stacklevel + 1,
        )


@eqx.filter_jit
def _reliances(
    model: GenerativeModel, mean: jax.Array, std: jax.Array, probes: jax.Array, rounding: jax.Array | float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Expected reliance, the optimal one, and how far the rounding of the variance moves the former."""
    distance = safe_sqrt(jnp.sum(probes**2, axis=-1))
    slope = jnp.max(jnp.abs(safe_divide(mean, jnp.broadcast_to(distance, mean.shape))), axis=-1, keepdims=True)
    undecided = jnp.abs(mean) <= _BOUNDARY * slope * distance
    # The value is 0, the derivative stays.
    mean = mean - jax.lax.stop_gradient(jnp.where(undecided, mean, 0))
    reliance = expected_reliance(mean, std, probes)
    blurred = expected_reliance(mean, safe_sqrt(std**2 + rounding), probes)
    return reliance, optimal_reliance(model, probes), jnp.abs(blurred - reliance)


def plain(value: jax.Array) -> float | jax.Array:
    """A concrete scalar as a Python float."""
    return value if is_traced(value) or value.ndim else float(value)


def describe_spectrum(spectrum: SpectralDiagnostics) -> dict[str, float]:
    """Spectral diagnostics as plain numbers."""
    return {field.name: float(getattr(spectrum, field.name)) for field in dataclasses.fields(spectrum)}
