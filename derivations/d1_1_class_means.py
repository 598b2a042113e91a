"""D1.1: class means from predictivities. Run by itself, or as `ntk-shortcuts derive D1.1`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main

z, mu, rho = sp.symbols("z mu rho", real=True)


def _predictivity() -> sp.Expr:
    """P(sign z = y) = P(z > 0 | y = 1)."""
    density = sp.exp(-((z - mu) ** 2) / 2) / sp.sqrt(2 * sp.pi)
    return sp.simplify(sp.integrate(density, (z, 0, sp.oo)))


def _mean() -> sp.Expr:
    return sp.sqrt(2) * sp.erfinv(2 * rho - 1)


def steps() -> list[Step]:
    predictivity = _predictivity()
    # The solution put back must give rho.
    assert sp.simplify(predictivity.subs(mu, _mean()) - rho) == 0
    return [
        Step(
            r"By the symmetry $(z, y) \to (-z, -y)$ the predictivity is the weight of $z > 0$ in the class $y = 1$, "
            r"whose feature is $N(\mu, 1)$.",
            sp.Eq(rho, predictivity),
        ),
        Step(r"The error function is monotone, so this has one solution.", sp.Eq(mu, _mean())),
    ]


def checks() -> list[Check]:
    rhos = np.concatenate([[0.5, 0.5 + 1e-12, 0.9999, 1 - 1e-12], np.random.default_rng(0).uniform(0.5, 1, 20)])
    # Reference in 40 digits from the integral itself, not from its closed form.
    means = [float(ns.GenerativeModel((value, value)).means[0]) for value in rhos]
    with mpmath.workdps(40):
        exact = [float(mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(float(value)) - 1)) for value in rhos]
        back = [float(mpmath.quad(mpmath.npdf, [-mean, 0]) + mpmath.mpf(0.5)) for mean in means]
    return [
        compare("means against the closed form in 40 digits", exact, means),
        compare("P(z > 0) by quadrature at the code's mean against rho", rhos, back),
    ]


def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    rhos = np.linspace(0.5, 0.999, 400)
    means = [float(ns.GenerativeModel((value, 0.9)).means[0]) for value in rhos]
    axes.plot(rhos, means, color="C0")
    for value, name, offset in ((0.85, "shortcut", (-60, 12)), (0.9, "core", (-40, 16))):
        mean = float(ns.GenerativeModel((value, 0.9)).means[0])
        axes.plot(value, mean, "o", color="C1")
        axes.annotate(f"{name}, {mean:.2f}", (value, mean), xytext=offset, textcoords="offset points")
    axes.set(xlabel=r"predictivity $\rho$", ylabel=r"class mean $\mu$ (in standard deviations)")
    return drawing


DERIVATION = Derivation(
    label="D1.1",
    title="Class means from predictivities",
    statement=r"A feature $z \mid y \sim N(y\mu, 1)$ has predictivity $\rho = P(\mathrm{sign}\, z = y)$ if and only if "
    r"$\mu = \sqrt{2}\,\mathrm{erf}^{-1}(2\rho - 1)$.",
    assumptions=[r"$P(y = \pm 1) = 1/2$", r"unit variance within a class", r"$\rho \in [1/2, 1)$"],
    code=["ntk_shortcuts.GenerativeModel.means"],
    source="Hermann et al. (2024), section 3",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
