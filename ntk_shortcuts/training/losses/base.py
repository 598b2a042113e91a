"""What a loss is to the rest of the toolkit, and the losses by name.

A new loss is one file: a subclass of :class:`Loss` that names itself, `name: ClassVar[str] = "mine"`. It is known wherever a
loss is asked for: by the methods that predict, the flows, and what trains finite networks.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ntk_shortcuts.spec import Spec
from ntk_shortcuts.validation import require

LOSSES: dict[str, type[Loss]] = {}


class Loss(Spec):
    r"""The loss \(\ell(f,y)\) of one output and one label, convex in f and the same for both labels,
    \(\ell(-f,-y)=\ell(f,y)\).

    - `name`: by which it is known.
    - `spectral`: whether \(\ell=\frac12(f-y)^2\), under which training is a filter of the kernel's eigenvalues.
    - `largest_curvature`: of \(\ell''\) over all outputs; gradient descent is stable while learning rate x largest eigenvalue
      x this is below 2.
    """

    name: ClassVar[str] = ""
    spectral: ClassVar[bool] = False
    largest_curvature: ClassVar[float] = 1.0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if name := cls.__dict__.get("name"):
            require(name not in LOSSES, "name", "one that is not already registered as a loss", name)
            LOSSES[name] = cls

    @abc.abstractmethod
    def __call__(self, output: Any, label: Any) -> Any:
        """The loss at outputs and labels of one shape, in operations of JAX."""

    def slope(self, output: jax.Array, label: float) -> jax.Array:
        r"""\(\ell'\), the derivative in the output, at outputs (...) and one label; by default by differentiation."""
        return jax.jvp(lambda f: self(f, label), (output,), (jnp.ones_like(output),))[1]

    def curvature(self, output: jax.Array, label: float) -> jax.Array:
        r"""\(\ell''\ge0\), likewise."""
        return jax.jvp(lambda f: self.slope(f, label), (output,), (jnp.ones_like(output),))[1]


def known_losses() -> list[str]:
    """The registered names, the spectral ones first."""
    return sorted(LOSSES, key=lambda name: (not LOSSES[name].spectral, name))


def resolve_loss(name: str) -> Loss:
    r"""The loss of a name: "squared", \((f-y)^2/2\), "logistic", \(\log(1+e^{-yf})\), or one that was registered.

    Raises:
        ValueError: an unknown name; lists those there are.

    Example:
        >>> resolve_loss("squared")(3.0, 1.0)
        2.0
    """
    require(isinstance(name, str) and name in LOSSES, "loss", f"one of {', '.join(known_losses())}", name)
    return LOSSES[name]()


def require_squared(name: str, method: str, why: str, *also: str) -> None:
    """Refuse a loss for which a method has no formula, and say which methods have.

    Args:
        also: methods that take any loss, beside "monte_carlo".

    Raises:
        ValueError: any loss but the squared one.

    Example:
        >>> require_squared("logistic", "mine", "whose training is a spectral filter")
        Traceback (most recent call last):
        ValueError: loss must be "squared" for method="mine", whose training is a spectral filter (method="monte_carlo" takes
        any loss); got 'logistic'
    """
    instead = " and ".join(f'method="{name}"' for name in (*also, "monte_carlo"))
    allowed = f'"squared" for method="{method}", {why} ({instead} take{"" if also else "s"} any loss)'
    require(resolve_loss(name).spectral, "loss", allowed, name)
