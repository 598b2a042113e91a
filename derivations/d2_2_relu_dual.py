"""D2.2: dual of the ReLU. Run by itself, or as `ntk-shortcuts derive D2.2`."""

import equinox as eqx
import mpmath
import numpy as np
import sympy as sp
from scipy import integrate, special

from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.activations.piecewise_linear import ReLU
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import in_float64

theta, r, q11, q22 = sp.symbols("theta r q_11 q_22", positive=True)
phi, q12 = sp.symbols("varphi q_12", real=True)
NORMS = sp.sqrt(q11 * q22)
# a = sqrt(q11) r cos(phi), b = sqrt(q22) r cos(phi - theta), with density r e^{-r^2/2} / (2 pi) in the plane.
PRODUCT = sp.cos(phi) * sp.cos(phi - theta)
BOTH_POSITIVE = (phi, theta - sp.pi / 2, sp.pi / 2)
KAPPA = (sp.sin(theta) + (sp.pi - theta) * sp.cos(theta)) / sp.pi


def _radial(power: int) -> sp.Expr:
    return sp.integrate(r ** (power + 1) * sp.exp(-(r**2) / 2), (r, 0, sp.oo)) / (2 * sp.pi)


def _value() -> sp.Expr:
    """E relu(a) relu(b)."""
    return NORMS * _radial(2) * sp.simplify(sp.integrate(sp.expand_trig(PRODUCT), BOTH_POSITIVE))


def _derivative() -> sp.Expr:
    """P(a > 0, b > 0)."""
    return sp.simplify(_radial(0) * sp.integrate(1, BOTH_POSITIVE))


def steps() -> list[Step]:
    covariance = NORMS * _radial(2) * sp.integrate(sp.expand_trig(PRODUCT), (phi, 0, 2 * sp.pi))
    assert sp.simplify(covariance - NORMS * sp.cos(theta)) == 0
    value, derivative = _value(), _derivative()
    assert sp.simplify(value - NORMS * KAPPA / 2) == 0
    # Differentiating the value in q12 gives the derivative's dual (D2.4 proves it for every activation).
    assert sp.simplify(sp.diff(value, theta) / sp.diff(NORMS * sp.cos(theta), theta) - derivative) == 0
    # The two forms that the code sums without cancellation, with S(x) = sin x - x cos x.
    small = sp.Lambda(phi, sp.sin(phi) - phi * sp.cos(phi))
    assert sp.simplify(small(sp.pi - theta) / sp.pi - KAPPA) == 0
    assert sp.simplify(2 * sp.sin(theta / 2) ** 2 - small(theta) / sp.pi - (1 - KAPPA)) == 0
    distance = NORMS.subs(q22, q11) * (1 - KAPPA)
    assert sp.simplify(q11 / 2 + q11 / 2 - 2 * value.subs(q22, q11) - distance) == 0
    return [
        Step(
            r"In polar coordinates of two independent standard normals, $a = \sqrt{q_{11}}\,r\cos\varphi$ and $b = "
            r"\sqrt{q_{22}}\,r\cos(\varphi - \theta)$ have variances $q_{11}, q_{22}$ and covariance",
            sp.Eq(q12, NORMS * sp.cos(theta)),
        ),
        Step(
            r"Both are positive for $\theta - \pi/2 < \varphi < \pi/2$, an arc of length $\pi - \theta$ out of $2\pi$. The "
            r"derivative is the indicator of $x > 0$, so",
            sp.Eq(sp.Symbol(r"E\phi'(a)\phi'(b)"), derivative),
        ),
        Step(
            r"The radius contributes $\frac{1}{2\pi}\int r^3 e^{-r^2/2} dr = 1/\pi$, and the angle",
            sp.Eq(sp.Integral(PRODUCT, BOTH_POSITIVE), sp.pi * KAPPA / 2),
        ),
        Step(
            r"For $q_{11} = q_{22}$ the mean squared difference $E(\phi(a) - \phi(b))^2 = q_{11}(1 - \kappa)$ is summed from "
            r"$1 - \kappa = 2\sin^2(\theta/2) - (\sin\theta - \theta\cos\theta)/\pi$, which cancels nothing at small angles.",
        ),
        Step(
            r"Together, with $\kappa = (\sin\theta + (\pi - \theta)\cos\theta)/\pi$,",
            sp.Eq(sp.Symbol(r"E\phi(a)\phi(b)"), value),
        ),
    ]


@eqx.filter_jit
def _code(points1, points2):
    return ReLU().dual(PairMoments.from_plane(points1, points2))


def _on_circle(angles: np.ndarray):
    """The dual of unit variances at these angles."""
    return _code(np.array([[1.0, 0.0]]), np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _points() -> np.ndarray:
    random = np.random.default_rng(0).normal(size=(5, 2))
    turned = random[0] + 1e-8 * random[0, ::-1] * [-1, 1]
    return np.concatenate([random, [3 * random[1], turned, -random[0], -turned, [0.0, 0.0]]])


def _exact(first: np.ndarray, second: np.ndarray) -> list[mpmath.mpf]:
    """Value, derivative, area and distance of two points, in 40 digits, from the symbolic result."""
    x, y = ([mpmath.mpf(float(entry)) for entry in point] for point in (first, second))
    variances = [p[0] ** 2 + p[1] ** 2 for p in (x, y)]
    dot, area = x[0] * y[0] + x[1] * y[1], abs(x[0] * y[1] - x[1] * y[0])
    # A zero vector has no angle; the code takes pi/2.
    angle = mpmath.atan2(area, dot) if dot or area else mpmath.pi / 2
    value = VALUE(angle, *variances)
    determinant = variances[0] * variances[1] / 4 - value**2
    return [value, DERIVATIVE(angle), mpmath.sqrt(abs(determinant)), sum(variances) / 2 - 2 * value]


VALUE = sp.lambdify((theta, q11, q22), NORMS * KAPPA / 2, "mpmath")
DERIVATIVE = sp.lambdify(theta, (sp.pi - theta) / (2 * sp.pi), "mpmath")


def _by_conditioning(angle: float) -> float:
    """E relu(a) relu(b) at unit variances: b given a is normal, and a rectified normal has a known mean."""
    cosine, sine = np.cos(angle), np.sin(angle)

    def density(x: float) -> float:
        return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)

    def integrand(a: float) -> float:
        mean = cosine * a
        return a * density(a) * (mean * special.ndtr(mean / sine) + sine * density(mean / sine))

    return integrate.quad(integrand, 0, 12, epsabs=1e-14, epsrel=1e-13, points=[1.0, 3.0])[0]


@in_float64
def checks() -> list[Check]:
    points = _points()
    dual = _code(points, points)
    with mpmath.workdps(40):
        exact = np.array([[_exact(x, y) for y in points] for x in points]).astype(float)
    angles = np.array([0.3, 1.0, 2.0, 3.0])
    on_circle = _on_circle(angles)
    post = dual.moments
    return [
        compare("value, at random points and at angles 0, 1e-8, pi - 1e-8, pi and norm 0", exact[..., 0], post.covariance),
        compare("derivative, at the same points", exact[..., 1], dual.derivative),
        compare("area, at the same points", exact[..., 2], post.area),
        compare("distance, at the same points", exact[..., 3], post.distance),
        compare(
            "value by quadrature over a, b integrated out", list(map(_by_conditioning, angles)), on_circle.moments.covariance[0]
        ),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    angles = np.linspace(0, np.pi, 200)
    dual = _on_circle(angles)
    axes.plot(angles, dual.moments.covariance[0], label=r"$E\,\phi(a)\phi(b)$")
    axes.plot(angles, dual.derivative[0], "--", label=r"$E\,\phi'(a)\phi'(b)$")
    few = np.linspace(0.15, 3.0, 9)
    axes.plot(few, list(map(_by_conditioning, few)), "o", mfc="none", color="black", label="quadrature")
    axes.set(xlabel=r"angle $\theta$ (radians), unit variances", ylabel="dual of the ReLU")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D2.2",
    title="Dual of the ReLU",
    statement=r"For $\phi(x) = \max(x, 0)$ and centred Gaussians with variances $q_{11}, q_{22}$ at angle $\theta$, "
    r"$\cos\theta = q_{12}/\sqrt{q_{11}q_{22}}$: $E\phi(a)\phi(b) = \frac12\sqrt{q_{11}q_{22}}\,\kappa$ with $\kappa = "
    r"(\sin\theta + (\pi - \theta)\cos\theta)/\pi$, and $E\phi'(a)\phi'(b) = (\pi - \theta)/(2\pi)$.",
    assumptions=[
        r"$(a, b)$ centred Gaussian",
        r"$\phi'(x) = 1$ for $x > 0$ and 0 for $x < 0$; the point 0 has probability 0 unless a variance vanishes, where the "
        r"code takes $\theta = \pi/2$",
    ],
    code=[
        "ntk_shortcuts.kernels.activations.piecewise_linear.ReLU",
        "ntk_shortcuts.kernels.activations.piecewise_linear._piecewise_linear_dual",
    ],
    source="Cho & Saul (2009), arc-cosine kernels of orders 0 and 1",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
