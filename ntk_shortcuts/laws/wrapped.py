"""Laws made from another law: what they do not say is the other's."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.issues import Issue
from ntk_shortcuts.laws.base import DataLaw, Law, SectorKernels
from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.networks.base import KernelFacts, Network
from ntk_shortcuts.networks.inputs import Inputs
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.nodes.parity import Parity
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.typing import Int, Key


class WrappedLaw(DataLaw):
    """A law with the points of another one, `law`, seen by networks in the same way.

    - `keeps_parity`: whether the other's symmetry (z, y) -> (-z, -y) is this law's too.
    """

    # A field of the subclasses, which dataclasses would put first if it stood here.
    if TYPE_CHECKING:
        law: Any

    @property
    def keeps_parity(self) -> bool:
        """Not unless said."""
        return False

    def around(self, law: Law) -> Any:
        """The same made from another law."""
        return dataclasses.replace(self, law=law)

    def prepared(self, network: Network, test: Any = None, cache: Any = None) -> tuple[DataLaw, Network, TestPoints]:
        law, seen, points = self.law.prepared(network, test, cache)
        made = self.around(law)
        return made, seen, points if isinstance(test, TestPoints) else made.seen_points(points)

    def seen_points(self, points: TestPoints) -> TestPoints:
        """Test points of the other law, as this one has them."""
        return points

    def test_points(self, points: Any = None) -> TestPoints:
        return self.seen_points(self.law.test_points(points))

    def levels(self, facts: KernelFacts, purpose: str) -> int:
        return self.law.levels(facts, purpose)

    def inputs(self, points: Any) -> Inputs:
        return self.law.inputs(points)

    def class_expectation(self, points: Any) -> Any:
        return self.law.class_expectation(points)

    def density(self, points: Any) -> Any:
        return self.law.density(points)

    def group_shares(self, points: Any) -> Any:
        return self.law.group_shares(points)

    def counts(self, num_samples: int) -> Counts | None:
        return self.law.counts(num_samples)

    def drawn_counts(self, rng: np.random.Generator, num_samples: int) -> Int[np.ndarray, "nodes"]:
        return self.law.drawn_counts(rng, num_samples)

    def without_replacement(self) -> DataLaw:
        return self.around(self.law.without_replacement())

    def embedding(self, key: Key, orthogonal: bool = False) -> Any:
        """Draw one embedding of latents into R^d, as the other law does."""
        return self.law.embedding(key, orthogonal)

    def merges_rays(self, facts: KernelFacts) -> bool:
        return self.law.merges_rays(facts)

    def sector_kernels(self, network: Network) -> SectorKernels:
        return self.law.sector_kernels(network) if self.keeps_parity else super().sector_kernels(network)

    def require_resolved(self, network: Network) -> None:
        self.law.require_resolved(network)

    @property
    def metric(self) -> Metric:
        return self.law.metric

    @property
    def parity(self) -> Parity:
        return self.law.parity if self.keeps_parity else Parity()

    @property
    def issues(self) -> tuple[Issue, ...]:
        return self.law.issues

    @property
    def flattest(self) -> Any:
        return self.law.flattest

    @property
    def positive_share(self) -> Any:
        return self.law.positive_share

    @property
    def latent_dim(self) -> int | None:
        return self.law.latent_dim

    @property
    def flips_labels(self) -> bool:
        return self.law.flips_labels

    @property
    def label_groups(self) -> tuple[tuple[int, ...], ...]:
        return self.law.label_groups

    @property
    def samples(self) -> Any:
        return self.law.samples

    @property
    def input_dim(self) -> int:
        """d of the other law."""
        return self.law.input_dim
