r"""Networks behind a linear map of their inputs: whitening, standardisation, projections.

A law of two features with amplifications is not closed under such maps: whitening mixes the features, and the mixed ones are no
amplified shortcut and core. The kernel is: that of \(x\mapsto f(Mx)\) is the kernel of f at Mx.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.numerics import in_float64, real_leaf
from ntk_shortcuts.typing import Array, Float, Latents
from ntk_shortcuts.validation import as_points, require


class Preprocessed(eqx.Module):
    r"""The network \(x\mapsto f(Mx)\), wherever an infinitely wide network is accepted.

    Args:
        network: an infinitely wide `MLP`.
        matrix: M, (k, m). The network's input dimension is k: its first layer has the kernel
            \(\sigma_w^2\langle Mx,Mx'\rangle/k+\sigma_b^2\).

    Data laws act through their effective coordinates \(u=(\alpha_sz_s,\alpha_cz_c)\), the inputs in the basis of the two
    feature directions as d -> infinity; M is then (k, 2).

    Raises:
        ValueError: a network that is not an infinitely wide MLP, a matrix of another shape or with entries that are not finite.

    Example:
        >>> amplified = GenerativeModel(amplification=(4.0, 1.0), input_dim=2)
        >>> plain = GenerativeModel(input_dim=2)
        >>> z = plain.probe_grid(4)
        >>> network = MLP(2)
        >>> moved = Preprocessed(network, [[4.0, 0.0], [0.0, 1.0]])
        >>> bool(np.allclose(moved.latent_kernels(plain, z).ntk, network.latent_kernels(amplified, z).ntk))
        True
    """

    network: MLP
    matrix: Float[Array | np.ndarray, "k m"]

    def __init__(self, network: MLP, matrix: Float[Array, "k m"]):
        require(isinstance(network, MLP), "network", "an infinitely wide MLP", type(network).__name__)
        require(network.width is None or network.depth == 0, "width", "None, for an infinitely wide network", network.width)
        self.network = network
        self.matrix = real_leaf(as_points("matrix", matrix))

    @in_float64
    def kernels(self, x1: Float[Array, "n1 m"], x2: Float[Array, "n2 m"] | None = None) -> Kernels:
        """NNGP and NTK between inputs (n1, m) and (n2, m), mapped by M; x2=None means x1.

        Raises:
            ValueError: inputs of another dimension than M takes; NaN or infinite entries.
        """
        size = self.matrix.shape[1]
        x1 = as_points("x1", x1, dimension=size)
        x2 = x1 if x2 is None else as_points("x2", x2, dimension=size)
        matrix = jnp.asarray(self.matrix, x1.dtype)
        return self.network.kernels(x1 @ matrix.T, x2.astype(x1.dtype) @ matrix.T)

    @in_float64
    def latent_kernels(self, model: GenerativeModel, latents1: Latents, latents2: Latents | None = None) -> Kernels:
        """Kernels between latents (n1, 2) and (n2, 2): those of the effective coordinates, mapped by M.

        Raises:
            ValueError: nested features, whose inputs do not lie in a plane; a matrix that does not take two coordinates.
        """
        require(model.nesting == (0, 0), "nesting", "(0, 0) for a linear map of the feature plane", model.nesting)
        require(self.matrix.shape[1] == 2, "matrix", "of shape (k, 2) for latents", self.matrix)
        latents1 = as_points("latents1", latents1, dimension=2)
        latents2 = latents1 if latents2 is None else as_points("latents2", latents2, dimension=2)
        scale = jnp.asarray(model.amplification, latents1.dtype)
        return self.kernels(latents1 * scale, latents2.astype(latents1.dtype) * scale)


@in_float64
def whitened(model: GenerativeModel, network: MLP) -> Preprocessed:
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
        >>> from ntk_shortcuts import GradientFlow, predict_bias
        >>> model = GenerativeModel(amplification=(4.0, 1.0))
        >>> flow = GradientFlow(time=10.0)
        >>> bare = predict_bias(model, MLP(1), flow, random_init=False).bias
        >>> white = predict_bias(model, whitened(model, MLP(1)), flow, random_init=False).bias
        >>> round(bare, 2), round(abs(white), 2)
        (1.47, 0.0)
    """
    require(model.nesting == (0, 0), "nesting", "(0, 0) for whitening on the feature plane", model.nesting)
    moment = model.covariance + jnp.outer(model.means, model.means)
    # Any root does: kernels see inner products only. The triangular one needs no eigenvectors.
    root = jnp.linalg.inv(jnp.linalg.cholesky(moment)) / jnp.asarray(model.amplification)[None, :]
    return Preprocessed(network, root * jnp.sqrt(2 / model.input_dim))
