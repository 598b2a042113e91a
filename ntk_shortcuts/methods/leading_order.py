"""Closed forms: kernels as quadratic polynomials of the inner product, and the first terms of an expansion in time."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.methods.base import Method, Question, require_infinite
from ntk_shortcuts.methods.infinite_data import infinite_data_outputs
from ntk_shortcuts.methods.quadratic import (
    even_features,
    kernel_variance,
    moments,
    odd_weights,
    quadratic_kernels,
    require_polynomial,
)
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import compiled, is_traced
from ntk_shortcuts.outputs import GaussianOutputs, require_finite_outputs
from ntk_shortcuts.padding import out_of_batch
from ntk_shortcuts.training.losses import require_squared
from ntk_shortcuts.training.rules import SpectralFilter, TrainingRule
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import require

REGIMES = ("quadratic", "short_time")
# Of the nodes' refinement.
_TOLERANCE = 2e-3


class LeadingOrder(Method):
    r"""Infinite data to leading order, in one of two regimes.

    **quadratic** (tight clusters). With \(u=\mathrm{diag}(\alpha)z\) and \(R^2=E|u|^2\), both kernels are replaced by the
    quadratic polynomial in the inner product that agrees with them at norms R and \(u\cdot u'\in\{-R^2,0,R^2\}\),

    \[\Theta(u,u')\approx a_0+a_1\,u\cdot u'+a_2(u\cdot u')^2,\]

    which is where the inner products of two tight clusters at \(\pm\mathrm{diag}(\alpha)\mu\) lie: exact on the clusters as
    they tighten, not on probes elsewhere. Odd functions meet only the linear term and even ones the other two, on features
    \((1,u_s^2,\sqrt2u_su_c,u_c^2)\), so that T is a 2 x 2 and a 4 x 4 matrix of Gaussian moments:

    \[m(z)=a_1u\cdot g(a_1C)\,b,\qquad C=\mathrm{diag}(\alpha)(\Sigma+\mu\mu^\top)\mathrm{diag}(\alpha),\quad
      b=\mathrm{diag}(\alpha)\mu.\]

    Exact at all times for linear networks, and in its mean for one hidden layer of (leaky) ReLU without biases, whose kernel
    has no odd part beyond the linear one. Elsewhere it misses the slow odd components that keep a bias alive.

    **short_time**. The filter is replaced by \(g(0)+g'(0)\lambda\), so \(m=g(0)Tf^*+g'(0)T^2f^*\) for any kernel; valid
    while \(g(0)\lambda_{\max}\) (for gradient flow \(t\lambda_{\max}\)) is below 1.

    Args:
        random_init: include the random output at initialisation; else f_0 = 0.
        regime: "quadratic" or "short_time".
        loss: "squared" alone.

    Diagnostics of "quadratic": `kernel_error`, the largest deviation of the quadratic from the NTK at norm R over angles,
    relative to its value at angle 0. Of "short_time": `expansion_parameter` \(g(0)\lambda_{\max}\), with those of the
    population method.

    Raises:
        ValueError: num_samples given; unknown regime; "quadratic" with nesting or a network that gives no kernels of a
            Gram matrix (stax): use "short_time".

    Source: the regime of tight clusters and a quadratic kernel is that of the theory in Hermann et al. (2024). Label D6.4.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow, predict_bias
        >>> p = predict_bias(GenerativeModel(), MLP(1), GradientFlow(30.0), method="leading_order", random_init=False)
        >>> round(p.bias, 2)
        0.28
    """

    sources: ClassVar[tuple[str, ...]] = ("hermann2024foundations",)

    name: ClassVar[str] = "leading_order"

    random_init: bool = True
    regime: str = eqx.field(default="quadratic", static=True)
    loss: str = eqx.field(default="squared", static=True)

    def __call__(self, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: TestPoints) -> GaussianOutputs:
        require_infinite(num_samples, self.name)
        require_squared(self.loss, self.name, "whose closed forms are those of filters", "population")
        require(self.regime in REGIMES, "regime", f"one of {', '.join(REGIMES)}", self.regime)
        return (self._short_time if self.regime == "short_time" else self._quadratic)(kernel, training, points)

    def _short_time(self, kernel: LawKernel, training: TrainingRule, points: TestPoints) -> GaussianOutputs:
        finite = is_traced(training) or bool(np.all(np.isfinite(np.asarray(training.expansion(None)))))
        require(finite, "training", 'of finite time for regime="short_time"', training)
        found = infinite_data_outputs([Question(kernel, _Expanded(training), None, points)], self.random_init, _TOLERANCE)[0]
        start = jnp.max(jnp.asarray(training.expansion(None)[0]))
        largest = found.diagnostics.get("largest_eigenvalue", float("nan"))
        return found.with_notes({} if is_traced(start) else {"expansion_parameter": float(start) * largest})

    def _quadratic(self, kernel: LawKernel, training: TrainingRule, points: TestPoints) -> GaussianOutputs:
        model = require_polynomial(kernel)
        nngp, ntk, error = quadratic_kernels(kernel)
        arguments = model, nngp, ntk, jnp.asarray(points.points), self.random_init
        if is_traced(arguments, training, error):
            mean, variance = _moments(training, *arguments)
        else:
            mean, variance = out_of_batch(training.batch_shape, _moments(training.enlarged(), *arguments))
        outputs = GaussianOutputs(location=mean, variance=variance)
        require_finite_outputs(mean, variance)
        return outputs if is_traced(error) else outputs.with_notes({"kernel_error": float(error)})


@compiled
def _moments(
    training: TrainingRule, model: Any, nngp: jax.Array, ntk: jax.Array, points: jax.Array, random_init: bool
) -> tuple[jax.Array, jax.Array | None]:
    """Mean and variance at the points, of quadratic kernels."""
    u = points * jnp.asarray(model.amplification)
    mean = odd_weights(model, ntk[1], training) @ u.T
    if not random_init:
        return mean, None
    second, fourth = moments(model)
    even_ntk, even_nngp = (jnp.stack([a[0], a[2], a[2], a[2]]) for a in (ntk, nngp))
    odd = kernel_variance(training, u, jnp.stack([ntk[1]] * 2), jnp.stack([nngp[1]] * 2), second)
    return mean, odd + kernel_variance(training, even_features(u), even_ntk, even_nngp, fourth)


class _Expanded(SpectralFilter):
    """A rule's filter expanded to first order in the eigenvalue. Label D6.3."""

    rule: TrainingRule

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.rule.batch_shape

    def enlarged(self) -> _Expanded:
        return _Expanded(self.rule.enlarged())

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: int | None = None) -> Float[Array, "*batch modes"]:
        value, slope = self.rule.expansion(num_samples)
        return jnp.asarray(value)[..., None] + jnp.asarray(slope)[..., None] * eigenvalues
