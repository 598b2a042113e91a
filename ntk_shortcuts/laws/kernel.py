"""The kernel under a law: where a data law meets a network, once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.laws.base import DataLaw, Law, SectorKernels
from ntk_shortcuts.memory import require_room
from ntk_shortcuts.networks.base import FiniteNetwork, Network, as_network, own_kernels, require_finite_network
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.parity import Parity, Sectors
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.spec import Record
from ntk_shortcuts.validation import require

_WAY_OUT = "outside of JAX transformations large data sets are solved in blocks"


class LawKernel(Record):
    """A network's kernels between points of a data law; what every method gets instead of the two.

    Args:
        law: the data law.
        network: an infinitely wide network, or anything with `kernels(x1, x2)`.

    Raises:
        ValueError: something that is no law or has no kernels.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel
        >>> kernel = LawKernel(GenerativeModel(), MLP(1))
        >>> kernel([[1.0, -1.0], [0.5, 2.0]]).ntk.shape
        (2, 2)
    """

    law: DataLaw
    network: Network

    def __init__(self, law: DataLaw, network: Any):
        require(isinstance(law, DataLaw), "model", "a data law such as a GenerativeModel", law)
        self.law = law
        self.network = as_network(network)

    @in_float64
    def kernels(self, points1: Any, points2: Any = None) -> Kernels:
        """NNGP and NTK between points of the law, each (n1, n2); points2=None means points1."""
        points2 = points1 if points2 is None else points2
        require_room(len(points1), len(points2), _WAY_OUT)
        second = None if points2 is points1 else self.law.inputs(points2)
        return self.network.kernels(self.law.inputs(points1), second)

    __call__ = kernels

    def own(self, points: Any) -> Kernels:
        """NNGP and NTK of each point with itself, (n,) each."""
        return own_kernels(self, points)

    def of_any_depth(self) -> LawKernel:
        """That of the network from numbers alone, where it can (:meth:`ntk_shortcuts.networks.base.Network.of_any_depth`)."""
        return LawKernel(self.law, self.network.of_any_depth())

    def drawn(self, replace: bool) -> LawKernel:
        """The same, of data sets that may hold a sample twice, or may not."""
        return self if replace else LawKernel(self.law.without_replacement(), self.network)

    @property
    def finite_network(self) -> FiniteNetwork:
        """The network, which must be one that can be drawn."""
        return require_finite_network(self.network)

    @property
    def parity(self) -> Parity:
        """The law's symmetry."""
        return self.law.parity

    @property
    def sees_target(self) -> bool:
        """Whether the network can learn anything of this law's target: not an even one an odd target."""
        return not (self.network.facts.even and self.parity.sectors == 2)

    def levels(self, purpose: str) -> int:
        """Rules of nodes, from coarse to fine."""
        return self.law.levels(self.network.facts, purpose)

    def nodes(self, level: int, purpose: str) -> Nodes:
        """The law's nodes for this kernel."""
        return self.law.nodes(level, self.network.facts, purpose)

    def in_sectors(self) -> SectorKernels:
        """The kernel's parts in the sectors of the law's parity."""
        return self.law.sector_kernels(self.network)

    def require_symmetric(self, points: jax.Array) -> None:
        """Refuse a network that breaks the law's symmetry."""
        if not self.law.merges_rays(self.network.facts):
            self.parity.require_symmetric(self, points)


def meet(law: Any, network: Any, test: Any = None, cache: Any = None) -> tuple[LawKernel, TestPoints]:
    """Where a law meets a network: the kernel that methods get, and the points to predict at.

    Raises:
        ValueError: something that is no law or has no kernels, or test points that are not of the law.
    """
    require(isinstance(law, Law), "model", "a data law such as a GenerativeModel or a Pool", law)
    prepared, seen, points = law.prepared(as_network(network), test, cache)
    return LawKernel(prepared, seen), points


@contextlib.contextmanager
def compiling_kernels() -> Iterator[None]:
    """Around compiled programs that evaluate kernels at nodes: a network's in NumPy, which JAX cannot trace, are refused."""
    try:
        yield
    except jax.errors.JAXTypeError as error:
        raise ValueError(
            "network must be one whose kernels(x1, x2) JAX can trace, written with jax.numpy, where a data law's nodes are "
            'summed over (method="dataset" and "monte_carlo" and predict_outputs take NumPy\'s too); got '
            f"{type(error).__name__}"
        ) from error


def own_sectors(sectors: SectorKernels, points: jax.Array) -> Sectors:
    """Kernels of each point with itself, (n,) in each sector."""
    return jax.vmap(lambda z: jax.tree.map(jnp.squeeze, sectors(z[None], z[None])))(points)


def train_and_cross(sectors: SectorKernels, nodes: jax.Array, points: jax.Array) -> tuple[Sectors, Sectors]:
    """Kernels between the nodes, and between points and nodes, from one evaluation for both: compiling takes longest."""
    together, count = sectors(jnp.concatenate([nodes, points]), nodes), nodes.shape[0]

    def rows(start: int | None, stop: int | None) -> Sectors:
        return tuple(Kernels(k.nngp[start:stop], k.ntk[start:stop], k.quadrature_error) for k in together)

    return rows(None, count), rows(count, None)
