"""Theory against training: one configuration, trained as networks and predicted three ways."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.description import spec_parameters
from ntk_shortcuts.entry import predict_bias
from ntk_shortcuts.experiments.comparison.environment import environment
from ntk_shortcuts.experiments.comparison.statistics import initialisation_error, resolution
from ntk_shortcuts.experiments.ensembles import Ensemble, train_ensemble
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.laws.two_features.plane import plane_basis
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.typing import AnyArray, Key, Latents
from ntk_shortcuts.validation import require, require_integer, required


class Configuration(eqx.Module):
    """What is compared: networks of finite width under one data law, trained on D data sets from I initialisations each.

    Args:
        model: the data law, without nesting.
        network: an `MLP` of finite width in the NTK parameterisation.
        times: learning rate x steps at which the bias is recorded, multiples of the first.
        num_samples: N, even.
        num_datasets: D; with one data set the average over data sets is not predicted.
        num_inits: I >= 2, and >= 3 with one data set.

    Raises:
        ValueError: naming the argument, the allowed values and the value got.

    Example:
        >>> Configuration(GenerativeModel(), MLP(1, width=512), (3.0, 30.0), 100, 16, 4).name
        'relu, depth 1, width 512, ratio 1, N 100'
    """

    model: GenerativeModel
    network: MLP
    times: tuple[float, ...] = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
    num_datasets: int = eqx.field(static=True)
    num_inits: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        require(self.model.nesting == (0, 0), "nesting", "(0, 0), for networks in the plane", self.model.nesting)
        require(self.network.width is not None, "width", "an integer for a finite network", self.network.width)
        require(self.network.parameterization == "ntk", "parameterization", '"ntk"', self.network.parameterization)
        times = np.asarray(self.times, float)
        multiples = times.ndim == 1 and times.size > 0 and bool(np.all(times > 0)) and np.allclose(times % times[0], 0)
        require(multiples, "times", "positive multiples of the first", self.times)
        require_integer("num_samples", self.num_samples, 2)
        require_integer("num_datasets", self.num_datasets, 1)
        require_integer("num_inits", self.num_inits, 2 if self.num_datasets > 1 else 3)

    @property
    def name(self) -> str:
        """A short label."""
        shortcut, core = (float(a) for a in self.model.amplification)
        biases = "" if float(self.network.bias_variance) == 0 else f", sigma_b^2 {float(self.network.bias_variance):g}"
        return (
            f"{self.network.activation.name}, depth {self.network.depth}{biases}, width {self.network.width}, "
            f"ratio {shortcut / core:g}, N {self.num_samples}"
        )

    def parameters(self) -> dict[str, Any]:
        """Every parameter as plain Python values."""
        found = {**spec_parameters(self.model), **spec_parameters(self.network), "times": list(self.times)}
        counts = {name: getattr(self, name) for name in ("num_samples", "num_datasets", "num_inits")}
        return {**found, **counts, "dtype": "float32", "orthogonal": True}

    def training(self) -> GradientDescent:
        r"""Gradient descent that records at the times, with the largest rate \(t_1/m\) for which \(\eta\lambda_{\max}\le0.8\).

        \(\lambda_{\max}\) is that of the infinitely wide kernel on 200 points of the data law; data sets differ.
        """
        latents = required(self.model.sample(jax.random.key(0), 200).latents, "model", "one with latents")
        kernel = np.asarray(LawKernel(self.model, self.network)(latents).ntk) / len(latents)
        divisor = int(np.ceil(self.times[0] * np.linalg.eigvalsh(kernel)[-1] / 0.8))
        return GradientDescent(self.times[0] / divisor, np.round(divisor * np.asarray(self.times) / self.times[0]))


def compare(configuration: Configuration, seed: int = 0) -> dict[str, Any]:
    r"""Train the networks of a configuration and predict their bias, at each recorded step.

    Networks are trained in float32, on inputs whose two feature directions are exactly orthogonal, as they are for large d.
    Predictions use the kernels of infinite width:

    - `own_init`: the same data sets and each network's own initial output, \(f(x)=f_0(x)+\Theta(x,X)F(y-f_0(X))\).
    - `expected`: the same data sets, in expectation over initialisations (method "dataset").
    - `averaged`: the analytic average over data sets and initialisations (method "dataset_averaged").

    Returns:
        A record of plain values, lists over the T recorded steps:

        - `name`, `parameters`, `seed`, `learning_rate`, `steps`, `times`, `environment`.
        - `trained`: mean bias of all networks; `trained_data_error`: its standard error as an average over data sets (NaN for
          one data set); `trained_init_error`: its standard error over initialisations with the data sets given.
        - `own_init`, `expected`, `averaged`: predicted mean biases; `expected_z` with `trained_init_error`, `averaged_z` with
          `trained_data_error`. `averaged` is missing with one data set.
        - `single_gap`: of each network's bias from its own prediction, root mean square; `ensemble_gap`: the mean of that
          difference over networks, with `ensemble_gap_error`.
        - `single_output_gap`, `ensemble_output_gap`: squared gaps of the outputs, averaged over probes and data sets: of one
          network from its own prediction, and of the mean over initialisations (an unbiased estimate, which may be negative);
          `_error` of each.
        - `seconds`: of training and of each prediction, compilation included where it had to be compiled.
        - `surface`: mean output of the networks on the first data set at the middle step, predicted (`own_init`) and trained.

    Raises:
        FloatingPointError: training diverged.

    Example:
        >>> configuration = Configuration(GenerativeModel(), MLP(1, width=512), (3.0, 30.0), 100, 16, 4)
        >>> record = compare(configuration)  # doctest: +SKIP
        >>> record["trained"], record["averaged"]  # doctest: +SKIP
    """
    model, network, training = configuration.model, configuration.network, configuration.training()
    samples, datasets = configuration.num_samples, configuration.num_datasets
    seconds = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = function()
        seconds[name] = time.perf_counter() - began
        return result

    def train() -> Ensemble:
        return train_ensemble(
            model,
            network,
            training,
            samples,
            datasets,
            configuration.num_inits,
            key=configuration_key(configuration, seed),
            orthogonal=True,
            dtype=jnp.float32,
        )

    def predict(index: int, **options: Any) -> Prediction:
        data, probe_inputs = _in_plane(network, ensemble.dataset(index), ensemble.probes)
        return predict_bias(model, network, training, dataset=data, probe_inputs=probe_inputs, check_laziness=False, **options)

    def predict_own(index: int) -> Prediction:
        return predict(index, initial_outputs=(ensemble.initial_train_outputs[index], ensemble.initial_outputs[index]))

    ensemble = timed("train", train)
    own = timed("own_init", lambda: [predict_own(index) for index in range(datasets)])
    expected = timed("expected", lambda: [predict(index) for index in range(datasets)])
    bias = np.asarray(ensemble.bias, np.float64)  # (T, D, I)
    own_bias = np.stack([np.asarray(p.bias) for p in own], axis=1)
    expected_bias = np.stack([np.asarray(p.bias) for p in expected], axis=1).mean(axis=1)
    trained, init_error = bias.mean(axis=(1, 2)), initialisation_error(bias, len(ensemble.probes))
    data_error = np.asarray(ensemble.standard_error) if datasets > 1 else np.full(len(trained), np.nan)
    gap = bias - own_bias
    found = {
        "times": configuration.times,
        "trained": trained,
        "trained_data_error": data_error,
        "trained_init_error": init_error,
        "own_init": own_bias.mean(axis=(1, 2)),
        "expected": expected_bias,
        "expected_z": (trained - expected_bias) / init_error,
        "single_gap": np.sqrt(np.mean(gap**2, axis=(1, 2))),
        "ensemble_gap": gap.mean(axis=(1, 2)),
        "ensemble_gap_error": initialisation_error(gap, len(ensemble.probes)),
        **_output_gaps(ensemble, own),
        "largest_eigenvalue": max(p.diagnostics["largest_eigenvalue"] for p in expected),
    }
    if datasets > 1:
        averaged = timed(
            "averaged", lambda: predict_bias(model, network, training, samples, "dataset_averaged", check_laziness=False)
        )
        error = np.maximum(data_error, resolution(bias[0].size, len(ensemble.probes)))
        found.update(averaged=averaged.bias, averaged_z=(trained - np.asarray(averaged.bias)) / error)
        found["averaged_trusted"] = averaged.diagnostics["trusted"]
    middle = len(trained) // 2
    surface = {
        "predicted": np.asarray(own[0].mean)[middle].mean(axis=0),
        "trained": ensemble.outputs[middle, 0].mean(axis=0),
    }
    return {
        "name": configuration.name,
        "parameters": configuration.parameters(),
        "seed": seed,
        "learning_rate": float(training.learning_rate),
        "steps": [int(step) for step in np.asarray(training.steps)],
        **{name: _plain(values) for name, values in found.items()},
        "surface": {name: np.round(np.asarray(values, float), 3).tolist() for name, values in surface.items()},
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "environment": environment(),
    }


@in_float64
def _in_plane(network: MLP, data: Dataset, probes: Latents) -> tuple[Dataset, AnyArray]:
    """The data set and the probes as inputs of two dimensions with the same kernels, which cost less than those in R^d."""
    embedding = required(data.embedding, "data", "a data set with its embedding")
    basis = plane_basis(embedding)
    inputs, at_probes = (network.plane_inputs(jnp.asarray(x), basis) for x in (data.inputs, embedding(probes)))
    return Dataset.from_arrays(inputs, data.labels), at_probes


def configuration_key(configuration: Configuration, seed: int) -> Key:
    """Training key. Widths and depths share it, so that a study of either stays on one data set."""
    left_out = ("width", "depth", "num_inits")
    # What is None says nothing: a new option of networks leaves the keys of those without it.
    given = {name: value for name, value in configuration.parameters().items() if value is not None}
    parameters = {name: value for name, value in given.items() if name not in left_out}
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).digest()
    return jax.random.fold_in(jax.random.key(seed), int.from_bytes(digest[:4], "big"))


def _output_gaps(ensemble: Ensemble, own: list) -> dict[str, np.ndarray]:
    """Squared gaps of the outputs of one network and of the ensemble mean, each with its standard error."""
    inits = ensemble.outputs.shape[2]
    single, together, single_error, together_error = [], [], [], []
    for index, prediction in enumerate(own):
        gap = np.asarray(ensemble.outputs[:, index], np.float64) - np.asarray(prediction.mean)  # (T, I, probes)
        squares, total = np.mean(gap**2, axis=-1), gap.sum(axis=1)
        overlap = np.mean(gap * total[:, None], axis=-1)  # of each network with the sum over all
        pairs = np.mean(total**2, axis=-1) - squares.sum(axis=1)
        single.append(squares.mean(axis=1))
        single_error.append(squares.std(axis=1, ddof=1) / np.sqrt(inits))
        together.append(pairs / (inits * (inits - 1)))
        # Jackknife: the same estimate without each network in turn.
        left_out = (pairs[:, None] - 2 * (overlap - squares)) / max((inits - 1) * (inits - 2), 1)
        together_error.append(np.sqrt((inits - 1) / inits * np.sum((left_out - left_out.mean(1, keepdims=True)) ** 2, axis=1)))

    def mean_and_error(values: list, errors: list) -> tuple[np.ndarray, np.ndarray]:
        stacked = np.stack(values)
        if len(stacked) == 1:
            return stacked[0], errors[0]
        return stacked.mean(axis=0), stacked.std(axis=0, ddof=1) / np.sqrt(len(stacked))

    names = ("single_output_gap", "single_output_gap_error", "ensemble_output_gap", "ensemble_output_gap_error")
    values = (*mean_and_error(single, single_error), *mean_and_error(together, together_error))
    return dict(zip(names, values, strict=True))


def _plain(value: Any) -> Any:
    """Numbers for JSON: six digits, None for NaN."""
    array = np.asarray(value, float)
    if array.ndim:
        return [_plain(entry) for entry in array]
    return float(f"{float(array):.6g}") if np.isfinite(array) else None
