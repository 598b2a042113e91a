r"""Finite width at initialisation to first order in 1/n: any activation, with biases, by a recursion over layers at one input.

Given the layers up to l - 1, the pre-activations \(z_i\) of layer l are independent and Gaussian with variance q, and the
layer's NTK \(H_{ij}\) has the mean \(\delta_{ij}\theta\). With \(E_q\) over \(z\sim N(0,q)\) and the next layer's
variances and learning-rate factors,

\[q'=\sigma_w^2\overline{\phi^2}+\sigma_b^2,\qquad
  \theta'=r_w\sigma_w^2\overline{\phi^2}+r_b\sigma_b^2+\sigma_w^2\overline{\phi'^2H}\]

are means over n units. Hence \(M=n\,\mathrm{Cov}(q,\theta)\) and the shift \(m=n\,E(\delta q,\delta\theta)\) obey

\[M'=JMJ^T+\mathrm{Cov}(\sigma_w^2\phi^2,\ r_w\sigma_w^2\phi^2+\sigma_w^2\phi'^2\theta),\qquad
  m'=Jm+\tfrac12\nabla^2:M+(0,\ 2\sigma_w^2F\,\partial_qE_q\phi'^2),\]

J and \(\nabla^2\) the derivatives of the infinite-width map \((q,\theta)\mapsto(q',\theta')\). A unit's own H varies with its
z and with its weights: \(E[H_{ij}\mid z]=\delta_{ij}\theta+(F/n)(z_iz_j-\delta_{ij}q)/q^2\) and
\(\mathrm{Var}\,H_{ij}=(1+\delta_{ij})B/n\), with

\[F'=\sigma_w^4\left(E_q[\phi^2\phi'^2]\,\theta+(E_q[\phi\phi'z]/q)^2F\right),\qquad
  B'=\sigma_w^4\left(E_q[\phi'^4]\,\theta^2+(E_q\phi'^2)^2B\right).\]

All start at 0. The readout has one unit: \(\mathrm{Var}\,\Theta=(M_{\theta\theta}+2B)/n\), and \(\kappa_4=3M_{qq}/n\). M, F and
B are the tensors V, D, A, F and B of Roberts, Yaida & Hanin (2022), chapters 4 and 8, at one input; they are worked out here
from the conditional laws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.recursion import AffineLayer
from ntk_shortcuts.numerics import safe_divide
from ntk_shortcuts.typing import Array, Float


class WidthExpansion(NamedTuple):
    """At each input (n,): means of q and Theta at infinite width, their shifts and covariances times the width, and F and B."""

    variance: Float[Array, "n"]
    ntk: Float[Array, "n"]
    variance_shift: Float[Array, "n"]
    ntk_shift: Float[Array, "n"]
    variance_variance: Float[Array, "n"]
    cross_covariance: Float[Array, "n"]
    ntk_variance: Float[Array, "n"]
    along: Float[Array, "n"]
    across: Float[Array, "n"]


def expand_in_width(squares: Float[Array, "n"], layers: Sequence[AffineLayer], activation: Activation) -> WidthExpansion:
    """The recursion of this module from the input to the readout.

    Args:
        squares: |x|^2 / d of each input.
        layers: the affine layers, as in :meth:`ntk_shortcuts.networks.mlp.MLP.layers`, the readout last.
        activation: between the layers.

    Numerics: Gauss-Legendre quadrature on each side of 0 (:func:`half_lines`); derivatives in q by Hermite polynomials, so that
    a kink of the activation at 0 does no harm. Label D10.4.
    """
    first, *rest = [AffineLayer(*(jnp.asarray(leaf, squares.dtype) for leaf in jax.tree.leaves(layer))) for layer in layers]
    weight, zero = first.weight_variance * squares, jnp.zeros_like(squares)
    ntk = first.weight_rate * weight + first.bias_rate * first.bias_variance
    state = WidthExpansion(jnp.asarray(weight + first.bias_variance), jnp.asarray(ntk), *[zero] * 7)
    for layer in rest:
        state = _next_layer(state, layer, activation)
    return state


def _next_layer(state: WidthExpansion, layer: AffineLayer, activation: Activation) -> WidthExpansion:
    weight, rate = layer.weight_variance, layer.weight_rate
    q, theta = state.variance, state.ntk
    nodes, mass = (jnp.asarray(values, q.dtype) for values in half_lines())
    z = jnp.sqrt(q)[:, None] * nodes
    value, slope = jax.jvp(activation, (z,), (jnp.ones_like(z),))
    second = nodes**2 - 1
    # d/dq E f(z) = E[f He_2]/(2q) and d^2/dq^2 E f(z) = E[f He_4]/(4q^2), where the input is not 0.
    hermite = jnp.stack([jnp.ones_like(nodes), second / 2, (second**2 - 4 * nodes**2 + 2) / 4])

    def expectations(f: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        mean, once, twice = (f @ (mass * factor) for factor in hermite)
        return mean, safe_divide(once, q), safe_divide(twice, q**2)

    def covariance(f: jax.Array, g: jax.Array) -> jax.Array:
        return ((f - (f @ mass)[:, None]) * (g - (g @ mass)[:, None])) @ mass

    (g, g1, g2), (chi, chi1, chi2) = (expectations(weight * f**2) for f in (value, slope))
    to_q, to_theta = weight * value**2, weight * (rate * value**2 + slope**2 * theta[:, None])
    # The map (q, theta) -> (q', theta'), its derivatives in q, and chi, that in theta.
    ntk_1, ntk_2 = rate * g1 + chi1 * theta, rate * g2 + chi2 * theta
    qq, qt, tt = state.variance_variance, state.cross_covariance, state.ntk_variance
    product = value * slope
    gain = safe_divide((product * z) @ mass, q)
    return WidthExpansion(
        variance=g + layer.bias_variance,
        ntk=jnp.asarray(rate * g + layer.bias_rate * layer.bias_variance + chi * theta),
        variance_shift=g1 * state.variance_shift + g2 * qq / 2,
        ntk_shift=jnp.asarray(
            ntk_1 * state.variance_shift + chi * state.ntk_shift + ntk_2 * qq / 2 + chi1 * (qt + 2 * state.along)
        ),
        variance_variance=g1**2 * qq + covariance(to_q, to_q),
        cross_covariance=g1 * (ntk_1 * qq + chi * qt) + covariance(to_q, to_theta),
        ntk_variance=jnp.asarray(ntk_1**2 * qq + 2 * ntk_1 * chi * qt + chi**2 * tt + covariance(to_theta, to_theta)),
        along=weight**2 * (product**2 @ mass * theta + gain**2 * state.along),
        across=weight**2 * (slope**4 @ mass) * theta**2 + chi**2 * state.across,
    )


def half_lines() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the standard normal, from a rule of its own on each side of 0, where activations have kinks."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    # 10 standard deviations: what is beyond is below 1e-18 of the eighth moment.
    half, mass = 5 * (nodes + 1), weights * np.exp(-((5 * (nodes + 1)) ** 2) / 2)
    mass = mass / (2 * mass.sum())
    return np.concatenate([-half, half]), np.concatenate([mass, mass])
