"""Axis names and scalar aliases shared by every signature in the package.

Axis names: `n`, `n1`, `n2` (points), `n_train`, `n_test`, `d` (input dimension), `width`, `probes`,
`nodes` (quadrature), `modes` (eigenfunctions).
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, Num, PRNGKeyArray

# What public functions take: JAX's arrays or NumPy's.
AnyArray: TypeAlias = Array | np.ndarray

# A number, of Python or as an array of no axes; one or several of them, as an array or as a list too; points likewise.
Scalar: TypeAlias = Num[AnyArray, ""] | float
Batch: TypeAlias = Scalar | Num[AnyArray, "times"]
Times: TypeAlias = Batch | Sequence[float]
Pair: TypeAlias = Num[AnyArray, "2"] | Sequence[Scalar]
Latents: TypeAlias = Num[AnyArray, "n 2"] | Sequence[Sequence[float]]
Matrix: TypeAlias = Float[Array, "n1 n2"]
Key: TypeAlias = PRNGKeyArray

__all__ = ["AnyArray", "Array", "Batch", "Bool", "Complex", "Float", "Int"]
__all__ += ["Key", "Latents", "Matrix", "Num", "Pair", "Scalar", "Times"]
