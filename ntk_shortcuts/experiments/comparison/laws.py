"""Theory against training on any law: biases towards its shortcuts, or accuracies of its groups."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import parameters_of
from ntk_shortcuts.description import described
from ntk_shortcuts.entry import predict
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
from ntk_shortcuts.experiments.ensembles import LawEnsemble, train_on_law
from ntk_shortcuts.experiments.sweeps.identity import content
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.metrics.groups import GroupAccuracy
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.plotting.prediction import by_entry, by_words
from ntk_shortcuts.results.prediction import Prediction, by_group
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.validation import require, require_integer


class LawConfiguration(eqx.Module):
    """What is compared on a law: networks of finite width, trained on D data sets from I initialisations each.

    Args:
        law: one of latents, such as `GaussianFeatures`, `Clusters`, or either with noisy labels or unequal classes.
        network: an `MLP` of finite width in the NTK parameterisation.
        times: learning rate x steps at which networks are read, multiples of the first.
        num_samples: N >= 2.
        num_datasets: D >= 2.
        num_inits: I >= 2.
        label: what the law is called in the report; by default the name of its type.

    Raises:
        ValueError: naming the argument, the allowed values and the value got.

    Example:
        >>> from ntk_shortcuts import Clusters
        >>> LawConfiguration(Clusters.waterbirds(), MLP(1, width=512), (3.0, 30.0), 100, 16, 2).name
        'Clusters, relu, depth 1, width 512, N 100'
    """

    law: DataLaw
    network: MLP
    times: tuple[float, ...] = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
    num_datasets: int = eqx.field(static=True)
    num_inits: int = eqx.field(static=True)
    label: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        known = isinstance(self.law, DataLaw) and self.law.latent_dim is not None
        require(known, "law", "a law of latents, such as GaussianFeatures or Clusters", type(self.law).__name__)
        require_setting(self.network, self.times, self.num_samples)
        require_integer("num_datasets", self.num_datasets, 2)
        require_integer("num_inits", self.num_inits, 2)

    @property
    def name(self) -> str:
        """A short label."""
        return f"{self.label or type(self.law).__name__}, {network_words(self.network)}, N {self.num_samples}"

    def parameters(self) -> dict[str, Any]:
        """Every parameter as plain Python values; the law's arrays by what they are called, and all of it by a digest."""
        digest = hashlib.sha256(json.dumps(content(self.law), sort_keys=True).encode()).hexdigest()[:32]
        counts = {name: getattr(self, name) for name in ("num_samples", "num_datasets", "num_inits")}
        found = described({"model": self.law, "network": self.network}, parameters_of)
        return {**found, "law_digest": digest, "times": list(self.times), **counts, "dtype": "float32", "orthogonal": True}

    def training(self) -> GradientDescent:
        """Gradient descent that records at the times, with as large a rate as is safe."""
        return descent(self.law, self.network, self.times)

    def compare(self, seed: int = 0) -> dict[str, Any]:
        """The record: :func:`compare_law`."""
        return compare_law(self, seed)


def compare_law(configuration: LawConfiguration, seed: int = 0) -> dict[str, Any]:
    """Train the networks of a configuration on its law, and predict what is read off them, at each recorded step.

    As :func:`ntk_shortcuts.experiments.comparison.compare`, with `measure` ("shortcut bias", or "accuracy in the group" of laws
    that have groups) and `entries`, the words for each of them: numbers are lists over steps of lists over entries.

    Raises:
        FloatingPointError: training diverged.

    Example:
        >>> from ntk_shortcuts import Clusters
        >>> configuration = LawConfiguration(Clusters.waterbirds(), MLP(1, width=512), (3.0, 30.0), 100, 16, 2)
        >>> record = compare_law(configuration)  # doctest: +SKIP
        >>> record["entries"], record["trained"], record["averaged"]  # doctest: +SKIP
    """
    law, network, training, clock = configuration.law, configuration.network, configuration.training(), Clock()
    counts = (configuration.num_samples, configuration.num_datasets, configuration.num_inits)
    key, samples = training_key(configuration.parameters(), seed), configuration.num_samples

    def predicted(**options: Any) -> Prediction:
        return predict(law, network, training, check_laziness=False, **options)

    def own(index: int, data: Any) -> Prediction:
        return predicted(dataset=data, initial_outputs=(ensemble.initial_train_outputs[index], ensemble.initial_outputs[index]))

    ensemble: LawEnsemble = clock(
        "train", lambda: train_on_law(law, network, training, *counts, key=key, orthogonal=True, dtype=jnp.float32)
    )
    owns = clock("own_init", lambda: [own(index, data) for index, data in enumerate(ensemble.datasets)])
    expected = clock("expected", lambda: [predicted(dataset=data) for data in ensemble.datasets])
    averaged = clock("averaged", lambda: predicted(num_samples=samples))
    entries, probes = _entries(law, ensemble.points), _resolved(ensemble.points)
    trained = _read(ensemble, law)
    own_read, expected_read = (np.stack([_read(p, law) for p in several], axis=1) for several in (owns, expected))
    found: dict[str, Any] = beside_trained(trained, own_read, expected_read, probes)
    found |= beside_averaged(found, _read(averaged, law), trained.shape[1] * trained.shape[2], probes)
    found["averaged_trusted"] = averaged.diagnostics["trusted"]
    measure = "shortcut bias" if ensemble.points.groups is None else "accuracy in the group"
    return {**as_record(configuration, seed, training, found, clock), "measure": measure, "entries": entries}


def _read(measured: Prediction | LawEnsemble, law: DataLaw) -> np.ndarray:
    """Accuracies (..., groups) of groups that have points; of a law without groups biases (..., shortcuts)."""
    points = measured.points
    if points.groups is not None:
        values = np.asarray(measured.read(GroupAccuracy()), float)
        return values[..., np.unique(np.asarray(points.groups.number))]
    values = np.asarray(measured.read(law.metric), float) - np.asarray(law.metric.optimal(points))
    return values if law.metric.axes else values[..., None]


def _entries(law: DataLaw, points: TestPoints) -> list[str]:
    """The words for each entry of what is read."""
    if points.groups is not None:
        known = np.bincount(np.asarray(points.groups.number), minlength=points.groups.count)
        return list(by_words(by_group(np.where(known > 0, 1.0, np.nan), points)))
    own = law.metric.coordinates(points)
    return list(by_entry(np.zeros(len(next(iter(own.values())))), own)) if own else ["shortcut"]


def _resolved(points: TestPoints) -> int:
    """As many probes of a bias, which moves in steps of 4 / probes, as resolve what is read as finely."""
    if points.groups is None:
        return len(points.points)
    counts = np.bincount(np.asarray(points.groups.number))
    return 4 * int(counts[counts > 0].min())
