"""Learning rates that change from step to step, as numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.spec import Spec
from ntk_shortcuts.typing import AnyArray, Float
from ntk_shortcuts.validation import require


class _Origin:
    """The function that rates were read from. It is not compared: rates are, so that closures share compiled programs."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Origin)

    def __hash__(self) -> int:
        return hash(_Origin)


class Schedule(Spec):
    """The learning rates of steps 0, 1, ...; called with a step it gives the rate there, as optax' schedules do.

    Two schedules are equal where their rates are.

    - `rates` (steps,): of the steps asked for; a later step has the last of them.

    Example:
        >>> import optax
        >>> rates = Schedule.of(optax.linear_schedule(1.0, 0.0, 4), 4)
        >>> rates.rates.tolist(), float(rates(1))
        ([1.0, 0.75, 0.5, 0.25], 0.75)
    """

    rates: Float[AnyArray, "steps"]
    origin: _Origin = eqx.field(static=True)

    @classmethod
    def of(cls, function: Callable[[Any], Any], steps: int) -> Schedule:
        """The rates of a function of the step, at 0, ..., steps - 1.

        Raises:
            ValueError: rates that are negative or not finite.
        """
        origin = function.origin if isinstance(function, Schedule) else _Origin(function)
        rates = _evaluated(origin.function, max(steps, 1))
        allowed = "a number, or a function from the step to rates >= 0 and finite"
        bad = rates[~((rates >= 0) & (rates < np.inf))]
        require(len(bad) == 0, "learning_rate", allowed, bad[:1])
        return cls(rates, origin)

    def __repr__(self) -> str:
        return f"{self.name}, {len(self.rates)} steps"

    def __call__(self, step: Any) -> Any:
        return jnp.asarray(self.rates)[jnp.minimum(step, len(self.rates) - 1)]

    @property
    def name(self) -> str:
        """What the function is called, for records: "cosine_decay_schedule"."""
        found = str(getattr(self.origin.function, "__qualname__", type(self.origin.function).__qualname__))
        return found.partition(".<locals>")[0]


@in_float64
def _evaluated(function: Callable[[Any], Any], count: int) -> np.ndarray:
    """At all steps at once where the function takes arrays and means by it the same, as optax' do; else one by one."""
    some = sorted({0, count // 3, count // 2, count - 1})
    each = np.array([float(function(step)) for step in some])
    try:
        together = np.asarray(function(jnp.arange(count)), np.float64)
    except (TypeError, ValueError):
        together = np.empty(0)
    if together.shape == (count,) and np.allclose(together[some], each, rtol=1e-6, atol=0, equal_nan=True):
        return together
    return np.array([float(function(step)) for step in range(count)])
