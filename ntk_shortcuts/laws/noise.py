"""Label noise on any law: labels flipped at a rate, one for all or one for each class or group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import Axis, declare_axes
from ntk_shortcuts.laws.base import Law
from ntk_shortcuts.laws.wrapped import WrappedLaw
from ntk_shortcuts.networks.base import KernelFacts
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.numerics import in_float64, real_leaf, safe_divide
from ntk_shortcuts.typing import Key, Scalar
from ntk_shortcuts.validation import require, require_values

Rates = Mapping[Any, Scalar]


class NoisyLabels(WrappedLaw):
    r"""A law whose labels are flipped with a probability r, at every draw anew.

    \[P(\tilde y=-y)=r_{g},\qquad E[\tilde y\mid z]=\sum_gP(g\mid z)(1-2r_g)\,y_g\]

    with the label \(y_g\) of group g; with one rate it is \((1-2r)\,E[y\mid z]\). Networks are trained on the flipped labels
    and tested on the true ones; optima are those for the true ones. Fixed class counts are those of the true classes. The
    variance over data sets gains that of the flips. Label D14.3.

    Args:
        law: any law of two classes, a `Pool` too, whose repeated draws are flipped one by one.
        rate: a number in [0, 1/2]; or by label, {1: 0.3} (others have none); or by group, {(1, -1): 0.3}, the label first,
            then the attributes in their order, of a law that has groups (without attributes the number of the cluster).

    Raises:
        ValueError: a rate out of range, an unknown label or group, more than two classes.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow, predict
        >>> noisy = NoisyLabels(GenerativeModel(amplification=(4.0, 1.0)), rate=0.2)
        >>> options = {"random_init": False, "tolerance": 0.05}
        >>> clean, flipped = (predict(law, MLP(1), GradientFlow(30.0), **options) for law in (noisy.law, noisy))
        >>> round(float(flipped.mean[0] / clean.mean[0]), 6)
        0.6
    """

    law: Any
    rate: Scalar | dict[tuple[int, ...], Scalar]

    def __init__(self, law: Law, rate: Scalar | Rates = 0.1):
        require(isinstance(law, Law), "law", "a data law such as a GenerativeModel or a Pool", type(law).__name__)
        self.law = law
        labels = {group[0] for group in law.label_groups}
        require(len(labels) == 2, "law", "of two classes, for labels to be flipped", f"{len(labels)} classes")
        allowed = "in [0, 1/2]"
        if not isinstance(rate, Mapping):
            require_values("rate", rate, (), allowed, _is_rate)
            self.rate = real_leaf(rate)
            return
        known = {group[:length] for group in law.label_groups for length in (1, len(group))}
        given = {tuple(group) if isinstance(group, tuple | list) else (group,): value for group, value in rate.items()}
        for group, value in given.items():
            require(group in known, "rate", f"by label or group, of {', '.join(map(str, sorted(known)))}", group)
            require_values(f"rate of {group}", value, (), allowed, _is_rate)
        self.rate = {group: real_leaf(value) for group, value in sorted(given.items())}

    @property
    def flips_labels(self) -> bool:
        return True

    @property
    def keeps_parity(self) -> bool:
        """With one rate for all."""
        return not isinstance(self.rate, Mapping)

    def nodes(self, level: int, facts: KernelFacts, purpose: str) -> Nodes:
        """Those of the law, with labels of a smaller mean."""
        nodes = self.law.nodes(level, facts, purpose)
        if not self.keeps_parity:
            nodes = self.law.parity.whole(nodes)
        negative_rate, positive_rate = (rates.reshape(nodes.radius.shape) for rates in self.class_rates(nodes.everywhere))
        positive, negative = nodes.labels_by_class
        return nodes.relabelled((1 - 2 * positive_rate) * positive, (1 - 2 * negative_rate) * negative)

    @in_float64
    def label_expectation(self, points: Any) -> Any:
        """E[label | z] at points, of flipped labels."""
        expectation, (first_rate, last_rate) = jnp.asarray(self.law.class_expectation(points)), self.class_rates(points)
        return ((1 - 2 * last_rate) * (1 + expectation) - (1 - 2 * first_rate) * (1 - expectation)) / 2

    @in_float64
    def class_rates(self, points: Any) -> tuple[jax.Array, jax.Array]:
        """P(flip | z, y) at points, of class -1 and of class +1: each (n,)."""
        groups = self.law.label_groups
        if not isinstance(self.rate, Mapping):
            rates = jnp.full(len(points), jnp.asarray(self.rate))
            return rates, rates
        # The rate of the group itself stands before that of its label.
        known = jnp.stack([jnp.asarray(self.rate.get(g, self.rate.get(g[:1], 0.0)), float) for g in groups])
        if all(len(group) == 1 for group in groups):
            first, last = (jnp.full(len(points), rate) for rate in known)
            return first, last
        shares, largest = jnp.asarray(self.law.group_shares(points)), max(group[0] for group in groups)
        of_class = [np.array([(g[0] == largest) == side for g in groups], float) for side in (False, True)]
        first, last = (safe_divide(shares @ (known * of), shares @ of) for of in of_class)
        return first, last

    @in_float64
    def observed_labels(self, key: Key, points: Any, labels: Any) -> Any:
        own, last = jax.random.split(key)
        labels = jnp.asarray(self.law.observed_labels(own, points, labels))
        first_rate, last_rate = self.class_rates(points)
        flipped = jax.random.uniform(last, labels.shape, float) < jnp.where(labels > 0, last_rate, first_rate)
        return jnp.where(flipped, -labels, labels)

    def sample(self, key: Key, num_samples: int, **options: Any) -> Any:
        """A data set of the law, its labels flipped; options as of the law."""
        data_key, flip_key = jax.random.split(key)
        data = self.law.sample(data_key, num_samples, **options)
        labels = self.observed_labels(flip_key, data.latents, data.labels).astype(data.labels.dtype)
        return eqx.tree_at(lambda found: found.labels, data, labels)


def _is_rate(value: Any) -> Any:
    return (value >= 0) & (value <= 0.5)


declare_axes(NoisyLabels, "model", "a NoisyLabels", {"law": Axis("the law", inside=True)})
