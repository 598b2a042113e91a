"""What all comparisons have in common: the descent, the three roads beside the trained numbers, and records of plain values."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ntk_shortcuts.experiments.comparison.environment import environment
from ntk_shortcuts.experiments.comparison.statistics import initialisation_error, resolution
from ntk_shortcuts.experiments.ensembles.result import standard_error
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.typing import Key
from ntk_shortcuts.validation import require, require_integer, required


class Clock:
    """Seconds of each part of a comparison, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, function: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = function()
        self.seconds[name] = round(time.perf_counter() - began, 3)
        return result


def network_words(network: MLP) -> str:
    """What the name of a comparison says of its networks."""
    biases = "" if float(network.bias_variance) == 0 else f", sigma_b^2 {float(network.bias_variance):g}"
    return f"{network.activation.name}, depth {network.depth}{biases}, width {network.width}"


def require_setting(network: MLP, times: Any, num_samples: Any) -> None:
    """Networks that a comparison can train, read at times that one learning rate meets."""
    require(network.width is not None, "width", "an integer for a finite network", network.width)
    require(network.parameterization == "ntk", "parameterization", '"ntk"', network.parameterization)
    found = np.asarray(times, float)
    multiples = found.ndim == 1 and found.size > 0 and bool(np.all(found > 0)) and np.allclose(found % found[0], 0)
    require(multiples, "times", "positive multiples of the first", times)
    require_integer("num_samples", num_samples, 2)


def descent(law: DataLaw, network: MLP, times: tuple[float, ...]) -> GradientDescent:
    r"""Gradient descent that records at the times, with the largest rate \(t_1/m\) for which \(\eta\lambda_{\max}\le0.8\).

    \(\lambda_{\max}\) is that of the infinitely wide kernel on 200 points of the data law; data sets differ.
    """
    latents = required(law.sample(jax.random.key(0), 200).latents, "model", "one with latents")
    kernel = np.asarray(LawKernel(law, network)(latents).ntk) / len(latents)
    divisor = int(np.ceil(times[0] * np.linalg.eigvalsh(kernel)[-1] / 0.8))
    return GradientDescent(times[0] / divisor, np.round(divisor * np.asarray(times) / times[0]))


def training_key(parameters: Mapping[str, Any], seed: int) -> Key:
    """Training key. Widths and depths share it, so that a study of either stays on one data set."""
    left_out = ("width", "depth", "num_inits")
    # What is None says nothing: a new option of networks leaves the keys of those without it.
    given = {name: value for name, value in parameters.items() if value is not None and name not in left_out}
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).digest()
    return jax.random.fold_in(jax.random.key(seed), int.from_bytes(digest[:4], "big"))


def beside_trained(trained: np.ndarray, own: np.ndarray, expected: np.ndarray, num_probes: int) -> dict[str, np.ndarray]:
    """Means of trained numbers (T, D, I, ...), of predictions with own initial outputs (T, D, I, ...) and in expectation
    (T, D, ...), with errors and gaps, each (T, ...)."""
    mean, init_error = trained.mean(axis=(1, 2)), initialisation_error(trained, num_probes)
    several, gap = trained.shape[1] > 1, trained - own
    over_networks = np.moveaxis(trained, (1, 2), (-2, -1))
    return {
        "trained": mean,
        "trained_data_error": standard_error(over_networks) if several else np.full(mean.shape, np.nan),
        "trained_init_error": init_error,
        "own_init": own.mean(axis=(1, 2)),
        "expected": expected.mean(axis=1),
        "expected_z": (mean - expected.mean(axis=1)) / init_error,
        "single_gap": np.sqrt(np.mean(gap**2, axis=(1, 2))),
        "ensemble_gap": gap.mean(axis=(1, 2)),
        "ensemble_gap_error": initialisation_error(gap, num_probes),
    }


def beside_averaged(found: Mapping[str, np.ndarray], averaged: Any, networks: int, num_probes: int) -> dict[str, np.ndarray]:
    """The analytic average, and its distance from the trained mean in standard errors over data sets."""
    averaged = np.asarray(averaged)
    error = np.maximum(found["trained_data_error"], resolution(networks, num_probes))
    return {"averaged": averaged, "averaged_z": (found["trained"] - averaged) / error}


def as_record(
    configuration: Any, seed: int, training: GradientDescent, found: Mapping[str, Any], clock: Clock
) -> dict[str, Any]:
    """What is written of a comparison: plain values."""
    return {
        "name": configuration.name,
        "parameters": configuration.parameters(),
        "seed": seed,
        "learning_rate": float(training.learning_rate),
        "steps": [int(step) for step in np.asarray(training.steps)],
        **{name: plain(values) for name, values in {"times": configuration.times, **found}.items()},
        "seconds": clock.seconds,
        "environment": environment(),
    }


def plain(value: Any) -> Any:
    """Numbers for JSON: six digits, None for NaN."""
    array = np.asarray(value, float)
    if array.ndim:
        return [plain(entry) for entry in array]
    return float(f"{float(array):.6g}") if np.isfinite(array) else None
