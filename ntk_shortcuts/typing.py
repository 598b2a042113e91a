"""Axis names and scalar aliases shared by every signature in the package.

Axis names: `n`, `n1`, `n2` (points), `n_train`, `n_test`, `d` (input dimension), `width`, `probes`,
`nodes` (quadrature), `modes` (eigenfunctions).
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Array, Bool, Complex, Float, PRNGKeyArray

Scalar: TypeAlias = Float[Array | np.ndarray, ""] | float
Pair: TypeAlias = Float[Array | np.ndarray, "2"] | tuple[float, float]
Latents: TypeAlias = Float[Array | np.ndarray, "n 2"]
Matrix: TypeAlias = Float[Array, "n1 n2"]
Key: TypeAlias = PRNGKeyArray

__all__ = ["Array", "Bool", "Complex", "Float", "Key", "Latents", "Matrix", "Pair", "Scalar"]
