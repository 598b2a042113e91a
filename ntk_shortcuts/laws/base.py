"""A data law: what the data are, and how the rest of the toolkit meets them.

A new law is one file with a subclass of :class:`DataLaw`: where its nodes lie, how a network sees its points, and what is
measured. Whatever a law knows beyond that (a symmetry, rays, Gaussian moments) it says by overriding a default here.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import Issue
from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.networks.base import KernelFacts, Network
from ntk_shortcuts.networks.inputs import Inputs
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.nodes.parity import Parity, Sectors
from ntk_shortcuts.nodes.test_points import TestPoints, labelled
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.spec import Spec
from ntk_shortcuts.typing import AnyArray, Int, Key
from ntk_shortcuts.validation import require

PURPOSES = ("operator", "resolvents", "spectrum", "influence")
"""What nodes are for: one function of the kernel matrix; many inverses of it, which want few nodes; its eigenfunctions; one
pass of inverses without refinement."""


def require_two_features(name: str, law: Any) -> Any:
    """The paper's model of two features that the law is; all others are refused."""
    model = law.two_features if isinstance(law, DataLaw) else None
    require(model is not None, name, "a GenerativeModel", law)
    return model


class SectorKernels(eqx.Module):
    """A kernel's parts in the sectors of a law's parity, between two sets of points.

    What compiled programs get: its arrays are traced, so that kernels of one structure share a program.
    """

    @abc.abstractmethod
    def __call__(self, points1: jax.Array, points2: jax.Array) -> Sectors:
        """(n1, n2) in each sector."""

    def shared(self) -> SectorKernels:
        """The same for compiled programs without derivatives: in a form that other networks have too, where there is one."""
        return self


class SplitKernels(SectorKernels):
    """Those of any network: its kernel, split by the law's parity."""

    law: DataLaw
    network: Network

    def __call__(self, points1: jax.Array, points2: jax.Array) -> Sectors:
        def between(first: AnyArray, second: AnyArray) -> Kernels:
            return self.network.kernels(self.law.inputs(first), self.law.inputs(second))

        return self.law.parity.split(between, points1, points2)

    def shared(self) -> SplitKernels:
        return SplitKernels(self.law, self.network.of_any_depth())


class Law(Spec):
    """What a prediction is made for."""

    @abc.abstractmethod
    def prepared(self, network: Network, test: Any = None, cache: Any = None) -> tuple[DataLaw, Network, TestPoints]:
        """The law as methods take it, with the network that sees its points, and the points to predict at.

        Args:
            test: where to predict, in the law's own terms; None for its default.
            cache: a folder for what takes long, where the law keeps anything.
        """

    @property
    def label_groups(self) -> tuple[tuple[int, ...], ...]:
        """Groups that may have a rate of label noise of their own, the label first: the classes, by default."""
        return (-1,), (1,)

    @property
    def flips_labels(self) -> bool:
        """Whether labels are not those of the classes of which a data set holds a fixed number."""
        return False

    @property
    def samples(self) -> Any:
        """The pool that data sets are drawn from; None where the law has a density."""
        return None

    def observed_labels(self, key: Key, points: Any, labels: Any) -> Any:
        """The labels that a data set gives to samples of the law: their own, by default."""
        return labels

    @property
    def two_features(self) -> Any:
        """The paper's model of two features where the law is one: for closed forms and reductions that hold for it alone."""
        return None


class DataLaw(Law):
    """What the data are."""

    def prepared(self, network: Network, test: Any = None, cache: Any = None) -> tuple[DataLaw, Network, TestPoints]:
        require(cache is None, "cache", "None: only the kernels of a pool are kept", cache)
        return self, network, test if isinstance(test, TestPoints) else self.test_points(test)

    @property
    @abc.abstractmethod
    def metric(self) -> Metric:
        """The number that users of this law ask for first; nodes are refined until it stays."""

    @abc.abstractmethod
    def levels(self, facts: KernelFacts, purpose: str) -> int:
        """How many rules of nodes there are, from coarse to fine."""

    @abc.abstractmethod
    def nodes(self, level: int, facts: KernelFacts, purpose: str) -> Nodes:
        """The rule of that level, for a kernel of which `facts` are known and one of `PURPOSES`."""

    @abc.abstractmethod
    def inputs(self, points: Any) -> Inputs:
        """Points of the law as a network sees them."""

    @abc.abstractmethod
    def test_points(self, points: Any = None) -> TestPoints:
        """Where outputs are asked for; by default where the law's own metric is read."""

    @abc.abstractmethod
    def sample(self, key: Key, num_samples: int) -> Any:
        """Draw a data set: inputs, labels, latents, and the embedding that made the inputs."""

    def class_expectation(self, points: Any) -> Any:
        """E[y | z] at points of the law, where it is known everywhere."""
        require(False, "law", "one that knows E[y | z] everywhere, by class_expectation", type(self).__name__)
        raise AssertionError

    @property
    def positive_share(self) -> Any:
        """P(y = +1), of the classes of which a data set holds a fixed number."""
        return 0.5

    def group_shares(self, points: Any) -> Any:
        """P(group | z) of the `label_groups` at points of the law, (n, groups)."""
        positive = (1 + jnp.asarray(self.class_expectation(points))) / 2
        return jnp.stack([1 - positive, positive], axis=1)

    @in_float64
    def labelled_points(self, *attributes: str, level: int = 0) -> TestPoints:
        """Test points of the law itself, with labels: its nodes, each once with either label, weighted by P(z, y).

        Accuracies there are those on fresh samples, by class and side of the attributes, and `optimal` metrics those of the
        Bayes-optimal classifier.

        Args:
            attributes: names of attributes of the law's test points whose sides (-1, +1) make groups beside the label.
            level: of the rule of nodes.

        Raises:
            ValueError: no such attribute or level.

        Example:
            >>> from ntk_shortcuts import GenerativeModel
            >>> from ntk_shortcuts.metrics import Accuracy
            >>> points = GenerativeModel((0.85, 0.9), correlation=0.0).labelled_points("shortcut")
            >>> points.groups.names, round(float(Accuracy().optimal(points)), 2)
            (('label', 'shortcut'), 0.95)
        """
        facts = KernelFacts()
        levels = self.levels(facts, "operator")
        require(0 <= level < levels, "level", f"0 to {levels - 1}", level)
        nodes = self.parity.whole(self.nodes(level, facts, "operator"))
        found = self.test_points(nodes.everywhere)
        return labelled(found, nodes.weights.ravel(), nodes.sides.ravel(), attributes)

    def density(self, points: Any) -> Any:
        """p(z) at points of the law, where it is known."""
        require(False, "law", "one that knows its density, by density", type(self).__name__)
        raise AssertionError

    def label_expectation(self, points: Any) -> Any:
        """E[label | z] at points of the law, of labels as data sets have them."""
        return self.class_expectation(points)

    @property
    def latent_dim(self) -> int | None:
        """K of a law of latents in R^K that its `embedding` takes to R^d as a linear map; None of others."""
        return None

    @property
    def flow_orders(self) -> tuple[int, ...]:
        """Rules of :meth:`flow_nodes`, from coarse to fine, by numbers from 1 on."""
        return tuple(range(1, self.levels(KernelFacts(), "operator") + 1))

    @property
    def quick_flow_order(self) -> int:
        """The rule for a quick look."""
        return self.flow_orders[0]

    def flow_nodes(self, order: int, sampled: bool) -> Nodes:
        """Nodes for networks in training, whose outputs have no symmetry: each of z and -z stands for itself.

        Args:
            sampled: whether samples are to be drawn at the nodes, whose targets must then be expectations of labels.
        """
        nodes = self.parity.whole(self.nodes(order - 1, KernelFacts(), "operator"))
        return Nodes.of(nodes.everywhere, nodes.weights.ravel(), nodes.targets.ravel())

    def counts(self, num_samples: int) -> Counts | None:
        """How often a data set holds each node, where nodes are samples; None where the law has a density, and none comes
        twice."""
        return None

    def drawn_counts(self, rng: np.random.Generator, num_samples: int) -> Int[np.ndarray, "nodes"]:
        """How often one data set holds each node; for laws whose nodes are samples."""
        require(False, "law", "a pool of samples: the nodes of others have a density", type(self).__name__)
        raise AssertionError

    @property
    def data_set(self) -> Nodes | None:
        """The samples, where the law is nothing but these."""
        return None

    def without_replacement(self) -> DataLaw:
        """The law whose data sets hold no sample twice."""
        return self

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What is wrong with the law itself."""
        return ()

    @property
    def parity(self) -> Parity:
        """The symmetry (z, y) -> (-z, -y), where the law has it."""
        return Parity()

    def merges_rays(self, facts: KernelFacts) -> bool:
        """Whether nodes along one ray are merged for such a kernel."""
        return False

    def sector_kernels(self, network: Network) -> SectorKernels:
        """The kernel's parts in the sectors of the law's parity."""
        return SplitKernels(self, network)

    def require_resolved(self, network: Network) -> None:
        """Refuse a network whose kernel is not resolved at this law's test points; by default none is."""

    @property
    def flattest(self) -> Any:
        """Second moments of the inputs along the direction in which they vary least, relative to the largest; None: not
        known."""
        return None
