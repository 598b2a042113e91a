"""D5.3: when a linear network's bias is halved. Run by itself, or as `ntk-shortcuts derive D5.3`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

t, c, eps, alpha_c = sp.symbols("t c epsilon alpha_c", positive=True)
mu_s, mu_c, M_ss, M_sc, M_cc, E, kappa, limit = sp.symbols("mu_s mu_c M_ss M_sc M_cc E kappa lambda", positive=True)
R = sp.Symbol("R", real=True)
determinant = M_ss * M_cc - M_sc**2


def steps() -> list[Step]:
    # Eigenvalues of C at alpha_s = alpha_c / eps.
    C = c * alpha_c**2 * sp.Matrix([[M_ss / eps**2, M_sc / eps], [M_sc / eps, M_cc]])
    half, det = C.trace() / 2, sp.simplify(C.det())
    # det / (tau + Delta) in place of tau - Delta, times eps^2 above and below.
    slow = sp.simplify(eps**2 * det) / sp.expand(eps**2 * (half + sp.sqrt(half**2 - det))).simplify()
    slow_limit = sp.simplify(slow.subs(eps, 0))
    assert sp.simplify(slow_limit - c * alpha_c**2 * determinant / M_ss) == 0
    # Latent direction v = A w: v' = c A^2 (mu - M v). The shortcut follows at once, the core slowly.
    v_s, v_c = sp.symbols("v_s v_c")
    (follow,) = sp.solve(mu_s - M_ss * v_s - M_sc * v_c, v_s)
    v = sp.Function("v")
    flow = sp.Eq(v(t).diff(t), sp.expand(c * alpha_c**2 * (mu_c - M_sc * follow - M_cc * v_c)).subs(v_c, v(t)))
    core = sp.dsolve(flow, v(t), ics={v(0): 0}).rhs
    end_c = sp.simplify((M_ss * mu_c - M_sc * mu_s) / determinant)
    end_s = sp.simplify((M_cc * mu_s - M_sc * mu_c) / determinant)
    assert sp.simplify(core - end_c * (1 - sp.exp(-slow_limit * t))) == 0
    shortcut = sp.simplify(follow.subs(v_c, end_c * (1 - E)))
    assert sp.simplify(shortcut - (end_s + M_sc / M_ss * end_c * E)) == 0
    # Halfway from 1 to the optimal R*: q / p = 1 - (1 + R*) / 2.
    level = sp.simplify(1 - (1 + R) / 2)
    assert sp.simplify(level - (1 - R) / 2) == 0
    (decayed,) = sp.solve(end_c * (1 - E) * mu_c - kappa * mu_s * shortcut, E)
    # w* is the end's direction, so w*_s / w*_c is end_s / end_c.
    expected = (1 - kappa * mu_s * end_s / (mu_c * end_c)) / (1 + kappa * mu_s * M_sc / (mu_c * M_ss))
    assert sp.simplify(decayed - expected) == 0
    return [
        Step(
            r"In latent coordinates the flow is $\dot v=cA^2(\mu-Mv)$ with $M=\Sigma+\mu\mu^\top$. For "
            r"$\epsilon=\alpha_c/\alpha_s\to0$ the slow eigenvalue is",
            sp.Eq(sp.Symbol("lambda"), slow_limit, evaluate=False),
        ),
        Step(
            r"The shortcut, fast, first reaches $\mu_s/M_{ss}$ alone, where $R=1$, and then follows the core.",
            sp.Eq(v_s, sp.expand(follow), evaluate=False),
        ),
        Step(
            r"The core starts from 0 on the slow time scale. With $E=e^{-\lambda t}$ and $v_\infty=M^{-1}\mu\propto w^*$,",
            r"v_c = v_{\infty,c}(1-E), \qquad v_s = v_{\infty,s} + \frac{M_{sc}}{M_{ss}}v_{\infty,c}E",
        ),
        Step(
            r"The bias starts at $1-R^*$ and is halved at $R=(1+R^*)/2\geq0$, where $1-q/p=R$ (D1.5):",
            r"\frac{v_c\mu_c}{v_s\mu_s} = \kappa = \frac{1-R^*}{2}",
        ),
        Step(
            r"Solved for $E$, this is the halving time $t=-\ln E/\lambda$. It depends on $\alpha_c$, and not on $\alpha_s$.",
            r"t_{1/2} = \frac{M_{ss}}{c\,\alpha_c^2\det M}\,\ln\frac{1+\kappa\frac{\mu_sM_{sc}}{\mu_cM_{ss}}}"
            r"{1-\kappa\frac{w^*_s\mu_s}{w^*_c\mu_c}}",
        ),
    ]


def asymptotic(model, slope: float) -> float:
    """The limit of large alpha_s / alpha_c."""
    means, best = np.asarray(model.means), np.asarray(model.bayes_direction)
    moment = np.asarray(model.covariance) + np.outer(means, means)
    kappa = (1 - float(ns.linear.optimal_reliance_limit(model))) / 2
    above = np.log1p(kappa * means[0] * moment[0, 1] / (means[1] * moment[0, 0]))
    below = np.log1p(-kappa * best[0] * means[0] / (best[1] * means[1]))
    return moment[0, 0] / (slope * float(model.amplification[1]) ** 2 * np.linalg.det(moment)) * (above - below)


SLOPE = 0.02  # of MLP(0) at d = 100


def _exact(model, guess: float) -> float:
    """Root in 40 digits of the bias from the closed form in cosh and sinh, found from the guess."""
    with mpmath.workdps(40):
        alpha, mean = ([mpmath.mpf(float(v)) for v in values] for values in (model.amplification, model.means))
        corr, slope = mpmath.mpf(float(model.correlation)), mpmath.mpf(SLOPE)
        moment = [[1 + mean[0] ** 2, corr + mean[0] * mean[1]], [corr + mean[0] * mean[1], 1 + mean[1] ** 2]]
        C = mpmath.matrix([[slope * alpha[i] * moment[i][j] * alpha[j] for j in range(2)] for i in range(2)])
        end = mpmath.lu_solve(C, mpmath.matrix([slope * alpha[i] * mean[i] for i in range(2)]))
        half = (C[0, 0] + C[1, 1]) / 2
        gap = mpmath.sqrt(((C[0, 0] - C[1, 1]) / 2) ** 2 + C[0, 1] ** 2)

        def reliance(p, q):
            return mpmath.mpf(-1) if p <= 0 else mpmath.mpf(1) if q <= 0 else p / q - 1 if p < q else 1 - q / p

        optimum = reliance(*[(mean[i] - corr * mean[1 - i]) * mean[i] for i in range(2)])
        start = reliance(*[(alpha[i] * mean[i]) ** 2 for i in range(2)]) - optimum

        def excess(log_time):
            time = mpmath.exp(log_time)
            turned = (C - half * mpmath.eye(2)) * end * (mpmath.sinh(gap * time) / gap)
            w = end - mpmath.exp(-half * time) * (mpmath.cosh(gap * time) * end - turned)
            return (reliance(*[alpha[i] * w[i] * mean[i] for i in range(2)]) - optimum) / start - mpmath.mpf(0.5)

        centre = mpmath.log(guess)
        return float(mpmath.exp(mpmath.findroot(excess, (centre - 0.01, centre + 0.02), solver="anderson", tol=1e-50)))


@in_float64
def checks() -> list[Check]:
    settings = [
        ((0.85, 0.9), (1.0, 1.0), 0.6),
        ((0.85, 0.9), (8.0, 1.0), 0.6),
        ((0.9, 0.9), (0.4, 1.0), 0.0),
        ((0.6, 0.9), (3, 1), 0.8),
    ]
    exact, got = [], []
    for rho, alpha, correlation in settings:
        model = ns.GenerativeModel(rho, alpha, correlation)
        got.append(ns.linear.halving_time(model, ns.MLP(0)))
        exact.append(_exact(model, got[-1]))
    # Relative distance to the limit at ratios 10 and 20 and 40: of second order in the inverse ratio.
    ratios = np.array([10.0, 20.0, 40.0])
    models = [ns.GenerativeModel((0.85, 0.9), (ratio, 1.0), 0.6) for ratio in ratios]
    distances = [abs(_exact(model, asymptotic(model, SLOPE)) / asymptotic(model, SLOPE) - 1) for model in models]
    order = -np.polyfit(np.log(ratios), np.log(distances), 1)[0]
    far = ns.GenerativeModel((0.7, 0.9), (5e3, 0.5), 0.3)
    return [
        # The root search stops at 1e-13 in log t; relative to times of up to 1e3.
        compare("root of the code against a root in 40 digits", exact, got),
        # 1e-8 is the ratio's inverse square; the eigenvalue in double precision is good to its square times 1e-16.
        compare(
            "ratio 1e4 against the limit", 1.0, ns.linear.halving_time(far, ns.MLP(0)) / asymptotic(far, SLOPE), tolerance=1e-6
        ),
        # A slope of three points, where terms of fourth order are left.
        compare("order of the distance to the limit in alpha_c / alpha_s", 2.0, order, tolerance=0.02),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    ratios = np.logspace(np.log10(0.9), np.log10(30), 10)
    for rho, color, marker in ((0.7, "#440154", "o"), (0.85, "#31688e", "s"), (0.89, "#35b779", "^")):
        models = [ns.GenerativeModel((rho, 0.9), (ratio, 1.0)) for ratio in ratios]
        times = [ns.linear.halving_time(model, ns.MLP(0)) for model in models]
        axes.plot(ratios, times, marker, color=color, ms=4, label=rf"$\rho_s$ = {rho:g}")
        axes.axhline(asymptotic(models[0], SLOPE), color=color, lw=1)
    axes.set(xscale="log", yscale="log", xlabel=r"availability ratio $\alpha_s/\alpha_c$ ($\alpha_c=1$)")
    axes.set(
        ylim=(7, 400),
        ylabel=r"halving time (d = 100, $\sigma_w^2$ = 2)",
        xticks=[1, 3, 10, 30],
        xticklabels=["1", "3", "10", "30"],
    )
    axes.legend(frameon=False, title="lines: limit of large ratio", loc="upper right")
    return drawing


DERIVATION = Derivation(
    label="D5.3",
    title="Halving time of a linear network's bias",
    statement=r"Gradient flow halves the bias that a linear network starts with at one time, a root of D5.2. For "
    r"$\alpha_s\gg\alpha_c$ it tends to $t_{1/2}=\frac{M_{ss}}{c\,\alpha_c^2\det M}\ln\frac{1+\kappa\mu_sM_{sc}/(\mu_cM_{ss})}"
    r"{1-\kappa w^*_s\mu_s/(w^*_c\mu_c)}$ with $M=\Sigma+\mu\mu^\top$ and $\kappa=(1-R^*)/2$: making the shortcut more "
    r"available no longer delays the core, whose own availability sets the clock.",
    assumptions=[
        "those of D5.2",
        r"the limit: $\alpha_c/\alpha_s\to0$ with relative corrections of its square; $w^*_c>0$",
    ],
    builds_on=["D1.5", "D5.2"],
    code=["ntk_shortcuts.linear.halving_time"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
