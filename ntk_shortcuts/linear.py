"""Linear networks on two features in closed form: direction, bias, halving time, and the optimum they end at."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.laws.two_features.optimum import direction_reliance, optimal_reliance, optimal_reliance_limit
from ntk_shortcuts.methods.quadratic import odd_weights, quadratic_kernels, require_polynomial
from ntk_shortcuts.numerics import compiled, in_float64
from ntk_shortcuts.training.gradient_flow import GradientFlow
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import require

__all__ = [
    "direction_reliance",
    "halving_time",
    "linear_bias",
    "optimal_reliance",
    "optimal_reliance_limit",
    "output_direction",
]


@in_float64
def output_direction(model: GenerativeModel, network: Any, training: TrainingRule) -> Float[Array, "*batch 2"]:
    r"""Direction v of the mean output \(m(z)=v\cdot z\) of a linear network on infinite data. Label D5.1.

    \[v=A\,g(C)\,b,\qquad C=cA(\Sigma+\mu\mu^\top)A,\quad b=cA\mu,\quad A=\mathrm{diag}(\alpha),\]

    with c the NTK's slope in the inner product, \((L+1)\sigma_w^{2(L+1)}/d\) for L linear layers. It starts along \(A^2\mu\)
    and ends along the Bayes direction \(\Sigma^{-1}\mu\), whatever \(\alpha\). One hidden layer of (leaky) ReLU without biases
    has the same form; for other networks it is the odd part of the "quadratic" regime of method="leading_order".

    Raises:
        ValueError: nesting, or a network that gives no kernels of a Gram matrix (stax).

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow
        >>> model = GenerativeModel(amplification=(2.0, 1.0))
        >>> late = output_direction(model, MLP(0), GradientFlow(float("inf")))
        >>> bool(np.allclose(late / late[1], model.bayes_direction / model.bayes_direction[1]))
        True
    """
    kernel = LawKernel(model, network)
    require_polynomial(kernel)
    return _linear_direction(kernel, training)


@compiled
def _linear_direction(kernel: LawKernel, training: TrainingRule) -> jax.Array:
    model = kernel.law.two_features
    return odd_weights(model, quadratic_kernels(kernel)[1][1], training) * jnp.asarray(model.amplification)


@in_float64
def linear_bias(model: GenerativeModel, network: Any, training: TrainingRule) -> Float[Array, "*batch"]:
    r"""Shortcut bias of a linear network on infinite data and an infinitely fine probe grid, in closed form. Label D5.2.

    The reliance (:func:`ntk_shortcuts.linear.direction_reliance`) of v from :func:`output_direction`, less the optimal one.
    Under gradient flow its size falls monotonically from that of \(A^2\mu\), and it keeps its sign. It is 0 at all times for
    \((\alpha_s/\alpha_c)^2=w^*_s\mu_c/(w^*_c\mu_s)\). Otherwise it reaches 0 only as t -> inf or, where \(w^*_s<0\), when
    \(v_s\) changes sign. The random output at initialisation is left out.

    Raises:
        ValueError: as in :func:`output_direction`.

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow
        >>> biases = linear_bias(GenerativeModel(amplification=(4.0, 1.0)), MLP(0), GradientFlow([1.0, 30.0, 300.0]))
        >>> print(*(round(float(bias), 3) for bias in biases))
        1.568 1.111 0.008
    """
    return direction_reliance(model, output_direction(model, network, training)) - optimal_reliance_limit(model)


@in_float64
def halving_time(model: GenerativeModel, network: Any) -> float:
    r"""Time at which gradient flow has halved the bias that a linear network starts with, on infinite data. Label D5.3.

    A root in t of :func:`ntk_shortcuts.linear.linear_bias`, the only one: the bias falls monotonically in size. For
    \(\alpha_s\gg\alpha_c\) it no longer depends on \(\alpha_s\): with \(M=\Sigma+\mu\mu^\top\), the optimal reliance R*,
    c the NTK's slope and \(\kappa=(1-R^*)/2\),

    \[t_{1/2}\to\frac{M_{ss}}{c\,\alpha_c^2\det M}\,\ln\frac{1+\kappa\mu_sM_{sc}/(\mu_cM_{ss})}
      {1-\kappa w^*_s\mu_s/(w^*_c\mu_c)}\]

    up to a relative correction of order \((\alpha_c/\alpha_s)^2\).

    Args:
        network: as in :func:`ntk_shortcuts.linear.output_direction`: linear, or one hidden layer of ReLU without biases.

    Raises:
        ValueError: a model whose bias at the start is 0; amplifications more than a factor 1e4 apart, whose slow eigenvalue
            double precision does not resolve; or as in :func:`ntk_shortcuts.linear.output_direction`.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> round(halving_time(GenerativeModel(amplification=(4.0, 1.0)), MLP(0)), 1)
        48.6
    """
    from scipy import optimize

    amplification = np.asarray(model.amplification)
    spread = float(amplification.max() / amplification.min())
    require(spread <= 1e4, "amplification", "within a factor 1e4 of each other (beyond it, take the limit)", amplification)
    start = float(direction_reliance(model, amplification**2 * model.means) - optimal_reliance_limit(model))
    require(abs(start) > 1e-9, "model", "one with a bias at the start of training", f"a bias of {start:.1e}")

    def excess(log_time: float) -> float:
        return float(linear_bias(model, network, GradientFlow(np.exp(log_time)))) / start - 0.5

    early = late = 0.0
    while excess(early) < 0:
        early -= 3
    while excess(late) > 0:
        late += 3
    return float(np.exp(cast(float, optimize.brentq(excess, early, late, xtol=1e-13))))
