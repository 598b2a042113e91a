"""A rule of gradient descent as an optax optimiser, for networks that are trained by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax

from ntk_shortcuts.spec import Spec
from ntk_shortcuts.training.gradient_descent import GradientDescent

if TYPE_CHECKING:
    import optax


class DescentOptimizer(Spec):
    """Called with a learning rate, the optax optimiser that makes the steps of a rule; equal where its numbers are.

    Its weight decay is that of the rule, towards the parameters at the start.
    """

    momentum: float = eqx.field(static=True)
    nesterov: bool = eqx.field(static=True)
    weight_decay: float = eqx.field(static=True)
    decoupled: bool = eqx.field(static=True)

    @classmethod
    def of(cls, training: GradientDescent) -> DescentOptimizer:
        """Of a rule of one momentum and weight decay.

        Example:
            >>> DescentOptimizer.of(GradientDescent(0.1, 10, momentum=0.9)).momentum
            0.9
        """
        return cls(float(training.momentum), training.nesterov, float(training.weight_decay), training.decoupled)

    def __call__(self, learning_rate: Any) -> optax.GradientTransformation:
        import optax

        shrink = [towards_start(self.weight_decay)] if self.weight_decay else []
        trace = [optax.trace(self.momentum, self.nesterov)] if self.momentum else []
        pulled = [*trace, *shrink] if self.decoupled else [*shrink, *trace]
        return optax.chain(*pulled, optax.scale_by_learning_rate(learning_rate))


class _Start(NamedTuple):
    params: Any


def towards_start(strength: float) -> optax.GradientTransformation:
    """Add strength x (parameters - those at the start) to the updates."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(lambda u, p, start: u + strength * (p - start), updates, params, state.params), state

    from optax import GradientTransformation

    return GradientTransformation(_Start, update)
