"""Kernels as quadratic polynomials of the inner product, whose operators under two Gaussian features are small matrices."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.numerics import compiled, safe_divide, safe_sqrt
from ntk_shortcuts.training.rules import SpectralFilter, TrainingRule
from ntk_shortcuts.training.spectral import apply_filter, divided_differences
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import require, required

_QUARTIC = ((0, 0), (0, 1), (1, 1))


def require_polynomial(kernel: LawKernel) -> Any:
    """The two-feature model under the kernel; refuses nesting, and networks that see more than inner products."""
    instead = '(or regime="short_time")'
    model = required(kernel.law.two_features, "model", f'a GenerativeModel for regime="quadratic" {instead}', kernel.law)
    require(model.nesting == (0, 0), "nesting", f'(0, 0) for regime="quadratic" {instead}', model.nesting)
    sees = kernel.network.facts.of_inner_products
    require(sees, "network", f'an MLP for regime="quadratic" {instead}', kernel.network)
    return model


class _Learnt(SpectralFilter):
    r"""\(\lambda g(\lambda)\): the part of a mode that is learnt."""

    rule: TrainingRule

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: int | None = None) -> Float[Array, "*batch modes"]:
        return eigenvalues * self.rule.filter(eigenvalues, num_samples)


def quadratic_kernels(kernel: LawKernel) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Coefficients (a_0, a_1, a_2) of NNGP and NTK, and the NTK's relative deviation from its own. Label D6.1."""
    model = kernel.law.two_features
    square, points = _circle(model)
    kernels = kernel(points[2:3], points)
    return _interpolated(square, kernels.nngp[0], kernels.ntk[0])


_INNER = np.cos(np.pi * np.arange(1, 20) / 20)
_COSINES = np.concatenate([[-1.0, 0.0, 1.0], _INNER])


@compiled
def _circle(model: Any) -> tuple[jax.Array, jax.Array]:
    """R^2, and points of the plane at that distance: a Gram matrix would turn the clusters themselves by the root of the
    machine precision."""
    sines = np.concatenate([[0.0, 1.0, 0.0], np.sqrt(1 - _INNER**2)])
    square = jnp.trace(moments(model)[0])
    return square, jnp.sqrt(square) * np.stack([_COSINES, sines], axis=1) / jnp.asarray(model.amplification)


@compiled
def _interpolated(square: jax.Array, *profiles: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Coefficients of both kernels from their values on the circle, and the deviation of the second."""

    def interpolated(values: jax.Array) -> jax.Array:
        low, middle, high = values[:3]
        return jnp.stack([middle, (high - low) / (2 * square), ((high + low) / 2 - middle) / square**2])

    nngp, ntk = (interpolated(values) for values in profiles)
    # With a type: JAX remembers a constant of the module in the precision in which it met it first.
    products, exact = square * jnp.asarray(_COSINES, square.dtype), profiles[1]
    deviation = jnp.max(jnp.abs(ntk[0] + ntk[1] * products + ntk[2] * products**2 - exact))
    return nngp, ntk, deviation / exact[2]


def even_features(u: Float[Array, "n 2"]) -> Float[Array, "n 4"]:
    """(1, u_s^2, sqrt(2) u_s u_c, u_c^2): their inner products are 1 and (u . u')^2."""
    return jnp.stack([jnp.ones_like(u[:, 0]), u[:, 0] ** 2, np.sqrt(2) * u[:, 0] * u[:, 1], u[:, 1] ** 2], axis=1)


def moments(model: Any) -> tuple[Float[Array, "2 2"], Float[Array, "4 4"]]:
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


def odd_weights(model: Any, slope: jax.Array, rule: TrainingRule) -> Float[Array, "*batch 2"]:
    r"""\(a\,g(aC)\,b\) for the 2 x 2 matrix \(C=A(\Sigma+\mu\mu^\top)A\), \(b=A\mu\), and a the kernel's slope a_1.

    From both eigenvalues without eigenvectors, and without C, whose entries hold a small eigenvalue to the rounding of the
    large one only:

    \[g(C)\,b=g(\lambda_1)\,b-\frac{g(\lambda_1)-g(\lambda_2)}{\lambda_1-\lambda_2}\,(\mathrm{adj}(C)\,b-\lambda_2b),\quad
      \mathrm{adj}(C)\,b=\det(A)^2A^{-1}\mathrm{adj}(\Sigma)\,\mu.\]

    Label D6.2.
    """
    return _weights_by_eigenvalues(model, slope, rule)


@eqx.filter_custom_jvp
def _weights_by_eigenvalues(model: Any, slope: jax.Array, rule: TrainingRule) -> jax.Array:
    amplification, means, sigma = jnp.asarray(model.amplification), model.means, jnp.asarray(model.correlation)
    eigenvalues = model.second_moment_eigenvalues
    target = amplification * means
    adjugate = (means - means[::-1]) + (1 - sigma) * means[::-1]  # adj(Sigma) mu
    remainder = amplification * ((amplification**2)[::-1] * adjugate - eigenvalues[1] * means)
    # A kernel without an odd part has slope 0, up to rounding of either sign, and learns nothing.
    seen = slope > 0
    slope, inner = jnp.where(seen, slope, 0), jnp.where(seen, slope, 1)
    eigenvalues = inner * eigenvalues

    def gains(values: jax.Array) -> jax.Array:
        return rule.filter(values, None)

    difference = divided_differences(gains, eigenvalues)[..., 0, 1, None]
    return slope * (gains(eigenvalues)[..., 0, None] * target - inner * difference * remainder)


@_weights_by_eigenvalues.def_jvp
def _weights_jvp(primals: Any, tangents: Any) -> Any:
    # Eigenvalues that coincide have no derivatives, the matrix function has.
    return _weights_by_eigenvalues(*primals), eqx.filter_jvp(_weights_by_matrix, primals, tangents)[1]


def _weights_by_matrix(model: Any, slope: jax.Array, rule: TrainingRule) -> jax.Array:
    target = jnp.asarray(model.amplification) * model.means
    gained, _ = apply_filter(slope * moments(model)[0], target[:, None], rule, num_samples=None)
    return slope * gained[..., 0]


def kernel_variance(
    training: TrainingRule, features: jax.Array, ntk: jax.Array, nngp: jax.Array, second_moments: jax.Array
) -> Float[Array, "*batch n"]:
    r"""Variance of the output under the kernel \(\phi(x)^\top\mathrm{diag}(a)\,\phi(x')\). Label D6.2.

    Args:
        features: phi at the probes, (n, k); ntk, nngp: the weights a, (k,); second_moments: E[phi phi^T].
    """
    # Rounding may take a weight that is 0 below it.
    root = safe_sqrt(ntk)
    operator = root[:, None] * second_moments * root[None, :]
    # What is learnt of each mode, 1 in the end, and not g(T) times the moments again, whose rounding it would magnify.
    learnt, _ = apply_filter(operator, jnp.eye(second_moments.shape[0]), _Learnt(training), num_samples=None)
    # A weight of 0 in the NTK is one in the NNGP too.
    left = jnp.eye(second_moments.shape[0]) - root[:, None] * learnt * safe_divide(jnp.ones_like(root), root)[None, :]
    return jnp.sum((features @ left) ** 2 * nngp, axis=-1)
