"""Theory against training: one configuration, trained as networks and predicted three ways."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.description import spec_parameters
from ntk_shortcuts.entry import predict_bias
from ntk_shortcuts.experiments.comparison.parts import (
    Clock,
    as_record,
    beside_averaged,
    beside_trained,
    descent,
    network_words,
    require_setting,
    training_key,
)
from ntk_shortcuts.experiments.ensembles import Ensemble, train_ensemble
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.laws.two_features.plane import plane_basis
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.typing import AnyArray, Latents
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
        require_setting(self.network, self.times, self.num_samples)
        require_integer("num_datasets", self.num_datasets, 1)
        require_integer("num_inits", self.num_inits, 2 if self.num_datasets > 1 else 3)

    @property
    def name(self) -> str:
        """A short label."""
        shortcut, core = (float(a) for a in self.model.amplification)
        return f"{network_words(self.network)}, ratio {shortcut / core:g}, N {self.num_samples}"

    def parameters(self) -> dict[str, Any]:
        """Every parameter as plain Python values."""
        found = {**spec_parameters(self.model), **spec_parameters(self.network), "times": list(self.times)}
        counts = {name: getattr(self, name) for name in ("num_samples", "num_datasets", "num_inits")}
        return {**found, **counts, "dtype": "float32", "orthogonal": True}

    def training(self) -> GradientDescent:
        """Gradient descent that records at the times, with as large a rate as is safe."""
        return descent(self.model, self.network, self.times)

    def compare(self, seed: int = 0) -> dict[str, Any]:
        """The record: :func:`compare`."""
        return compare(self, seed)


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
    clock = Clock()

    def train() -> Ensemble:
        return train_ensemble(
            model,
            network,
            training,
            samples,
            datasets,
            configuration.num_inits,
            key=training_key(configuration.parameters(), seed),
            orthogonal=True,
            dtype=jnp.float32,
        )

    def predict(index: int, **options: Any) -> Prediction:
        data, probe_inputs = _in_plane(network, ensemble.dataset(index), ensemble.probes)
        return predict_bias(model, network, training, dataset=data, probe_inputs=probe_inputs, check_laziness=False, **options)

    def predict_own(index: int) -> Prediction:
        return predict(index, initial_outputs=(ensemble.initial_train_outputs[index], ensemble.initial_outputs[index]))

    ensemble = clock("train", train)
    own = clock("own_init", lambda: [predict_own(index) for index in range(datasets)])
    expected = clock("expected", lambda: [predict(index) for index in range(datasets)])
    bias = np.asarray(ensemble.bias, np.float64)  # (T, D, I)
    own_bias, expected_bias = (np.stack([np.asarray(p.bias) for p in several], axis=1) for several in (own, expected))
    found: dict[str, Any] = beside_trained(bias, own_bias, expected_bias, len(ensemble.probes))
    found |= _output_gaps(ensemble, own)
    found["largest_eigenvalue"] = max(p.diagnostics["largest_eigenvalue"] for p in expected)
    if datasets > 1:
        averaged = clock(
            "averaged", lambda: predict_bias(model, network, training, samples, "dataset_averaged", check_laziness=False)
        )
        found |= beside_averaged(found, averaged.bias, bias[0].size, len(ensemble.probes))
        found["averaged_trusted"] = averaged.diagnostics["trusted"]
    middle = len(bias) // 2
    surface = {
        "predicted": np.asarray(own[0].mean)[middle].mean(axis=0),
        "trained": ensemble.outputs[middle, 0].mean(axis=0),
    }
    return {
        **as_record(configuration, seed, training, found, clock),
        "surface": {name: np.round(np.asarray(values, float), 3).tolist() for name, values in surface.items()},
    }


@in_float64
def _in_plane(network: MLP, data: Dataset, probes: Latents) -> tuple[Dataset, AnyArray]:
    """The data set and the probes as inputs of two dimensions with the same kernels, which cost less than those in R^d."""
    embedding = required(data.embedding, "data", "a data set with its embedding")
    basis = plane_basis(embedding)
    inputs, at_probes = (network.plane_inputs(jnp.asarray(x), basis) for x in (data.inputs, embedding(probes)))
    return Dataset.from_arrays(inputs, data.labels), at_probes


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
