"""Gradient flow."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import Axis, declare_axes
from ntk_shortcuts.numerics import compiled, is_traced, real_leaf
from ntk_shortcuts.training.contours import hankel
from ntk_shortcuts.training.learner import Learner
from ntk_shortcuts.training.rules import NEGLIGIBLE, RationalFilter, TrainingRule, expanded, require_parameter
from ntk_shortcuts.typing import Array, Batch, Float, Scalar, Times


class GradientFlow(TrainingRule):
    r"""Gradient flow for a time t: \(g(\lambda)=(1-e^{-\lambda t})/\lambda\); t = inf is the limit \(1/\lambda\).
    Label D4.1.

    Args:
        time: t >= 0, learning rate x steps; inf allowed; a one-dimensional array for several times at once.

    Example:
        >>> float(GradientFlow(time=2.0).filter(jnp.array([0.5]), None)[0])  # (1 - 1/e) / 0.5
        1.2642...
    """

    sources: ClassVar[tuple[str, ...]] = ("lee2019wide",)

    time: Batch

    def __init__(self, time: Times):
        require_parameter("time", time, ">= 0", lambda v: v >= 0)
        self.time = real_leaf(time)

    @property
    def coordinates(self) -> dict[str, Any]:
        return {"time": self.time} if np.ndim(self.time) else {}

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: Scalar | None = None) -> Float[Array, "*batch modes"]:
        time = expanded(self.time, eigenvalues)
        eigenvalues = jnp.broadcast_to(eigenvalues, time.shape)
        finite = jnp.isfinite(time)
        decay = jnp.where(finite, -jnp.expm1(-jnp.where(finite, time, 1) * eigenvalues), 1)
        return decay / eigenvalues

    def follow(self, learner: Learner, num_samples: int | None) -> Float[np.ndarray, "*batch inits modes"]:
        return learner.flow(np.asarray(self.time, np.float64))

    def expansion(self, num_samples: Scalar | None = None) -> tuple[Batch, Batch]:
        time = jnp.asarray(self.time)
        return time, -(time**2) / 2

    def rational(self, num_samples: Scalar | None, largest_eigenvalue: Scalar, nodes: int = 6) -> RationalFilter:
        r"""Trapezoidal rule along a Hankel contour, the parabola of Weideman & Trefethen (2007).

        \(g(\lambda)=\frac1{2\pi i}\int e^{-st}\frac{ds}{s(\lambda-s)}\) with \(s=-\frac{\pi n}{12t}(1-iu)^2\) and
        \(u=(k+\frac12)\frac3n\), k = 0..n-1: error about 4 x 8.1^-n / lambda for all t: 1e-5 at n = 6.
        Label D4.5.
        """
        largest = largest_eigenvalue if is_traced(largest_eigenvalue) else np.asarray(largest_eigenvalue, np.float64)
        return _hankel_rule(self.time, largest, nodes)


# As one program: its ten operations would be compiled one by one.
@compiled
def _hankel_rule(time: Any, largest_eigenvalue: Any, nodes: int) -> RationalFilter:
    time = jnp.asarray(time)
    # The limit t = infinity: one real pole just left of the spectrum.
    last = NEGLIGIBLE / largest_eigenvalue
    finite = (time < last)[..., None]
    safe_time = jnp.where((time < last) & (time > 0), time, 1.0)[..., None]
    unit_poles, residues = hankel(nodes)
    limit = -1 / last + 0j
    residues = jnp.where(finite, residues, jnp.asarray(np.eye(1, len(residues))[0] + 0j))
    residues = jnp.where((time > 0)[..., None], residues, 0)
    return RationalFilter(jnp.where(finite, unit_poles / safe_time, limit), residues)


declare_axes(GradientFlow, "training", "GradientFlow", {"time": Axis("training time", at_once=True)})
