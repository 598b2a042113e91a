"""D4.5: training rules as sums of resolvents. Run by itself, or as `ntk-shortcuts derive D4.5`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

s, u = sp.symbols("s u", complex=True)
t, lam, eta, h, c, y, n = sp.symbols("t lambda eta h c y n", positive=True)
k = sp.Symbol("k", integer=True, positive=True)


def steps() -> list[Step]:
    integrand = sp.exp(-s * t) / (s * (lam - s))
    residues = [sp.residue(integrand, s, pole) for pole in (0, lam)]
    assert sp.simplify(sum(residues) - (1 - sp.exp(-lam * t)) / lam) == 0
    # The parabola s = -c (1 - i u)^2 / t: from +i infinity around 0 as u falls, so counter-clockwise is minus the sum over u.
    contour = -c * (1 - sp.I * u) ** 2 / t
    residue = sp.simplify(-h / (2 * sp.pi * sp.I) * sp.diff(contour, u) / contour * sp.exp(-contour * t))
    expected = h / sp.pi * sp.exp(c * (1 - sp.I * u) ** 2) / (1 - sp.I * u)
    assert sp.simplify(residue - expected) == 0
    # The trapezoidal rule's error is exp(-2 pi y / h) times the integrand on the line Im u = y. Above, the singularities at
    # s >= 0 all lie on Im u = -1; below, the growth of exp(-s t) is balanced against the decay.
    growth = sp.re(sp.expand(c * (1 - sp.I * (sp.I * y)) ** 2))
    assert sp.simplify(growth - c * (1 + y) ** 2) == 0
    (best,) = sp.solve(sp.diff(growth - 2 * sp.pi * y / h, y), y)
    below = sp.simplify((growth - 2 * sp.pi * y / h).subs(y, best))
    truncation = sp.simplify(sp.re(sp.expand(c * (1 - sp.I * n * h) ** 2)))
    solution = sp.solve([sp.Eq(-2 * sp.pi / h, below), sp.Eq(-2 * sp.pi / h, truncation)], [c, h], dict=True)
    assert solution == [{c: sp.pi * n / 12, h: 3 / n}]
    exponent = (-2 * sp.pi / h).subs(solution[0])
    assert sp.simplify(exponent + 2 * sp.pi * n / 3) == 0
    # Descent: s(v) = (1 - exp(-eta v)) / eta.
    v = sp.Symbol("v", complex=True)
    moved = (1 - sp.exp(-eta * v)) / eta
    assert sp.simplify((1 - eta * moved) - sp.exp(-eta * v)) == 0
    factor = sp.simplify(sp.diff(moved, v) / moved * v)
    assert sp.simplify(factor - eta * v * sp.exp(-eta * v) / (1 - sp.exp(-eta * v))) == 0
    # The same on a circle |w| = r around w = 1 and w = b, w = 1 - eta s, b = 1 - eta lambda.
    w, b = sp.symbols("w b")
    circle = sum(sp.residue(eta * w**3 / ((w - 1) * (w - b)), w, pole) for pole in (1, b))
    assert sp.simplify(circle - (1 - b**3) / (1 - b) * eta) == 0
    return [
        Step(
            r"A filter is an integral over resolvents: around 0 and $\lambda$, counter-clockwise, the residues are "
            rf"${sp.latex(residues[0])}$ and ${sp.latex(residues[1])}$.",
            r"\frac{1-e^{-\lambda t}}{\lambda} = \frac{1}{2\pi i}\oint\frac{e^{-st}}{s\,(\lambda-s)}\,ds",
        ),
        Step(
            r"The integrand decays for $\mathrm{Re}\,s\to\infty$, so the contour opens into a parabola around the positive "
            r"axis, $s=-c(1-iu)^2/t$. The trapezoidal rule of step $h$ gives at each $u$ a pole $s$ and the residue (twice "
            r"it, for the real part over $u>0$ alone)",
            sp.Eq(sp.Symbol("c_k"), 2 * expected, evaluate=False),
        ),
        Step(
            r"Three errors: the spectrum, on $\mathrm{Im}\,u=-1$; the growth of $e^{-st}$ in the other half-plane, least at "
            rf"distance ${sp.latex(best)}$; and the end of the sum at $u=nh$. Their exponents are",
            rf"-\frac{{2\pi}}{{h}}, \quad {sp.latex(below)}, \quad {sp.latex(truncation)}",
        ),
        Step(
            r"Equal for $h=3/n$, $c=\pi n/12$, where all are $-2\pi n/3$: the error falls by $e^{2\pi/3}=8.12$ per pole.",
            sp.Eq(sp.Symbol("error"), sp.exp(exponent), evaluate=False),
        ),
        Step(
            r"Descent: $s=(1-e^{-\eta s'})/\eta$ turns $(1-\eta s)^k$ into $e^{-\eta ks'}$, the flow at $t=\eta k$, and "
            r"maps the strip $|\mathrm{Im}\,s'|<\pi/\eta$ onto the plane cut along $s\geq1/\eta$, so $\eta\lambda<1$. Each "
            r"residue takes a factor $\frac{ds}{s}/\frac{ds'}{s'}$.",
            r"\eta s'\,\frac{e^{-\eta s'}}{1-e^{-\eta s'}}",
        ),
        Step(
            r"The result, with $n$ poles $s_k=-\frac{\pi n}{12t}(1-iu_k)^2$, $u_k=(k+\frac12)\frac3n$:",
            r"g(\lambda) = \mathrm{Re}\sum_{k=0}^{n-1}\frac{c_k}{\lambda-s_k} + O(8.12^{-n}/\lambda), \quad "
            r"c_k = \frac{6}{\pi n}\,\frac{e^{-s_kt}}{1-iu_k}",
        ),
    ]


NODES = (4, 6, 9, 12)


def _scaled_errors(rule, exact_rule, eigenvalues) -> np.ndarray:
    """Largest |lambda (g_n - g)| over the spectrum and parameters, for each n."""
    exact = np.asarray(exact_rule.filter(eigenvalues))
    errors = []
    for count in NODES:
        rational = rule.rational(None, eigenvalues.max(), count)
        poles, residues = np.asarray(rational.poles), np.asarray(rational.residues)
        got = np.sum(residues[..., None] / (eigenvalues - poles[..., None]), axis=-2).real
        errors.append(np.max(np.abs(eigenvalues * (got - exact))))
    return np.array(errors)


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    times = np.concatenate([[1e-3, 1.0], 10 ** rng.uniform(-2, 4, 3)])
    eigenvalues = np.concatenate([np.logspace(-9, 2, 300), 10 ** rng.uniform(-5, 2, 50)])
    flow = ns.GradientFlow(times)
    code = flow.rational(None, 100.0, 6)
    u = (np.arange(6) + 0.5) / 2
    poles = -np.pi * 6 / 12 / times[:, None] * (1 - 1j * u) ** 2
    residues = 6 / (np.pi * 6) * np.exp(-poles * times[:, None]) / (1 - 1j * u)
    exact = [residues.real, residues.imag, (poles * times[:, None]).real, (poles * times[:, None]).imag]
    scaled = np.asarray(code.poles) * times[:, None]
    got = [np.asarray(code.residues).real, np.asarray(code.residues).imag, scaled.real, scaled.imag]
    bound = 4 * 8.1 ** -np.array(NODES, float)
    errors = _scaled_errors(flow, flow, eigenvalues)
    slope = -np.polyfit(NODES, np.log(errors), 1)[0]
    descent = ns.GradientDescent(0.009, np.array([8.0, 30.0, 1000.0]))
    descent_errors = _scaled_errors(descent, descent, eigenvalues)
    # 1 < eta lambda < 2: a circle, in which only rounding, up to e^10 eps, is left.
    near = ns.GradientDescent(0.018, np.array([3.0, 20.0]))
    circle = near.rational(None, 100.0)
    circled = np.asarray(circle.residues)[..., None] / (eigenvalues - np.asarray(circle.poles)[..., None])
    on_circle = np.sum(circled, axis=-2).real * eigenvalues
    return [
        compare("poles and residues of the code against the derivation, n = 6", exact, got),
        compare("integral along the parabola by adaptive quadrature", *_integral()),
        # The constant 4 was measured; the exponent is derived.
        Check("flow: error over 4 x 8.1^-n / lambda, n = 4 to 12, at most 1", float(np.max(errors / bound)), 1.0),
        # A fit over four values of n to an error whose factor depends on n.
        compare("flow: fall of the log error per pole over 2 pi / 3", 1.0, slope / (2 * np.pi / 3), tolerance=0.05),
        Check("descent, eta lambda < 1: error over 4 x 8.1^-n / lambda, at most 1", float(np.max(descent_errors / bound)), 1.0),
        compare("descent, circle", eigenvalues * np.asarray(near.filter(eigenvalues)), on_circle, tolerance=1e-11),
    ]


def _integral() -> tuple[list[float], list[float]]:
    """The contour integral at c = 2 by mpmath, and the filter of the code."""
    settings = [(0.7, 1.3), (2.0, 0.05), (0.1, 40.0)]
    integrals = []
    for time, eigenvalue in settings:

        def integrand(x, time=time, eigenvalue=eigenvalue):
            root = 1 - 1j * mpmath.mpf(x)
            return mpmath.re(2 / mpmath.pi * mpmath.exp(2 * root**2) / root / (eigenvalue + 2 * root**2 / time))

        integrals.append(float(mpmath.quad(integrand, [0, 1, 2, 3, 4, 6])))
    times, values = np.array(settings).T
    return integrals, np.diag(np.asarray(ns.GradientFlow(times).filter(values)))


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2)
    line = np.linspace(-3, 3, 200)
    for count, color, marker in ((6, "C0", "o"), (12, "C1", "s")):
        parabola = -np.pi * count / 12 * (1 - 1j * line) ** 2
        poles = np.asarray(ns.GradientFlow(1.0).rational(None, 1.0, count).poles)
        left.plot(parabola.real, parabola.imag, color=color, lw=1)
        left.plot(poles.real, poles.imag, marker, color=color, ms=4, label=f"n = {count}")
    left.plot([0, 15], [0, 0], color="black", lw=3, solid_capstyle="butt")
    left.annotate("spectrum x t", (5.5, 0.5))
    left.set(xlabel="Re s t", ylabel="Im s t", xlim=(-4, 14), ylim=(-9, 16))
    left.legend(frameon=False, loc="upper left")
    eigenvalues = np.logspace(-9, 2, 300)
    flow, descent = ns.GradientFlow(np.array([1.0, 1e3])), ns.GradientDescent(0.009, np.array([8.0, 1000.0]))
    right.semilogy(NODES, _scaled_errors(flow, flow, eigenvalues), "o", color="C0", label="flow")
    right.semilogy(
        NODES, _scaled_errors(descent, descent, eigenvalues), "s", color="C1", label="descent", fillstyle="none", ms=8
    )
    right.semilogy(NODES, 4 * 8.1 ** -np.array(NODES, float), "k:", label=r"$4\times8.1^{-n}$")
    right.set(xlabel="poles n", ylabel=r"largest error of $\lambda\,g(\lambda)$", xticks=NODES)
    right.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D4.5",
    title="Training rules as sums of resolvents",
    statement=r"Gradient flow is $g(\lambda)=\mathrm{Re}\sum_kc_k/(\lambda-s_k)$ with $n$ poles on a parabola around the "
    r"positive axis, $s_k=-\frac{\pi n}{12t}(1-iu_k)^2$, $u_k=(k+\frac12)\frac3n$, $c_k=\frac{6}{\pi n}e^{-s_kt}/(1-iu_k)$, "
    r"to an error that falls as $8.12^{-n}$ for every $t$ and every spectrum. Gradient descent with $\eta\lambda<1$ takes "
    r"the same poles through $s=(1-e^{-\eta s'})/\eta$, with $t=\eta k$.",
    assumptions=[
        r"eigenvalues real and $\ge0$; for descent $\eta\lambda<1$ and $k>n/2$ (the code asks for $k\ge8$), so that the "
        r"poles stay within $|\mathrm{Im}\,s'|<\pi/\eta$",
        "the error's exponent is derived, its factor 4 is measured",
    ],
    builds_on=["D4.1", "D4.2"],
    code=["ntk_shortcuts.GradientFlow.rational", "ntk_shortcuts.GradientDescent.rational"],
    source="Weideman & Trefethen (2007) for the parabola; the substitution for descent: this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
