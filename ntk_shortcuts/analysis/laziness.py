"""Whether the kernel of a network of given width may be taken as frozen: a coarse flow beside the frozen prediction."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy as np

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.methods.population import predict_population
from ntk_shortcuts.methods.flow.population_flow import predict_population_flow
from ntk_shortcuts.results.prediction import Prediction, UntrustedPredictionWarning
from ntk_shortcuts.training.rules import GradientDescent, GradientFlow, TrainingRule
from ntk_shortcuts.validation import require

# A frozen bias is to be trusted to this.
TRUSTED_GAP = 0.1
_COARSE = {"order": 6, "num_inits": 2, "step_tolerance": 3e-2}


def laziness_gap(
    model: GenerativeModel,
    network: MLP,
    training: TrainingRule,
    random_init: bool = True,
    seed: int = 0,
    frozen_bias: Any = None,
) -> np.ndarray:
    """How far a frozen kernel puts the bias from where networks of this width have it, by a coarse flow.

    The difference, in size, between the frozen-kernel bias on infinite data and the mean bias of two networks in population
    flow on some 40 nodes, in coarse steps: a moving kernel against a frozen one, without what finite samples add to both.

    Args:
        network: an `MLP` of finite width.
        training: `GradientFlow` or `GradientDescent`, finite in time.
        random_init: False: of outputs centred at initialisation.
        seed: of the two initialisations.
        frozen_bias: of method="population", where it is known already; computed by default.

    Returns:
        The gap, shaped like the rule's times: 0 for lazy networks, with the spread of two initialisations.

    Raises:
        ValueError: as `predict_bias` with method="population_flow".

    Example:
        >>> from ntk_shortcuts import MLP
        >>> network = MLP(1, width=16, parameterization="standard", initialization="torch")
        >>> model = GenerativeModel((0.85, 0.9), (4.0, 1.0))
        >>> float(laziness_gap(model, network, GradientFlow(20.0))) > 0.1  # doctest: +SKIP
        True
    """
    require(not is_traced(model, network, training), "network", "without traced parameters", network)
    with warnings.catch_warnings():
        # A coarse flow need not settle.
        warnings.simplefilter("ignore", UntrustedPredictionWarning)
        key = jax.random.key(seed)
        flow = predict_population_flow(model, network, training, key=key, random_init=random_init, **_COARSE)
        if frozen_bias is None:
            frozen_bias = predict_population(model, network, training, random_init=random_init).bias
    return np.abs(np.asarray(flow.bias) - np.asarray(frozen_bias))


def with_laziness(
    prediction: Prediction, model: GenerativeModel, network: Any, training: TrainingRule, random_init: bool
) -> Prediction:
    """A frozen-kernel prediction with the diagnostic `laziness_gap` (largest over times), and a warning above 0.1.

    A gap above it has to show without the networks' own outputs at initialisation too: the smaller of both counts.
    Unchanged where no finite width was given or the flow does not apply (nesting, ridge, infinite time, tracing).
    """
    finite = isinstance(network, MLP) and network.width is not None and network.depth > 0
    if not finite or any(model.nesting) or not isinstance(training, GradientFlow | GradientDescent):
        return prediction
    if is_traced(model, network, training) or not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(training)):
        return prediction
    known = prediction.bias if prediction.method == "population" else None
    gaps = laziness_gap(model, network, training, random_init, frozen_bias=known)
    if random_init and np.max(gaps) > TRUSTED_GAP:
        # The outputs at initialisation of two networks scatter the bias, lazy or not; centred ones have no such part.
        gaps = np.minimum(gaps, laziness_gap(model, network, training, random_init=False))
    gap = float(np.max(gaps))
    if gap > TRUSTED_GAP:
        warnings.warn(
            f"at width {network.width} the kernel moves: a coarse flow of such networks puts the bias {gap:.2f} from that of "
            'the frozen kernel; method="population_flow" predicts them',
            UntrustedPredictionWarning,
            stacklevel=4,
        )
    return prediction.with_diagnostics({"laziness_gap": gap})
