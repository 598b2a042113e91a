"""D2.1: dual of the linear activation. Run by itself, or as `ntk-shortcuts derive D2.1`."""

import equinox as eqx
import numpy as np
import sympy as sp

from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.activations.piecewise_linear import Linear
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import in_float64

q11, q22 = sp.symbols("q_11 q_22", positive=True)
q12, g, h = sp.symbols("q_12 g h", real=True)
ACTIVATION = sp.Lambda(g, g)


def _gaussian(expression: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    density = sp.exp(-(variable**2) / 2) / sp.sqrt(2 * sp.pi)
    return sp.integrate(sp.expand(expression) * density, (variable, -sp.oo, sp.oo))


def _expectation(function: sp.Lambda) -> sp.Expr:
    """E of function(a) function(b), with a and b built from independent g and h."""
    a = sp.sqrt(q11) * g
    b = q12 / sp.sqrt(q11) * g + sp.sqrt(q22 - q12**2 / q11) * h
    return sp.simplify(_gaussian(_gaussian(function(a) * function(b), h), g))


def steps() -> list[Step]:
    value = _expectation(ACTIVATION)
    derivative = _expectation(sp.Lambda(g, sp.diff(ACTIVATION(g), g)))
    # a and b have the moments they should have.
    assert _expectation(sp.Lambda(g, g)) == q12
    b = q12 / sp.sqrt(q11) * g + sp.sqrt(q22 - q12**2 / q11) * h
    assert sp.simplify(_gaussian(_gaussian(b**2, h), g) - q22) == 0
    # A derivative in q12 of the first is the second, as for every activation.
    assert sp.diff(value, q12) == derivative
    return [
        Step(
            r"With independent standard normal $g, h$ write $a = \sqrt{q_{11}}\,g$ and",
            sp.Eq(sp.Symbol("b"), b),
        ),
        Step(r"The derivative $\phi' = 1$ has expectation", sp.Eq(sp.Symbol(r"E\phi'(a)\phi'(b)"), derivative)),
        Step(r"The two Gaussian integrals of $ab$ give", sp.Eq(sp.Symbol(r"E\phi(a)\phi(b)"), value)),
    ]


@eqx.filter_jit
def _code(points):
    """Moments of the points, and the code's dual."""
    moments = PairMoments.from_plane(points, points)
    return moments, Linear().dual(moments)


def _points() -> np.ndarray:
    random = np.random.default_rng(0).normal(size=(6, 2))
    turned = random[0] + 1e-8 * random[0, ::-1] * [-1, 1]
    return np.concatenate([random, [turned, -random[0], -turned, [0.0, 0.0]]])


@in_float64
def checks() -> list[Check]:
    points = _points()
    moments, dual = _code(points)
    value = sp.lambdify((q11, q12, q22), _expectation(ACTIVATION))
    # Gauss-Hermite nodes integrate polynomials of this degree without error.
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    u, v = np.meshgrid(nodes, nodes)
    weights = np.outer(weights, weights) / (2 * np.pi)
    pre = np.einsum("pi,ijk->pjk", points, np.stack([u, v]))
    quadrature = np.einsum("pjk,qjk,jk->pq", pre, pre, weights)
    covariance = np.asarray(moments.covariance)
    return [
        compare("value", value(moments.variance1, covariance, moments.variance2), dual.moments.covariance),
        compare("derivative", np.ones_like(covariance), dual.derivative),
        compare("area and distance", [moments.area, moments.distance], [dual.moments.area, dual.moments.distance]),
        compare("value by Gauss-Hermite quadrature over (g, h)", quadrature, dual.moments.covariance),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    theta = np.linspace(0, np.pi, 200)
    _, dual = _code(np.stack([np.cos(theta), np.sin(theta)], axis=1))
    axes.plot(theta, dual.moments.covariance[0], label=r"$E\,\phi(a)\phi(b)=q_{12}$")
    axes.plot(theta, dual.derivative[0], "--", label=r"$E\,\phi'(a)\phi'(b)=1$")
    axes.set(xlabel=r"angle $\theta$ (radians), unit variances", ylabel="dual of the linear activation")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D2.1",
    title="Dual of the linear activation",
    statement=r"For $\phi(x) = x$ and centred Gaussians $a, b$ with covariance $q_{12}$: $E\phi(a)\phi(b) = q_{12}$ and "
    r"$E\phi'(a)\phi'(b) = 1$. All second moments pass unchanged.",
    assumptions=[r"$(a, b)$ centred Gaussian with variances $q_{11}, q_{22} \geq 0$ and $q_{12}^2 \leq q_{11}q_{22}$"],
    code=["ntk_shortcuts.kernels.activations.piecewise_linear.Linear"],
    source="definition of the covariance",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
