"""D2.4: dual of the error function. Run by itself, or as `ntk-shortcuts derive D2.4`."""

import equinox as eqx
import mpmath
import numpy as np
import sympy as sp
from scipy import integrate, special

from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.activations.error_function import Erf
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import in_float64

p, q, D = sp.symbols("q_11 q_22 D", positive=True)
a, b, c, x = sp.symbols("a b q_12 x", real=True)
# Precision matrix [[A, B], [B, C]] of a Gaussian integrand; A, C and its Schur complement are positive.
A, C, SCHUR = sp.symbols("A C R", positive=True)
B = sp.symbols("B", real=True)


def _planar_integral() -> sp.Expr:
    """Integral of exp(-(A a^2 + 2 B a b + C b^2)/2) over the plane, one variable after the other."""
    inner = sp.integrate(sp.exp(-(A * a**2) / 2 - B * a * b), (a, -sp.oo, sp.oo))
    exponent = sp.simplify(sp.log(inner.subs(b, 1)) - sp.log(inner.subs(b, 0)))
    # The exponent is quadratic in b: R = C - B^2/A is left.
    assert sp.simplify(exponent - B**2 / (2 * A)) == 0
    outer = sp.integrate(sp.exp(-SCHUR * b**2 / 2), (b, -sp.oo, sp.oo))
    return sp.simplify((inner.subs(b, 0) * outer) ** 2).subs(SCHUR, C - B**2 / A)


def _derivative() -> sp.Expr:
    """E phi'(a) phi'(b), phi'(x) = 2 exp(-x^2)/sqrt(pi)."""
    determinant = p * q - c**2
    squared = _planar_integral().subs({A: q / determinant + 2, B: -c / determinant, C: p / determinant + 2}, simultaneous=True)
    slope = sp.diff(sp.erf(x), x).subs(x, 0)
    return slope**2 * sp.sqrt(sp.factor(sp.simplify(squared / ((2 * sp.pi) ** 2 * determinant))))


SQUARE = 1 + 2 * p + 2 * q + 4 * (p * q - c**2)
DERIVATIVE = 4 / (sp.pi * sp.sqrt(SQUARE))
VALUE = 2 / sp.pi * sp.asin(2 * c / sp.sqrt((1 + 2 * p) * (1 + 2 * q)))


def _price_residual() -> sp.Expr:
    """dp/dq12 - d^2 p/(da db) of the Gaussian density p, over p."""
    determinant = p * q - c**2
    logarithm = -(q * a**2 - 2 * c * a * b + p * b**2) / (2 * determinant) - sp.log(determinant) / 2
    mixed = sp.diff(logarithm, a, b) + sp.diff(logarithm, a) * sp.diff(logarithm, b)
    return sp.simplify(sp.diff(logarithm, c) - mixed)


def _gap_residual() -> sp.Expr:
    """The code's difference q root - q12 root_q times the conjugate sum, against its form without cancellation."""
    distance, excess = p + q - 2 * c, p - q
    difference = (distance + excess) / 2
    area = p * q - c**2
    stable = difference * (p + c + 4 * p * c) + p**2 * (2 * distance + 4 * area)
    return sp.expand(p**2 * SQUARE - c**2 * (1 + 4 * p) - stable)


def steps() -> list[Step]:
    derivative = _derivative()
    assert sp.simplify(derivative**2 - DERIVATIVE**2) == 0
    assert _price_residual() == 0
    # The antiderivative of the derivative's dual in q12 with (1 + 2 q11)(1 + 2 q22) = D^2, in units of D, and its value at 0.
    assert sp.expand(SQUARE - ((1 + 2 * p) * (1 + 2 * q) - 4 * c**2)) == 0
    antiderivative = sp.integrate(4 / (sp.pi * sp.sqrt(1 - 4 * c**2)), c).subs(c, c / D)
    assert sp.simplify(antiderivative.subs(D, sp.sqrt((1 + 2 * p) * (1 + 2 * q))) - VALUE) == 0
    assert sp.simplify(sp.diff(VALUE, c) ** 2 - DERIVATIVE**2) == 0 and VALUE.subs(c, 0) == 0
    # arcsin(2 q12 / sqrt(P)) = atan(2 q12 / S): the same derivative, the same zero.
    assert sp.simplify(sp.diff(sp.atan(2 * c / sp.sqrt(SQUARE)), c) ** 2 - (sp.pi / 2 * DERIVATIVE) ** 2) == 0
    assert _gap_residual() == 0
    one, two = sp.symbols("gamma_1 gamma_2")
    angle = sp.Symbol("angle")
    assert sp.expand((angle + one) * (angle + two) - angle**2 - (angle * (one + two) + one * two)) == 0
    return [
        Step(
            r"$\phi'(x) = 2e^{-x^2}/\sqrt{\pi}$, so $E\phi'(a)\phi'(b)$ is the integral over the plane of a Gaussian with "
            r"precision matrix $Q^{-1} + 2I$. One variable after the other, with precision matrix $[[A, B], [B, C]]$, its "
            r"square is",
            sp.Eq(sp.Symbol("I") ** 2, sp.simplify(_planar_integral())),
        ),
        Step(
            r"With $A = q_{22}/\det Q + 2$, $B = -q_{12}/\det Q$, $C = q_{11}/\det Q + 2$ and the normalisation "
            r"$2\pi\sqrt{\det Q}$",
            sp.Eq(sp.Symbol(r"E\phi'(a)\phi'(b)"), DERIVATIVE),
        ),
        Step(
            r"The Gaussian density satisfies $\partial p/\partial q_{12} = \partial^2 p/\partial a\,\partial b$. Two "
            r"integrations by parts turn this into $\partial E\phi(a)\phi(b)/\partial q_{12} = E\phi'(a)\phi'(b)$, for any "
            r"$\phi$ (Price's theorem)."
        ),
        Step(
            r"At $q_{12} = 0$ the expectation factorises and vanishes, $\phi$ being odd. With $D^2 = (1 + 2q_{11})(1 + "
            r"2q_{22})$ the integral from 0 is of the form",
            sp.Eq(sp.Integral(4 / (sp.pi * sp.sqrt(D**2 - 4 * c**2)), c), antiderivative),
        ),
        Step(r"Therefore", sp.Eq(sp.Symbol(r"E\phi(a)\phi(b)"), VALUE)),
    ]


@eqx.filter_jit
def _code(points):
    """Moments of the points, and the code's dual."""
    moments = PairMoments.from_plane(points, points)
    return moments, Erf().dual(moments)


def _points() -> np.ndarray:
    random = np.random.default_rng(2).normal(size=(4, 2))
    turned = random[0] + 1e-8 * random[0, ::-1] * [-1, 1]
    return np.concatenate([random, [30 * random[1], 31 * random[1], turned, -random[0], -turned, [0.0, 0.0]]])


VALUE_AT, DERIVATIVE_AT = (sp.lambdify((p, q, c), expression, "mpmath") for expression in (VALUE, DERIVATIVE))


def _exact(first: np.ndarray, second: np.ndarray) -> list[mpmath.mpf]:
    """Value, derivative, squared area and distance of two points, in 40 digits, from the symbolic result."""
    u, v = ([mpmath.mpf(float(entry)) for entry in point] for point in (first, second))
    products = [sum(s * t for s, t in zip(*pair, strict=True)) for pair in ((u, u), (v, v), (u, v))]
    value = VALUE_AT(*products)
    variances = [VALUE_AT(norm, norm, norm) for norm in products[:2]]
    return [value, DERIVATIVE_AT(*products), variances[0] * variances[1] - value**2, sum(variances) - 2 * value]


def _by_conditioning(variance1: float, variance2: float, covariance: float) -> float:
    """E erf(a) erf(b): given a, b is normal with mean m and variance v, and E erf(b) = erf(m / sqrt(1 + 2 v))."""
    left = variance2 - covariance**2 / variance1

    def integrand(a: float) -> float:
        mean = covariance / variance1 * a
        density = np.exp(-(a**2) / (2 * variance1)) / np.sqrt(2 * np.pi * variance1)
        return special.erf(a) * special.erf(mean / np.sqrt(1 + 2 * left)) * density

    return 2 * integrate.quad(integrand, 0, 10 * np.sqrt(variance1), epsabs=1e-14, epsrel=1e-13)[0]


@in_float64
def checks() -> list[Check]:
    points = _points()
    moments, dual = _code(points)
    with mpmath.workdps(40):
        exact = np.array([[_exact(u, v) for v in points] for u in points]).astype(float)
    few = [(0, 1), (1, 2), (3, 4), (0, 7)]
    q11, q22, q12 = (np.asarray(q) for q in (moments.variance1[:, 0], moments.variance2[0], moments.covariance))
    return [
        compare(
            "value, at random points and at angles 0, 1e-8, pi - 1e-8, pi and norm 0", exact[..., 0], dual.moments.covariance
        ),
        compare("derivative, at the same points", exact[..., 1], dual.derivative),
        # The next layer takes the area's square only; the area itself is 3e-9 at angle pi, where it should vanish.
        compare("squared area, at the same points", exact[..., 2], dual.moments.area**2),
        compare("distance, at the same points", exact[..., 3], dual.moments.distance),
        compare(
            "value by quadrature over a, b integrated out",
            [_by_conditioning(q11[i], q22[j], q12[i, j]) for i, j in few],
            [dual.moments.covariance[i, j] for i, j in few],
        ),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2, sharex=True)
    angles = np.linspace(0, np.pi, 200)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    few = np.linspace(0.15, 3.0, 8)
    for variance, style, colour in ((0.1, "-", "C0"), (1.0, "--", "C1"), (100.0, "-.", "C2")):
        _, dual = _code(np.sqrt(variance) * circle)
        left.plot(angles, dual.moments.covariance[0], style, color=colour)
        left.plot(
            few, [_by_conditioning(variance, variance, variance * np.cos(x)) for x in few], "o", ms=4, mfc="none", color="black"
        )
        right.semilogy(angles, dual.derivative[0], style, color=colour, label=f"q = {variance:g}")
    left.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$E\,\phi(a)\phi(b)$ (circles: quadrature)")
    right.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$E\,\phi'(a)\phi'(b)$")
    right.legend(frameon=False, title="variance")
    return drawing


DERIVATION = Derivation(
    label="D2.4",
    title="Dual of the error function",
    statement=r"For $\phi = \mathrm{erf}$: $E\phi(a)\phi(b) = \frac2\pi\arcsin\frac{2q_{12}}{\sqrt{(1+2q_{11})(1+2q_{22})}}$ "
    r"and $E\phi'(a)\phi'(b) = \frac{4}{\pi S}$ with $S^2 = 1 + 2q_{11} + 2q_{22} + 4(q_{11}q_{22} - q_{12}^2)$. The arcsine "
    r"is $\mathrm{atan2}(2q_{12}, S)$.",
    assumptions=[r"$(a, b)$ centred Gaussian; singular covariances by continuity"],
    code=[
        "ntk_shortcuts.kernels.activations.error_function.Erf",
        "ntk_shortcuts.kernels.activations.error_function._angle_gap",
    ],
    source="Williams (1997); here from the Gaussian integral",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
