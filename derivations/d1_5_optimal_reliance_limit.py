"""D1.5: reliance of a linear classifier on the probe square. Run by itself, or as `ntk-shortcuts derive D1.5`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main

a, b = sp.symbols("a b", real=True)
P, Q = sp.symbols("P Q", positive=True)
p, q = sp.symbols("p q", real=True)
theta = sp.Symbol("theta", positive=True)


def _reliance(p, q):
    return p * (1 - sp.Abs(q) / 2) - q * (1 - sp.Abs(p) / 2)


def steps() -> list[Step]:
    # Quadrant a > 0 > b of the unit square, P < Q: P a + Q b > 0 in the triangle below the line -b = P a / Q.
    share = sp.integrate(sp.integrate(1, (b, -P * a / Q, 0)), (a, 0, 1))
    steep = sp.simplify(2 * share - 1)
    assert sp.simplify(steep - (P / Q - 1)) == 0
    shallow = -steep.subs({P: Q, Q: P}, simultaneous=True)
    assert sp.simplify(shallow - (1 - Q / P)) == 0
    # The compact form scales the larger of |p|, |q| to 1 and covers all signs.
    assert sp.simplify(_reliance(P / Q, sp.Integer(1)) - steep) == 0
    assert sp.simplify(_reliance(sp.Integer(1), Q / P) - shallow) == 0
    # Opposite signs agree with one feature everywhere off the diagonal quadrants.
    for ratio in (sp.Rational(1, 7), sp.Integer(1)):
        assert _reliance(-ratio, sp.Integer(1)) == _reliance(sp.Integer(-1), ratio) == -1
        assert _reliance(ratio, sp.Integer(-1)) == _reliance(sp.Integer(1), -ratio) == 1
    assert sp.simplify(_reliance(-p, -q) + _reliance(p, q)) == 0
    angle = {P: sp.cos(theta), Q: sp.sin(theta)}
    assert sp.simplify(steep.subs(angle) - (sp.cot(theta) - 1)) == 0
    assert sp.simplify(shallow.subs(angle) - (1 - sp.tan(theta))) == 0
    # Value and slope meet at 45 degrees: the reliance is once differentiable in the angle.
    quarter = sp.pi / 4
    gaps = [sp.diff(sp.cot(theta) - 1 - (1 - sp.tan(theta)), theta, k).subs(theta, quarter) for k in (0, 1, 2)]
    assert gaps[:2] == [0, 0] and gaps[2] != 0
    cases = sp.Piecewise((1 - sp.tan(theta), theta <= quarter), (sp.cot(theta) - 1, theta <= sp.pi / 2), (-1, theta <= sp.pi))
    return [
        Step(
            r"In units of $3\mu$ the probes fill the square $[-1,1]^2$ and the classifier is the sign of $pa+qb$ with "
            r"$(p,q)=(v_s\mu_s,v_c\mu_c)$. Only quadrants of opposite signs count, and they are images of each other.",
            r"R = \int_0^1\!\!\int_{-1}^0\mathrm{sign}(pa+qb)\,db\,da",
        ),
        Step(r"For $0\le p\le q$ the sign is $+1$ in a triangle of area", sp.Eq(sp.Symbol("T"), share, evaluate=False)),
        Step(
            r"So $R=2T-1=p/q-1$ there, and exchanging the features gives $1-q/p$ for $0\le q\le p$. For $p<0<q$ the "
            r"sign is that of $b$ in both quadrants and $R=-1$; for $q<0<p$, $R=1$. All cases in one, with the larger of "
            r"$|p|$, $|q|$ scaled to 1:",
            r"R = p\left(1-\tfrac{|q|}{2}\right)-q\left(1-\tfrac{|p|}{2}\right)",
        ),
        Step(
            r"With $\theta\in[0,\pi]$ the angle of $(p,q)$, which is normal to the boundary; value and slope are continuous "
            r"at $\pi/4$, the second derivative jumps.",
            sp.Eq(sp.Symbol("R"), cases, evaluate=False),
        ),
    ]


def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    model = ns.GenerativeModel((0.85, 0.9), correlation=0.6)
    means = np.asarray(model.means)
    angles = np.concatenate([np.arange(-4, 5) * np.pi / 4 + 0.0, [1e-9, np.pi / 4 + 1e-9], rng.uniform(-np.pi, np.pi, 12)])
    pairs = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    pairs[np.abs(pairs) < 1e-15] = 0
    got = np.asarray(ns.linear.direction_reliance(model, pairs / means))
    # On the axes the boundary runs along the sign change of one feature, and the integral is the pure classifier's +-1.
    settings = [
        (0.5, 0.9, 0.6),
        (0.9, 0.9, 0.6),
        (0.55, 0.9, 0.8),
        (0.95, 0.6, 0.7),
        *rng.uniform([0.5, 0.5, -0.9], 0.9, (6, 3)),
    ]
    exact, optimal = [], []
    for rho_s, rho_c, correlation in settings:
        changed = ns.GenerativeModel((rho_s, rho_c), correlation=correlation)
        optimal.append(float(ns.linear.optimal_reliance_limit(changed)))
        normal = np.asarray(changed.bayes_direction) * np.asarray(changed.means)
        exact.append(_piecewise(float(np.arctan2(normal[1], normal[0]))))
    nothing = [float(ns.linear.optimal_reliance_limit(ns.GenerativeModel((0.5, 0.5))))]
    return [
        compare("any direction against quadrature over the square", [_quadrature(*pair) for pair in pairs], got),
        compare("optimal classifier against the form in the angle", exact, optimal),
        compare("no feature predictive: 0", [0.0], nothing),
    ]


def _quadrature(first: float, second: float) -> float:
    """Mean of sign(pa + qb) (sign a - sign b) over the square: exact in b, by quadrature in a, split at the kinks."""
    with mpmath.workdps(25):

        def over_b(x):
            # Length of {b in [lo, hi]: p x + q b > 0} minus that of its complement, in the quadrant's range of b.
            lo, hi = (-1, 0) if x > 0 else (0, 1)
            if second == 0:
                balance = mpmath.sign(first * x)
            else:
                cut = min(max(-first * x / second, lo), hi)
                balance = mpmath.sign(second) * ((hi - cut) - (cut - lo))
            return balance * mpmath.sign(x) / 2

        kinks = [k for k in (abs(second / first),) if k < 1] if first else []
        return float(sum(mpmath.quad(over_b, sorted([0, sign, *(sign * k for k in kinks)])) for sign in (-1, 1)))


def _piecewise(angle: float) -> float:
    """For a normal outside the third quadrant."""
    if angle <= 0 or angle >= np.pi / 2:
        return 1.0 if angle <= 0 else -1.0
    return float(1 - np.tan(angle) if angle <= np.pi / 4 else 1 / np.tan(angle) - 1)


def figure():
    from matplotlib.figure import Figure

    model = ns.GenerativeModel((0.85, 0.9), correlation=0.6)
    means = np.asarray(model.means)
    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2)
    optimum = np.asarray(model.bayes_direction) * means
    axis = np.linspace(-1, 1, 201)
    left.fill([-1, 0, 0, -1], [0, 0, 1, 1], color="0.9")
    left.fill([0, 1, 1, 0], [-1, -1, 0, 0], color="0.9")
    height = optimum[0] / optimum[1]
    left.fill([0, -1, -1], [0, 0, height], color="C1", alpha=0.6)
    left.fill([0, 1, 1], [0, 0, -height], color="C1", alpha=0.6)
    left.plot(axis, -axis * height, color="black")
    left.annotate("+", (0.45, 0.5), ha="center", size=14)
    left.annotate("\N{MINUS SIGN}", (-0.45, -0.6), ha="center", size=14)
    left.set(xlabel=r"$z_s\,/\,3\mu_s$", ylabel=r"$z_c\,/\,3\mu_c$", aspect="equal", xlim=(-1, 1), ylim=(-1, 1))
    left.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    angles = np.radians(np.linspace(-90, 180, 541))
    pairs = np.stack([np.cos(angles), np.sin(angles)], axis=-1) / means
    right.plot(np.degrees(angles), np.asarray(ns.linear.direction_reliance(model, pairs)), color="C0", label="infinitely fine")
    # Half a degree off the multiples of 45, where probes lie on the boundary.
    coarse = angles[::6] + np.radians(0.3)
    probes = np.asarray(model.probe_grid(6))
    outputs = probes @ (np.stack([np.cos(coarse), np.sin(coarse)], axis=-1) / means).T
    signs = np.sign(outputs).T @ (np.sign(probes) @ [1, -1]) / len(probes)
    right.plot(np.degrees(coarse), signs, "C1.", ms=3, label="6 x 6 probes")
    right.plot(
        np.degrees(np.arctan2(*optimum[::-1])), float(ns.linear.optimal_reliance_limit(model)), "ko", label="optimal classifier"
    )
    right.set(xlabel="angle of the normal (°)", ylabel="reliance", xticks=[-90, 0, 45, 90, 180])
    right.legend(frameon=False, fontsize="x-small", loc="lower left", handlelength=1)
    return drawing


DERIVATION = Derivation(
    label="D1.5",
    title="Reliance of a linear classifier on the probe square",
    statement=r"On an infinitely fine probe grid the classifier $\mathrm{sign}(v\cdot z)$ has the reliance "
    r"$R=p(1-|q|/2)-q(1-|p|/2)$ with $(p,q)=(v_s\mu_s,v_c\mu_c)/\max(|v_s\mu_s|,|v_c\mu_c|)$. With $\theta$ the angle of the "
    r"boundary's normal $(p,q)$ in the square, that is $1-\tan\theta$ up to $45°$, $\cot\theta-1$ up to $90°$ and $-1$ up to "
    r"$180°$. The optimal reliance is the value at $v=w^*$.",
    assumptions=[r"probes uniform on $[-3\mu_s,3\mu_s]\times[-3\mu_c,3\mu_c]$", r"$\mu_s,\mu_c>0$ (0 only by continuity)"],
    builds_on=["D1.2"],
    code=["ntk_shortcuts.linear.optimal_reliance_limit", "ntk_shortcuts.linear.direction_reliance"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
