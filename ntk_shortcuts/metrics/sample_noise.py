"""What a group's accuracy owes to which test samples there are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.metrics.groups import group_shares, right
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.typing import Array, Float

# Of the weight in a group: what samples beside one must have for a standard error.
_ALONE = 1e-6


class Rightness(Metric):
    """Probability that each test point is classified rightly, (*batch, n)."""

    axes: ClassVar[int] = 1

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch n"]:
        return right(signs, points)


@in_float64
def deviations_by_sample(rightness: Float[np.ndarray, "n"], points: TestPoints, group: int) -> Float[np.ndarray, "n"]:
    r"""What each test sample adds to the deviation of its group's accuracy from that of all samples there could be, (n,).

    \[u_i=s_i\,(r_i-a)\Big/\sqrt{1-2\tfrac{\sum s^3}{\sum s^2}+\sum s^2},\qquad a=\sum_is_ir_i\]

    with the shares s of the samples of group g in its mean, 0 elsewhere. \(\sqrt{\sum u_i^2}\) is the standard error of the
    accuracy a over draws of the test samples (its square unbiased; of equal shares the usual one, with n - 1), and
    \(\sqrt{\sum(u_i-u_i')^2}\) that of the difference of two classifiers' accuracies on the same samples. NaN of a group of
    which one sample has all the weight: it says nothing of others.

    Args:
        rightness: r, of :class:`Rightness`.
        group: its number.

    Example:
        >>> from ntk_shortcuts import Pool
        >>> pool = Pool(np.zeros((4, 1)), [-1, -1, 1, 1], {"patch": [1, 1, 1, 1]})
        >>> found = deviations_by_sample(np.array([1.0, 0.0, 0.5, 0.5]), pool.test_points(pool), 0)
        >>> found.round(3).tolist(), float(np.linalg.norm(found).round(3))
        ([0.354, -0.354, 0.0, 0.0], 0.5)
    """
    shares = np.asarray(group_shares(points))[:, group]
    squares = shares @ shares
    left = 1 - 2 * (shares**3).sum() / squares + squares
    root = np.sqrt(left) if left > _ALONE else np.nan
    return shares * (rightness - shares @ rightness) / root
