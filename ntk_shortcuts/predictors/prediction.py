"""What every predictor returns: outputs at the probes, the bias they make, and how far to trust them."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.bias import expected_reliance, optimal_reliance
from ntk_shortcuts.generative import GenerativeModel
from ntk_shortcuts.numerics import is_traced, safe_sqrt
from ntk_shortcuts.predictors.spectral import SpectralDiagnostics
from ntk_shortcuts.typing import Array, Float


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
) -> Prediction:
    """Bias of Gaussian outputs with the given mean and variance (None: no spread) at the probes."""
    std = jnp.zeros_like(mean) if variance is None else safe_sqrt(variance)
    reliance, optimum = _reliances(model, mean, std, probes)
    return Prediction(
        bias=plain(reliance - optimum),
        reliance=plain(reliance),
        optimal_reliance=plain(optimum),
        mean=mean,
        std=std,
        probes=probes,
        method=method,
    )


@eqx.filter_jit
def _reliances(model: GenerativeModel, mean: jax.Array, std: jax.Array, probes: jax.Array) -> tuple[jax.Array, jax.Array]:
    return expected_reliance(mean, std, probes), optimal_reliance(model, probes)


def plain(value: jax.Array) -> float | jax.Array:
    """A concrete scalar as a Python float."""
    return value if is_traced(value) or value.ndim else float(value)


def describe_spectrum(spectrum: SpectralDiagnostics) -> dict[str, float]:
    """Spectral diagnostics as plain numbers."""
    return {field.name: float(getattr(spectrum, field.name)) for field in dataclasses.fields(spectrum)}
