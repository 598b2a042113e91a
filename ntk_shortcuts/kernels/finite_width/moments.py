r"""Finite width at initialisation: moments of the NTK and the fourth cumulant of the output.

Exact for bias-free ReLU networks, by the chain below; to first order in 1/width otherwise, by the recursion of
:mod:`ntk_shortcuts.kernels.finite_width.expansion`.

A layer of a bias-free ReLU network turns a direction into one that is uniform and independent of its length. At one input,
\(\Theta(x,x)\) is therefore, in law, \(q_0(\sigma_w^2/n)^L\theta_L\) with a Markov chain that runs from the readout down,
\(v=(g^2,1,1)\), g a unit Gaussian, and at every layer, with k active units of n,

\[v'=Mv,\quad M=S\begin{pmatrix}1&&\\&0&\\&&1\end{pmatrix}+1_{k>0}\begin{pmatrix}0&&\\1&0&\\1&&0\end{pmatrix}
  +C\begin{pmatrix}0&&\\&1&\\&1&0\end{pmatrix},\qquad k\sim\mathrm{Bin}(n,\tfrac12),\ S\sim\chi^2_k,\ C\sim\chi^2_{k-1}.\]

Its components are the squared output gradient along the input, the squared gradient, and the NTK. Source: worked out for this
package; to leading order in depth over width it is Hanin & Nica (2020).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.empirical.layered import is_layered
from ntk_shortcuts.kernels.finite_width.expansion import expand_in_width, half_lines
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import AnyArray, Array, Float, Num, Scalar
from ntk_shortcuts.validation import as_floats, as_points, require, require_values

_LENGTH = np.diag([1.0, 0.0, 1.0])
_ALONG = np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 0]])
_ACROSS = np.array([[0.0, 0, 0], [0, 1, 0], [0, 1, 0]])


class FiniteWidthMoments(Record):
    """Moments over initialisations at each input, all (n,).

    - `ntk_mean`, `ntk_variance`: of the empirical NTK Theta(x, x).
    - `output_variance`, `output_fourth_cumulant`: of the output f(x); the fourth cumulant of a Gaussian is 0.
    - `exact`: whether they hold at this width; if not, they are without terms of order 1/width^2.
    """

    ntk_mean: Float[Array, "n"]
    ntk_variance: Float[Array, "n"]
    output_variance: Float[Array, "n"]
    output_fourth_cumulant: Float[Array, "n"]
    exact: bool = eqx.field(static=True)


@in_float64
def finite_width_moments(network: Any, x: Float[Array, "n d"]) -> FiniteWidthMoments:
    r"""Mean and variance of a finite network's NTK at initialisation, and the fourth cumulant of its output.

    ReLU without biases in the NTK parameterisation, exact at every width n: with \(q_0=\sigma_w^2|x|^2/d\) and depth L,
    \(E\,\Theta=(L+1)q_0(\sigma_w^2/2)^L\), that of infinite width; \(\mathrm{Var}\,\Theta\) from the chain of this module,
    \(3/n\) of the squared mean at L = 1; and \(\kappa_4=3q_0^2(\sigma_w^2/2)^{2L}\left((1+5/n)^L-1\right)\).

    Any other activation, biases, the standard parameterisation: exact up to one hidden layer, and to first order in 1/n beyond,

    \[\begin{aligned}&E\,\Theta=\Theta_\infty+m_\theta/n,\quad\mathrm{Var}\,\Theta=(M_{\theta\theta}+2B)/n,\\
      &\mathrm{Var}f=K+m_q/n,\quad\kappa_4=3M_{qq}/n\end{aligned}\]

    with the recursion of :mod:`ntk_shortcuts.kernels.finite_width.expansion`.

    Args:
        network: an `MLP` of finite width with Gaussian parameters, in either parameterisation.
        x: inputs (n, d).

    Returns:
        FiniteWidthMoments.

    Raises:
        ValueError: infinite width, uniform initialisation, a residual or normalised network; inputs that are not finite.

    Numerics: what the first order leaves out is known for bias-free ReLU networks, where it is 1.0, 1.4 and 1.7 times L/n of
    Var Theta at L = 2, 3 and 5, from width 64 up. Expectations as in :func:`output_fourth_cumulant`: erf and sine are resolved
    to 1e-9 for |x|/sqrt(d) up to 10 (weight variance 2); at 30 the sine is off by 4e-3 of the NTK.

    Source: exact moments worked out for this package; first order: Yaida (2020), Dyer & Gur-Ari (2020), Roberts, Yaida & Hanin
    (2022), chapters 4 and 8. Labels D10.3 and D10.4.

    Example:
        >>> from ntk_shortcuts.networks.mlp import MLP
        >>> moments = finite_width_moments(MLP(1, width=30), jnp.ones((1, 4)))
        >>> float(moments.ntk_mean[0]), round(float(moments.ntk_variance[0]), 5)  # 4, and 4^2 * 3 / 30
        (4.0, 1.6)
        >>> smooth = finite_width_moments(MLP(2, "tanh", width=100, bias_variance=0.1), jnp.ones((1, 4)))
        >>> smooth.exact, bool(smooth.ntk_variance[0] > 0)
        (False, True)
    """
    _require_expandable(network)
    x = as_points("x", x)
    squares = jnp.mean(x**2, axis=1)
    if network.activation.name == "relu" and network.parameterization == "ntk" and not network.has_biases:
        return _relu_moments(network, squares)
    found = expand_in_width(squares, network.layers(x.shape[1]), network.activation)
    width = network.width or 1  # without hidden layers no width enters
    return FiniteWidthMoments(
        ntk_mean=found.ntk + found.ntk_shift / width,
        ntk_variance=(found.ntk_variance + 2 * found.across) / width,
        output_variance=found.variance + found.variance_shift / width,
        output_fourth_cumulant=3 * found.variance_variance / width,
        exact=network.depth <= 1,
    )


@in_float64
def output_fourth_cumulant(network: Any, x: Float[Array, "n d"]) -> Float[Array, "n"]:
    r"""Fourth cumulant over initialisations of the output of one hidden layer, any activation, with or without biases; exact.

    Given the hidden layer the output is Gaussian with variance \(S=\frac{\sigma_w^2}{n}\sum_j\phi_j^2+\sigma_b^2\), so that

    \[\kappa_4=3\,\mathrm{Var}\,S=\frac{3\sigma_w^4}{n}\left(E\phi^4-(E\phi^2)^2\right),\qquad
      \phi=\phi(g),\ g\sim N(0,\sigma_w^2|x|^2/d+\sigma_b^2).\]

    Args:
        network: an `MLP` of finite width with at most one hidden layer and Gaussian parameters, in either parameterisation.
        x: inputs (n, d).

    Returns:
        kappa_4, (n,); 0 without hidden layers, where the output is Gaussian.

    Raises:
        ValueError: two or more hidden layers (of ReLU: `finite_width_moments`), infinite width, uniform initialisation, a
            normalised network.

    Numerics: Gauss-Legendre quadrature on each side of 0, at rounding for smooth activations and for a kink at 0.

    Source: Antognini (2019). Label D10.1.

    Example:
        >>> from ntk_shortcuts.networks.mlp import MLP
        >>> round(float(output_fourth_cumulant(MLP(1, width=30), jnp.ones((1, 4)))[0]), 5)  # 15 sigma_w^4 q^2 / (4 n), q = 2
        2.0
    """
    require(network.depth <= 1, "depth", "at most 1 for the fourth cumulant of any activation", network.depth)
    _require_expandable(network)
    x = as_points("x", x)
    if network.depth == 0:
        return jnp.zeros(x.shape[0], x.dtype)
    first, readout = network.layers(x.shape[1])
    variance = jnp.asarray(first.weight_variance * jnp.mean(x**2, axis=1) + first.bias_variance)
    gain = jnp.asarray(readout.weight_variance, x.dtype)
    nodes, weights = half_lines()
    squares = network.activation(jnp.sqrt(variance)[:, None] * jnp.asarray(nodes, x.dtype)) ** 2
    weights = jnp.asarray(weights, x.dtype)
    spread = (squares - (squares @ weights)[:, None]) ** 2 @ weights
    return 3 * gain**2 * spread / network.width


@in_float64
def edgeworth_density(
    output: Scalar | Num[AnyArray, "*shape"],
    variance: Scalar | Num[AnyArray, "*shape"],
    fourth_cumulant: Scalar | Num[AnyArray, "*shape"],
) -> Float[Array, "..."]:
    r"""Density of a network's output at initialisation, to first order in 1/width.

    \[\begin{aligned}&p(f)=N(f;0,K)\left(1+\frac{\kappa_4}{24K^2}\,\mathrm{He}_4(f/\sqrt K)\right)+O(1/n^2),\\
      &\mathrm{He}_4(x)=x^4-6x^2+3\end{aligned}\]

    It integrates to 1 with variance K and fourth cumulant kappa_4, and turns negative where kappa_4 exceeds 4 K^2.

    Args:
        output: f; variance: K > 0; fourth_cumulant: kappa_4, from `output_fourth_cumulant` or `finite_width_moments`. Shapes
            broadcast.

    Raises:
        ValueError: a variance that is not positive, a cumulant that is not finite.

    Source: Antognini (2019). Label D10.2.

    Example:
        >>> float(edgeworth_density(0.0, 1.0, 0.0))  # 1 / sqrt(2 pi)
        0.3989...
    """
    require_values("variance", variance, np.shape(variance), "positive and finite", lambda v: (v > 0) & (v < np.inf))
    require_values("fourth_cumulant", fourth_cumulant, np.shape(fourth_cumulant), "finite", np.isfinite)
    given = {"output": output, "variance": variance, "fourth_cumulant": fourth_cumulant}
    floats = (jnp.asarray(as_floats(name, value)) for name, value in given.items())
    output, variance, fourth_cumulant = jnp.broadcast_arrays(*floats)
    square = output**2 / variance
    correction = fourth_cumulant / (24 * variance**2) * (square**2 - 6 * square + 3)
    return jax.scipy.stats.norm.pdf(output, scale=jnp.sqrt(variance)) * (1 + correction)


def _require_expandable(network: Any) -> None:
    allowed = "an MLP of finite width, neither residual nor normalised: its expansion is not known"
    require(is_layered(network), "network", allowed, network)
    require(network.width is not None or network.depth == 0, "width", "an integer for a finite network", network.width)
    require(network.initialization == "normal", "initialization", '"normal"', network.initialization)


def _relu_moments(network: Any, squares: Float[Array, "n"]) -> FiniteWidthMoments:
    """Exact moments of a bias-free ReLU network in the NTK parameterisation, at inputs of |x|^2 / d = squares."""
    weight = jnp.asarray(network.weight_variance, squares.dtype)
    scale = weight * squares * (weight / 2) ** network.depth
    width = network.width or 1  # without hidden layers no width enters
    mean, second = network.depth + 1.0, _second_moment(network.depth, width)
    excess = np.expm1(network.depth * np.log1p(5 / width))
    return FiniteWidthMoments(
        ntk_mean=scale * mean,
        ntk_variance=scale**2 * max(second - mean**2, 0.0),
        output_variance=scale,
        output_fourth_cumulant=3 * scale**2 * excess,
        exact=True,
    )


def _second_moment(depth: int, width: int) -> float:
    """E theta_L^2 in units of (n/2)^(2L), by the chain's 3 x 3 second moments. Label D10.3."""
    n, present = width, 1 - 0.5**width
    # Moments of k ~ Bin(n, 1/2), of a chi-squared with k and of an independent part with k - 1 degrees of freedom.
    length, across = n / 2, n / 2 - present
    length_2, across_2, both = n * (n + 5) / 4, n * (n + 1) / 4 - present, n * (n - 1) / 4
    v = np.array([[3.0, 1, 1], [1, 1, 1], [1, 1, 1]])
    for _ in range(depth):
        same = length_2 * _LENGTH @ v @ _LENGTH.T + present * _ALONG @ v @ _ALONG.T + across_2 * _ACROSS @ v @ _ACROSS.T
        mixed = length * _LENGTH @ v @ _ALONG.T + both * _LENGTH @ v @ _ACROSS.T + across * _ALONG @ v @ _ACROSS.T
        v = (same + mixed + mixed.T) / (n / 2) ** 2
    return float(v[2, 2])
