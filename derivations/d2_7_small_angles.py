"""D2.7: kernels at small angles. Run by itself, or as `ntk-shortcuts derive D2.7`."""

import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import sympy as sp
from sympy.polys.ring_series import rs_asin, rs_cos, rs_nth_root, rs_sin, rs_trunc

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.recursion import mlp_kernels
from ntk_shortcuts.numerics import in_float64

theta, depth, q = sp.symbols("theta L q", positive=True)
KAPPA = (sp.sin(theta) + (sp.pi - theta) * sp.cos(theta)) / sp.pi
ORDER = 6


# Exact power series in x = theta, with w = 1/pi as a second variable, so that all coefficients are rational.
_, x, w = sp.ring("x, w", sp.QQ)


@functools.cache
def _series(layers: int) -> tuple[sp.Expr, sp.Expr]:
    """cos theta_L and the NTK over the NNGP's value at angle 0, for sigma_w^2 = 2 without biases, to O(theta^ORDER)."""
    order = ORDER + 2
    angle, value = x, rs_cos(x, x, order)
    tangent = value
    for _ in range(layers):
        sine, cosine = rs_sin(angle, x, order), rs_cos(angle, x, order)
        value = rs_trunc(cosine + w * (sine - angle * cosine), x, order)
        tangent = rs_trunc(value + (1 - w * angle) * tangent, x, order)
        # 1 - kappa = x^2 (1/2 + ...), and the next angle is 2 arcsin(sqrt((1 - kappa)/2)).
        root = rs_nth_root((2 - 2 * value).exquo(x**2), 2, x, order - 2)
        angle = 2 * rs_asin(x * root / 2, x, order - 2)
    return tuple(sp.expand(rs_trunc(series, x, ORDER).as_expr(theta, 1 / sp.pi)) for series in (value, tangent))


def _erf_layer(covariance: sp.Expr, tangent: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """One layer of erf at variances q, weight variance 1, as functions of the covariance and the tangent kernel."""
    value = 2 / sp.pi * sp.asin(2 * covariance / (1 + 2 * q))
    return value, value + 4 / (sp.pi * sp.sqrt((1 + 2 * q) ** 2 - 4 * covariance**2)) * tangent


def steps() -> list[Step]:
    for layers in (1, 2, 3):
        value, tangent = _series(layers)
        assert [sp.simplify(value.coeff(theta, n)) for n in range(3)] == [1, 0, -sp.Rational(1, 2)]
        assert sp.simplify(value.coeff(theta, 3) - layers / (3 * sp.pi)) == 0
        assert sp.simplify(tangent.coeff(theta, 0) - (layers + 1)) == 0
        assert sp.simplify(tangent.coeff(theta, 1) + sp.Rational(layers * (layers + 1), 2) / sp.pi) == 0
    # From L - 1 to L: theta_{L-1} = theta + O(theta^2) in the gain, and -L(L-1)/(2 pi) theta in the tangent kernel.
    before = depth - depth * (depth - 1) / (2 * sp.pi) * theta
    after = sp.expand(1 + (sp.pi - theta) / sp.pi * before)
    assert sp.simplify(after.coeff(theta, 1) + depth * (depth + 1) / (2 * sp.pi)) == 0
    # erf: the covariance q cos(theta) stays away from the branch points, and only even powers occur.
    value, tangent = _erf_layer(q * sp.cos(theta), q * sp.cos(theta))
    for kernel in (value, tangent):
        assert sp.simplify(kernel - kernel.subs(theta, -theta)) == 0
        assert all(sp.diff(kernel, theta, n).subs(theta, 0) == 0 for n in (1, 3))
    return [
        Step(
            r"One ReLU layer maps $\cos\theta$ to $\kappa$ (D2.2). A kernel that is smooth on the circle has even powers of "
            r"$\theta$ only; the first odd one is",
            sp.Eq(sp.Symbol("kappa"), sp.series(KAPPA, theta, 0, 5)),
        ),
        Step(
            r"The next angle is $\theta_1 = 2\arcsin\sqrt{(1 - \kappa)/2} = \theta - \theta^2/(3\pi) + \dots$, so each layer "
            r"adds the same cubic term to the NNGP kernel:",
            sp.Eq(sp.Symbol(r"{K^L}/{K^L(0)}"), 1 - theta**2 / 2 + depth * theta**3 / (3 * sp.pi) + sp.O(theta**4)),
        ),
        Step(
            r"For $\phi = \mathrm{erf}$ the duals are analytic in $q_{12} = q\cos\theta$ for $|q_{12}| < q + \frac12$ (D2.4), "
            r"which contains all angles: even powers only, at every depth, and Fourier coefficients that fall geometrically."
        ),
        Step(
            r"In the recursion $\Theta^L = K^L + \dot K^L\Theta^{L-1}$ the factor $\dot K^L = 1 - \theta_{L-1}/\pi$ is "
            r"linear at angle 0. With $\Theta^{L-1} = L - L(L-1)\theta/(2\pi)$ it gives, over $K^L(0)$,",
            sp.Eq(sp.Symbol(r"{\Theta^L}/{K^L(0)}"), 1 + depth - depth * (depth + 1) / (2 * sp.pi) * theta + sp.O(theta**2)),
        ),
    ]


@eqx.filter_jit
def _kernels(network: ns.MLP, angles):
    """Kernels at norm 1 in the plane, over the NNGP kernel at angle 0, as a function of the angle."""
    ones, half = jnp.ones_like(angles), jnp.sin(angles / 2)
    moments = PairMoments(ones, ones, jnp.cos(angles), jnp.sin(angles), 4 * half**2)
    return mlp_kernels(moments, network.layers(2), network.activation, 2)


@in_float64
def checks() -> list[Check]:
    # One array, so that each network is compiled once: a few tiny angles, and nodes of a fit.
    tiny, small = np.array([0.0, 1e-8, 1e-5, 1e-3]), np.linspace(0.0, 0.2, 60)
    powers = np.linalg.pinv(small[:, None] ** np.arange(9))
    exact, got, cubic, linear, smooth = [], [], [], [], []
    for layers in (1, 2, 3):
        kernels = _kernels(ns.MLP(layers), np.concatenate([tiny, small]))
        value, tangent = (sp.lambdify(theta, series) for series in _series(layers))
        exact.append([value(tiny), tangent(tiny)])
        got.append([kernels.nngp[:4], kernels.ntk[:4]])
        cubic.append(powers[3] @ kernels.nngp[4:])
        linear.append(powers[1] @ kernels.ntk[4:])
    erf = _kernels(ns.MLP(2, "erf"), np.concatenate([tiny, small]))
    even = small[:, None] ** (2 * np.arange(8))
    residual = np.eye(len(small)) - even @ np.linalg.pinv(even)
    smooth, kinked = (np.max(np.abs(residual @ k.ntk[4:])) / float(k.ntk[0]) for k in (erf, kernels))
    layers = np.array([1, 2, 3])
    return [
        compare("ReLU, L = 1, 2, 3: series to theta^5 against the code at angles 0, 1e-8, 1e-5, 1e-3", exact, got),
        # A polynomial of degree 8 fitted on [0, 0.2] leaves 1e-8 in its cubic coefficient.
        compare("NNGP: cubic coefficient L/(3 pi) against a fit", layers / (3 * np.pi), cubic, 1e-6),
        compare("NTK: linear coefficient -L(L+1)/(2 pi) against a fit", -layers * (layers + 1) / (2 * np.pi), linear, 1e-6),
        Check("erf, L = 2: what even powers to theta^14 leave of the NTK", float(smooth)),
        Check("ReLU, L = 3, whose odd powers are left: 1e-3 / what they leave", float(1e-3 / kinked), 1.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2)
    angles = np.geomspace(0.01, 1, 60)
    for layers, marker, colour in ((1, "o", "C0"), (3, "s", "C1")):
        kernels = _kernels(ns.MLP(layers), angles)
        few = slice(None, None, 6)
        odd = np.asarray(kernels.nngp) - 1 + angles**2 / 2
        left.loglog(angles[few], odd[few], marker, mfc="none", color=colour, label=f"depth {layers}")
        left.loglog(angles, layers * angles**3 / (3 * np.pi), color=colour)
        drop = layers + 1 - np.asarray(kernels.ntk)
        right.loglog(angles[few], drop[few], marker, mfc="none", color=colour, label=f"depth {layers}")
        right.loglog(angles, layers * (layers + 1) / (2 * np.pi) * angles, color=colour)
    left.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$K/K(0) - 1 + \theta^2/2$", title=r"NNGP: $L\theta^3/(3\pi)$")
    right.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$(\Theta(0) - \Theta)/K(0)$", title=r"NTK: $L(L+1)\theta/(2\pi)$")
    for axes in (left, right):
        axes.legend(frameon=False, loc="upper left")
    return drawing


DERIVATION = Derivation(
    label="D2.7",
    title="Kernels at small angles",
    statement=r"Points of equal norm at angle $\theta \to 0$. Bias-free ReLU, $L$ hidden layers, over the NNGP kernel at "
    r"angle 0: $K = 1 - \theta^2/2 + L\theta^3/(3\pi) + O(\theta^4)$ and $\Theta = L + 1 - L(L+1)\theta/(2\pi) + "
    r"O(\theta^2)$. The first term that is not smooth on the circle is of order 3 for the NNGP kernel and of order 1 for the "
    r"NTK. Kernels of erf networks are smooth.",
    assumptions=[r"infinite width", r"no biases for the ReLU", r"equal norms; the angle is that of the inputs"],
    builds_on=["D2.2", "D2.4", "D3.1"],
    code=["ntk_shortcuts.kernels.recursion.mlp_kernels"],
    source="this project; orders as in Bietti & Bach (2021)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
