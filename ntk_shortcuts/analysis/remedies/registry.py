"""Mitigations as changes of what is trained on what: each one function, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ntk_shortcuts.analysis.remedies.inputs import whitening as whitening_of
from ntk_shortcuts.analysis.remedies.inputs import without_attribute
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.networks.base import Network
from ntk_shortcuts.networks.last_layer import LastLayer


class Case(NamedTuple):
    """What a mitigation changes.

    - `pool`, `test`: samples that data sets are drawn from, and those tested on. `network`. `num_samples`: of a data set.
    - `attribute`: the name of the one to get rid of.
    - `stops`: whether training stops where the worst group is best, or goes on to the end.
    """

    pool: Pool
    test: Pool
    network: Network
    num_samples: int
    attribute: str
    stops: bool = True


Mitigation = Callable[[Case], Case]


def none(case: Case) -> Case:
    """Nothing: trained to the end on the pool as it is."""
    return case._replace(stops=False)


def early_stopping(case: Case) -> Case:
    """Trained until the worst group is best."""
    return case


def group_weights(case: Case) -> Case:
    """Every group weighs the same in the draws: as many samples as before, the rare ones repeated."""
    return case._replace(pool=case.pool.balanced())


def subsampling(case: Case) -> Case:
    """Of every group as many samples as a data set has of the rarest: fewer, and none repeated more than before."""
    return case._replace(pool=case.pool.balanced(), num_samples=balanced_size(case.pool, case.num_samples))


def attribute_removed(case: Case) -> Case:
    """The attribute's mean difference within the classes is projected out of all inputs (`without_attribute`)."""
    change = without_attribute(case.pool, case.attribute)
    return case._replace(pool=change(case.pool), test=change(case.test))


def whitening(case: Case) -> Case:
    """Inputs whitened with the pool's covariance (ZCA)."""
    change = whitening_of(case.pool)
    return case._replace(pool=change(case.pool), test=change(case.test))


def last_layer(case: Case) -> Case:
    """The last layer alone is trained, on as many samples of each group as a data set has of the rarest."""
    return subsampling(case)._replace(network=LastLayer(case.network))


MITIGATIONS: dict[str, Mitigation] = {
    "none": none,
    "early_stopping": early_stopping,
    "group_weights": group_weights,
    "subsampling": subsampling,
    "attribute_removed": attribute_removed,
    "whitening": whitening,
    "last_layer": last_layer,
}


def balanced_size(pool: Pool, num_samples: int) -> int:
    """How many samples are left where every group is cut to the expected count of the rarest; at least one of each.

    Example:
        >>> pool = Pool(np.eye(8), [1, 1, 1, 1, -1, -1, -1, -1], [1, 1, 1, -1, -1, -1, -1, 1]).with_agreement(0.95)
        >>> balanced_size(pool, 200)
        20
    """
    shares = [float(np.sum(pool.weights[members])) for members in pool.groups.values()]
    present = [share for share in shares if share > 0]
    return max(round(len(present) * num_samples * min(present)), len(present))
