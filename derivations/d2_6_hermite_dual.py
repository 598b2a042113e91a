"""D2.6: dual of any activation as a Hermite series. Run by itself, or as `ntk-shortcuts derive D2.6`."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
from scipy import special

from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.activations.hermite import Quadrature
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import in_float64

g, h, s, t, u, c = sp.symbols("g h s t u c", real=True)
k = sp.Symbol("k", integer=True, nonnegative=True)
ORDER = 5


def _gaussian(expression: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    return sp.integrate(expression * sp.exp(-(variable**2) / 2), (variable, -sp.oo, sp.oo)) / sp.sqrt(2 * sp.pi)


def _hermite(order: int) -> sp.Expr:
    """Probabilists' Hermite polynomial: order! times the coefficient of t^order in exp(t g - t^2/2)."""
    return sp.expand(sp.diff(sp.exp(t * g - t**2 / 2), t, order).subs(t, 0))


def _generating_average() -> sp.Expr:
    """E exp(t a - t^2/2) exp(u b - u^2/2), b = c a + sqrt(1 - c^2) h."""
    over_h = _gaussian(sp.exp(u * sp.sqrt(1 - c**2) * h), h)
    over_g = _gaussian(sp.exp((t + u * c) * g), g)
    return sp.simplify(over_h * over_g * sp.exp(-(t**2) / 2 - u**2 / 2))


def steps() -> list[Step]:
    average = _generating_average()
    assert sp.simplify(average - sp.exp(t * u * c)) == 0
    # Its coefficients of t^j u^k: E He_j(a) He_k(b) = delta_jk k! c^k. The same by Gaussian moments of the polynomials.
    for i in range(ORDER):
        for j in range(ORDER):
            coefficient = sp.diff(average, t, i, u, j).subs({t: 0, u: 0}) if i + j else sp.Integer(1)
            assert sp.expand(coefficient - (sp.factorial(j) * c**j if i == j else 0)) == 0
    for order in range(1, ORDER):
        # The code's recurrence for h_k = He_k / sqrt(k!), and Stein's identity E phi'(s g) h_k = sqrt(k+1) a_{k+1} / s,
        # from d(He_{k} e^{-g^2/2})/dg = -He_{k+1} e^{-g^2/2}.
        assert sp.expand(_hermite(order + 1) - g * _hermite(order) + order * _hermite(order - 1)) == 0
        weight = sp.exp(-(g**2) / 2)
        assert sp.simplify(sp.diff(_hermite(order) * weight, g) + _hermite(order + 1) * weight) == 0
    # One activation in closed form: phi = sin. The generating function gives all its coefficients at once.
    exponential = sp.simplify(_gaussian(sp.exp((sp.I * s + t) * g), g) * sp.exp(-(t**2) / 2))
    generated = sp.exp(-(s**2) / 2) * sp.sin(s * t)
    assert sp.simplify(exponential - sp.exp(-(s**2) / 2 + sp.I * s * t)) == 0
    assert sp.simplify(sp.im(sp.exp(-(s**2) / 2 + sp.I * s * t)) - generated) == 0
    return [
        Step(
            r"The polynomials $He_k$ have the generating function $e^{tg - t^2/2} = \sum_k He_k(g)\,t^k/k!$. For unit "
            r"variances and correlation $c$ two Gaussian integrals give",
            sp.Eq(sp.Symbol(r"E e^{ta - t^2/2} e^{ub - u^2/2}"), average),
        ),
        Step(
            r"The coefficients of $t^j u^k$ are Mehler's formula for $h_k = He_k/\sqrt{k!}$: correlated normals keep each "
            r"degree to itself,",
            r"E h_j(a) h_k(b) = \delta_{jk} c^k",
        ),
        Step(
            r"For $\phi = \sin$ the coefficients $a_k(s) = E\sin(sg)\,h_k(g)$ follow from the generating function, $\sum_k "
            r"a_k t^k/\sqrt{k!} =$",
            generated,
        ),
        Step(
            r"Terms from $K$ on are bounded by Cauchy and Schwarz: $|\sum_{k\geq K} a_k b_k c^k| \leq (\sum_{k\geq K} a_k^2 "
            r"\sum_{k\geq K} b_k^2)^{1/2}$, and $\sum_{k\geq K} a_k^2 = E\phi^2 - \sum_{k<K} a_k^2$ (Parseval)."
        ),
        Step(
            r"Expanding $\phi(\sqrt{q_{11}}\,g)$ and $\phi(\sqrt{q_{22}}\,h)$ in $h_k$, and $\phi'$ in the same way,",
            r"E\phi(a)\phi(b) = \sum_k a_k(\sqrt{q_{11}})\,a_k(\sqrt{q_{22}})\,c^k",
        ),
    ]


@eqx.filter_jit
def _code(activation, points):
    return activation.dual(PairMoments.from_plane(points, points))


def _points() -> np.ndarray:
    random = np.random.default_rng(4).uniform(-1, 1, size=(3, 2))
    turned = random[0] + 1e-8 * random[0, ::-1] * [-1, 1]
    return np.concatenate([random, [turned, -random[0], -turned, [0.0, 0.0]]])


gelu = functools.partial(jax.nn.gelu, approximate=False)


def _tanh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.tanh(x), 1 - np.tanh(x) ** 2


def _gelu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x * special.ndtr(x), special.ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def _in_the_plane(function: Callable, points: np.ndarray) -> list[np.ndarray]:
    """E f(a) f(b) and E f'(a) f'(b) of all pairs by the trapezoidal rule over two independent normals."""
    nodes = np.linspace(-9, 9, 181)
    weights = np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi) * (nodes[1] - nodes[0])
    grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    return [(f * np.outer(weights, weights).ravel()) @ f.T for f in function(points @ grid.T)]


def _sine_coefficients(scale: float, degree: int) -> np.ndarray:
    """a_k = e^{-s^2/2} (-1)^{(k-1)/2} s^k / sqrt(k!) for odd k, from the symbolic generating function."""
    series = [float(sp.diff(sp.sin(s * t), t, order).subs({t: 0, s: scale})) for order in range(degree)]
    return np.exp(-(scale**2) / 2) * np.array(series) / np.sqrt([float(sp.factorial(order)) for order in range(degree)])


@in_float64
def checks() -> list[Check]:
    points = _points()
    tanh, smooth = _code(Quadrature(jnp.tanh, 300), points), _code(Quadrature(gelu, 300), points)
    tanh_plane, gelu_plane = (_in_the_plane(f, points) for f in (_tanh, _gelu))
    coefficients = eqx.filter_jit(Quadrature(jnp.sin, 12)._coefficients)(np.array([0.49, 1.0]))[0]
    few = _code(Quadrature(jnp.tanh, 8), 3 * points)
    bound = float(few.quadrature_error) * np.max(np.asarray(few.moments.variance1))
    deviation = np.max(np.abs(np.asarray(few.moments.covariance) - _in_the_plane(_tanh, 3 * points)[0]))
    return [
        compare(
            "tanh: value and derivative by quadrature in the plane", tanh_plane, [tanh.moments.covariance, tanh.derivative]
        ),
        compare(
            "GELU: value and derivative by quadrature in the plane", gelu_plane, [smooth.moments.covariance, smooth.derivative]
        ),
        compare(
            "sine: coefficients from the generating function",
            np.stack([_sine_coefficients(0.7, 12), _sine_coefficients(1.0, 12)], axis=1),
            coefficients,
        ),
        Check("tanh, 8 terms: deviation over the bound that is reported", float(deviation / bound), 1.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    variance = jnp.asarray([4.0])
    settings = (("tanh", jnp.tanh, "o", "C0"), ("GELU", gelu, "s", "C1"), ("erf", jax.scipy.special.erf, "^", "C2"))
    for name, function, marker, colour in settings:
        square = np.asarray(Quadrature(function, 60)._coefficients(variance)[0])[:, 0] ** 2
        kept = square > 1e-20
        axes.semilogy(np.flatnonzero(kept), square[kept], marker, ms=4, mfc="none", color=colour, label=name)
    axes.set(xlabel="degree k", ylabel=r"$a_k^2$ at variance 4", ylim=(1e-9, 10))
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D2.6",
    title="Dual of any activation as a Hermite series (tanh, GELU)",
    statement=r"With $h_k$ the orthonormal Hermite polynomials, $a_k(s) = E\phi(sg)h_k(g)$ and $c = "
    r"q_{12}/\sqrt{q_{11}q_{22}}$: $E\phi(a)\phi(b) = \sum_k a_k(\sqrt{q_{11}})\,a_k(\sqrt{q_{22}})\,c^k$, and the same with "
    r"$\phi'$. What $K$ terms drop is at most $E\phi^2 - \sum_{k<K} a_k^2$, the larger of the two points'.",
    assumptions=[r"$(a, b)$ centred Gaussian", r"$E\phi^2$ and $E\phi'^2$ finite"],
    code=["ntk_shortcuts.kernels.activations.hermite.Quadrature"],
    source="Mehler (1866); here from the generating function",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
