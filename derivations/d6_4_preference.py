"""D6.4: when the more available feature is preferred. Run by itself, or as `ntk-shortcuts derive D6.4`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, lines, main
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.methods.quadratic import quadratic_kernels
from ntk_shortcuts.numerics import in_float64

alpha_s, alpha_c, mu_s, mu_c, tau = sp.symbols("alpha_s alpha_c mu_s mu_c tau", positive=True)
sigma = sp.Symbol("sigma", real=True)
high, low = sp.symbols("Theta_+ Theta_-", real=True)
m = sp.Matrix([alpha_s * mu_s, alpha_c * mu_c])
spread = sp.Matrix([[alpha_s**2, sigma * alpha_s * alpha_c], [sigma * alpha_s * alpha_c, alpha_c**2]])
square = m.dot(m)
across = sp.Matrix([-m[1], m[0]])


def _slow() -> tuple[sp.Expr, sp.Expr]:
    """p and q of the component y across m: dy/dtau = -p - q y."""
    drive, rate = (m.T * spread * across)[0] / square**2, (across.T * spread * across)[0] / square
    return sp.factor(drive), sp.factor(rate)


def _weights(decay: sp.Expr) -> sp.Matrix:
    """Weights of z where e^(-q tau) is `decay`."""
    drive, rate = sp.symbols("p q", positive=True)
    y = sp.Function("y")
    solved = sp.dsolve(sp.Eq(y(tau).diff(tau), -drive - rate * y(tau)), y(tau), ics={y(0): 0})
    component = sp.expand(solved.rhs).subs(sp.exp(-rate * tau), decay)
    p, q = _slow()
    component = component.subs({drive: p, rate: q}, simultaneous=True)
    return sp.diag(alpha_s, alpha_c) * (m / square + component * across)


def _gap() -> tuple[sp.Expr, sp.Expr]:
    """The two terms of |m|^2 (v_s - v_c) = start - (1 - e^(-q tau)) pull."""
    ends = [square * (_weights(decay).T * sp.Matrix([1, -1]))[0] for decay in map(sp.Integer, (1, 0))]
    start, end = (sp.factor(value) for value in ends)
    return start, sp.factor(start - end)


def steps() -> list[Step]:
    # Two points +-m: odd labels are an eigenvector.
    gram = sp.Matrix([[high, low], [low, high]]) / 2
    labels = sp.Matrix([1, -1])
    assert (gram * labels - (high - low) / 2 * labels).applyfunc(sp.expand) == sp.zeros(2, 1)
    # The quadratic kernel of D6.1 has the same eigenvalue, and C = m m^T the direction m.
    assert ((m * m.T) * m - square * m).applyfunc(sp.factor) == sp.zeros(2, 1)
    p, q = _slow()
    start, pull = _gap()
    mean_distance = mu_s**2 - 2 * sigma * mu_s * mu_c + mu_c**2
    expected = (mu_s + mu_c) * (mu_s * mu_c * (alpha_s**2 - alpha_c**2) - sigma * (alpha_s**2 * mu_s**2 - alpha_c**2 * mu_c**2))
    assert sp.factor(start - (alpha_s**2 * mu_s - alpha_c**2 * mu_c)) == 0
    assert sp.factor(pull - expected / mean_distance) == 0
    assert sp.factor(q * square - alpha_s**2 * alpha_c**2 * mean_distance) == 0
    # In the end the weights are those of the Bayes optimum, up to a factor, whatever the amplifications.
    final = _weights(sp.Integer(0)).applyfunc(sp.factor)
    bayes = sp.Matrix([mu_s - sigma * mu_c, mu_c - sigma * mu_s])
    assert sp.factor(final[0] * bayes[1] - final[1] * bayes[0]) == 0
    end = sp.factor(start - pull)
    assert sp.factor(end - (1 + sigma) * (mu_s - mu_c) * square / mean_distance) == 0
    # The sum of the weights is positive at both ends and linear in e^(-q tau) between: |v_s| > |v_c| is v_s > v_c.
    total = sp.factor(final[0] + final[1])
    assert sp.factor(total - (1 - sigma) * (mu_s + mu_c) / mean_distance) == 0
    crossing = sp.log(1 / (1 - start / pull)) / q
    return [
        Step(
            r"Clusters at $\pm m$, $m=\mathrm{diag}(\alpha)\mu$, of covariance $\epsilon^2B$, $B=\mathrm{diag}(\alpha)\Sigma\,"
            r"\mathrm{diag}(\alpha)$. At fixed $t$ and $\epsilon\to0$ the labels $(1,-1)$ are an eigenvector of the two-point "
            r"operator, for the exact kernel and for its quadratic alike.",
            r"f_t(u)=\frac{\Theta(u,m)-\Theta(u,-m)}{2}\,g(\lambda),\qquad \lambda=\frac{\Theta_+-\Theta_-}{2}=a_1|m|^2",
        ),
        Step(
            r"The odd part of a kernel that grows with the inner product has the sign of $u\cdot m$, so that every such "
            r"network "
            r"classifies by $\sum_i\alpha_i^2\mu_iz_i$ at these times. The shortcut weighs more if and only if",
            sp.Gt(alpha_s**2 * mu_s, alpha_c**2 * mu_c),
        ),
        Step(
            r"At times $\tau=a_1\epsilon^2t$ of order one the linear part obeys $\dot w=a_1(m-Cw)$, $C=mm^\top+\epsilon^2B$. "
            r"Write $w=x\,m/|m|^2+y\,n$ with $n=(-m_c,m_s)$. The first component is at $x=1$ up to $\epsilon^2$, and "
            r"the second is slow, $dy/d\tau=-p-qy$.",
            lines(rf"p=m^\top Bn/|m|^4={sp.latex(p)},", rf"q=n^\top Bn/|m|^2={sp.latex(q)}"),
        ),
        Step(
            r"With $v=\mathrm{diag}(\alpha)w$, the weights of the latents:",
            rf"|m|^2(v_s-v_c)={sp.latex(start)}-(1-e^{{-q\tau}})\,{sp.latex(pull)}",
        ),
        Step(
            r"As $\tau\to\infty$ it has the sign of $\mu_s-\mu_c$, and $v\propto\Sigma^{-1}\mu$: the core wins in the end.",
            rf"|m|^2(v_s-v_c)\to{sp.latex(end)}",
        ),
        Step(r"Between, the preference changes sides once, at", sp.Eq(sp.Symbol("tau^*"), crossing)),
    ]


def _closed_form(alpha: np.ndarray, means: np.ndarray, correlation: float, tightness: float, rate_time: float) -> list:
    """v at any tightness and time, from (1 - e^(-x C)) C^-1 m and the eigenvalues of the 2 x 2 matrix."""
    a, mu, e2, x = [mpmath.mpf(float(v)) for v in alpha], [mpmath.mpf(float(v)) for v in means], tightness**2, rate_time
    target = [a[0] * mu[0], a[1] * mu[1]]
    c = [[target[i] * target[j] + e2 * a[i] * a[j] * (1 if i == j else correlation) for j in range(2)] for i in range(2)]
    trace, gap = c[0][0] + c[1][1], mpmath.sqrt((c[0][0] - c[1][1]) ** 2 + 4 * c[0][1] ** 2)
    large, small = (trace + gap) / 2, (trace - gap) / 2
    gains = [-mpmath.expm1(-x * value) / value for value in (large, small)]
    slope = (gains[0] - gains[1]) / gap
    constant = gains[1] - slope * small
    image = [c[i][0] * target[0] + c[i][1] * target[1] for i in range(2)]
    return [a[i] * (constant * target[i] + slope * image[i]) for i in range(2)]


@in_float64
def checks() -> list[Check]:
    random = np.random.default_rng(3)
    limit = sp.lambdify((alpha_s, alpha_c, mu_s, mu_c, sigma, tau), list(_weights(sp.exp(-_slow()[1] * tau))), "mpmath")
    start, pull = (sp.lambdify((alpha_s, alpha_c, mu_s, mu_c, sigma), term, "mpmath") for term in _gap())
    tight, crossed = [], []
    with mpmath.workdps(50):
        for _ in range(6):
            alpha, means = np.exp(random.normal(size=2)), np.sort(random.uniform(0.3, 3, 2))
            correlation = mpmath.mpf(float(random.uniform(-0.8, 0.8)))
            epsilon = mpmath.mpf("1e-8")
            for slow in (0.0, 0.7, 5.0):
                exact = _closed_form(alpha, means, correlation, epsilon, (mpmath.mpf(slow) + epsilon) / epsilon**2)
                expected = limit(*map(float, (*alpha, *means)), correlation, slow + epsilon)
                tight += [float(mine / other - 1) for mine, other in zip(exact, expected, strict=True)]
        # One crossing, with the shortcut four times as available; then the weights agree.
        values = [mpmath.mpf(v) for v in ("2", "1", "1.04", "1.28", "0.6")]
        q = 4 * (values[2] ** 2 - 2 * values[4] * values[2] * values[3] + values[3] ** 2)
        q /= (2 * values[2]) ** 2 + values[3] ** 2
        at = -mpmath.log(1 - start(*values) / pull(*values)) / q
        pair = limit(*values, at)
        crossed.append(float(pair[0] / pair[1] - 1))

    model, network = ns.GenerativeModel((0.8, 0.9), (2.0, 1.0), 0.4), ns.MLP(1)
    alpha, means, axes = np.asarray(model.amplification), np.asarray(model.means), np.eye(2)
    slope = float(quadratic_kernels(LawKernel(model, network))[1][1])
    times = np.array([0.5, 20.0, 1000.0])
    with mpmath.workdps(30):
        exact = [[float(v) for v in _closed_form(alpha, means, 0.4, 1, slope * time)] for time in times]
    quick, full = (
        ns.predict_bias(model, network, ns.GradientFlow(times), method=name, probes=axes, random_init=False).mean
        for name in ("leading_order", "population")
    )
    # Two points only, deep and biased networks: the sign of the output is that of u . m.
    probes = random.normal(size=(500, 2))
    signs = []
    for deep in (ns.MLP(3), ns.MLP(2, "erf", bias_variance=0.5)):
        pair = np.asarray(LawKernel(model, deep)(probes, np.stack([means, -means])).ntk)
        signs.append(np.sign(pair[:, 0] - pair[:, 1]) - np.sign(probes @ (alpha**2 * means)))
    return [
        # The limit is off by epsilon^2 = 1e-16, times a few.
        compare("weights at tightness 1e-8 against the limit, relative", 0, tight),
        compare("weights at the predicted crossing, relative difference", 0, crossed),
        compare("weights of the code's quadratic kernel against the closed form", exact, quick),
        # Quadrature over the data law in angles, refined until the bias moves by less than 2e-3.
        compare("weights of the exact population answer, one hidden layer of ReLU", exact, full, tolerance=1e-6),
        compare("sign after training on two points against that of u . m, deep and biased networks", 0, signs),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    model = ns.GenerativeModel((0.9987, 0.99984), (2.0, 1.0), 0.6)
    parameters = dict(zip((alpha_s, alpha_c, mu_s, mu_c, sigma), map(float, (2, 1, *model.means, 0.6)), strict=True))
    slow = np.geomspace(1e-2, 30, 25)
    weights = np.array(sp.lambdify(tau, [term.subs(parameters) for term in _weights(sp.exp(-_slow()[1] * tau))])(slow))
    axes.axhline(0, color="0.7", lw=1)
    axes.semilogx(slow, (weights[0] - weights[1]) / weights.sum(0), color="k", label="quadratic kernel, tight clusters")
    styles = ((1, "o", "C0"), (3, "s", "C1"))
    for depth, marker, color in styles:
        network = ns.MLP(depth)
        slope = float(quadratic_kernels(LawKernel(model, network))[1][1])
        outputs = ns.predict_bias(
            model, network, ns.GradientFlow(slow / slope), probes=np.array([[1.0, -1.0], [1.0, 1.0]]), random_init=False
        ).mean
        name = f"exact, ReLU, {depth} layer{'s' if depth > 1 else ''}"
        axes.semilogx(slow, outputs[:, 0] / outputs[:, 1], marker, ms=4, color=color, label=name)
    axes.set(xlabel=r"slow time $\tau=a_1\epsilon^2t$", ylabel=r"$f(1,-1)/f(1,1)$")
    axes.text(0.012, 0.03, "shortcut preferred", color="0.4", fontsize=8)
    axes.text(0.012, -0.06, "core preferred", color="0.4", fontsize=8)
    axes.legend(loc="lower left", fontsize=8)
    return drawing


DERIVATION = Derivation(
    label="D6.4",
    title="When the more available feature is preferred",
    statement=r"As the clusters tighten, a latent's weight in the output is $\alpha_i^2\mu_i$ up to a common factor at every "
    r"fixed "
    r"time, for every kernel that grows with the inner product: the shortcut is preferred, $|v_s|>|v_c|$, if and only if "
    r"$(\alpha_s/\alpha_c)^2>\mu_c/\mu_s$. At slow times $\tau=a_1\epsilon^2t$ the condition is "
    r"$\alpha_s^2\mu_s-\alpha_c^2\mu_c>(1-e^{-q\tau})(\mu_s+\mu_c)\frac{\mu_s\mu_c(\alpha_s^2-\alpha_c^2)"
    r"-\sigma(\alpha_s^2\mu_s^2-\alpha_c^2\mu_c^2)}{\mu_s^2-2\sigma\mu_s\mu_c+\mu_c^2}$, which fails as $\tau\to\infty$ "
    r"whenever $\mu_c>\mu_s$. The slow "
    r"part is exact for linear networks and one hidden layer of ReLU, and an approximation for deeper ones.",
    assumptions=[
        r"$z\mid y\sim N(y\mu,\epsilon^2\Sigma)$, $\epsilon\to0$ (in the code's units, of unit variance, $\mu\to\infty$)",
        "infinite data, gradient flow, output averaged over initialisations",
        "slow times: the quadratic kernel of D6.1",
    ],
    builds_on=["D6.1"],
    code=["ntk_shortcuts.methods.leading_order.LeadingOrder"],
    source="the question is that of the NTK theory in Hermann et al. (2024); the condition is worked out here",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
