"""Where the data of a run come from: sampled from the laws, or given."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.given import GivenData, given_data
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.laws.two_features.plane import plane_basis
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.typing import AnyArray, Key
from ntk_shortcuts.validation import require, require_integer


class TrainingData(eqx.Module):
    """What one network trains on and is measured on; of networks reduced to the plane the inputs are those in it."""

    inputs: AnyArray
    labels: AnyArray
    probes: AnyArray
    validation_inputs: AnyArray | None
    validation_labels: AnyArray | None
    basis: AnyArray | None


class Task(eqx.Module):
    """A data set, and what its networks see of it."""

    data: Any
    training: TrainingData

    def cast(self, dtype: Any) -> Task:
        """With what networks see as NumPy arrays of a dtype."""
        return Task(self.data, jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype, copy=False), self.training))


class Source(eqx.Module):
    """Data sets for a run: `num_datasets` of `num_samples` samples for each law, of inputs in R^input_dim."""

    num_samples: eqx.AbstractVar[int]
    num_datasets: eqx.AbstractVar[int]
    input_dim: eqx.AbstractVar[int]

    @abc.abstractmethod
    def outside_plane(self) -> str | None:
        """Why the inputs do not lie in the plane of the two features; None where they do."""

    @abc.abstractmethod
    def tasks(self, model: Any, network: FiniteNetwork, key: Key, probes: Any, reduced: bool) -> list[Task]:
        """One task for each data set of a law, in float64."""


class Sampled(Source):
    """Samples of each law, every data set with its own random embedding."""

    num_samples: int = eqx.field(static=True)
    num_datasets: int = eqx.field(static=True)
    input_dim: int = eqx.field(static=True)
    num_validation: int | None = eqx.field(static=True)
    orthogonal: bool = eqx.field(static=True)
    nested: bool = eqx.field(static=True)

    def __init__(self, model: GenerativeModel, num_samples: Any, num_datasets: Any, num_validation: Any, orthogonal: bool):
        self.num_samples = require_integer("num_samples", num_samples, 2, "an integer >= 2, or None with dataset=")
        require(num_samples % 2 == 0, "num_samples", "even, for balanced classes", num_samples)
        self.num_datasets = require_integer("num_datasets", num_datasets, 1)
        self.num_validation, self.orthogonal = _checked_validation(num_validation), orthogonal
        self.input_dim, self.nested = model.input_dim, model.nesting != (0, 0)

    def outside_plane(self) -> str | None:
        return "with nesting" if self.nested else None

    def tasks(self, model: GenerativeModel, network: FiniteNetwork, key: Key, probes: Any, reduced: bool) -> list[Task]:
        sizes = (self.num_samples, self.num_validation, self.orthogonal, reduced)
        with jax.enable_x64(True):
            return [Task(*_sample(model, network, k, probes, *sizes)) for k in jax.random.split(key, self.num_datasets)]


class Given(Source):
    """One data set, sampled before or a user's own; validation data can be had where its embedding is known."""

    num_samples: int = eqx.field(static=True)
    num_datasets: int = eqx.field(static=True)
    input_dim: int = eqx.field(static=True)
    num_validation: int | None = eqx.field(static=True)
    given: GivenData
    dataset: Dataset

    def __init__(
        self,
        dataset: Dataset,
        num_samples: int | None,
        num_datasets: int,
        num_validation: int | None,
        orthogonal: bool,
        probes: Any,
        probe_inputs: Any,
    ):
        self.given = given_data(dataset, num_samples, probes, probe_inputs)
        require(num_datasets == 1, "num_datasets", "1 with dataset=", num_datasets)
        require(not orthogonal, "orthogonal", "False with dataset=, whose inputs are there already", orthogonal)
        known = num_validation is None or dataset.embedding is not None
        require(known, "num_validation", "None for data without its embedding", num_validation)
        self.num_samples, self.input_dim = self.given.inputs.shape
        self.num_datasets, self.num_validation = 1, _checked_validation(num_validation)
        self.dataset = dataset

    def outside_plane(self) -> str | None:
        return "for inputs not known to lie in the plane of the two features" if self.given.basis is None else None

    def tasks(self, model: GenerativeModel, network: FiniteNetwork, key: Key, probes: Any, reduced: bool) -> list[Task]:
        with jax.enable_x64(True):
            inputs, labels, probe_inputs, basis = jax.tree.map(lambda values: values.astype(jnp.float64), self.given)
            validation = None
            if self.num_validation is not None:
                # The key of the first data set of a sampled run: its data set, given back, meets the same validation data.
                *_, validation_key = jax.random.split(jax.random.split(key, 1)[0], 3)
                validation = model.sample(validation_key, self.num_validation, embedding=self.dataset.embedding)
            seen = _seen(network, inputs, labels, probe_inputs, validation, basis if reduced else None)
        return [Task(self.dataset, seen)]


def _checked_validation(num_validation: int | None) -> int | None:
    if num_validation is not None:
        require(require_integer("num_validation", num_validation, 2) % 2 == 0, "num_validation", "even", num_validation)
    return num_validation


@compiled
def _sample(
    model: GenerativeModel,
    network: FiniteNetwork,
    key: Key,
    probes: jax.Array,
    num_samples: int,
    num_validation: int | None,
    orthogonal: bool,
    reduced: bool,
) -> tuple[Dataset, TrainingData]:
    sample_key, embedding_key, validation_key = jax.random.split(key, 3)
    embedding = model.embedding(embedding_key, orthogonal)
    data = model.sample(sample_key, num_samples, embedding=embedding)
    validation = None if num_validation is None else model.sample(validation_key, num_validation, embedding=embedding)
    basis = plane_basis(embedding) if reduced else None
    return data, _seen(network, data.inputs, data.labels, embedding(probes), validation, basis)


def _seen(
    network: FiniteNetwork,
    inputs: jax.Array,
    labels: jax.Array,
    probe_inputs: jax.Array,
    validation: Dataset | None,
    basis: jax.Array | None,
) -> TrainingData:
    def reduced(x: jax.Array) -> AnyArray:
        return x if basis is None else network.plane_inputs(x, basis)

    further = (None, None) if validation is None else (reduced(validation.inputs), validation.labels)
    return TrainingData(reduced(inputs), labels, reduced(probe_inputs), *further, basis)


def stacked(tasks: list[Task]) -> TrainingData:
    """What some members see, side by side."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *(task.training for task in tasks))
