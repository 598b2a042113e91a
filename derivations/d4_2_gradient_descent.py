"""D4.2: gradient descent as a spectral filter. Run by itself, or as `ntk-shortcuts derive D4.2`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

eta, lam, y, t = sp.symbols("eta lambda y t", positive=True)
k, j = sp.symbols("k j", integer=True, nonnegative=True)


def gain() -> sp.Expr:
    """The filter: the sum over steps of the residual that each step sees."""
    base = sp.Symbol("b")
    # rsolve takes a symbol as its base; b = 1 - eta lambda.
    residual = sp.rsolve(sp.Function("r")(k + 1) - base * sp.Function("r")(k), sp.Function("r")(k), {sp.Function("r")(0): 1})
    total = sp.summation(residual.subs(k, j), (j, 0, k - 1))
    generic = total.args[-1].expr if total.is_Piecewise else total
    return sp.simplify((eta * generic).subs(base, 1 - eta * lam))


def steps() -> list[Step]:
    g = gain()
    closed = (1 - (1 - eta * lam) ** k) / lam
    assert sp.simplify(g - closed) == 0
    # The recursion itself: one more step adds eta times the residual 1 - lambda g.
    assert sp.simplify(sp.powsimp(sp.expand(closed.subs(k, k + 1) - closed - eta * (1 - lam * closed)))) == 0
    for count in range(4):
        partial = sum(eta * (1 - eta * lam) ** step for step in range(count))
        assert sp.expand(sp.cancel(partial - closed.subs(k, count))) == 0
    n = sp.Symbol("n", positive=True)
    flow = sp.limit(closed.subs({eta: t / n, k: n}), n, sp.oo)
    assert sp.simplify(flow - (1 - sp.exp(-lam * t)) / lam) == 0
    series = sp.expand(sp.series(closed, lam, 0, 2).removeO())
    assert sp.simplify(series - (eta * k - lam * eta**2 * k * (k - 1) / 2)) == 0
    return [
        Step(
            r"One step of full-batch descent moves the output by the kernel.",
            r"f_{k+1}(x) = f_k(x) - \frac{\eta}{N}\sum_n\Theta(x,x_n)\,(f_k(x_n)-y_n)",
        ),
        Step(
            r"Along an eigenvector of $\Theta/N$ the residual of step $j$ is $(1-\eta\lambda)^j y$. A probe sums them, "
            r"which is a geometric series.",
            sp.Eq(sp.Symbol("g"), eta * sp.Sum((1 - eta * lam) ** j, (j, 0, k - 1)), evaluate=False),
        ),
        Step(
            r"It starts as $g=\eta k-\eta^2k(k-1)\lambda/2$, and with $\eta=t/k$, $k\to\infty$ it becomes the flow of D4.1. "
            r"It converges for $0<\eta\lambda<2$.",
            sp.Eq(sp.Function("g")(lam), closed, evaluate=False),
        ),
    ]


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    products = np.concatenate([[1e-18, 1e-9, 0.5, 1.0, 1.5, 2.0, 1 - 1e-12, 1 + 1e-12], rng.uniform(0, 2, 8)])
    counts = np.array([0.0, 1, 2, 7, 300, 10**6, np.inf])
    rate = 0.25
    eigenvalues = products / rate
    inside = products < 2
    got = np.asarray(ns.GradientDescent(rate, counts).filter(eigenvalues))
    with mpmath.workdps(60):
        exact = [[float(_reference(rate, int(count), x)) for x in eigenvalues] for count in counts[:-1]]
    beyond = np.array([2.1, 2.5, 4.0]) / rate
    diverging = np.asarray(ns.GradientDescent(rate, 7).filter(beyond))
    with mpmath.workdps(60):
        exact_beyond = [float(_reference(rate, 7, x)) for x in beyond]
    # Descent of the weights of a linear model, step by step.
    points, probes, labels = rng.normal(size=(8, 5)), rng.normal(size=(4, 5)), rng.choice([-1.0, 1.0], 8)
    weights, step = np.zeros(5), 0.3
    for _ in range(25):
        weights -= step * points.T @ (points @ weights - labels) / 8
    values, vectors = np.linalg.eigh(points @ points.T / 8)
    gains = np.asarray(ns.GradientDescent(step, 25).filter(np.maximum(values, 1e-14)))
    outputs = probes @ points.T @ vectors @ (gains * (vectors.T @ labels)) / 8
    start = np.asarray(ns.GradientDescent(rate, counts[:5]).expansion())
    return [
        compare("filter against the closed form in 60 digits", exact, got[:-1]),
        compare("beyond eta lambda = 2, k = 7", exact_beyond, diverging),
        compare("25 steps of descent of a linear model's weights", probes @ weights, outputs),
        compare("start: g(0) = eta k", rate * counts[:5], start[0]),
        compare("start: g'(0), from the sum of the steps", [-(rate**2) * sum(range(int(c))) for c in counts[:5]], start[1]),
        compare("k = infinity at eta lambda < 2: 1 / lambda", 1 / eigenvalues[inside], got[-1, inside]),
    ]


def _reference(rate: float, count: int, eigenvalue: float) -> mpmath.mpf:
    return (1 - (1 - mpmath.mpf(rate) * mpmath.mpf(float(eigenvalue))) ** count) / mpmath.mpf(float(eigenvalue))


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    products = np.linspace(0.002, 2.05, 500)
    counts = np.array([3.0, 4.0, 30.0])
    descent = products * np.asarray(ns.GradientDescent(1.0, counts).filter(products))
    for count, row, color in zip(counts, descent, ("#440154", "#31688e", "#35b779"), strict=True):
        axes.plot(products, row, color=color, label=f"descent, k = {count:.0f}")
        axes.plot(products, -np.expm1(-products * count), color=color, linestyle=":")
    axes.plot([], [], "k:", label=r"flow, $t=\eta k$")
    axes.axvline(2, color="0.7", lw=0.8, zorder=0)
    axes.set(xlabel=r"$\eta\lambda$", ylabel=r"part learnt, $\lambda\,g(\lambda)$", ylim=(-0.2, 2.2), xlim=(0, 2.05))
    axes.legend(frameon=False, loc="upper left", ncols=2)
    return drawing


DERIVATION = Derivation(
    label="D4.2",
    title="Gradient descent as a filter",
    statement=r"$k$ steps of full-batch gradient descent at learning rate $\eta$ from zero output give "
    r"$f(x)=\Theta(x,X)\,\frac1N g(\Theta/N)\,y$ with $g(\lambda)=(1-(1-\eta\lambda)^k)/\lambda$, $g(0)=\eta k$ and "
    r"$g'(0)=-\eta^2k(k-1)/2$.",
    assumptions=[r"squared loss $\frac{1}{2N}\sum_n(f(x_n)-y_n)^2$", "the kernel does not move"],
    builds_on=["D4.1"],
    code=["ntk_shortcuts.GradientDescent"],
    source="Lee et al. (2019), section 2.2, for discrete steps",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
