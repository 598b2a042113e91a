"""D2.3: dual of the leaky ReLU. Run by itself, or as `ntk-shortcuts derive D2.3`."""

import equinox as eqx
import mpmath
import numpy as np
import sympy as sp
from scipy import integrate, special

from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.activations.piecewise_linear import LeakyReLU
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import in_float64

theta, q11, q22 = sp.symbols("theta q_11 q_22", positive=True)
phi, s = sp.symbols("varphi s", real=True)
NORMS = sp.sqrt(q11 * q22)
KAPPA = (sp.sin(theta) + (sp.pi - theta) * sp.cos(theta)) / sp.pi
# Arcs of the polar angle on which (a, b), b turned by theta, have signs (+,+), (-,+), (-,-), (+,-): slopes of phi there.
ARCS = [
    (theta - sp.pi / 2, sp.pi / 2, 1, 1),
    (sp.pi / 2, theta + sp.pi / 2, s, 1),
    (theta + sp.pi / 2, 3 * sp.pi / 2, s, s),
    (3 * sp.pi / 2, theta + 3 * sp.pi / 2, 1, s),
]


def _value() -> sp.Expr:
    """E phi(a) phi(b) over the product of norms: the radius contributes 1 / pi."""
    product = sp.expand_trig(sp.cos(phi) * sp.cos(phi - theta))
    antiderivative = sp.integrate(product, phi)
    total = sum(f * g * (antiderivative.subs(phi, end) - antiderivative.subs(phi, start)) for start, end, f, g in ARCS)
    return sp.expand(sp.expand_trig(total) / sp.pi)


def _derivative() -> sp.Expr:
    return sp.expand(sum(f * g * (end - start) for start, end, f, g in ARCS) / (2 * sp.pi))


VALUE = (1 - s) ** 2 * KAPPA / 2 + s * sp.cos(theta)
DERIVATIVE = (1 - s) ** 2 * (sp.pi - theta) / (2 * sp.pi) + s


def steps() -> list[Step]:
    value, derivative = _value(), _derivative()
    assert sp.simplify(value - VALUE) == 0
    assert sp.simplify(derivative - DERIVATIVE) == 0
    assert sp.simplify(sp.diff(VALUE, theta) / sp.diff(sp.cos(theta), theta) - DERIVATIVE) == 0
    # The variance: angle 0. The determinant as the code sums it, and the squared distance of unequal norms.
    variance = (1 + s**2) / 2
    assert sp.simplify(VALUE.subs(theta, 0) - variance) == 0
    kappa, cosine = sp.symbols("kappa c", real=True)
    value_of = (1 - s) ** 2 * kappa / 2 + s * cosine
    determinant = (1 - s) ** 4 * (1 - kappa**2) / 4 + s**2 * (1 - cosine**2) + (1 - s) ** 2 * s * (1 - kappa * cosine)
    assert sp.expand(variance**2 - value_of**2 - determinant) == 0
    n1, n2 = sp.symbols("n_1 n_2", positive=True)
    distance = variance * (n1**2 + n2**2) - 2 * n1 * n2 * value_of
    input_distance = n1**2 + n2**2 - 2 * n1 * n2 * cosine
    stable = (1 - s) ** 2 * ((n1 - n2) ** 2 / 2 + n1 * n2 * (1 - kappa)) + s * input_distance
    assert sp.expand(distance - stable) == 0
    return [
        Step(
            r"The four quadrants of the signs of $(a, b)$ are arcs of the polar angle, of lengths $\pi - \theta, \theta, \pi "
            r"- \theta, \theta$, on which $\phi(a)\phi(b)$ is $ab$ times $1, s, s^2, s$. The arcs give the derivative",
            sp.Eq(sp.Symbol(r"E\phi'(a)\phi'(b)"), DERIVATIVE),
        ),
        Step(
            r"At angle 0 the variance is multiplied by",
            variance,
        ),
        Step(
            r"With $c = \cos\theta$ the determinant over $q_{11}q_{22}$ is a sum of nonnegative terms for $s \geq 0$, as the "
            r"code takes it:",
            determinant,
        ),
        Step(
            r"Integrating $\cos\varphi\cos(\varphi - \theta)$ over the same arcs gives",
            sp.Eq(sp.Symbol(r"E\phi(a)\phi(b)"), NORMS * VALUE),
        ),
    ]


@eqx.filter_jit
def _code(activation: LeakyReLU, points1, points2):
    return activation.dual(PairMoments.from_plane(points1, points2))


def _on_circle(angles: np.ndarray, slope: float):
    """The dual of unit variances at these angles."""
    return _code(LeakyReLU(slope), np.array([[1.0, 0.0]]), np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _points() -> np.ndarray:
    random = np.random.default_rng(1).normal(size=(4, 2))
    turned = random[0] + 1e-8 * random[0, ::-1] * [-1, 1]
    return np.concatenate([random, [3 * random[1], turned, -random[0], -turned, [0.0, 0.0]]])


VALUE_AT = sp.lambdify((theta, s), VALUE, "mpmath")
DERIVATIVE_AT = sp.lambdify((theta, s), DERIVATIVE, "mpmath")


def _exact(first: np.ndarray, second: np.ndarray, slope: float) -> list[mpmath.mpf]:
    """Value, derivative, area and distance of two points, in 40 digits, from the symbolic result."""
    x, y = ([mpmath.mpf(float(entry)) for entry in point] for point in (first, second))
    norms = [mpmath.hypot(*p) for p in (x, y)]
    dot, area = x[0] * y[0] + x[1] * y[1], abs(x[0] * y[1] - x[1] * y[0])
    angle = mpmath.atan2(area, dot) if dot or area else mpmath.pi / 2
    slope = mpmath.mpf(slope)
    variances = [(1 + slope**2) / 2 * norm**2 for norm in norms]
    value = norms[0] * norms[1] * VALUE_AT(angle, slope)
    return [
        value,
        DERIVATIVE_AT(angle, slope),
        mpmath.sqrt(abs(variances[0] * variances[1] - value**2)),
        sum(variances) - 2 * value,
    ]


def _by_conditioning(angle: float, slope: float) -> float:
    """E phi(a) phi(b) at unit variances: b given a is normal, and phi of a normal has a known mean."""
    cosine, sine = np.cos(angle), np.sin(angle)

    def density(x: float) -> float:
        return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)

    def integrand(a: float) -> float:
        mean = cosine * a
        rectified = mean * special.ndtr(mean / sine) + sine * density(mean / sine)
        return max(a, slope * a) * density(a) * ((1 - slope) * rectified + slope * mean)

    halves = [integrate.quad(integrand, *ends, epsabs=1e-14, epsrel=1e-13) for ends in ((-12, 0), (0, 12))]
    return sum(half[0] for half in halves)


@in_float64
def checks() -> list[Check]:
    points = _points()
    slopes = [0.0, 0.01, 0.37, 1.0]
    duals = [_code(LeakyReLU(slope), points, points) for slope in slopes]
    with mpmath.workdps(40):
        exact = np.array([[[_exact(x, y, slope) for y in points] for x in points] for slope in slopes]).astype(float)
    angles = np.array([0.3, 1.2, 2.9])
    return [
        compare(
            "value, slopes 0 to 1, at angles 0, 1e-8, pi - 1e-8, pi and norm 0 too",
            exact[..., 0],
            [d.moments.covariance for d in duals],
        ),
        compare("derivative, at the same points", exact[..., 1], [d.derivative for d in duals]),
        compare("area, at the same points", exact[..., 2], [d.moments.area for d in duals]),
        compare("distance, at the same points", exact[..., 3], [d.moments.distance for d in duals]),
        compare(
            "value by quadrature over a, b integrated out",
            [[_by_conditioning(angle, slope) for angle in angles] for slope in (0.01, 0.37)],
            [_on_circle(angles, slope).moments.covariance[0] for slope in (0.01, 0.37)],
        ),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2, sharex=True)
    angles = np.linspace(0, np.pi, 200)
    for slope, style, colour in ((0.0, "-", "C0"), (0.2, "--", "C1"), (0.5, "-.", "C2"), (1.0, ":", "black")):
        dual = _on_circle(angles, slope)
        left.plot(angles, dual.moments.covariance[0] * 2 / (1 + slope**2), style, color=colour)
        right.plot(angles, dual.derivative[0] * 2 / (1 + slope**2), style, color=colour, label=f"s = {slope:g}")
    left.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$E\phi(a)\phi(b)\,/\,E\phi(a)^2$")
    right.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$E\phi'(a)\phi'(b)\,/\,E\phi'(a)^2$")
    right.legend(frameon=False, title="slope")
    return drawing


DERIVATION = Derivation(
    label="D2.3",
    title="Dual of the leaky ReLU",
    statement=r"For $\phi(x) = \max(x, 0) + s\min(x, 0)$, with $\theta$ and $\kappa$ of D2.2: $E\phi(a)\phi(b) = "
    r"\sqrt{q_{11}q_{22}}\,(\frac12(1-s)^2\kappa + s\cos\theta)$ and $E\phi'(a)\phi'(b) = (1-s)^2(\pi - \theta)/(2\pi) + s$. "
    r"Slope 0 is the ReLU, slope 1 the linear activation.",
    assumptions=[
        r"$(a, b)$ centred Gaussian",
        r"$\phi'(x) = 1$ for $x > 0$ and $s$ for $x < 0$; where a variance vanishes the code takes $\theta = \pi/2$",
    ],
    builds_on=["D2.2"],
    code=[
        "ntk_shortcuts.kernels.activations.piecewise_linear.LeakyReLU",
        "ntk_shortcuts.kernels.activations.piecewise_linear._piecewise_linear_dual",
    ],
    source="this project; Cho & Saul (2009) for slope 0",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
