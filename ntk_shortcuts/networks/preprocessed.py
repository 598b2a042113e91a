r"""Networks behind a linear map of their inputs: whitening, standardisation, projections.

A law of two features with amplifications is not closed under such maps: whitening mixes the features, and the mixed ones are no
amplified shortcut and core. The kernel is: that of \(x\mapsto f(Mx)\) is the kernel of f at Mx.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.networks.base import Network
from ntk_shortcuts.networks.inputs import Inputs, Vectors, two_inputs
from ntk_shortcuts.numerics import in_float64, real_leaf
from ntk_shortcuts.typing import AnyArray, Array, Float, Num
from ntk_shortcuts.validation import as_points, require


class Preprocessed(Network):
    r"""The network \(x\mapsto f(Mx)\), wherever an infinitely wide network is accepted.

    Args:
        network: an infinitely wide network that sees inner products, such as an `MLP`.
        matrix: M, (k, m). The network's input dimension is k: its first layer has the kernel
            \(\sigma_w^2\langle Mx,Mx'\rangle/k+\sigma_b^2\).

    Data laws act through their effective coordinates \(u=(\alpha_sz_s,\alpha_cz_c)\), the inputs in the basis of the two
    feature directions as d -> infinity; M is then (k, 2).

    Raises:
        ValueError: another network, a matrix of another shape or with entries that are not finite.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> x = np.eye(2)
        >>> moved = Preprocessed(MLP(2), [[4.0, 0.0], [0.0, 1.0]])
        >>> bool(np.allclose(moved.kernels(x).ntk, MLP(2).kernels(x * np.array([4.0, 1.0])).ntk))
        True
    """

    network: Network
    matrix: Float[Array | np.ndarray, "k m"]

    def __init__(self, network: Network, matrix: Num[AnyArray, "k m"] | Sequence[Sequence[float]]):
        sees = isinstance(network, Network) and network.facts.of_inner_products
        require(sees, "network", "an infinitely wide MLP, or another network of inner products", type(network).__name__)
        require(network.facts.width is None, "width", "None, for an infinitely wide network", network.facts.width)
        self.network = network
        self.matrix = real_leaf(as_points("matrix", matrix))

    @in_float64
    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        """NNGP and NTK between inputs (n1, m) and (n2, m), mapped by M; x2=None means x1.

        Of a data law's points it is their coordinates that are mapped.

        Raises:
            ValueError: inputs of another dimension than M takes; NaN or infinite entries; points without coordinates, as nested
                features are; a matrix that does not take a law's coordinates.
        """
        first, second = two_inputs(x1, x2)
        x1 = self._coordinates("x1", first)
        x2 = x1 if second is None else self._coordinates("x2", second)
        matrix = jnp.asarray(self.matrix, x1.dtype)
        return self.network.kernels(x1 @ matrix.T, x2.astype(x1.dtype) @ matrix.T)

    def _coordinates(self, name: str, inputs: Inputs) -> jax.Array:
        scaled = inputs.scaled()
        if scaled is None:
            raise ValueError("nesting must be (0, 0) for a linear map of the feature plane; got features that are nested")
        points, scale = scaled
        if not isinstance(inputs, Vectors):
            size = points.shape[1]
            require(self.matrix.shape[1] == size, "matrix", f"of shape (k, {size}) for a law's points", self.matrix)
        return as_points(name, points if scale is None else points * scale, dimension=self.matrix.shape[1])
