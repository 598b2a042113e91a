"""What a run accepts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.experiments.ensembles.sources import Source
from ntk_shortcuts.laws.base import require_two_features
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.networks.base import FiniteNetwork, require_finite_network
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.training.optimizers import DescentOptimizer
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    import optax

Optimizer: TypeAlias = "Callable[[Any], optax.GradientTransformation]"


def checked_laws(models: Sequence[GenerativeModel]) -> list[GenerativeModel]:
    models = list(models)
    require(len(models) >= 1, "models", "at least one GenerativeModel", models)
    for model in models:
        require_two_features("model", model)
    shapes = {(m.nesting, m.input_dim) for m in models}
    require(len(shapes) == 1, "models", "of one nesting and one input_dim", shapes)
    return models


def checked_steps(training: GradientDescent) -> np.ndarray:
    require(isinstance(training, GradientDescent), "training", "GradientDescent(learning_rate, steps)", training)
    one = training.scheduled or np.ndim(training.learning_rate) == 0
    require(one, "learning_rate", "a number or a schedule", training.learning_rate)
    for name in ("momentum", "weight_decay"):
        require(np.ndim(getattr(training, name)) == 0, name, "a number", getattr(training, name))
    steps = np.atleast_1d(np.asarray(training.steps))
    require(bool(np.isfinite(steps).all()) and len(steps) > 0, "steps", "finite", steps)
    return steps.astype(np.int64)


def require_trainable(network: FiniteNetwork, num_samples: int, input_dim: int) -> None:
    """Refuse a network that cannot be drawn, or whose outputs are not (n,): those of (n, 1) would broadcast with the labels."""
    allowed = "an MLP of finite width, or another network with init and apply"
    require(isinstance(network, FiniteNetwork), "network", allowed, type(network).__name__)
    require_finite_network(network)
    inputs = jax.ShapeDtypeStruct((num_samples, input_dim), jnp.result_type(float))
    outputs = jax.eval_shape(lambda x: network.apply(network.init(jax.random.key(0), input_dim), x), inputs)
    allowed = f"with apply(params, x) that returns one number a sample, ({num_samples},)"
    require(outputs.shape == (num_samples,), "network", allowed, outputs)


def chosen_optimizer(optimizer: Optimizer | None, training: GradientDescent) -> Optimizer:
    """The rule's own where none is given; one that is given has a rule of steps and rates only beside it."""
    if optimizer is None:
        from optax import sgd

        return sgd if training.plain else DescentOptimizer.of(training)
    for name in ("momentum", "weight_decay"):
        allowed = "0 with optimizer=, which says itself what it does beside the rate"
        require(not getattr(training, name), name, allowed, getattr(training, name))
    return optimizer


def checked_batches(loss: str, optimizer: Optimizer, batch_size: int | None, num_samples: int) -> int:
    resolve_loss(loss)
    require(callable(optimizer), "optimizer", "a function from the learning rate to an optax optimiser", optimizer)
    if batch_size is None:
        return num_samples
    require(1 <= require_integer("batch_size", batch_size, 1) <= num_samples, "batch_size", "at most N", batch_size)
    return batch_size


def reduces(plane: bool | None, optimizer: Optimizer, network: FiniteNetwork, source: Source) -> bool:
    """Whether networks are trained on the plane."""
    obstacle = source.outside_plane()
    if obstacle is None:
        basis = jax.ShapeDtypeStruct((source.input_dim, 2), jnp.result_type(float))
        start = jax.eval_shape(lambda b: network.on_plane(network.init(jax.random.key(0), source.input_dim), b), basis)
        obstacle = "for a network without a reduction to the plane" if start is None else None
    require(not plane or obstacle is None, "plane", f"False or None {obstacle}", plane)
    if plane is not None:
        return bool(plane)
    from optax import sgd

    # Its updates commute with rotations of the weights, so that the reduction to the plane is exact.
    invariant = getattr(optimizer, "func", optimizer) is sgd or isinstance(optimizer, DescentOptimizer)
    return invariant and obstacle is None
