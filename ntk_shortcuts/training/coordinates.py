r"""A kernel on weighted nodes in coordinates of its own norm: \(k(x,x')=\varphi(x)\cdot\varphi(x')\)."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg

from ntk_shortcuts.typing import AnyArray, Float


@dataclasses.dataclass(frozen=True)
class Coordinates:
    r"""The eigenfunctions of a kernel under weights of its nodes, each times the root of its eigenvalue.

    With \(\sqrt wK\sqrt w=V\Lambda V^T\): \(\varphi(x)=k(x,X)\sqrt wV\Lambda^{-1/2}\), so that \(f=\varphi\cdot q\) has the
    norm |q| in the kernel's space and \(|\Lambda^{1/2}q|\) in the mean square over the nodes. Eigenvalues below the resolution
    of the arithmetic, nodes x eps x largest, are left out.

    - `eigenvalues` (modes,): descending.
    - `projection` (nodes, modes): \(\sqrt wV\Lambda^{-1/2}\).

    Example:
        >>> coordinates = Coordinates.of(np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([0.5, 0.5]))
        >>> at_nodes = coordinates(np.array([[2.0, 1.0], [1.0, 2.0]]))
        >>> coordinates.eigenvalues.round(12).tolist(), (at_nodes @ at_nodes.T).round(12).tolist()
        ([1.5, 0.5], [[2.0, 1.0], [1.0, 2.0]])
    """

    eigenvalues: Float[np.ndarray, "modes"]
    projection: Float[np.ndarray, "nodes modes"]

    @classmethod
    def of(cls, kernel: Float[AnyArray, "nodes nodes"], weights: Float[AnyArray, "nodes"]) -> Coordinates:
        """Of a kernel between nodes of weights >= 0."""
        root = np.sqrt(np.asarray(weights, np.float64))
        matrix = root[:, None] * np.asarray(kernel, np.float64) * root
        eigenvalues, vectors = scipy.linalg.eigh((matrix + matrix.T) / 2)
        eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
        kept = eigenvalues > max(len(root) * np.finfo(np.float64).eps * eigenvalues[0], 0.0)
        eigenvalues = eigenvalues[kept]
        return cls(eigenvalues, root[:, None] * vectors[:, kept] / np.sqrt(eigenvalues))

    def __call__(self, cross: Float[AnyArray, "points nodes"]) -> Float[np.ndarray, "points modes"]:
        r"""\(\varphi\) at points, from the kernel between them and the nodes."""
        return np.asarray(cross, np.float64) @ self.projection
