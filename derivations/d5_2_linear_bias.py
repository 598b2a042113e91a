"""D5.2: the bias of a linear network at all times, and its limits. Run by itself, or as `ntk-shortcuts derive D5.2`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

t, c, x, a, b = sp.symbols("t c x a b", positive=True)
mu_s, mu_c, alpha_s, alpha_c = sp.symbols("mu_s mu_c alpha_s alpha_c", positive=True)
sigma = sp.Symbol("sigma", real=True)
mu, A = sp.Matrix([mu_s, mu_c]), sp.diag(alpha_s, alpha_c)
Sigma = sp.Matrix([[1, sigma], [sigma, 1]])
W = (Sigma.inv() * mu).applyfunc(sp.factor)


def _ratio(v: sp.Matrix) -> sp.Expr:
    """p / q = v_s mu_s / (v_c mu_c), of which the reliance is a function."""
    return v[0] * mu_s / (v[1] * mu_c)


def steps() -> list[Step]:
    C, drive = c * A * (Sigma + mu * mu.T) * A, c * A * mu
    early = A * (t * drive - t**2 / 2 * C * drive)
    start = sp.simplify(sp.limit(_ratio(early / t), t, 0))
    assert sp.simplify(start - (alpha_s * mu_s / (alpha_c * mu_c)) ** 2) == 0
    rate = sp.simplify(-sp.diff(sp.log(_ratio((early / t).expand())), t).subs(t, 0))
    expected = c / 2 * (1 - sigma**2) * (alpha_s**2 * W[1] / mu_c - alpha_c**2 * W[0] / mu_s)
    assert sp.simplify(rate - expected) == 0
    # The ratio that makes b an eigenvector of C: then the direction never turns.
    square = W[0] * mu_c / (W[1] * mu_s)
    assert sp.simplify(expected.subs(alpha_s, alpha_c * sp.sqrt(square))) == 0
    turned = (C * drive).subs(alpha_s, alpha_c * sp.sqrt(square))
    fixed = drive.subs(alpha_s, alpha_c * sp.sqrt(square))
    assert sp.simplify(turned[0] * fixed[1] - turned[1] * fixed[0]) == 0
    # Between modes: d/dt log g(lambda) = lambda / (exp(lambda t) - 1) falls with lambda, so g(l1)/g(l2) is monotone in t.
    pace = sp.diff(sp.log((1 - sp.exp(-x * t)) / x), t)
    assert sp.simplify(pace - x / (sp.exp(x * t) - 1)) == 0
    numerator = sp.simplify(sp.diff(pace, x) * (sp.exp(x * t) - 1) ** 2)
    assert sp.simplify(numerator.subs(x, 0)) == 0 and sp.simplify(sp.diff(numerator, x) + t**2 * x * sp.exp(x * t)) == 0
    end = (W / (1 + (mu.T * W)[0])).applyfunc(sp.simplify)
    assert sp.simplify(_ratio(end) - _ratio(W)) == 0
    return [
        Step(
            r"The reliance of D1.5 depends on $v_t$ of D5.1 through $(p,q)=(v_s\mu_s,v_c\mu_c)$ only.",
            r"\mathrm{bias}(t) = R(p_t, q_t) - R(w^*_s\mu_s, w^*_c\mu_c)",
        ),
        Step(
            r"Start: $w_t=t\,b-\frac{t^2}2Cb$, so an amplification enters twice: in the weights, and in the inputs "
            r"that they meet.",
            sp.Eq(sp.Symbol("p/q"), start, evaluate=False),
        ),
        Step(
            r"The ratio first falls at the relative rate $r_1$, and not at all at one amplification ratio. There $b$ is an "
            r"eigenvector of $C$, the direction is $w^*$ at all times and the bias is 0.",
            r"r_1 = \frac c2(1-\sigma^2)\left(\alpha_s^2\frac{w^*_c}{\mu_c}-\alpha_c^2\frac{w^*_s}{\mu_s}\right), \quad "
            r"\left(\frac{\alpha_s}{\alpha_c}\right)^2 = \frac{w^*_s\mu_c}{w^*_c\mu_s}",
        ),
        Step(
            r"In between: $g(\lambda_1)/g(\lambda_2)$ is monotone in $t$, because $\partial_t\log g=\lambda/(e^{\lambda "
            r"t}-1)$ falls with $\lambda$ (its slope in $\lambda$ has the sign of a function that is 0 at 0 and falls as "
            r"$-\lambda t^2e^{\lambda t}$). The direction turns one way, by less than 90° in $w$, from $A\mu$ to "
            r"$A^{-1}w^*$. $R$ is monotone in the angle outside the quadrant $p,q<0$, which neither end nor the path enters.",
            r"|\mathrm{bias}(t)| \text{ falls monotonically, and the bias keeps its sign}",
        ),
        Step(
            r"End: modes are missing $e^{-\lambda t}$ of their size, the slow one last. Then the amplifications cancel "
            r"(D5.1): only a linear network trained to the end is unbiased.",
            r"\mathrm{bias}(t) = O(e^{-\lambda_{\min}t}) \to 0",
        ),
    ]


def _exact_bias(model, slope: float, time: float) -> float:
    """By integrating over eigenvectors in 40 digits, and the cases of the reliance in the angle."""
    with mpmath.workdps(40):
        alpha, mean = ([mpmath.mpf(float(v)) for v in values] for values in (model.amplification, model.means))
        corr = mpmath.mpf(float(model.correlation))
        C = mpmath.matrix(2, 2)
        for i in range(2):
            for j in range(2):
                C[i, j] = slope * alpha[i] * alpha[j] * (mean[i] * mean[j] + (1 if i == j else corr))
        values, vectors = mpmath.eigsy(C)
        drive = [slope * alpha[i] * mean[i] for i in range(2)]
        weights = [mpmath.mpf(0)] * 2
        for k in range(2):
            share = sum(vectors[i, k] * drive[i] for i in range(2)) * -mpmath.expm1(-values[k] * time) / values[k]
            weights = [weights[i] + vectors[i, k] * share for i in range(2)]
        best = [(mean[i] - corr * mean[1 - i]) * mean[i] for i in range(2)]
        return float(_cases(*[alpha[i] * weights[i] * mean[i] for i in range(2)]) - _cases(*best))


def _cases(p, q):
    if p <= 0:
        return mpmath.mpf(-1)
    if q <= 0:
        return mpmath.mpf(1)
    return p / q - 1 if p < q else 1 - q / p


TIMES = np.array([1e-3, 0.3, 10.0, 100.0, 1000.0])
SLOPE = 0.02  # of MLP(0) at d = 100


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    settings = [((0.85, 0.9), (4.0, 1.0), 0.6), ((0.9, 0.9), (1.0, 1.0), 0.3), ((0.55, 0.9), (1.0, 1.0), 0.8)]
    settings += [(rng.uniform(0.55, 0.95, 2), 10 ** rng.uniform(-0.7, 0.8, 2), rng.uniform(-0.9, 0.9)) for _ in range(5)]
    flow = ns.GradientFlow(TIMES)
    exact, got = [], []
    for rho, alpha, correlation in settings:
        model = ns.GenerativeModel(tuple(rho), tuple(alpha), correlation)
        got.append(np.asarray(ns.linear.linear_bias(model, ns.MLP(0), flow)))
        exact.append([_exact_bias(model, SLOPE, time) for time in TIMES])
    sizes = np.abs(got)
    model = ns.GenerativeModel((0.85, 0.9), (1.0, 1.0), 0.6)
    best, means = np.asarray(model.bayes_direction), np.asarray(model.means)
    never = ns.GenerativeModel((0.85, 0.9), (np.sqrt(best[0] * means[1] / (best[1] * means[0])), 1.0), 0.6)
    # p < q at the start here, where R = p/q - 1: a first-order expansion at c t = 2e-5, in which 1e-9 is left.
    early = TIMES[0]
    start = (means[0] / means[1]) ** 2
    rate = SLOPE / 2 * (1 - 0.6**2) * (best[1] / means[1] - best[0] / means[0])
    expanded = start * (1 - rate * early) - best[0] * means[0] / (best[1] * means[1])
    # Signs counted on 200 x 200 probes, where each of the two reliances may be off by 1/100 (D1.4).
    probes = np.asarray(model.probe_grid(200))
    counted = ns.metrics.shortcut_bias(np.asarray(ns.linear.output_direction(model, ns.MLP(0), flow)) @ probes.T, model, probes)
    fine = np.asarray(ns.linear.linear_bias(model, ns.MLP(0), flow))
    return [
        compare("bias against eigenvectors in 40 digits", exact, got),
        Check("largest growth of |bias| from one time to the next", float(np.max(np.diff(sizes, axis=1))), 1e-12),
        compare(
            "no bias at any time at the ratio where b is an eigenvector",
            0 * TIMES,
            ns.linear.linear_bias(never, ns.MLP(0), flow),
        ),
        compare("early: first order in t", expanded, fine[0], tolerance=1e-8),
        Check("200 x 200 probes: difference over 2/100, at most 1", float(np.max(np.abs(fine - counted)) * 50), 1.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    times = np.logspace(-1, 4, 200)
    for ratio, color in ((0.3, "#440154"), (1.0, "#31688e"), (2.0, "#35b779"), (8.0, "#c8b200")):
        model = ns.GenerativeModel((0.85, 0.9), (ratio, 1.0))
        axes.plot(times, ns.linear.linear_bias(model, ns.MLP(0), ns.GradientFlow(times)), color=color, label=f"{ratio:g}")
    best, means = np.asarray(model.bayes_direction), np.asarray(model.means)
    never = np.sqrt(best[0] * means[1] / (best[1] * means[0]))
    model = ns.GenerativeModel((0.85, 0.9), (never, 1.0))
    axes.plot(times, ns.linear.linear_bias(model, ns.MLP(0), ns.GradientFlow(times)), "k:", label=f"{never:.3f}")
    axes.set(xscale="log", xlabel=r"time t (d = 100, $\sigma_w^2$ = 2)", ylabel="shortcut bias")
    axes.legend(frameon=False, title=r"$\alpha_s/\alpha_c$")
    return drawing


DERIVATION = Derivation(
    label="D5.2",
    title="Bias of a linear network at all times",
    statement=r"On an infinitely fine probe grid the bias at time $t$ is $R(v_t)-R(w^*)$ with $v_t$ of D5.1 and $R$ of "
    r"D1.5. It starts from $p/q=(\alpha_s\mu_s/\alpha_c\mu_c)^2$; its size falls monotonically, it keeps its sign, and it "
    r"vanishes as $t\to\infty$ for every $\alpha$: the linear network is unbiased only in the end, except at "
    r"$(\alpha_s/\alpha_c)^2=w^*_s\mu_c/(w^*_c\mu_s)$, where it is at all times, and except that for $w^*_s<0$ the end "
    r"$R=-1$ is reached where $v_s$ crosses 0.",
    assumptions=[
        "those of D5.1; gradient flow from zero output",
        r"$\mu_s,\mu_c>0$, so that $w^*$ has at least one positive component",
    ],
    builds_on=["D1.5", "D5.1"],
    code=["ntk_shortcuts.linear.linear_bias"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
