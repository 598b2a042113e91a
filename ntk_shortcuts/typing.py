"""Axis names and scalar aliases shared by every signature in the package.

Axis names: `n`, `n1`, `n2` (points), `n_train`, `n_test`, `d` (input dimension), `width`, `probes`,
`nodes` (quadrature), `modes` (eigenfunctions).
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray

# What public functions take: JAX's arrays or NumPy's.
AnyArray: TypeAlias = Array | np.ndarray

Scalar: TypeAlias = Float[AnyArray, ""] | float
Pair: TypeAlias = Float[AnyArray, "2"] | tuple[Scalar, Scalar]
Latents: TypeAlias = Float[AnyArray, "n 2"]
Matrix: TypeAlias = Float[Array, "n1 n2"]
Key: TypeAlias = PRNGKeyArray

__all__ = ["AnyArray", "Array", "Bool", "Complex", "Float", "Int", "Key", "Latents", "Matrix", "Pair", "Scalar"]
