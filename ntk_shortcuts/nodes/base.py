"""Nodes: the points that carry a data law, with their weights and targets; quadrature points and samples alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import is_traced, safe_divide
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import require, require_values

SampleWeight = Callable[[Any, Float[Array, "n"]], Any]


class Nodes(Record):
    r"""Points of a data law, each with one or several radii along its ray.

    Node (g, j) lies at `radius[g, j] * points[g]`, and \(\int ab\,p\,dz=\sum_{gj}w_{gj}\,a(z_{gj})\,b(z_{gj})\) for functions
    of the sector that the nodes carry. Where kernel and targets are those of a homogeneous network, f(r z) = r f(z) is known
    from its values at the `points`, and one merged node per ray of weight `mass` and target `slope` does. Other nodes are rays
    of one radius, 1, for which mass and slope are the weight and the target themselves.

    - `points` (nodes, ...): of the law; latents, or inputs.
    - `radius`, `weights` (sum 1 up to the rule's error), `targets` (E[y | z]), each (nodes, radii); targets of k outputs
      (nodes, radii, k).
    - `lengths` (nodes, radii): where the nodes lie on their rays, for functions that do not grow along them, f(r z) = f(z),
      whose `radius` is 1 everywhere; None: at the radius.
    - `classes` (nodes, radii): E[class | z], in {-1, +1} the class of which a data set holds a fixed number; None: labels are
      the classes. `agreement` (nodes, radii): E[class x label | z], below 1 where labels are flipped; None: 1.
    """

    points: Float[Array, "nodes *point"]
    radius: Float[Array, "nodes radii"]
    weights: Float[Array, "nodes radii"]
    targets: Float[Array, "nodes radii *outputs"]
    lengths: Float[Array, "nodes radii"] | None = None
    classes: Float[Array, "nodes radii"] | None = None
    agreement: Float[Array, "nodes radii"] | None = None

    @classmethod
    def of(cls, points: Any, weights: Any, targets: Any) -> Nodes:
        """Nodes without rays: points (n, ...), weights (n,), targets (n,)."""
        weights = jnp.asarray(weights)[:, None]
        return cls(jnp.asarray(points), jnp.ones_like(weights), weights, jnp.asarray(targets)[:, None])

    @property
    def count(self) -> int:
        """Points, one per ray."""
        return self.points.shape[0]

    @property
    def mass(self) -> Float[Array, "nodes"]:
        r"""\(\sum_jw_{gj}r_{gj}^2\)."""
        return jnp.sum(self.weights * self.radius**2, axis=1)

    @property
    def slope(self) -> Float[Array, "nodes *outputs"]:
        r"""Targets as a function with f(r z) = r f(z): \(\sum_jw_{gj}r_{gj}f^*_{gj}\) over the mass; 0 on rays without mass."""
        if self.targets.ndim == 2:
            return safe_divide(jnp.sum(self.weights * self.radius * self.targets, axis=1), self.mass)
        moments = jnp.einsum("gj,gjk->gk", self.weights * self.radius, self.targets)
        return safe_divide(moments, jnp.broadcast_to(self.mass[:, None], moments.shape))

    @property
    def sides(self) -> Float[Array, "nodes radii"]:
        """E[class | z]."""
        return self.targets if self.classes is None else self.classes

    @property
    def labels_by_class(self) -> tuple[Float[Array, "nodes radii"], Float[Array, "nodes radii"]]:
        """E[label; class = +1 | z] and the same of class -1: their sum is the target."""
        with_class = jnp.ones_like(self.targets) if self.agreement is None else self.agreement
        return (self.targets + with_class) / 2, (self.targets - with_class) / 2

    def relabelled(self, positive: Any, negative: Any, classes: Any = None, mass: Any = 1.0) -> Nodes:
        """The nodes with other labels and, where given, other `classes`, of the law `mass` times as dense.

        Args:
            positive, negative: E[label; class = +1 | z] and the same of class -1.
        """
        return dataclasses.replace(
            self,
            weights=self.weights * mass,
            targets=positive + negative,
            classes=self.sides if classes is None else classes,
            agreement=positive - negative,
        )

    @property
    def everywhere(self) -> Float[Array, "all *point"]:
        """Every node's own point, (nodes * radii, ...)."""
        radius = self.radius if self.lengths is None else self.lengths
        radius = radius.reshape(*radius.shape, *[1] * (self.points.ndim - 1))
        return (radius * self.points[:, None]).reshape(-1, *self.points.shape[1:])

    def padded(self, rays: int, radii: int) -> Nodes:
        """The same rule with nodes of weight 0 added, up to (rays, radii): rules of one shape share a compiled program."""
        short, narrow = (size - present for size, present in zip((rays, radii), self.radius.shape, strict=True))
        points = jnp.pad(self.points, ((0, short), *[(0, 0)] * (self.points.ndim - 1)), mode="edge")
        edges = ((0, short), (0, narrow))
        radius = jnp.pad(self.radius, edges, mode="edge")
        lengths = None if self.lengths is None else jnp.pad(self.lengths, edges, mode="edge")
        weights, targets = (jnp.pad(a, edges) for a in (self.weights, self.targets))
        return Nodes(points, radius, weights, targets, lengths)

    def reweighted(self, sample_weight: SampleWeight | None) -> Nodes:
        r"""The nodes of a law whose samples have weights w(z, y) in the loss \((1/(2N))\sum_nw_n(f(x_n)-y_n)^2\).

        Training sees \(p_w(z)=\sum_yw(z,y)p(z,y)\) for the density and \(\sum_yy\,w(z,y)p(z,y)/p_w(z)\) for the target; neither
        is normalised. Weights that depend on z alone leave the target where it was.
        """
        if sample_weight is None:
            return self
        points = self.everywhere
        ones = jnp.ones(points.shape[0], points.dtype)
        positive, negative = (
            evaluate_weight(sample_weight, points, y * ones).reshape(self.radius.shape) * (1 + y * self.targets) / 2
            for y in (1.0, -1.0)
        )
        mass = positive + negative
        return dataclasses.replace(self, weights=self.weights * mass, targets=safe_divide(positive - negative, mass))


def evaluate_weight(sample_weight: SampleWeight, points: Any, labels: Float[Array, "n"]) -> Float[Array, "n"]:
    """Weights of points (n, ...) with labels (n,), checked.

    Raises:
        ValueError: not a function; weights of another shape than (n,), negative, NaN or infinite.
    """
    require(callable(sample_weight), "sample_weight", "a function of latents (n, 2) and labels (n,)", sample_weight)
    return checked_weight(sample_weight(points, labels), points.shape[0]).astype(points.dtype)


def checked_weight(weights: Any, count: int) -> jax.Array:
    """Weights (count,) that are finite, not negative, and not all zero."""
    require_values("sample_weight", weights, (count,), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
    weights = jnp.asarray(weights)
    require(is_traced(weights) or bool(jnp.any(weights > 0)), "sample_weight", "positive for at least one point", weights)
    return weights
