"""Whitened inputs of the two-feature law."""

from __future__ import annotations

import jax.numpy as jnp

from ntk_shortcuts.laws.base import require_two_features
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.networks.base import Network
from ntk_shortcuts.networks.preprocessed import Preprocessed
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.validation import require


@in_float64
def whitened(model: GenerativeModel, network: Network) -> Preprocessed:
    r"""The network on whitened inputs \(C^{-1/2}x\), \(C=E[xx^T]\) on the plane of the features, in the d dimensions they had.

    Inner products become \(\langle x,x'\rangle=z^T(\Sigma+\mu\mu^T)^{-1}z'\): amplifications drop out. In whitened
    coordinates the law and the kernel are symmetric under the reflection that keeps the Bayes direction, and so is the
    init-averaged output over infinite data. On the optimal boundary that reflection is z -> -z, under which this output is odd:
    it vanishes there at all times, and has no shortcut bias as long as it keeps its sign on either side.

    Args:
        model: the data law, without nesting.
        network: an infinitely wide `MLP`.

    Returns:
        A `Preprocessed` network, for every method that takes latents (all but "leading_order" and "population_flow").

    Raises:
        ValueError: nested features; a network that is not an infinitely wide MLP.

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow, predict_bias
        >>> model = GenerativeModel(amplification=(4.0, 1.0))
        >>> flow = GradientFlow(time=10.0)
        >>> bare = predict_bias(model, MLP(1), flow, random_init=False).bias
        >>> white = predict_bias(model, whitened(model, MLP(1)), flow, random_init=False).bias
        >>> round(bare, 2), round(abs(white), 2)
        (1.47, 0.0)
    """
    require_two_features("model", model)
    require(model.nesting == (0, 0), "nesting", "(0, 0) for whitening on the feature plane", model.nesting)
    moment = model.covariance + jnp.outer(model.means, model.means)
    # Any root does: kernels see inner products only. The triangular one needs no eigenvectors.
    root = jnp.linalg.inv(jnp.linalg.cholesky(moment)) / jnp.asarray(model.amplification)[None, :]
    return Preprocessed(network, root * jnp.sqrt(2 / model.input_dim))
