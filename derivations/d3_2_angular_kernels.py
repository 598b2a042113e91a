"""D3.2: kernels of bias-free ReLU networks as functions of the angle. Run by itself, or as `ntk-shortcuts derive D3.2`."""

import equinox as eqx
import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.angular import AngularKernels
from ntk_shortcuts.numerics import in_float64

WEIGHT, norms, theta = sp.symbols("sigma_w^2 R theta", positive=True)
DEPTHS = (2, 3, 5)


def _kappa(angle: sp.Expr) -> sp.Expr:
    return (sp.sin(angle) + (sp.pi - angle) * sp.cos(angle)) / sp.pi


def _closed_form(angles: list) -> sp.Expr:
    """Sum over l = 0..L of cos(angle_l) prod_{m >= l} (1 - angle_m / pi), angles 0..L."""
    return sum(sp.cos(angle) * sp.prod([1 - later / sp.pi for later in angles[index:-1]]) for index, angle in enumerate(angles))


def steps() -> list[Step]:
    # The recursion of D3.1 with the duals of D2.2 on variances of equal size; R = |u||u'|/d, angles theta_0, theta_1, ...
    angles = [theta, *sp.symbols("theta_1:5", positive=True)]
    value = WEIGHT * norms * sp.cos(theta)
    tangent = value
    for depth in range(1, 5):
        variance = norms * WEIGHT * (WEIGHT / 2) ** (depth - 1)
        previous, angle = angles[depth - 1], angles[depth]
        value = WEIGHT * variance * sp.cos(angle) / 2
        # cos(theta_L) = kappa(theta_{L-1}) makes this the dual; at angle 0 it is the variance of the next layer.
        assert sp.simplify(WEIGHT * variance * _kappa(previous) / 2 - value.subs(sp.cos(angle), _kappa(previous))) == 0
        assert sp.simplify(value.subs(angle, 0) - WEIGHT * norms * (WEIGHT / 2) ** depth) == 0
        tangent = value + WEIGHT * (sp.pi - previous) / (2 * sp.pi) * tangent
        scale = WEIGHT * (WEIGHT / 2) ** depth * norms
        assert sp.simplify(sp.expand(tangent / scale - _closed_form(angles[: depth + 1]))) == 0
    # Parity: x = 1 - 2 theta/pi changes sign between theta and pi - theta, and T_k has the parity of k.
    x = 1 - 2 * theta / sp.pi
    assert sp.simplify(x + x.subs(theta, sp.pi - theta)) == 0
    y = sp.Symbol("y")
    assert all(sp.expand(sp.chebyshevt(k, -y) - (-1) ** k * sp.chebyshevt(k, y)) == 0 for k in range(8))
    # Clenshaw's odd recurrence: T_{2j+1}(y)/y obeys that of T in 2 y^2 - 1, from 1 and 2 (2 y^2 - 1) - 1.
    square = 2 * y**2 - 1
    odd = [sp.cancel(sp.chebyshevt(2 * j + 1, y) / y) for j in range(5)]
    assert odd[0] == 1 and sp.expand(odd[1] - (2 * square - 1)) == 0
    assert all(sp.expand(odd[j + 1] - 2 * square * odd[j] + odd[j - 1]) == 0 for j in range(1, 4))
    two = _closed_form([theta, *sp.symbols("theta_1:3")])
    return [
        Step(
            r"Without biases both variances are multiplied by $\sigma_w^2/2$ in each layer, and the angle changes by (D2.2; "
            r"$\kappa = (\sin\theta + (\pi - \theta)\cos\theta)/\pi$)",
            r"\cos\theta_{l+1} = \kappa(\theta_l),\qquad \theta_0 = \theta",
        ),
        Step(
            r"With $c_L = \sigma_w^2(\sigma_w^2/2)^L/d$ the NNGP kernel is",
            r"K^L = c_L|u||u'|\cos\theta_L",
        ),
        Step(
            r"The factor between $\Theta^{L-1}$ and $\Theta^L$ is",
            r"\dot K^L = \frac{\sigma_w^2}{2}\Big(1 - \frac{\theta_{L-1}}{\pi}\Big)",
        ),
        Step(r"so that for $L = 2$, for instance, $\Theta^2/(c_2|u||u'|)$ is", two),
        Step(
            r"Both profiles are analytic in the closed interval $[0, \pi]$, and the code holds their Chebyshev series in $x = "
            r"1 - 2\theta/\pi$. Between $u$ and $-u'$ the angle is $\pi - \theta$ and $x$ changes sign: odd terms are the "
            r"kernel's odd part."
        ),
        Step(
            r"In general",
            r"h_L(\theta) = \frac{\Theta^L}{c_L|u||u'|} = \sum_{l=0}^L\cos\theta_l\prod_{m=l}^{L-1}\Big(1 - "
            r"\frac{\theta_m}{\pi}\Big)",
        ),
    ]


def _profile(angle: mpmath.mpf, depth: int) -> tuple[mpmath.mpf, mpmath.mpf]:
    """cos(theta_L) and h_L in 40 digits, from the closed form."""
    angles = [angle]
    for _ in range(depth):
        # 1 - cos(next) without cancellation: 2 sin^2(a/2) - (sin a - a cos a)/pi.
        a = angles[-1]
        gap = 2 * mpmath.sin(a / 2) ** 2 - (mpmath.sin(a) - a * mpmath.cos(a)) / mpmath.pi
        angles.append(2 * mpmath.asin(mpmath.sqrt(gap / 2)))
    total = mpmath.mpf(0)
    for index, angle in enumerate(angles):
        product = mpmath.mpf(1)
        for later in angles[index:-1]:
            product *= 1 - later / mpmath.pi
        total += mpmath.cos(angle) * product
    return mpmath.cos(angles[-1]), total


ANGLES = np.concatenate([[0.0, 1e-8, np.pi - 1e-8, np.pi], np.random.default_rng(6).uniform(0, np.pi, 8)])


@eqx.filter_jit
def _sectors(profile: AngularKernels, points1, points2):
    odd, even = profile.sectors(points1, points2)
    return odd.nngp + even.nngp, odd.ntk + even.ntk, odd.ntk - even.ntk


def _code(network: ns.MLP, points1: np.ndarray, points2: np.ndarray):
    """K and Theta between points, and Theta between points and mirrored points, from the code's series."""
    return _sectors(network.angular_kernels(2), points1, points2)


@in_float64
def checks() -> list[Check]:
    directions = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    first = np.array([[1.0, 0.0], [2.5, 0.0], [0.0, 0.0]])
    found, ntk = [], {}
    for depth in DEPTHS:
        nngp, ntk[depth], mirrored = _code(ns.MLP(depth, weight_variance=1.8), first, directions)
        with mpmath.workdps(40):
            profile = np.array([_profile(mpmath.mpf(angle), depth) for angle in ANGLES]).astype(float)
            back = np.array([_profile(mpmath.pi - mpmath.mpf(angle), depth) for angle in ANGLES]).astype(float)
        scale = 0.9 * 0.9**depth * np.array([[1.0], [2.5], [0.0]])
        exact = [scale * profile[:, 0], scale * profile[:, 1], -scale * back[:, 1]]
        name = f"depth {depth}: K, Theta and Theta(u, -u') at random angles and 0, 1e-8, pi - 1e-8, pi, norm 0"
        found.append(compare(name, exact, [nngp, ntk[depth], mirrored]))
    plain = ns.MLP(5, weight_variance=1.8).kernels(first, directions).ntk
    # Inputs and polar angles round differently at an angle of 1e-8.
    return [*found, compare("depth 5: Theta by the recursion in inner products (D3.1)", plain, ntk[5])]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    angles = np.linspace(0, np.pi, 160)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    few = np.linspace(0, np.pi, 9)
    for depth, style, colour in ((1, "-", "C0"), (2, "--", "C1"), (5, "-.", "C2")):
        _, ntk, _ = _code(ns.MLP(depth), directions[:1], directions)
        axes.plot(angles, ntk[0] / (depth + 1), style, color=colour, label=f"L = {depth}")
        axes.plot(few, [float(_profile(mpmath.mpf(a), depth)[1]) / (depth + 1) for a in few], "o", mfc="none", color=colour)
    axes.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$h_L(\theta)/h_L(0)$")
    axes.legend(frameon=False, title="lines: code, circles: closed form")
    return drawing


DERIVATION = Derivation(
    label="D3.2",
    title="Kernels of bias-free ReLU networks as functions of the angle",
    statement=r"With $\cos\theta_{l+1} = \kappa(\theta_l)$, $\theta_0 = \theta$ the angle between $u$ and $u'$, and $c_L = "
    r"\sigma_w^2(\sigma_w^2/2)^L/d$: $K^L = c_L|u||u'|\cos\theta_L$ and $\Theta^L = c_L|u||u'|h_L(\theta)$, $h_L = "
    r"\sum_{l=0}^L\cos\theta_l\prod_{m=l}^{L-1}(1 - \theta_m/\pi)$.",
    assumptions=[
        r"infinite width, ReLU, $\sigma_b = 0$",
        r"$\langle x, x'\rangle = u\cdot u'$: no nesting, orthogonal embedding",
    ],
    builds_on=["D2.2", "D3.1"],
    code=["ntk_shortcuts.kernels.angular.AngularKernels", "ntk_shortcuts.kernels.angular._odd_series"],
    source="Cho & Saul (2009) and Jacot, Gabriel & Hongler (2018), combined",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
