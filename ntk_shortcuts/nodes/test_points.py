"""Test points: where outputs are asked for, what a classifier may follow there, and what the best one does."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx

from ntk_shortcuts.typing import Array, Float


class TestPoints(eqx.Module):
    """Points at which outputs are predicted, and what metrics read there.

    - `points` (n, ...): of the law.
    - `attributes`: by name (n,), the side -1, +1 (or 0, undecided) on which each point lies by it.
    - `optimal` (n,): signs of the Bayes-optimal classifier, 0 where it is undecided; None where it is not known.
    - `reach` (n,): the size, up to a factor, of an output that decides; an output of less than 1e-6 of the largest output per
      reach counts as undecided.
    """

    __test__: ClassVar[bool] = False  # no test, whatever pytest makes of the name

    points: Float[Array, "n *point"]
    attributes: dict[str, Float[Array, "n"]]
    optimal: Float[Array, "n"] | None
    reach: Float[Array, "n"]
