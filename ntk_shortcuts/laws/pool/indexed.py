"""A pool of which only the numbers of its samples are left: the law that methods see, whose kernels are a lookup."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import Issue
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.metrics.groups import Accuracy
from ntk_shortcuts.networks.base import KernelFacts
from ntk_shortcuts.networks.gram import Numbered
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.counts import Counts, class_sizes
from ntk_shortcuts.nodes.test_points import Groups, TestPoints
from ntk_shortcuts.numerics import generator
from ntk_shortcuts.typing import Array, Float, Int, Key
from ntk_shortcuts.validation import require, require_integer


class Drawn(NamedTuple):
    """A data set: numbers of its samples (n, 1), and the targets of its labels."""

    latents: Float[Array, "n 1"]
    labels: Float[Array, "n *outputs"]


class IndexedPool(DataLaw):
    """Labels, attributes and weights of P samples; its points are their numbers, (n, 1), those of test samples from P on.

    - `found`: issues of the pool itself.
    """

    sources: ClassVar[tuple[str, ...]] = ("sagawa2020distributionally",)

    labels: Int[np.ndarray, "P"]
    attributes: dict[str, Int[np.ndarray, "P"]]
    weights: Float[np.ndarray, "P"]
    found: tuple[Issue, ...] = eqx.field(static=True, default=())
    replace: bool = eqx.field(static=True, default=True)

    @property
    def metric(self) -> Accuracy:
        return Accuracy()

    @property
    def classes(self) -> np.ndarray:
        """The labels that occur, ascending."""
        return np.unique(self.labels)

    @property
    def issues(self) -> tuple[Issue, ...]:
        return self.found

    @property
    def targets(self) -> Float[np.ndarray, "P *outputs"]:
        """-1 for the first of two classes, +1 for the second; of k classes one-hot less the mean, (P, k)."""
        if len(self.classes) == 2:
            return np.where(self.labels == self.classes[-1], 1.0, -1.0)
        return (self.labels[:, None] == self.classes) - 1 / len(self.classes)

    def levels(self, facts: KernelFacts, purpose: str) -> int:
        return 1

    def nodes(self, level: int, facts: KernelFacts, purpose: str) -> Nodes:
        return Nodes.of(np.arange(float(len(self.labels)))[:, None], self.weights, self.targets)

    def inputs(self, points: Any) -> Numbered:
        return Numbered(points)

    def test_points(self, points: Any = None) -> TestPoints:
        require(False, "test", "a Pool of other samples", points)
        raise AssertionError

    def tested_on(self, labels: np.ndarray, attributes: Mapping[str, np.ndarray], weights: np.ndarray) -> TestPoints:
        """Test samples with their labels, groups and weights."""
        numbers = len(self.labels) + np.arange(len(labels))
        every = {name: np.concatenate([self.attributes[name], attributes[name]]) for name in self.attributes}
        number, values = groups_of(np.concatenate([self.labels, labels]), every)
        groups = Groups(number[len(self.labels) :], tuple(values), tuple(tuple(v) for v in values.values()))
        two = len(self.classes) == 2
        sides = np.where(labels == self.classes[-1], 1.0, -1.0) if two else np.ones(len(labels))
        classes = None if two else np.searchsorted(self.classes, labels)
        named = {"label": labels, **attributes}
        read = {name: jnp.asarray(values, float) for name, values in named.items()}
        points = jnp.asarray(numbers[:, None], float)
        return TestPoints(points, read, None, jnp.ones(len(labels)), jnp.asarray(sides), jnp.asarray(weights), groups, classes)

    def sample(self, key: Key, num_samples: int) -> Drawn:
        """A data set: class counts fixed at the classes' weights, groups within a class at random."""
        numbers = self.draw(generator(key), num_samples)
        return Drawn(jnp.asarray(numbers[:, None], float), jnp.asarray(self.targets[numbers]))

    def draw(self, rng: np.random.Generator, num_samples: int) -> Int[np.ndarray, "num_samples"]:
        """The numbers of its samples.

        Raises:
            ValueError: without replacement, more of a sample than there is.
        """
        drawn, share, trials = [], *self.shares(num_samples)
        if not self.replace:
            Counts.subsets(share, trials, self.labels)
        for value in self.classes:
            members = np.flatnonzero(self.labels == value)
            size, within = int(trials[members[0]]), share[members]
            drawn.append(members[rng.choice(len(members), size, p=within) if self.replace else _without(rng, within, size)])
        return np.concatenate(drawn)

    def drawn_counts(self, rng: np.random.Generator, num_samples: int) -> Int[np.ndarray, "P"]:
        return np.bincount(self.draw(rng, num_samples), minlength=len(self.labels))

    def shares(self, num_samples: int) -> tuple[Float[np.ndarray, "P"], Int[np.ndarray, "P"]]:
        """Of each sample: its share of the draws from its class, and how many there are in a data set."""
        require_integer("num_samples", num_samples, len(self.classes))
        whole = np.array([np.sum(self.weights[self.labels == value]) for value in self.classes])
        which = np.searchsorted(self.classes, self.labels)
        return self.weights / whole[which], class_sizes(num_samples, whole)[which]

    @property
    def data_set(self) -> Nodes:
        return self.nodes(0, KernelFacts(), "operator")

    def counts(self, num_samples: int) -> Counts:
        """How often a data set holds each sample."""
        share, trials = self.shares(num_samples)
        made = Counts.with_replacement if self.replace else Counts.subsets
        return made(share, trials, np.searchsorted(self.classes, self.labels), self.groups)

    def without_replacement(self) -> IndexedPool:
        return dataclasses.replace(self, replace=False)

    @property
    def label_groups(self) -> tuple[tuple[int, ...], ...]:
        return tuple(itertools.product(*groups_of(self.labels, self.attributes)[1].values()))

    def group_shares(self, points: Any) -> Float[np.ndarray, "n groups"]:
        """1 in the group of each sample."""
        numbers = np.asarray(points)[:, 0].astype(int)
        return np.eye(len(self.label_groups))[self.groups[numbers]]

    @property
    def groups(self) -> Int[np.ndarray, "P"]:
        """The number of the group, label x attributes, of each sample."""
        return groups_of(self.labels, self.attributes)[0]


def groups_of(labels: np.ndarray, attributes: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, list[int]]]:
    """The number of each sample's group among all of label x attributes, and the values of each of these."""
    named = {"label": labels, **attributes}
    values = {name: np.unique(found) for name, found in named.items()}
    number = np.zeros(len(labels), int)
    for name, found in named.items():
        number = number * len(values[name]) + np.searchsorted(values[name], found)
    return number, {name: [int(v) for v in found] for name, found in values.items()}


def _without(rng: np.random.Generator, share: np.ndarray, size: int) -> np.ndarray:
    """Distinct numbers, each with probability size x share: systematic sampling in random order (Madow 1949)."""
    order = rng.permutation(len(share))
    edges = np.cumsum(size * share[order])
    return order[np.searchsorted(edges, rng.uniform() + np.arange(size) - 1e-12).clip(max=len(share) - 1)]
