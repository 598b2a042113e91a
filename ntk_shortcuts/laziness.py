"""Whether the kernel of a network of given width may be taken as frozen: a coarse flow beside the frozen prediction."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import LAZINESS, Issue, LazinessGap
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.two_features.given import given_samples
from ntk_shortcuts.methods import GivenDataset, Method, Population, PopulationFlow, method_options
from ntk_shortcuts.methods.flow.equation import FlowRules
from ntk_shortcuts.methods.flow.population_flow import flow_times
from ntk_shortcuts.methods.flow.samples import flow_on_samples
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.outputs import Outputs
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.training.gradient_flow import GradientFlow
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.validation import require, required

_COARSE = {"num_inits": 2, "step_tolerance": 3e-2}
_MOST_SAMPLES = 2000
_MAX_STEPS = 20_000


def laziness_gap(
    model: Any,
    network: Any,
    training: TrainingRule,
    random_init: bool = True,
    seed: int = 0,
    loss: str = "squared",
) -> np.ndarray:
    """How far a frozen kernel puts the bias from where networks of this width have it, by a coarse flow.

    The difference, in size, between the frozen-kernel bias on infinite data and the mean bias of two networks in population
    flow on some 40 nodes, in coarse steps: a moving kernel against a frozen one, without what finite samples add to both.

    Args:
        network: of finite width, such as an `MLP`.
        training: `GradientFlow` or `GradientDescent`, finite in time.
        random_init: False: of outputs centred at initialisation.
        seed: of the two initialisations.
        loss: of both, by name.

    Returns:
        The gap, shaped like the rule's times: 0 for lazy networks, with the spread of two initialisations.

    Raises:
        ValueError: as `predict_bias` with method="population_flow".

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel
        >>> network = MLP(1, width=16, parameterization="standard", initialization="torch")
        >>> model = GenerativeModel((0.85, 0.9), (4.0, 1.0))
        >>> float(laziness_gap(model, network, GradientFlow(20.0))) > 0.1  # doctest: +SKIP
        True
    """
    require(not is_traced(model, network, training), "network", "without traced parameters", network)
    return _gap(LawKernel(model, network), training, random_init, seed, loss=loss)


def _gap(
    kernel: LawKernel,
    training: TrainingRule,
    random_init: bool,
    seed: int = 0,
    frozen: Outputs | None = None,
    loss: str = "squared",
) -> np.ndarray:
    """The gap; `frozen`: the frozen outputs on infinite data, where they are known already."""
    points, metric = kernel.law.test_points(), kernel.law.metric
    order = kernel.law.quick_flow_order
    flow = PopulationFlow(key=jax.random.key(seed), random_init=random_init, loss=loss, order=order, **_COARSE)
    moving = flow(kernel, training, None, points)
    if frozen is None:
        frozen = Population(random_init=random_init, loss=loss)(kernel, training, None, points)
    return np.abs(np.asarray(metric(moving, points)) - np.asarray(metric(frozen, points)))


def laziness_notes(
    outputs: Outputs, kernel: LawKernel, training: TrainingRule, method: Method, points: TestPoints
) -> tuple[dict[str, float], tuple[Issue, ...]]:
    """The diagnostic `laziness_gap` (largest over times) of a frozen-kernel prediction, and an issue above 0.1.

    Networks flow on the data law, or on a given data set's own samples. A gap above it has to show without the networks' own
    outputs at initialisation too: the smaller of both counts. Nothing where no finite width was given, where the loss is
    weighted (another problem than that of the coarse flow), or where the flow does not apply (nesting, ridge, weight decay,
    infinite time, tracing, a data set of more than 2000 samples).
    """
    options, width = method_options(method), kernel.network.facts.width
    if width is None or not isinstance(kernel.network, FiniteNetwork):
        return {}, ()
    if method.moves_kernel or options.get("sample_weight") is not None:
        return {}, ()
    if is_traced(kernel, training, outputs) or not isinstance(training, GradientFlow | GradientDescent):
        return {}, ()
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(training)):
        return {}, ()
    if isinstance(training, GradientDescent) and training.decays:
        return {}, ()
    if isinstance(method, GivenDataset):
        return _on_samples(outputs, kernel, training, method, points, width)
    if kernel.law.latent_dim is None:
        return {}, ()
    random_init, loss = options.get("random_init", True), options.get("loss", "squared")
    gaps = _gap(kernel, training, random_init, frozen=outputs if isinstance(method, Population) else None, loss=loss)
    if random_init and np.max(gaps) > LAZINESS:
        # The outputs at initialisation of two networks scatter the bias, lazy or not; centred ones have no such part.
        gaps = np.minimum(gaps, _gap(kernel, training, random_init=False, loss=loss))
    return _notes(float(np.max(gaps)), width, on_samples=False)


def _on_samples(
    outputs: Outputs, kernel: LawKernel, training: TrainingRule, method: GivenDataset, points: TestPoints, width: int
) -> tuple[dict[str, float], tuple[Issue, ...]]:
    """The same on a data set, whose inputs need not be those of the law at all."""
    inputs, labels = (np.asarray(part) for part in given_samples(required(method.dataset, "dataset", "given"), None))
    if len(inputs) > _MOST_SAMPLES or method.initial_outputs is not None:
        return {}, ()
    at_probes = method.inputs_of(points)
    centred = dataclasses.replace(method, random_init=False)(kernel, training, None, points)
    gaps = []
    for random_init, frozen in ((method.random_init, outputs), (False, centred)):
        rules = FlowRules(
            jnp.asarray(0.0), jnp.asarray(_COARSE["step_tolerance"]), method.loss, not random_init, False, _MAX_STEPS, "float32"
        )
        keys = jax.random.split(jax.random.key(0), _COARSE["num_inits"])
        moving = flow_on_samples(kernel.finite_network, inputs, labels, at_probes, flow_times(training), rules, keys)
        gaps.append(np.abs(np.asarray(kernel.law.metric(moving, points)) - np.asarray(kernel.law.metric(frozen, points))))
        if np.max(gaps[0]) <= LAZINESS:
            break
    return _notes(float(np.max(np.min(gaps, axis=0))), width, on_samples=True)


def _notes(gap: float, width: int, on_samples: bool) -> tuple[dict[str, float], tuple[Issue, ...]]:
    return {"laziness_gap": gap}, (LazinessGap(gap, width, on_samples),) if gap > LAZINESS else ()
