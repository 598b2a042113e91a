"""D4.3: ridge regression as a spectral filter. Run by itself, or as `ntk-shortcuts derive D4.3`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

phi, y, w, N, lam, t, r = sp.symbols("phi y w N lambda t r", positive=True)
delta = sp.Symbol("delta", positive=True)


def steps() -> list[Step]:
    loss = ((phi * w - y) ** 2 + delta * w**2) / (2 * N)
    (weight,) = sp.solve(sp.diff(loss, w), w)
    assert sp.diff(loss, w, 2).is_positive
    # A probe of feature value psi along the mode: output psi w = (psi phi / N) g y, and lambda = phi^2 / N.
    psi = sp.Symbol("psi", positive=True)
    g = sp.simplify(psi * weight / (psi * phi / N * y)).subs(phi, sp.sqrt(N * lam))
    assert sp.simplify(g - 1 / (lam + delta / N)) == 0
    # Flow stopped at a time drawn from an exponential distribution of mean 1/r.
    mixture = sp.integrate(sp.expand(r * sp.exp(-r * t) * (1 - sp.exp(-lam * t)) / lam), (t, 0, sp.oo))
    assert sp.simplify(mixture - 1 / (lam + r)) == 0
    return [
        Step(
            r"The kernel's features $\phi$, $\Theta(x,x')=\phi(x)\cdot\phi(x')$, and the weights $w$ of least penalised "
            r"squares; one singular direction of $\phi(X)$, of squared singular value $N\lambda$, at a time.",
            r"\frac{1}{2N}\sum_n(\phi(x_n)\cdot w-y_n)^2+\frac{\delta}{2N}|w|^2",
        ),
        Step(r"Its minimum along that direction.", sp.Eq(w, weight, evaluate=False)),
        Step(
            r"Ridge is gradient flow stopped at a random time: exponential, of mean $N/\delta$.",
            sp.Eq(sp.Integral(r * sp.exp(-r * t) * (1 - sp.exp(-lam * t)) / lam, (t, 0, sp.oo)), mixture, evaluate=False),
        ),
        Step(r"The output of a probe, $\psi w=\frac{\psi\phi}{N}\,g\,y$.", sp.Eq(sp.Function("g")(lam), 1 / (lam + delta / N))),
    ]


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    eigenvalues = np.concatenate([[1e-300, 1e-12, 1.0], 10 ** rng.uniform(-6, 2, 12)])
    strengths = np.concatenate([[0.0, 1e-9, 1e3], 10 ** rng.uniform(-4, 2, 4)])
    got = np.asarray(ns.Ridge(strengths).filter(eigenvalues, 50))
    with mpmath.workdps(40):
        exact = [[float(1 / (mpmath.mpf(x) + mpmath.mpf(s) / 50)) for x in eigenvalues] for s in strengths]
    points, probes, labels = rng.normal(size=(9, 5)), rng.normal(size=(4, 5)), rng.choice([-1.0, 1.0], 9)
    strength = 0.7
    # Least squares with sqrt(delta) rows appended, solved by orthogonal factorisation.
    design = np.concatenate([points, np.sqrt(strength) * np.eye(5)])
    weights = np.linalg.lstsq(design, np.concatenate([labels, np.zeros(5)]), rcond=None)[0]
    values, vectors = np.linalg.eigh(points @ points.T / 9)
    gains = np.asarray(ns.Ridge(strength).filter(np.maximum(values, 0), 9))
    outputs = probes @ points.T @ vectors @ (gains * (vectors.T @ labels)) / 9
    # Gauss-Laguerre nodes are times of a unit exponential law; exact to rounding for lambda N / delta below about 1.
    times, masses = np.polynomial.laguerre.laggauss(40)
    few = np.array([0.01, 0.1, 0.4])
    mixed = masses @ np.asarray(ns.GradientFlow(times * 50 / 25).filter(few))
    start = np.asarray(ns.Ridge(strengths[1:]).expansion(50))
    return [
        compare("filter against the closed form in 40 digits", exact, got),
        compare("infinite data, delta / N = 0", 1 / eigenvalues, np.asarray(ns.Ridge(strengths).filter(eigenvalues, None))[-1]),
        compare("penalised least squares in weight space", probes @ weights, outputs),
        compare("flow averaged over stopping times, by quadrature", np.asarray(ns.Ridge(25.0).filter(few, 50)), mixed),
        compare("start: g(0), -g'(0) = g(0)^2", np.ones(6), -start[1] / np.square(50 / strengths[1:])),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    eigenvalues = np.logspace(-4, 2, 200)
    for strength, color in ((0.1, "#440154"), (10.0, "#35b779")):
        ridge = eigenvalues * np.asarray(ns.Ridge(strength).filter(eigenvalues, 100))
        flow = eigenvalues * np.asarray(ns.GradientFlow(100 / strength).filter(eigenvalues))
        axes.plot(eigenvalues, ridge, color=color, label=rf"ridge, $\delta/N$ = {strength / 100:g}")
        axes.plot(eigenvalues, flow, color=color, linestyle=":", label=f"flow, t = {100 / strength:g}")
    axes.set(xscale="log", xlabel=r"eigenvalue $\lambda$", ylabel=r"part learnt, $\lambda\,g(\lambda)$")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D4.3",
    title="Ridge regression as a filter",
    statement=r"Kernel ridge regression with ridge $\delta$ on the Gram matrix, $f(x)=\Theta(x,X)(\Theta+\delta)^{-1}y$, is "
    r"the filter $g(\lambda)=1/(\lambda+\delta/N)$. It is gradient flow stopped at an exponentially distributed time of "
    r"mean $N/\delta$.",
    assumptions=[
        r"squared loss $\frac{1}{2N}\sum_n(f(x_n)-y_n)^2$ plus $\frac{\delta}{2N}|w|^2$",
        "the kernel does not move",
        r"$N$ samples; for infinite data $\delta/N=0$",
    ],
    builds_on=["D4.1"],
    code=["ntk_shortcuts.Ridge"],
    source="textbook; the average over stopping times: this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
