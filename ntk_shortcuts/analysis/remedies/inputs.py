"""Linear changes of a pool's inputs, learnt on the pool and applied to any samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.typing import Float

InputMap = Callable[[Pool], Pool]


def without_attribute(pool: Pool, name: str) -> InputMap:
    r"""Projects out what tells an attribute's values apart on average within a class, \(\bar x_{y,a}-\bar x_{y,a_0}\).

    The means are weighted, the differences averaged over the classes; k values have k - 1 directions. A classifier can still
    read the attribute off anything but these means.

    Example:
        >>> pool = Pool([[1.0, 5.0], [2.0, -5.0], [-1.0, 5.0], [-2.0, -5.0]], [1, 1, -1, -1], [1, -1, 1, -1])
        >>> np.abs(without_attribute(pool, "attribute")(pool).inputs).round(6).tolist()
        [[1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    """
    rows, values = pool.inputs.reshape(len(pool), -1), pool.attributes[name]
    reference, *others = np.unique(values)
    directions = [np.zeros(rows.shape[1])]
    for other in others:
        found = []
        for label in pool.classes:
            groups = [(pool.labels == label) & (values == value) for value in (other, reference)]
            shares = [pool.weights[group] for group in groups]
            if all(np.sum(share) > 0 for share in shares):
                means = [share @ rows[group] / np.sum(share) for group, share in zip(groups, shares, strict=True)]
                found.append(means[0] - means[1])
        directions.append(np.mean(found, axis=0) if found else directions[0])
    _, sizes, vectors = np.linalg.svd(np.stack(directions), full_matrices=False)
    basis = vectors[sizes > 1e-10 * max(float(np.max(np.abs(rows))), 1e-300)]
    return lambda other: _mapped(other, lambda x: x - (x @ basis.T) @ basis)


def whitening(pool: Pool, ridge: float = 1e-2) -> InputMap:
    r"""ZCA: \(x\mapsto s\,(C+\rho I)^{-1/2}(x-\bar x)\), with the pool's weighted mean and covariance.

    Args:
        ridge: rho, in units of the mean variance of an entry; directions with less variance than that are not blown up.

    s keeps the mean squared norm of the pool's inputs, so that learning times stay comparable.
    """
    rows = pool.inputs.reshape(len(pool), -1)
    mean = pool.weights @ rows
    centred = rows - mean
    covariance = centred.T @ (pool.weights[:, None] * centred)
    variances, vectors = np.linalg.eigh(covariance)
    floor = ridge * max(float(np.mean(variances)), 1e-300)
    matrix = (vectors / np.sqrt(np.maximum(variances, 0) + floor)) @ vectors.T
    matrix *= np.sqrt((pool.weights @ np.sum(rows**2, axis=1)) / max(np.sum((covariance @ matrix) * matrix), 1e-300))
    return lambda other: _mapped(other, lambda x: (x - mean) @ matrix)


def _mapped(pool: Pool, change: Callable[[Float[np.ndarray, "P d"]], Float[np.ndarray, "P d"]]) -> Pool:
    inputs = change(pool.inputs.reshape(len(pool), -1)).reshape(pool.inputs.shape)
    return Pool(inputs, pool.labels, pool.attributes, pool.weights)
