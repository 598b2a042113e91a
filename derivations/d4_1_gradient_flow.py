"""D4.1: gradient flow as a spectral filter. Run by itself, or as `ntk-shortcuts derive D4.1`."""

import mpmath
import numpy as np
import sympy as sp
from scipy.linalg import expm

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

t, tau, lam, y, kappa = sp.symbols("t tau lambda y kappa", positive=True)
f, h = sp.Function("f"), sp.Function("h")


def gain() -> sp.Expr:
    """The filter, from the flow of one eigenmode."""
    on_data = sp.dsolve(sp.Derivative(f(t), t) + lam * (f(t) - y), f(t), ics={f(0): 0}).rhs
    # A probe of kernel coefficient kappa along the mode follows the residual: dh/dt = kappa (y - f).
    at_probe = sp.integrate(kappa * (y - on_data.subs(t, tau)), (tau, 0, t))
    return sp.simplify(at_probe / (kappa * y))


def steps() -> list[Step]:
    on_data = sp.dsolve(sp.Derivative(f(t), t) + lam * (f(t) - y), f(t), ics={f(0): 0}).rhs
    assert sp.simplify(on_data - y * (1 - sp.exp(-lam * t))) == 0
    g = gain()
    assert sp.simplify(g - (1 - sp.exp(-lam * t)) / lam) == 0
    # On the data the probe's coefficient is the eigenvalue itself.
    assert sp.simplify(lam * g * y - on_data) == 0
    series = sp.series(g, lam, 0, 2).removeO()
    assert sp.expand(series - (t - lam * t**2 / 2)) == 0
    assert sp.limit(g, t, sp.oo) == 1 / lam
    return [
        Step(
            r"Gradient flow of the parameters on $\frac{1}{2N}\sum_n(f(x_n)-y_n)^2$ moves the function by the kernel.",
            r"\frac{df(x)}{dt} = -\frac1N\sum_n\Theta(x,x_n)\,(f(x_n)-y_n)",
        ),
        Step(
            r"Along an eigenvector of $\Theta(X,X)/N$ with eigenvalue $\lambda$ the outputs on the data, from 0, are",
            sp.Eq(f(t), on_data, evaluate=False),
        ),
        Step(
            r"A probe integrates the residual $y-f=y\,e^{-\lambda t}$ with its own kernel coefficient $\Theta(x,\cdot)/N$.",
            sp.Eq(sp.Symbol("g"), sp.Integral(sp.exp(-lam * tau), (tau, 0, t)), evaluate=False),
        ),
        Step(r"It starts as", sp.Eq(sp.Symbol("g"), series + sp.Order(lam**2), evaluate=False)),
        Step(r"and is at all times", sp.Eq(sp.Function("g")(lam), g, evaluate=False)),
    ]


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    times = np.concatenate([[0, 1e-12, 1e6], 10 ** rng.uniform(-3, 4, 4), [np.inf]])
    eigenvalues = np.concatenate([[1e-290, 1e-16, 1e-8, 1.0, 50.0], 10 ** rng.uniform(-8, 2, 15)])
    got = np.asarray(ns.GradientFlow(times).filter(eigenvalues))
    with mpmath.workdps(40):
        exact = [[float(_gain(x, time)) if time < np.inf else 1 / x for x in eigenvalues] for time in times]
    value, slope = (np.asarray(x) for x in ns.GradientFlow(times[:-1]).expansion())
    # A difference quotient at lambda t = 1e-12 and 2e-12, in 60 digits: off by 1e-12 relative.
    with mpmath.workdps(60):
        quotients = [
            float((_gain(2e-12 / c, c) - _gain(1e-12 / c, c)) / (mpmath.mpf(1e-12) / mpmath.mpf(c))) for c in times[1:-1]
        ]
    gram, labels, cross, time = _data(rng)
    size = len(labels)
    block = np.block([[-gram / size, np.eye(size)], [np.zeros((size, 2 * size))]])
    integral = expm(block * time)[:size, size:]
    values, vectors = np.linalg.eigh(gram / size)
    filtered = vectors @ (np.asarray(ns.GradientFlow(time).filter(values)) * (vectors.T @ labels))
    return [
        compare("filter against the closed form in 40 digits", exact, got),
        compare(
            "outputs against the matrix exponential of the flow", cross @ integral @ labels / size, cross @ filtered / size
        ),
        compare("start: g(0) = t", times[:-1], value),
        # The quotient itself is off by about lambda t.
        compare("start: g'(0) against a difference quotient", np.ones(len(quotients)), slope[1:] / quotients, tolerance=1e-11),
    ]


def _gain(eigenvalue: float, time: float) -> mpmath.mpf:
    return -mpmath.expm1(-mpmath.mpf(float(eigenvalue)) * mpmath.mpf(float(time))) / mpmath.mpf(float(eigenvalue))


def _data(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Gram matrix, labels, probe rows of a linear kernel in 6 dimensions, and a time."""
    points, probes = rng.normal(size=(6, 6)), rng.normal(size=(3, 6))
    return points @ points.T, rng.choice([-1.0, 1.0], 6), probes @ points.T, 1.7


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    eigenvalues = np.logspace(-4, 1, 200)
    times = [1.0, 10.0, 100.0, 1000.0]
    learnt = eigenvalues * np.asarray(ns.GradientFlow(times).filter(eigenvalues))
    for time, row, color in zip(times, learnt, ("#440154", "#31688e", "#35b779", "#c8b200"), strict=True):
        axes.plot(eigenvalues, row, color=color, label=f"t = {time:g}")
        axes.plot(1 / time, 1 - np.exp(-1), "o", color=color)
    axes.axhline(1 - np.exp(-1), color="0.7", lw=0.8, zorder=0)
    axes.set(xscale="log", xlabel=r"eigenvalue $\lambda$", ylabel=r"part learnt, $\lambda\,g(\lambda)$")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D4.1",
    title="Gradient flow as a filter",
    statement=r"Gradient flow for a time $t$ from zero output gives $f(x)=\Theta(x,X)\,\frac1N g(\Theta/N)\,y$ with "
    r"$g(\lambda)=(1-e^{-\lambda t})/\lambda$, $g(0)=t$, $g'(0)=-t^2/2$, and $g\to1/\lambda$ as $t\to\infty$.",
    assumptions=[
        r"squared loss $\frac{1}{2N}\sum_n(f(x_n)-y_n)^2$",
        "the kernel does not move",
        "time = learning rate x steps",
    ],
    code=["ntk_shortcuts.GradientFlow"],
    source="Jacot et al. (2018); Lee et al. (2019), section 2.2",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
