r"""How often a data set holds each node of a law: for an average, all that sets data sets, subsets, draws with replacement
and densities apart.

Node p comes \(c_p\) times. Known counts are a data set, 0 and 1 a subset, binomial ones draws with replacement; for a density
\(N q_p\to0\), and all that matters is \(E[c]=Nq_p\).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binom

from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import Float, Int
from ntk_shortcuts.validation import require, require_integer

# Counts less probable than this at every node are left out.
_NEGLIGIBLE = 1e-10


class Counts(Record):
    """The law of the counts, node by node, and which of their sums are fixed.

    - `values` (C,): possible counts. `probability` (C, nodes): of each at each node.
    - `totals` (nodes,): nodes of one number have a fixed sum of counts, as the classes of a balanced data set have.
    - `groups` (nodes,): nodes of one number are alike, label and attributes; by default the totals.
    """

    values: Float[np.ndarray, "C"]
    probability: Float[np.ndarray, "C nodes"]
    totals: Int[np.ndarray, "nodes"]
    groups: Int[np.ndarray, "nodes"]

    @classmethod
    def known(cls, counts: Any) -> Counts:
        """Counts that are what they are: a data set.

        Example:
            >>> Counts.known([0, 2]).mean.tolist()
            [0.0, 2.0]
        """
        counts = np.asarray(counts)
        values = np.unique(counts)
        return cls(values.astype(float), (counts == values[:, None]).astype(float), *[np.zeros(counts.shape, int)] * 2)

    @classmethod
    def with_replacement(cls, share: Any, trials: Any, totals: Any, groups: Any = None) -> Counts:
        """Each node binomial: `share` (nodes,) of the draws from its class, of which there are `trials` (nodes,)."""
        share, trials, totals = np.asarray(share, float), np.asarray(trials), np.asarray(totals)
        largest = int(np.max(binom.isf(_NEGLIGIBLE, trials, share), initial=1))
        values = np.arange(max(largest, 1) + 1)
        probability = binom.pmf(values[:, None], trials, share)
        return cls(values.astype(float), probability / probability.sum(axis=0), totals, totals if groups is None else groups)

    @classmethod
    def subsets(cls, share: Any, trials: Any, totals: Any, groups: Any = None) -> Counts:
        """Each node at most once, with the probability share x trials.

        Raises:
            ValueError: a node that would have to come more than once.
        """
        inclusion, totals = np.asarray(share, float) * np.asarray(trials), np.asarray(totals)
        allowed = "smaller where no sample may come twice (or replace=True): each at most once in a data set"
        require(bool(np.max(inclusion) <= 1 + 1e-9), "num_samples", allowed, f"{np.max(inclusion):.3g} of one sample")
        inclusion = np.minimum(inclusion, 1.0)
        return cls(np.array([0.0, 1.0]), np.stack([1 - inclusion, inclusion]), totals, totals if groups is None else groups)

    @property
    def mean(self) -> Float[np.ndarray, "nodes"]:
        """E[c]."""
        return self.values @ self.probability

    @property
    def variance(self) -> Float[np.ndarray, "nodes"]:
        """Var[c]."""
        return self.values**2 @ self.probability - self.mean**2

    def moment(self, leverage: Any) -> Any:
        r"""\(E[c/(1+c\,d)]\) at the leverages d (nodes,), complex."""
        return np.sum(self.probability * self.values[:, None] / (1 + self.values[:, None] * leverage), axis=0)


def class_sizes(num_samples: int, shares: Any) -> Int[np.ndarray, "classes"]:
    """Whole numbers that add up to num_samples, as near to their shares as can be (largest remainders).

    Example:
        >>> class_sizes(5, [0.5, 0.5]).tolist()
        [3, 2]
    """
    require_integer("num_samples", num_samples, 1)
    exact = num_samples * np.asarray(shares, float) / np.sum(shares)
    sizes = np.floor(exact + 1e-9).astype(int)
    order = np.argsort(sizes - exact, kind="stable")
    sizes[order[: num_samples - sizes.sum()]] += 1
    return sizes
