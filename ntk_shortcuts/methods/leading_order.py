"""Closed forms: kernels as quadratic polynomials of the inner product, and the first terms of an expansion in time."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.metrics.reliance import direction_reliance, optimal_reliance_limit
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.numerics import in_float64, is_traced, safe_divide
from ntk_shortcuts.methods.population import predict_population
from ntk_shortcuts.results.prediction import Prediction, prediction_from_law
from ntk_shortcuts.methods.registry import register_method
from ntk_shortcuts.training.spectral import apply_filter, divided_differences
from ntk_shortcuts.training.rules import SpectralFilter, TrainingRule
from ntk_shortcuts.typing import Array, Float, Latents
from ntk_shortcuts.validation import as_points, require

REGIMES = ("quadratic", "short_time")
_QUARTIC = ((0, 0), (0, 1), (1, 1))


@register_method("leading_order")
@in_float64
def predict_leading_order(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    num_samples: None = None,
    *,
    probes: Latents | None = None,
    random_init: bool = True,
    regime: str = "quadratic",
) -> Prediction:
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
        probes: latents (n, 2) at which reliance is measured; the 30 x 30 grid by default.
        random_init: include the random output at initialisation; else f_0 = 0.
        regime: "quadratic" or "short_time".

    Returns:
        A Prediction. Diagnostics of "quadratic": `kernel_error`, the largest deviation of the quadratic from the NTK at norm R
        over angles, relative to its value at angle 0. Of "short_time": `expansion_parameter` \(g(0)\lambda_{\max}\), with
        those of the population method.

    Raises:
        ValueError: num_samples given; unknown regime; "quadratic" with nesting or a network that gives no kernels of a
            Gram matrix (stax): use "short_time".

    Source: the regime of tight clusters and a quadratic kernel is that of the theory in Hermann et al. (2024). Label D6.4.

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow, predict_bias
        >>> p = predict_bias(GenerativeModel(), MLP(1), GradientFlow(30.0), method="leading_order", random_init=False)
        >>> round(p.bias, 2)
        0.28
    """
    require(num_samples is None, "num_samples", 'None for method="leading_order" (infinite data)', num_samples)
    require(regime in REGIMES, "regime", f"one of {', '.join(REGIMES)}", regime)
    if regime == "short_time":
        finite = is_traced(training) or bool(np.all(np.isfinite(np.asarray(training.expansion(None)))))
        require(finite, "training", 'of finite time for regime="short_time"', training)
        expanded = _Expanded(training)
        found = predict_population(model, network, expanded, probes=probes, random_init=random_init)
        largest = found.diagnostics.get("largest_eigenvalue", float("nan"))
        start = jnp.max(jnp.asarray(training.expansion(None)[0]))
        parameter = {} if is_traced(start) else {"expansion_parameter": float(start) * largest}
        return dataclasses.replace(found, method="leading_order").with_diagnostics(parameter)

    _require_polynomial(model, network)
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)
    nngp, ntk, error = _quadratic_kernels(model, network)
    amplification = jnp.asarray(model.amplification)
    points = probes * amplification
    mean = _odd_weights(model, ntk[1], training) @ points.T
    variance = None
    if random_init:
        second, fourth = _moments(model)
        even_ntk, even_nngp = (jnp.stack([a[0], a[2], a[2], a[2]]) for a in (ntk, nngp))
        odd = _variance(training, points, jnp.stack([ntk[1]] * 2), jnp.stack([nngp[1]] * 2), second)
        variance = odd + _variance(training, _even_features(points), even_ntk, even_nngp, fourth)
    prediction = prediction_from_law("leading_order", model, probes, mean, variance)
    return prediction if is_traced(error) else prediction.with_diagnostics({"kernel_error": float(error)})


@in_float64
def output_direction(model: GenerativeModel, network: Any, training: TrainingRule) -> Float[Array, "*batch 2"]:
    r"""Direction v of the mean output \(m(z)=v\cdot z\) of a linear network on infinite data. Label D5.1.

    \[v=A\,g(C)\,b,\qquad C=cA(\Sigma+\mu\mu^\top)A,\quad b=cA\mu,\quad A=\mathrm{diag}(\alpha),\]

    with c the NTK's slope in the inner product, \((L+1)\sigma_w^{2(L+1)}/d\) for L linear layers. It starts along \(A^2\mu\)
    and ends along the Bayes direction \(\Sigma^{-1}\mu\), whatever \(\alpha\). One hidden layer of (leaky) ReLU without biases
    has the same form; for other networks it is the odd part of the "quadratic" regime of :func:`predict_leading_order`.

    Raises:
        ValueError: nesting, or a network that gives no kernels of a Gram matrix (stax).

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow
        >>> model = GenerativeModel(amplification=(2.0, 1.0))
        >>> late = output_direction(model, MLP(0), GradientFlow(float("inf")))
        >>> bool(np.allclose(late / late[1], model.bayes_direction / model.bayes_direction[1]))
        True
    """
    _require_polynomial(model, network)
    return _linear_direction(model, network, training)


@eqx.filter_jit
def _linear_direction(model: GenerativeModel, network: Any, training: TrainingRule) -> jax.Array:
    slope = _quadratic_kernels(model, network)[1][1]
    return _odd_weights(model, slope, training) * jnp.asarray(model.amplification)


@in_float64
def linear_bias(model: GenerativeModel, network: Any, training: TrainingRule) -> Float[Array, "*batch"]:
    r"""Shortcut bias of a linear network on infinite data and an infinitely fine probe grid, in closed form. Label D5.2.

    The reliance (:func:`ntk_shortcuts.direction_reliance`) of v from :func:`output_direction`, less the optimal one. Under
    gradient flow its size falls monotonically from that of \(A^2\mu\), and it keeps its sign. It is 0 at all times for
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


def _require_polynomial(model: GenerativeModel, network: Any) -> None:
    require(model.nesting == (0, 0), "nesting", '(0, 0) for regime="quadratic" (or regime="short_time")', model.nesting)
    require(hasattr(network, "kernels_from_gram"), "network", 'an MLP for regime="quadratic" (or regime="short_time")', network)


class _Expanded(SpectralFilter):
    """A rule's filter expanded to first order in the eigenvalue. Label D6.3."""

    rule: TrainingRule

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: int | None = None) -> Float[Array, "*batch modes"]:
        value, slope = self.rule.expansion(num_samples)
        return jnp.asarray(value)[..., None] + jnp.asarray(slope)[..., None] * eigenvalues


class _Learnt(SpectralFilter):
    r"""\(\lambda g(\lambda)\): the part of a mode that is learnt."""

    rule: TrainingRule

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: int | None = None) -> Float[Array, "*batch modes"]:
        return eigenvalues * self.rule.filter(eigenvalues, num_samples)


def _quadratic_kernels(model: GenerativeModel, network: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Coefficients (a_0, a_1, a_2) of NNGP and NTK, and the NTK's relative deviation from its own. Label D6.1."""
    square = jnp.trace(_moments(model)[0])
    inner = np.cos(np.pi * np.arange(1, 20) / 20)
    cosines, sines = np.concatenate([[-1.0, 0.0, 1.0], inner]), np.concatenate([[0.0, 1.0, 0.0], np.sqrt(1 - inner**2)])
    # Points of the plane: a Gram matrix would turn the clusters themselves by the root of the machine precision.
    points = jnp.sqrt(square) * np.stack([cosines, sines], axis=1) / jnp.asarray(model.amplification)
    kernels = network.latent_kernels(model, points[2:3], points)

    def interpolated(values: jax.Array) -> jax.Array:
        low, middle, high = values[:3]
        return jnp.stack([middle, (high - low) / (2 * square), ((high + low) / 2 - middle) / square**2])

    nngp, ntk = interpolated(kernels.nngp[0]), interpolated(kernels.ntk[0])
    products = square * cosines
    deviation = jnp.max(jnp.abs(ntk[0] + ntk[1] * products + ntk[2] * products**2 - kernels.ntk[0]))
    return nngp, ntk, deviation / kernels.ntk[0, 2]


def _even_features(u: Float[Array, "n 2"]) -> Float[Array, "n 4"]:
    """(1, u_s^2, sqrt(2) u_s u_c, u_c^2): their inner products are 1 and (u . u')^2."""
    return jnp.stack([jnp.ones_like(u[:, 0]), u[:, 0] ** 2, np.sqrt(2) * u[:, 0] * u[:, 1], u[:, 1] ** 2], axis=1)


def _moments(model: GenerativeModel) -> tuple[Float[Array, "2 2"], Float[Array, "4 4"]]:
    r"""Second moments of u, and those of its even features, from \(E[u_iu_ju_ku_l]=MM+MM+MM-2mmmm\) with M = E[u u^T].

    Label D6.2.
    """
    amplification = jnp.asarray(model.amplification)
    mean = amplification * model.means
    second = amplification[:, None] * model.covariance * amplification[None, :] + jnp.outer(mean, mean)

    def quartic(i: int, j: int, k: int, m: int) -> jax.Array:
        pairs = second[i, j] * second[k, m] + second[i, k] * second[j, m] + second[i, m] * second[j, k]
        return pairs - 2 * mean[i] * mean[j] * mean[k] * mean[m]

    scale = np.array([1.0, np.sqrt(2), 1.0])
    pairs = scale * jnp.stack([second[i, j] for i, j in _QUARTIC])
    block = np.outer(scale, scale) * jnp.stack([jnp.stack([quartic(*a, *b) for b in _QUARTIC]) for a in _QUARTIC])
    top = jnp.concatenate([jnp.ones(1), pairs])[None, :]
    return second, jnp.concatenate([top, jnp.concatenate([pairs[:, None], block], axis=1)])


def _odd_weights(model: GenerativeModel, slope: jax.Array, rule: TrainingRule) -> Float[Array, "*batch 2"]:
    r"""\(a\,g(aC)\,b\) for the 2 x 2 matrix \(C=A(\Sigma+\mu\mu^\top)A\), \(b=A\mu\), and a the kernel's slope a_1.

    From both eigenvalues without eigenvectors, and without C, whose entries hold a small eigenvalue to the rounding of the
    large one only:

    \[g(C)\,b=g(\lambda_1)\,b-\frac{g(\lambda_1)-g(\lambda_2)}{\lambda_1-\lambda_2}\,(\mathrm{adj}(C)\,b-\lambda_2b),\quad
      \mathrm{adj}(C)\,b=\det(A)^2A^{-1}\mathrm{adj}(\Sigma)\,\mu.\]

    Label D6.2.
    """
    return _weights_by_eigenvalues(model, slope, rule)


@eqx.filter_custom_jvp
def _weights_by_eigenvalues(model: GenerativeModel, slope: jax.Array, rule: TrainingRule) -> jax.Array:
    amplification, means, sigma = jnp.asarray(model.amplification), model.means, jnp.asarray(model.correlation)
    eigenvalues = model.second_moment_eigenvalues
    target = amplification * means
    adjugate = (means - means[::-1]) + (1 - sigma) * means[::-1]  # adj(Sigma) mu
    remainder = amplification * ((amplification**2)[::-1] * adjugate - eigenvalues[1] * means)
    eigenvalues = slope * eigenvalues

    def gains(values: jax.Array) -> jax.Array:
        return rule.filter(values, None)

    difference = divided_differences(gains, eigenvalues)[..., 0, 1, None]
    return slope * (gains(eigenvalues)[..., 0, None] * target - slope * difference * remainder)


@_weights_by_eigenvalues.def_jvp
def _weights_jvp(primals: Any, tangents: Any) -> Any:
    # Eigenvalues that coincide have no derivatives, the matrix function has.
    return _weights_by_eigenvalues(*primals), eqx.filter_jvp(_weights_by_matrix, primals, tangents)[1]


def _weights_by_matrix(model: GenerativeModel, slope: jax.Array, rule: TrainingRule) -> jax.Array:
    target = jnp.asarray(model.amplification) * model.means
    gained, _ = apply_filter(slope * _moments(model)[0], target[:, None], rule, num_samples=None)
    return slope * gained[..., 0]


def _variance(
    training: TrainingRule, features: jax.Array, ntk: jax.Array, nngp: jax.Array, moments: jax.Array
) -> Float[Array, "*batch n"]:
    r"""Variance of the output under the kernel \(\phi(x)^\top\mathrm{diag}(a)\,\phi(x')\). Label D6.2.

    Args:
        features: phi at the probes, (n, k); ntk, nngp: the weights a, (k,); moments: E[phi phi^T].
    """
    root = jnp.sqrt(ntk)
    operator = root[:, None] * moments * root[None, :]
    # What is learnt of each mode, 1 in the end, and not g(T) times the moments again, whose rounding it would magnify.
    learnt, _ = apply_filter(operator, jnp.eye(moments.shape[0]), _Learnt(training), num_samples=None)
    # A weight of 0 in the NTK is one in the NNGP too.
    left = jnp.eye(moments.shape[0]) - root[:, None] * learnt * safe_divide(jnp.ones_like(root), root)[None, :]
    return jnp.sum((features @ left) ** 2 * nngp, axis=-1)
