"""D6.3: the first two terms of an expansion in time. Run by itself, or as `ntk-shortcuts derive D6.3`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.methods.leading_order import _Expanded
from ntk_shortcuts.methods.quadratic import quadratic_kernels
from ntk_shortcuts.numerics import in_float64

lam, t, eta, delta = sp.symbols("lambda t eta delta", positive=True)
steps_, samples = sp.symbols("k N", positive=True, integer=True)


def _filters() -> dict[str, sp.Expr]:
    return {
        "flow": (1 - sp.exp(-lam * t)) / lam,
        "descent": (1 - (1 - eta * lam) ** steps_) / lam,
        "ridge": 1 / (lam + delta / samples),
    }


def _expansions() -> dict[str, tuple[sp.Expr, sp.Expr]]:
    """g(0) and g'(0) as limits of the filters."""
    found = {}
    for name, gain in _filters().items():
        series = sp.series(gain, lam, 0, 2).removeO()
        found[name] = tuple(sp.simplify(sp.expand(series).coeff(lam, power)) for power in (0, 1))
    return found


def steps() -> list[Step]:
    expansions = _expansions()
    # The remainder of gradient flow, by Taylor's theorem: e^{-x} - 1 + x - x^2/2 lies in [-x^3/6, 0].
    x = sp.Symbol("x", positive=True)
    gap = 1 - x + x**2 / 2 - sp.exp(-x)
    assert sp.simplify(sp.diff(gap, x, 3) - sp.exp(-x)) == 0
    assert all(sp.diff(gap, x, order).subs(x, 0) == 0 for order in range(3))
    remainder = sp.simplify(_filters()["flow"] - expansions["flow"][0] - expansions["flow"][1] * lam)
    assert sp.simplify(remainder * lam - gap.subs(x, lam * t)) == 0
    return [
        Step(
            r"Training gives $m=Tg(T)f^*$. With $g(\lambda)=g(0)+g'(0)\lambda+O(\lambda^2)$ the mean needs $T$ twice and no "
            r"spectrum.",
            r"m=g(0)\,Tf^*+g'(0)\,T^2f^*+O(T^3)",
        ),
        Step(r"Gradient flow for a time $t$:", _pair(expansions["flow"])),
        Step(
            r"What is left out, for $\lambda t\geq0$: its third derivative in $x=\lambda t$ is $e^{-x}\in[0,1]$.",
            r"0\leq g(\lambda)-g(0)-g'(0)\lambda\leq t^3\lambda^2/6",
        ),
        Step(r"Gradient descent, $k$ steps at rate $\eta$ (exact at $k\leq2$):", _pair(expansions["descent"])),
        Step(r"Ridge $\delta$ on $N$ samples; without samples $\delta/N=0$ and there is no start:", _pair(expansions["ridge"])),
    ]


def _pair(values: tuple[sp.Expr, sp.Expr]) -> str:
    return rf"g(0)={sp.latex(values[0])},\quad g'(0)={sp.latex(values[1])}"


@in_float64
def checks() -> list[Check]:
    random = np.random.default_rng(2)
    expansions, filters = _expansions(), _filters()
    times = [0.0, 1e-9, *random.exponential(10, 5)]
    cases = [("flow", {t: time}, ns.GradientFlow(time), None) for time in times]
    counts = [0, 1, 2, 3, 1000]
    cases += [("descent", {eta: rate, steps_: k}, ns.GradientDescent(rate, k), None) for rate in (1e-3, 0.7) for k in counts]
    cases += [("ridge", {delta: d, samples: n}, ns.Ridge(d), n) for d, n in ((1e-3, 10), (5.0, 3), (1.0, 1000))]
    closed, taylor = [], []
    for name, values, rule, number in cases:
        exact = [float(term.subs(values)) for term in expansions[name]]
        found = [float(term) for term in rule.expansion(number)]
        closed += [(mine - other) / max(1.0, abs(other)) for mine, other in zip(found, exact, strict=True)]
        at = np.array([0.0, 0.3, 2.0])
        evaluated = np.asarray(_Expanded(rule).filter(at, number))
        closed += list((evaluated - (exact[0] + exact[1] * at)) / np.maximum(1, np.abs(exact[0] + exact[1] * at)))
        # Second route: values of the filter on a small circle around 0, in 40 digits (Cauchy's formula).
        gain = sp.lambdify(lam, filters[name].subs(values), "mpmath")
        with mpmath.workdps(60):
            radius = mpmath.mpf(1e-3) / (1 + abs(exact[1]) / max(abs(exact[0]), 1e-300))
            turns = [radius * mpmath.expjpi(2 * mpmath.mpf(k) / 16) for k in range(16)]
            sampled = [gain(turn) for turn in turns]
            cauchy = [mpmath.re(sum(v / s**p for v, s in zip(sampled, turns, strict=True)) / 16) for p in range(2)]
            taylor += [float((other - mine) / max(1, abs(other))) for mine, other in zip(found, cauchy, strict=True)]
    model, network = ns.GenerativeModel((0.8, 0.9), (3.0, 1.0), 0.4), ns.MLP(1)
    alpha, probes = np.asarray(model.amplification), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0], [0.4, 2.0]])
    target = alpha * np.asarray(model.means)
    operator = np.outer(alpha, alpha) * np.asarray(model.covariance) + np.outer(target, target)
    slope = float(quadratic_kernels(LawKernel(model, network))[1][1])
    rule = ns.GradientFlow([0.0, 0.5, 3.0])
    found = ns.predict_bias(
        model, network, rule, method="leading_order", regime="short_time", probes=probes, random_init=False
    ).mean
    start, next_term = (np.asarray(term)[:, None] for term in rule.expansion(None))
    linear = start * slope * target + next_term * slope**2 * (operator @ target)
    exact = linear @ (probes * alpha).T
    return [
        compare("g(0), g'(0) and the expanded filter against the series", 0, closed),
        compare("g(0) and g'(0) against Cauchy's formula in 60 digits", 0, taylor),
        compare("outputs of one hidden layer of ReLU against two terms of D6.2", exact, found),
    ]


def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    model = ns.GenerativeModel(amplification=(4.0, 1.0))
    alpha = np.asarray(model.amplification)
    target = alpha * np.asarray(model.means)
    operator = np.outer(alpha, alpha) * np.asarray(model.covariance) + np.outer(target, target)
    values, vectors = np.linalg.eigh(operator)
    scaled = np.geomspace(0.03, 10, 200)

    def ratio(gains: np.ndarray) -> np.ndarray:
        weights = alpha[:, None] * (vectors @ (gains * (vectors.T @ target)[:, None]))
        return weights[0] / weights[1]

    time = scaled / values[-1]
    axes.semilogx(scaled, ratio(-np.expm1(-np.outer(values, time)) / values[:, None]), color="k", label="all orders")
    axes.semilogx(scaled, ratio(np.ones((2, 1)) * time), "--", color="C0", label="first order")
    second = time - np.outer(values, time**2) / 2
    kept = scaled < 1.9
    axes.semilogx(scaled[kept], ratio(second[:, kept]), "-.", color="C1", label="two orders")
    optimum = np.asarray(model.bayes_direction)
    axes.axhline(optimum[0] / optimum[1], color="0.6", lw=1, label="Bayes optimum")
    axes.set(xlabel=r"$a_1\lambda_{\max}(C)\,t$", ylabel=r"weight of $z_s$ over weight of $z_c$", ylim=(0, 16))
    axes.legend()
    return drawing


DERIVATION = Derivation(
    label="D6.3",
    title="The expansion in time",
    statement=r"For small $g(0)\lambda_{\max}$ the mean output is $g(0)Tf^*+g'(0)T^2f^*$, with $(g(0),g'(0))=(t,-t^2/2)$ for "
    r"gradient flow, $(\eta k,-\eta^2k(k-1)/2)$ for $k$ steps of descent and $(N/\delta,-N^2/\delta^2)$ for ridge. For "
    r"gradient "
    r"flow the rest is at most $t^3\lambda^2/6$ of $\lambda$ in each mode.",
    assumptions=[
        "squared loss, so that training is a filter",
        "any kernel",
        r"$g(0)\lambda_{\max}<1$ for the series to be of use",
    ],
    builds_on=["D4.1", "D6.2"],
    code=["ntk_shortcuts.methods.leading_order._Expanded", "ntk_shortcuts.training.rules.TrainingRule.expansion"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
