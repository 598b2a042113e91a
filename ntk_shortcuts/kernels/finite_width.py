r"""Finite width at initialisation, exactly: moments of a ReLU network's NTK, and the fourth cumulant of its output.

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
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import as_points, require

_LENGTH = np.diag([1.0, 0.0, 1.0])
_ALONG = np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 0]])
_ACROSS = np.array([[0.0, 0, 0], [0, 1, 0], [0, 1, 0]])


class FiniteWidthMoments(eqx.Module):
    """Moments over initialisations at each input, all (n,).

    - `ntk_mean`, `ntk_variance`: of the empirical NTK Theta(x, x).
    - `output_variance`, `output_fourth_cumulant`: of the output f(x); the fourth cumulant of a Gaussian is 0.
    """

    ntk_mean: Float[Array, "n"]
    ntk_variance: Float[Array, "n"]
    output_variance: Float[Array, "n"]
    output_fourth_cumulant: Float[Array, "n"]


@in_float64
def finite_width_moments(network: Any, x: Float[Array, "n d"]) -> FiniteWidthMoments:
    r"""Mean and variance of a finite ReLU network's NTK at initialisation, and the fourth cumulant of its output; exact.

    With \(q_0=\sigma_w^2|x|^2/d\), depth L and width n: \(E\,\Theta=(L+1)q_0(\sigma_w^2/2)^L\), that of infinite width;
    \(\mathrm{Var}\,\Theta\) from the chain of this module, \(3/n\) of the squared mean at L = 1; and
    \(\kappa_4=3q_0^2(\sigma_w^2/2)^{2L}\left((1+5/n)^L-1\right)\).

    Args:
        network: an `MLP` of finite width, ReLU, without biases, in the NTK parameterisation.
        x: inputs (n, d).

    Returns:
        FiniteWidthMoments.

    Raises:
        ValueError: another network; inputs that are not finite.

    Example:
        >>> from ntk_shortcuts.networks import MLP
        >>> moments = finite_width_moments(MLP(1, width=30), jnp.ones((1, 4)))
        >>> float(moments.ntk_mean[0]), round(float(moments.ntk_variance[0]), 12)  # 4, and 4^2 * 3 / 30
        (4.0, 1.6)
    """
    require(hasattr(network, "depth") and hasattr(network, "activation"), "network", "an MLP of finite width", network)
    relu = network.depth == 0 or network.activation.name == "relu"
    require(relu, "activation", '"relu" for exact moments at finite width', network.activation.name)
    require(not network.has_biases, "bias_variance", "0 for exact moments at finite width", network.bias_variance)
    require(network.parameterization == "ntk", "parameterization", '"ntk"', network.parameterization)
    require(network.width is not None or network.depth == 0, "width", "an integer for a finite network", network.width)
    x = as_points("x", x)
    first = jnp.asarray(network.weight_variance, x.dtype) * jnp.mean(x**2, axis=1)
    gain = jnp.asarray(network.weight_variance, x.dtype) / 2
    scale = first * gain**network.depth
    width = network.width or 1  # without hidden layers no width enters
    mean, second = network.depth + 1.0, _second_moment(network.depth, width)
    excess = np.expm1(network.depth * np.log1p(5 / width))
    return FiniteWidthMoments(
        ntk_mean=scale * mean,
        ntk_variance=scale**2 * max(second - mean**2, 0.0),
        output_variance=scale,
        output_fourth_cumulant=3 * scale**2 * excess,
    )


def _second_moment(depth: int, width: int) -> float:
    """E theta_L^2 in units of (n/2)^(2L), by the chain's 3 x 3 second moments."""
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
