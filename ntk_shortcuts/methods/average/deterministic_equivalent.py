r"""The resolvent of a random Gram matrix, averaged: fixed points of the local and of the scalar form.

With the kernel operator's resolvent at s written through \(\kappa_s(z)=-s\,(1+\delta_s(z))\), where \(\delta\) is the
leverage of a sample at z,

\[\kappa(z)=-s+\tfrac1NH(z,z),\qquad H=\Phi\,\Big(C+\int p\,\tfrac{\Phi_z^T\Phi_z}{\kappa(z)}dz\Big)^{-1}\Phi^T,\]

every quantity of the deterministic equivalent is finite, down to s = 0. Homogeneous kernels have H(rz, rz) = r^2 H(z, z), so
that along a ray only one unknown remains, \(\eta=H(\omega,\omega)/N\), and \(\kappa=-s+r^2\eta\).
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.eigenfunctions import SectorFeatures
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.numerics import complex_product, inverse_each
from ntk_shortcuts.typing import Array, Complex, Float

_TOLERANCE = 1e-10
_MAX_ITERATIONS = 2000
FORMS = ("local", "one_step", "scalar")


class Resolvent(eqx.Module):
    r"""The averaged resolvent at one s.

    - `inverse_kappa` (nodes, radii): 1/kappa at the nodes.
    - `solution` (sector, modes, nodes): \((C+\dots)^{-1}\Phi^T\), so that \(H(x,z)=\Phi_x\,\mathrm{solution}_z\).
    - `residual`: relative change of the last iteration; `margin`: the least -Im kappa / |kappa| (or Re for real s), positive
      where the Stieltjes sign is right; `iterations`.
    """

    inverse_kappa: Complex[Array, "nodes radii"]
    solution: Complex[Array, "sector modes nodes"]
    residual: jax.Array
    margin: jax.Array
    iterations: jax.Array


def scalar_kappa(
    s: Complex[Array, ""],
    eigenvalues: Float[Array, "modes"],
    num_samples: Float[Array, ""] | float,
    multiplicities: Float[Array, "modes"] | float = 1.0,
) -> Complex[Array, ""]:
    r"""\(\kappa=-s+\frac1N\sum_im_i\lambda_i\kappa/(\lambda_i+\kappa)\) (Simon et al. 2021, Canatar et al. 2021), by Newton.

    Started from above, \(-s+\sum_im_i\lambda_i/N\), where the right-hand side is concave: for real s < 0 the steps decrease
    monotonically to the positive root. Complex s is reached from the real axis by continuation. Label D9.1.
    """

    def value(kappa: jax.Array, s: jax.Array) -> jax.Array:
        return kappa + s - jnp.sum(multiplicities * eigenvalues * kappa / (eigenvalues + kappa)) / num_samples

    def slope(kappa: jax.Array) -> jax.Array:
        return 1 - jnp.sum(multiplicities * (eigenvalues / (eigenvalues + kappa)) ** 2) / num_samples

    def newton(kappa: jax.Array, s: jax.Array, steps: int) -> jax.Array:
        return jax.lax.fori_loop(0, steps, lambda _, k: k - value(k, s) / slope(k), kappa)

    eigenvalues = jnp.maximum(eigenvalues, 0)
    real = -jnp.abs(s) + 0j
    kappa = newton(-real + jnp.sum(multiplicities * eigenvalues) / num_samples, real, 40)
    turns = 8
    angle = jnp.angle(s)

    def rotate(index: jax.Array, kappa: jax.Array) -> jax.Array:
        at = jnp.abs(s) * jnp.exp(1j * (np.pi + (angle - np.pi) * (index + 1) / turns))
        return newton(kappa, at, 4)

    return jax.lax.fori_loop(0, turns, rotate, kappa)


class _State(NamedTuple):
    eta: jax.Array
    change: jax.Array
    iterations: jax.Array


def solution_at(
    transposed: Float[Array, "sector modes n"],
    inverse_kappa: Complex[Array, "nodes radii"],
    nodes: Nodes,
    features: SectorFeatures,
) -> Complex[Array, "sector modes n"]:
    r"""\((C+\int p\,\Phi^T\Phi/\kappa)^{-1}\Phi_x^T\) at points with eigenfunctions \(\Phi_x^T\)."""
    density = jnp.sum(nodes.weights * nodes.radius**2 * inverse_kappa, axis=1)
    matrix = features.gram + complex_product(jnp.swapaxes(features.nodes, 1, 2) * density, features.nodes)
    # Half the time of solving for each point: there are more than modes, and products are faster than substitution.
    return complex_product(inverse_each(matrix), transposed)


def averaged_resolvent(
    s: Complex[Array, ""],
    start: Complex[Array, ""],
    nodes: Nodes,
    features: SectorFeatures,
    num_samples: Float[Array, ""] | float,
    form: str = "local",
) -> Resolvent:
    r"""Solve the fixed point at one s with Im s > 0, or real s < 0.

    For Im s > 0 the iteration maps the lower half-plane of \(\kappa\) strictly into a bounded part of itself, so that it has
    exactly one fixed point and converges to it (Earle & Hamilton 1970); for real s < 0 it is monotone and concave, a standard
    interference function (Yates 1995), with the same conclusion. Derivatives are taken implicitly. Label D9.2.

    Args:
        start: the scalar form's kappa.
        form: "local"; "scalar" keeps \(\kappa\) the same everywhere; "one_step" is one local iteration from the scalar form.
    """
    square = nodes.radius**2
    transposed = jnp.swapaxes(features.nodes, 1, 2)

    def inverse_kappa(eta: jax.Array) -> jax.Array:
        if form == "scalar":
            return jnp.broadcast_to(1 / (eta[0] - s), square.shape)
        return 1 / (-s + square * eta[:, None])

    def solve(inverse: jax.Array) -> jax.Array:
        return solution_at(transposed, inverse, nodes, features)

    def leverage(solution: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sum(transposed * solution, axis=1) + features.tail, axis=0) / num_samples

    def average(eta: jax.Array) -> jax.Array:
        return jnp.full_like(eta, jnp.sum(nodes.mass * eta)) if form == "scalar" else eta

    def update(eta: jax.Array) -> jax.Array:
        return average(leverage(solve(inverse_kappa(eta))))

    def iterate(_, eta: jax.Array) -> tuple[jax.Array, jax.Array]:
        def advance(state: _State) -> _State:
            new = update(state.eta)
            change = jnp.max(jnp.abs(new - state.eta) / jnp.abs(new - s))
            return _State(new, change, state.iterations + 1)

        def unfinished(state: _State) -> jax.Array:
            return (state.change > _TOLERANCE) & (state.iterations < _MAX_ITERATIONS)

        last = jax.lax.while_loop(unfinished, advance, _State(eta, jnp.asarray(jnp.inf), jnp.asarray(0.0)))
        return last.eta, last.iterations

    if form == "scalar":
        first = jnp.full(square.shape[0], start + s)
    else:
        first = leverage(solve(jnp.broadcast_to(1 / start, square.shape)))
    if form == "one_step":
        eta, iterations = first, jnp.asarray(1.0)
    else:
        eta, iterations = jax.lax.custom_root(lambda e: update(e) - e, first, iterate, _dense_solve, has_aux=True)
    inverse = inverse_kappa(eta)
    solution = solve(inverse)
    final = average(leverage(solution))
    kappa = 1 / inverse
    sign = jnp.where(s.imag > 0, -kappa.imag, kappa.real) / jnp.abs(kappa)
    return Resolvent(
        inverse_kappa=inverse,
        solution=solution,
        residual=jnp.max(jnp.abs(final - eta) / jnp.abs(final - s)),
        margin=jnp.min(sign),
        iterations=iterations,
    )


def _dense_solve(linear, right: jax.Array) -> jax.Array:
    return jnp.linalg.solve(jax.jacfwd(linear, holomorphic=True)(right), right)
