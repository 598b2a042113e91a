r"""A pool of samples, each with a label and attributes: the law \(\sum_pq_p\,\delta_p\)."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ntk_shortcuts.axes import Axis, declare_axes
from ntk_shortcuts.issues import Issue, WidthIgnored
from ntk_shortcuts.laws.attributes import named_attributes
from ntk_shortcuts.laws.base import DataLaw, Law
from ntk_shortcuts.laws.pool.checks import notes_on, other_codes, require_alike
from ntk_shortcuts.laws.pool.indexed import IndexedPool, groups_of
from ntk_shortcuts.networks.base import Network
from ntk_shortcuts.networks.gram import numbered_network
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import generator
from ntk_shortcuts.typing import Float, Int, Key
from ntk_shortcuts.validation import as_floats, require, require_finite, require_key, require_values


class Pool(Law):
    r"""Samples to draw data sets from: inputs, labels, attributes, and weights \(q_p\), normalised to sum 1.

    Args:
        inputs: (P, d) or (P, h, w, c), real and finite; kernels divide inner products by the number of entries, so that entries
            of order 1 suit the default variances.
        labels: (P,) in {-1, +1}, or integers 0..k-1 of k classes; at least two samples of each.
        attributes: (P,), then called "attribute", or {"name": (P,)}: integers; where they are to agree with the label, of the
            same values.
        weights: (P,) >= 0; uniform by default. Changing them changes how well an attribute predicts the label, without touching
            a sample (:meth:`with_agreement`).

    Raises:
        ValueError: naming the argument, what is allowed and what came: shapes, NaN or infinite inputs, labels of one class or
            with a single sample, weights that are negative or zero for a whole class.

    Example:
        >>> pool = Pool([[0.0, 1.0], [1.0, 0.5], [1.0, 1.0], [0.5, 0.0]], [1, 1, -1, -1], [1, -1, 1, -1])
        >>> pool.with_agreement(0.9).weights.round(3).tolist()
        [0.45, 0.05, 0.05, 0.45]
    """

    sources: ClassVar[tuple[str, ...]] = ("sagawa2020distributionally",)

    inputs: Float[np.ndarray, "P ..."]
    labels: Int[np.ndarray, "P"]
    attributes: dict[str, Int[np.ndarray, "P"]]
    weights: Float[np.ndarray, "P"]

    def __init__(self, inputs: Any, labels: Any, attributes: Any = None, weights: Any = None):
        inputs = np.asarray(as_floats("inputs", inputs), float)
        allowed = "an array of shape (P, d) or (P, h, w, c), one row per sample"
        require(inputs.ndim >= 2 and len(inputs) >= 2 and inputs[0].size >= 1, "inputs", allowed, inputs)
        require_finite("inputs", inputs)
        self.inputs = inputs
        self.labels = _integers("labels", labels, len(inputs))
        self.attributes = named_attributes(attributes, lambda name, values: _integers(name, values, len(inputs)))
        _require_classes(self.labels)
        weights = np.full(len(inputs), 1.0) if weights is None else np.asarray(as_floats("weights", weights), float)
        require_values("weights", weights, (len(inputs),), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        require(bool(np.sum(weights) > 0), "weights", "positive for at least one sample", weights)
        self.weights = weights / np.sum(weights)
        for value in self.classes:
            share = float(np.sum(self.weights[self.labels == value]))
            require(share > 0, "weights", f"positive for at least one sample of class {value}", share)

    @property
    def classes(self) -> tuple[int, ...]:
        """The labels that occur."""
        return tuple(int(value) for value in np.unique(self.labels))

    @property
    def size(self) -> int:
        """P."""
        return len(self.labels)

    def __len__(self) -> int:
        return self.size

    @property
    def groups(self) -> dict[tuple[int, ...], Int[np.ndarray, "members"]]:
        """Samples of each group, label x attributes in the order of their names: {(label, a, ...): indices}."""
        number, values = groups_of(self.labels, self.attributes)
        return {group: np.flatnonzero(number == i) for i, group in enumerate(itertools.product(*values.values()))}

    def attribute(self, name: str | None = None) -> str:
        """The name of an attribute; None where there is one only.

        Raises:
            ValueError: no such attribute, or several and none named.
        """
        known = list(self.attributes)
        require(bool(known), "attributes", "given to the pool", known)
        if name is None:
            require(len(known) == 1, "attribute", f"one of {', '.join(known)}", name)
            return known[0]
        require(name in known, "attribute", f"one of {', '.join(known)}", name)
        return name

    def agreement(self, attribute: str | None = None) -> float:
        """P(attribute = label) under the weights."""
        return float(np.sum(self.weights[self.attributes[self.attribute(attribute)] == self.labels]))

    def with_agreement(self, agreement: float, attribute: str | None = None) -> Pool:
        """Reweighted so that P(attribute = label) is `agreement` within each class, and classes are balanced.

        Within a group weights keep their ratios.

        Args:
            agreement: in [0, 1].
            attribute: its name, where there are several.

        Raises:
            ValueError: an agreement out of range; an attribute of other codes than the labels'; a class without samples on one
                side, which no weights can balance.
        """
        require_values("agreement", agreement, (), "in [0, 1]", lambda v: (v >= 0) & (v <= 1))
        name = self.attribute(attribute)
        strange = other_codes(self, name)
        allowed = f"of the codes of the labels, {self.classes}, to agree with them"
        require(strange is None or len(strange.values) == 1, f"attributes[{name!r}]", allowed, strange and strange.values)
        agrees = self.attributes[name] == self.labels
        weights = np.zeros(self.size)
        for value in self.classes:
            for side, share in ((True, float(agreement)), (False, 1 - float(agreement))):
                of = (self.labels == value) & (agrees == side)
                whole = float(np.sum(self.weights[of]))
                sides = "equals" if side else "differs from"
                allowed = f"attainable: some sample of class {value} whose {name} {sides} the label, with a positive weight"
                require(share == 0 or whole > 0, "agreement", allowed, agreement)
                if share > 0:
                    weights[of] = share * self.weights[of] / whole / len(self.classes)
        return self.reweighted(weights)

    def with_class_share(self, positive: float) -> Pool:
        """Reweighted so that the last of two classes has the share `positive`; within a class weights keep their ratios.

        Raises:
            ValueError: a share outside (0, 1), or more than two classes.
        """
        require(len(self.classes) == 2, "pool", "of two classes", f"{len(self.classes)} of them")
        require_values("positive", positive, (), "in (0, 1)", lambda v: (v > 0) & (v < 1))
        last = self.labels == self.classes[-1]
        share = float(np.sum(self.weights[last]))
        return self.reweighted(self.weights * np.where(last, float(positive) / share, (1 - float(positive)) / (1 - share)))

    def reweighted(self, weights: Any) -> Pool:
        """The same samples with other weights (P,)."""
        return Pool(self.inputs, self.labels, self.attributes, weights)

    def balanced(self) -> Pool:
        """Every group that has samples weighs the same; within a group all samples do."""
        weights = np.zeros(self.size)
        for members in self.groups.values():
            weights[members] = 1 / max(len(members), 1)
        return self.reweighted(weights)

    def take(self, indices: Any) -> Pool:
        """Some of the samples, with their weights.

        Args:
            indices: of the samples, whole numbers from -P to P - 1, or a mask (P,).

        Raises:
            ValueError: other indices, or none.
        """
        indices = np.asarray(indices)
        if indices.dtype == bool:
            inside = indices.shape == (self.size,) and bool(np.any(indices))
        else:
            inside = indices.dtype.kind in "iu" and indices.ndim == 1 and len(indices) > 0
            inside = inside and bool(np.all((-self.size <= indices) & (indices < self.size)))
        require(inside, "indices", f"whole numbers from {-self.size} to {self.size - 1}, or a mask ({self.size},)", indices)
        attributes = {name: values[indices] for name, values in self.attributes.items()}
        return Pool(self.inputs[indices], self.labels[indices], attributes, self.weights[indices])

    def split(self, key: Key, fraction: float) -> tuple[Pool, Pool]:
        """Two disjoint pools, stratified over groups: `fraction` of each group's samples, and the rest to test on.

        Raises:
            ValueError: a fraction outside (0, 1), or one that leaves a class without two samples on either side.
        """
        require_key(key)
        require_values("fraction", fraction, (), "in (0, 1)", lambda v: (v > 0) & (v < 1))
        rng = generator(key)
        first = np.zeros(self.size, bool)
        for members in self.groups.values():
            shuffled = rng.permutation(members)
            first[shuffled[: round(float(fraction) * len(members))]] = True
        left = min(np.sum(part & (self.labels == label)) for part in (first, ~first) for label in self.classes)
        require(left >= 2, "fraction", f"such that each class has two samples on either side, not {left}", fraction)
        return self.take(np.flatnonzero(first)), self.take(np.flatnonzero(~first))

    @property
    def digest(self) -> str:
        """Of the inputs: what identifies them on disk."""
        return hashlib.blake2b(np.ascontiguousarray(self.inputs).tobytes(), digest_size=16).hexdigest()

    def _identity(self) -> tuple[Any, ...]:
        parts = (self.labels, self.weights, *self.attributes.values())
        return type(self), self.digest, self.inputs.shape, tuple(self.attributes), *(part.tobytes() for part in parts)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{group}: {len(members)}" for group, members in self.groups.items())
        named = ", ".join(("label", *self.attributes))
        return f"Pool({self.size} inputs of shape {self.inputs.shape[1:]}; samples by ({named}): {sizes})"

    def draw(self, key: Key, num_samples: int, replace: bool = True) -> Int[np.ndarray, "num_samples"]:
        """A data set as numbers of samples: class counts fixed at the classes' weights, groups within a class at random."""
        law = self._indexed() if replace else self._indexed().without_replacement()
        return law.draw(generator(require_key(key)), num_samples)

    def prepared(self, network: Network, test: Any = None, cache: Any = None) -> tuple[DataLaw, Network, TestPoints]:
        """A sample becomes a number. Kernels are evaluated between all samples once, and from then on are a lookup; of pools
        above 12,000 samples, without a folder to keep them in, they are evaluated where they are asked for."""
        self._require_test(test)
        width = network.facts.width
        ignored = () if width is None else (WidthIgnored(float(width)),)
        law = self._indexed((*notes_on(self, test), *ignored))
        numbered = numbered_network(network, self.inputs, test.inputs, cache)
        return law, numbered, law.tested_on(test.labels, test.attributes, test.weights)

    def test_points(self, test: Any) -> TestPoints:
        """The samples of another pool as points to predict at, with their labels, groups and weights.

        Raises:
            ValueError: no pool, or inputs, labels or attributes that the pool does not have.
        """
        self._require_test(test)
        return self._indexed().tested_on(test.labels, test.attributes, test.weights)

    @property
    def label_groups(self) -> tuple[tuple[int, ...], ...]:
        return self._indexed().label_groups

    def group_shares(self, points: Any) -> Float[np.ndarray, "n groups"]:
        """1 in the group of each sample, by its number."""
        return self._indexed().group_shares(points)

    @property
    def samples(self) -> Pool:
        return self

    @property
    def targets(self) -> Float[np.ndarray, "P"]:
        """What networks learn: -1 for the first of two classes, +1 for the second."""
        return self._indexed().targets

    def _require_test(self, test: Any) -> None:
        allowed = "a Pool of samples that are not in the pool, such as the second of pool.split(key, 0.7)"
        require(isinstance(test, Pool), "test", allowed, type(test).__name__)
        require_alike(self, test)

    def _indexed(self, issues: tuple[Issue, ...] = ()) -> IndexedPool:
        return IndexedPool(self.labels, self.attributes, self.weights, issues)


def _integers(name: str, values: Any, count: int) -> np.ndarray:
    values = np.asarray(values)
    allowed = f"of shape ({count},), one per sample"
    require(values.shape == (count,), name, allowed, values)
    numeric = values.dtype.kind in "iufb"
    allowed = "integers (-1 and +1, or 0..k-1); number the values of text, as np.unique(values, return_inverse=True)[1] does"
    require(numeric and bool(np.all(np.isfinite(values)) and np.all(values == np.round(values))), name, allowed, values[:3])
    return values.astype(int)


def _require_classes(labels: np.ndarray) -> None:
    values, counts = np.unique(labels, return_counts=True)
    require(len(values) >= 2, "labels", "of at least two classes", f"{values.tolist()} only")
    signs = values.tolist() == [-1, 1]
    allowed = "in {-1, +1}, or the integers 0..k-1 of k classes"
    require(signs or values.tolist() == list(range(len(values))), "labels", allowed, f"the values {values.tolist()[:8]}")
    rare = int(np.argmin(counts))
    allowed = "given to at least two samples of each class (leave the class out, or find more of it)"
    require(counts[rare] >= 2, "labels", allowed, f"{counts[rare]} sample of class {values[rare]}")


def _weights_at(arguments: Mapping[str, Any], agreement: float) -> np.ndarray:
    pool = Pool(**arguments)
    known = list(pool.attributes)
    allowed = "an axis of a pool with one attribute (leave others out: Pool(inputs, labels, {name: values}))"
    require(len(known) == 1, "agreement", allowed, f"{', '.join(known) or 'none'}")
    return pool.with_agreement(agreement).weights


declare_axes(
    Pool, "model", "a Pool", {"agreement": Axis("agreement of attribute and label", field="weights", scale=_weights_at)}
)
