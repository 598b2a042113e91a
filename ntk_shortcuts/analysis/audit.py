"""What a pool's attributes offer a network: how well each predicts the label, and how early it is learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_shortcuts.analysis.samples.functions import named_values, predictivity
from ntk_shortcuts.analysis.samples.operator import operator_of
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.networks.base import as_network
from ntk_shortcuts.results.base import origin_of
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    from ntk_shortcuts.analysis.tables import Audit

_LONG_NAMES = {
    "predictivity": ("accuracy of the label from the attribute alone", "1"),
    "availability": ("time at which half is learnt", "learning rate x steps"),
    "relative_availability": ("the label's learning time over this one", "1"),
    "alignment": ("part of the square within the leading eigenfunctions", "1"),
    "kernel_alignment": ("y^T K y / (|y|^2 |K|)", "1"),
}


def audit(pool: Pool, network: Any, *, modes: int = 10, cache: Any = None) -> Audit:
    r"""How predictive of the label each attribute of a pool is, and how early a network learns it. No training, no sampling.

    Each name is a function on the samples, \(y_p=\pm1\) of two values (an indicator each of more), its weighted mean removed.
    A frozen kernel on infinite data of the pool's law learns it eigenfunction by eigenfunction, with \(\lambda_k\), \(a_k\) the
    eigenvalues and coefficients of \(\sqrt q\,\Theta\sqrt q\), and half of it by its learning time t:

    \[\sum_ka_k^2e^{-2\lambda_kt}=\tfrac12\sum_ka_k^2.\]

    An attribute that is learnt before the label and agrees with it is a shortcut in waiting. The kernels are those at
    initialisation, and the pool's samples its whole law: what a data set of N samples makes of it is asked of
    :func:`ntk_shortcuts.predict`.

    Args:
        pool: samples with labels, attributes and weights (P,).
        network: an infinitely wide `MLP`, a stax network, or anything with `kernels(x1, x2)`.
        modes: how many leading eigenfunctions `alignment` counts, at most P.
        cache: a folder where kernels are kept, as for :func:`ntk_shortcuts.predict`.

    Returns:
        An `xarray.Dataset` over `function`, "label" first and then the attributes, with a `.plot()` that draws it.

        - `predictivity`: P(attribute = label) under the weights, or the best accuracy from the attribute's values alone.
        - `availability`: the learning time, in units of learning rate x steps under the loss (1/(2N)) sum (f - y)^2; inf where
          the kernel never learns half, NaN for an attribute without variation.
        - `relative_availability`: the label's learning time over it; above 1 it is learnt before the label.
        - `alignment`: the part of the squared norm within the leading eigenfunctions.
        - `kernel_alignment`: \(y^TKy/(|y|^2\|K\|_F)\) under the weights.

    Raises:
        ValueError: no pool, no network, or modes that are no integer >= 1.

    Example:
        >>> from ntk_shortcuts import MLP, Pool
        >>> rng = np.random.default_rng(0)
        >>> label, patch = np.repeat([-1, 1], 20), np.tile([-1, 1], 20)
        >>> inputs = np.stack([label, 4 * patch, *rng.normal(size=(3, 40))], axis=1)
        >>> found = audit(Pool(inputs, label, {"patch": patch}), MLP(depth=1))
        >>> found.function.values.tolist(), bool(found.relative_availability.sel(function="patch") > 5)
        (['label', 'patch'], True)
    """
    require(isinstance(pool, Pool), "pool", "a Pool", type(pool).__name__)
    modes = min(require_integer("modes", modes, 1), len(pool))
    operator = operator_of(pool, network, cache)
    values = named_values(pool)
    functions = {name: operator.functions(found) for name, found in values.items()}
    times = np.array([operator.measure(found).learning_time for found in functions.values()])
    leading = operator.leading(modes)[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "predictivity": [predictivity(pool, name) for name in values],
            "availability": times,
            "relative_availability": times[0] / times,
            "alignment": [np.sum((leading.T @ found) ** 2) / np.sum(found**2) for found in functions.values()],
            "kernel_alignment": [operator.alignment(found) for found in functions.values()],
        }
    data = {
        name: ("function", np.asarray(column, float), dict(zip(("long_name", "units"), _LONG_NAMES[name], strict=True)))
        for name, column in columns.items()
    }
    from ntk_shortcuts.analysis.tables import Audit

    origin = origin_of({"model": pool, "network": as_network(network)}, modes=modes, samples=len(pool))
    return Audit(data, {"function": list(values)}, origin.attributes)
