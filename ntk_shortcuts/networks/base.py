r"""What a network is to the rest of the toolkit: facts about its kernel, the kernels, and, of finite width, init and apply.

A new network is one file: a subclass of :class:`Network` that says its facts and gives `kernels`; one that can be trained is a
:class:`FiniteNetwork`. Points come as arrays, or as a data law's :class:`~ntk_shortcuts.networks.inputs.Inputs`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.angular import AngularKernels
from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.networks.inputs import Inputs
from ntk_shortcuts.numerics import compiled, in_float64, is_traced, on_one_device
from ntk_shortcuts.padding import filled, size_of_samples
from ntk_shortcuts.spec import Spec
from ntk_shortcuts.typing import AnyArray, Array, Float, Key, Num
from ntk_shortcuts.validation import require


class KernelFacts(NamedTuple):
    r"""What a kernel is known to be, for those who can do better with it.

    - `homogeneous`: \(\Theta(rx,r'x')=rr'\Theta(x,x')\) for r, r' > 0, and so the NNGP kernel.
    - `even`: outputs are even functions of the inputs, so that no odd target can be learnt.
    - `linear`: outputs are linear in the inputs, so that the kernel has no eigenvalues beyond their dimension.
    - `of_inner_products`: the kernel depends on norms and inner products alone.
    - `width`: of the hidden layers where it is finite and matters; None for a network that is its own infinite-width limit.
    - `scale_free`: \(\Theta(rx,r'x')=\Theta(x,x')\) for r, r' > 0, and so the NNGP kernel.
    """

    homogeneous: bool = False
    even: bool = False
    linear: bool = False
    of_inner_products: bool = False
    width: int | None = None
    scale_free: bool = False


class Network(Spec):
    """A network whose kernels are known.

    A subclass gives `kernels`; `facts` where it knows any; `angular_kernels` where it is homogeneous or scale-free and its
    kernel in the plane is a polynomial in the angle.
    """

    @property
    def facts(self) -> KernelFacts:
        """What the kernel is known to be; by default nothing."""
        return KernelFacts()

    @abc.abstractmethod
    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        """NNGP and NTK, each (n1, n2), between inputs (n1, ...) and (n2, ...), or `Inputs`; x2=None means x1."""

    def own(self, x: Any) -> Kernels:
        """NNGP and NTK of each input (n, ...) with itself, (n,) each."""
        return own_kernels(self, x)

    def own_traced(self, x: jax.Array) -> Kernels:
        """The same within a compiled program; by default a kernel of one point for each."""
        return _one_by_one(self, x)

    def of_any_depth(self) -> Network:
        """The same kernels from numbers alone, where the network can, so that others of its kind share compiled programs; by
        default itself."""
        return self

    def on_images(self, shape: tuple[int, ...]) -> Network:
        """The network for inputs (n, prod(shape)) that are the rows of images of that shape; by default it sees rows alone."""
        return self

    def angular_kernels(self, input_dim: int) -> AngularKernels | None:
        """The kernels as polynomials in the angle between points of the plane; None where they are none."""
        return None

    def require_resolved(self, largest_square: Callable[[], Any], input_dim: int) -> None:
        """Refuse points whose largest squared norm, a function for those who need it, is beyond what the kernel resolves; by
        default none are."""


class FiniteNetwork(Network):
    """A network that can be drawn and evaluated, and so trained."""

    @abc.abstractmethod
    def init(self, key: Key, input_dim: int, dtype: Any = None) -> Any:
        """Draw parameters."""

    @abc.abstractmethod
    def apply(self, params: Any, x: Num[AnyArray, "n ..."]) -> Float[Array, "n"]:
        """Outputs (n,) at inputs (n, ...)."""

    @property
    @abc.abstractmethod
    def is_finite(self) -> bool:
        """Whether `init` and `apply` can be used."""

    def require_finite(self, allowed: str) -> None:
        """Refuse a network that cannot be drawn, by the name of what it lacks: of an MLP the width."""
        require(self.is_finite, "width", allowed, self.facts.width)

    def on_plane(self, params: Any, basis: Float[AnyArray, "d k"]) -> Any:
        """Parameters of the network on the span of a basis, which has the same outputs and the same gradient descent; None
        where the network has no such reduction (see :meth:`plane_inputs`)."""
        return None

    def plane_inputs(self, x: Float[AnyArray, "n d"], basis: Float[AnyArray, "d k"]) -> Float[AnyArray, "n k"]:
        """Inputs of the reduced network."""
        return x @ basis


def require_finite_network(network: Any, allowed: str = "an integer for a finite network") -> FiniteNetwork:
    """The network, refused unless it is of finite width and can be drawn; one without hidden layers has no width."""
    if not isinstance(network, FiniteNetwork):
        require(False, "network", "a finite network, such as an MLP with a width", type(network).__name__)
    network.require_finite(allowed)
    return network


def as_network(network: Any) -> Network:
    """The network itself, or what any object with a function `kernels(x1, x2)` is to the toolkit.

    Raises:
        ValueError: something without kernels; for a class, and for what `stax.serial` returns, the message names the way out.
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, type):
        require(False, "network", f"an object, and no class: construct it, {network.__name__}(...)", network.__name__)
    if callable(getattr(network, "kernels", None)):
        return KernelNetwork(network)
    stax = callable(network) or (isinstance(network, tuple) and len(network) == 3 and all(map(callable, network)))
    allowed = "a stax network through interop.from_stax(kernel_fn)" if stax else "an MLP, a stax network through from_stax"
    require(False, "network", f"{allowed}, or anything with kernels(x1, x2)", network)
    raise AssertionError


# Points a block, of which only the diagonal is wanted.
_OWN = 32


@in_float64
def own_kernels(network: Any, points: Any) -> Kernels:
    """NNGP and NTK of each point with itself, (n,) each, of a network or of what else has kernels between points."""
    count = len(points)
    try:
        if is_traced(network, points) or not on_one_device(points):
            return _own(network, points)
        found = _own(network.of_any_depth(), filled(points, size_of_samples(count), repeat=True))
        return jax.tree.map(lambda part: np.asarray(part)[:count], found)
    except TypeError:  # a user's network in NumPy, which JAX cannot trace, or without a hash
        blocks = np.array_split(np.asarray(points), max(1, count // _OWN))
        parts = [network.kernels(block) for block in blocks]
        return Kernels(*(jnp.concatenate([jnp.diagonal(jnp.asarray(getattr(k, n))) for k in parts]) for n in ("nngp", "ntk")))


@compiled
def _own(network: Any, points: jax.Array) -> Kernels:
    found = network.own_traced(points) if isinstance(network, Network) else _one_by_one(network, points)
    return Kernels(found.nngp, found.ntk, jnp.broadcast_to(found.quadrature_error, found.ntk.shape))


def _one_by_one(network: Any, points: jax.Array) -> Kernels:
    own = jax.vmap(lambda point: network.kernels(point[None]))(points)
    return Kernels(own.nngp[:, 0, 0], own.ntk[:, 0, 0], jnp.asarray(own.quadrature_error))


class KernelNetwork(Network):
    """A user's object with a function `kernels(x1, x2)` that returns `.nngp` and `.ntk`."""

    network: Any

    @in_float64
    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        key = jax.random.key(0)
        x1, x2 = (x.vectors(key) if isinstance(x, Inputs) else x for x in (x1, x2))
        found = self.network.kernels(x1, x2)
        both = all(hasattr(found, name) for name in ("nngp", "ntk"))
        require(both, "network", "with kernels(x1, x2) that returns .nngp and .ntk", type(found).__name__)
        return Kernels(jnp.asarray(found.nngp), jnp.asarray(found.ntk), getattr(found, "quadrature_error", 0.0))
