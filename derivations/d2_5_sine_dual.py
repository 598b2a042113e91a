"""D2.5: dual of the sine. Run by itself, or as `ntk-shortcuts derive D2.5`."""

import equinox as eqx
import mpmath
import numpy as np
import sympy as sp

from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.activations.sine import Sine
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import in_float64

v, q11, q22 = sp.symbols("v q_11 q_22", positive=True)
x, a, b, q12 = sp.symbols("x a b q_12", real=True)
DISTANCE, SUM = q11 + q22 - 2 * q12, q11 + q22 + 2 * q12
VALUE = (sp.exp(-DISTANCE / 2) - sp.exp(-SUM / 2)) / 2
DERIVATIVE = (sp.exp(-DISTANCE / 2) + sp.exp(-SUM / 2)) / 2


def _characteristic() -> sp.Expr:
    """E cos x of a centred Gaussian of variance v, its characteristic function at 1."""
    return sp.integrate(sp.cos(x) * sp.exp(-(x**2) / (2 * v)), (x, -sp.oo, sp.oo)) / sp.sqrt(2 * sp.pi * v)


def steps() -> list[Step]:
    characteristic = sp.simplify(_characteristic())
    assert sp.simplify(characteristic - sp.exp(-v / 2)) == 0
    for product, sign in ((sp.sin(a) * sp.sin(b), -1), (sp.cos(a) * sp.cos(b), 1)):
        assert sp.expand_trig((sp.cos(a - b) + sign * sp.cos(a + b)) / 2).expand() == product
    value, derivative = ((characteristic.subs(v, DISTANCE) + s * characteristic.subs(v, SUM)) / 2 for s in (-1, 1))
    assert sp.expand(value - VALUE) == 0 and sp.expand(derivative - DERIVATIVE) == 0
    assert sp.simplify(sp.diff(VALUE, q12) - DERIVATIVE) == 0
    # The forms that the code sums: e^{-m/2} (1 - e^{-2 q12})/2 with m = D for q12 > 0, and the squared distance.
    assert sp.expand(sp.powsimp(sp.expand(sp.exp(-DISTANCE / 2) * (1 - sp.exp(-2 * q12)) / 2 - VALUE))) == 0
    variance = VALUE.subs({q22: q11, q12: q11}, simultaneous=True)
    assert sp.simplify(variance - (1 - sp.exp(-2 * q11)) / 2) == 0
    spread = 1 - sp.exp(-DISTANCE / 2) - (sp.exp(-2 * q11) + sp.exp(-2 * q22) - 2 * sp.exp(-SUM / 2)) / 2
    assert sp.simplify(variance + variance.subs(q11, q22) - 2 * VALUE - spread) == 0
    return [
        Step(
            r"$\sin a\sin b$ and $\cos a\cos b$ are $\frac12(\cos(a - b) \mp \cos(a + b))$, and $a \mp b$ are Gaussian with "
            r"variances $D = q_{11} + q_{22} - 2q_{12}$ and $S = q_{11} + q_{22} + 2q_{12}$."
        ),
        Step(r"A centred Gaussian of variance $v$ has", sp.Eq(sp.Symbol(r"E\cos x"), characteristic)),
        Step(r"The derivative $\phi' = \cos$ has", sp.Eq(sp.Symbol(r"E\phi'(a)\phi'(b)"), DERIVATIVE)),
        Step(r"The sine itself has", sp.Eq(sp.Symbol(r"E\phi(a)\phi(b)"), VALUE)),
    ]


@eqx.filter_jit
def _code(points):
    """Moments of the points, and the code's dual."""
    moments = PairMoments.from_plane(points, points)
    return moments, Sine().dual(moments)


def _points() -> np.ndarray:
    random = np.random.default_rng(3).normal(size=(4, 2))
    turned = random[0] + 1e-8 * random[0, ::-1] * [-1, 1]
    return np.concatenate([random, [5 * random[1], turned, -random[0], -turned, [0.0, 0.0]]])


VALUE_AT, DERIVATIVE_AT = (sp.lambdify((q11, q22, q12), expression, "mpmath") for expression in (VALUE, DERIVATIVE))


def _exact(first: np.ndarray, second: np.ndarray) -> list[mpmath.mpf]:
    """Value, derivative, squared area and distance of two points, in 40 digits, from the symbolic result."""
    s, t = ([mpmath.mpf(float(entry)) for entry in point] for point in (first, second))
    products = [sum(i * j for i, j in zip(*pair, strict=True)) for pair in ((s, s), (t, t), (s, t))]
    value = VALUE_AT(*products)
    variances = [VALUE_AT(norm, norm, norm) for norm in products[:2]]
    return [value, DERIVATIVE_AT(*products), variances[0] * variances[1] - value**2, sum(variances) - 2 * value]


def _quadrature(first: np.ndarray, second: np.ndarray) -> float:
    """E sin a sin b by the trapezoidal rule over two independent normals, exponentially accurate for entire functions."""
    nodes = np.linspace(-9, 9, 120)
    weights = np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi) * (nodes[1] - nodes[0])
    g, h = np.meshgrid(nodes, nodes)
    return float(weights @ (np.sin(first[0] * g + first[1] * h) * np.sin(second[0] * g + second[1] * h)) @ weights)


@in_float64
def checks() -> list[Check]:
    points = _points()
    _, dual = _code(points)
    with mpmath.workdps(40):
        exact = np.array([[_exact(s, t) for t in points] for s in points]).astype(float)
    quadrature = [[_quadrature(s, t) for t in points] for s in points]
    return [
        compare(
            "value, at random points and at angles 0, 1e-8, pi - 1e-8, pi and norm 0", exact[..., 0], dual.moments.covariance
        ),
        compare("derivative, at the same points", exact[..., 1], dual.derivative),
        # The next layer takes the area's square only, which is a difference of two numbers below 1.
        compare("squared area, at the same points", exact[..., 2], dual.moments.area**2),
        compare("distance, at the same points", exact[..., 3], dual.moments.distance),
        compare("value by quadrature in the plane", quadrature, dual.moments.covariance),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2, sharex=True)
    angles = np.linspace(0, np.pi, 200)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    few = np.linspace(0.15, 3.0, 8)
    for variance, style, colour in ((0.2, "-", "C0"), (1.0, "--", "C1"), (5.0, "-.", "C2")):
        _, dual = _code(np.sqrt(variance) * circle)
        left.plot(angles, dual.moments.covariance[0], style, color=colour)
        points = np.sqrt(variance) * np.stack([np.cos(few), np.sin(few)], axis=1)
        left.plot(few, [_quadrature(np.sqrt(variance) * circle[0], t) for t in points], "o", ms=4, mfc="none", color="k")
        right.plot(angles, dual.derivative[0], style, color=colour, label=f"q = {variance:g}")
    left.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$E\,\phi(a)\phi(b)$ (circles: quadrature)")
    right.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$E\,\phi'(a)\phi'(b)$", ylim=(-0.03, 1.45))
    right.legend(frameon=False, title="variance", loc="upper center")
    return drawing


DERIVATION = Derivation(
    label="D2.5",
    title="Dual of the sine",
    statement=r"For $\phi = \sin$, with $D = E(a-b)^2$ and $S = E(a+b)^2$: $E\phi(a)\phi(b) = \frac12(e^{-D/2} - e^{-S/2})$ "
    r"and $E\phi'(a)\phi'(b) = \frac12(e^{-D/2} + e^{-S/2})$.",
    assumptions=[r"$(a, b)$ centred Gaussian, singular covariances included"],
    code=["ntk_shortcuts.kernels.activations.sine.Sine"],
    source="this project; elementary",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
