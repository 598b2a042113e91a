"""D10.2: the output's density to first order in 1/width. Run by itself, or as `ntk-shortcuts derive D10.2`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

K = sp.Symbol("K", positive=True)
f, tau, kappa = sp.symbols("f tau kappa_4", real=True)
NORMAL = sp.exp(-(f**2) / (2 * K)) / sp.sqrt(2 * sp.pi * K)


def _density() -> sp.Expr:
    """Inverse Fourier transform of exp(-K tau^2/2) (1 + kappa_4 tau^4/24): each tau^2 is minus two derivatives in f."""
    return sp.factor(NORMAL + kappa / 24 * sp.diff(NORMAL, f, 4))


def steps() -> list[Step]:
    logarithm = -K * tau**2 / 2 + kappa * tau**4 / 24
    scale = sp.Symbol("s")
    expanded = sp.series(sp.exp(scale * kappa * tau**4 / 24), scale, 0, 2).removeO().subs(scale, 1)
    assert sp.expand(expanded - 1 - kappa * tau**4 / 24) == 0
    # Fourth derivative in tau of the logarithm at 0: the fourth cumulant; the second: minus the variance.
    assert sp.diff(logarithm, tau, 4) == kappa and sp.diff(logarithm, tau, 2).subs(tau, 0) == -K
    # The transform of the Gaussian itself.
    transform = sp.integrate(NORMAL * sp.cos(tau * f), (f, -sp.oo, sp.oo))
    assert sp.simplify(transform - sp.exp(-K * tau**2 / 2)) == 0
    x = sp.Symbol("x")
    hermite = sp.expand(sp.simplify(sp.diff(sp.exp(-(x**2) / 2), x, 4) * sp.exp(x**2 / 2)))
    assert hermite == x**4 - 6 * x**2 + 3
    density = _density()
    assert sp.simplify(density / NORMAL - 1 - kappa / (24 * K**2) * hermite.subs(x, f / sp.sqrt(K))) == 0
    polynomial = sp.expand(sp.simplify(density / NORMAL))
    moments = [sp.expand(sp.integrate(sp.expand(polynomial * f**power) * NORMAL, (f, -sp.oo, sp.oo))) for power in (0, 2, 4, 6)]
    assert moments == [1, K, 3 * K**2 + kappa, 15 * K**3 + 15 * K * kappa]
    # Where the correction is most negative: He_4 has its minimum -6 at x^2 = 3.
    assert {hermite.subs(x, root) for root in sp.solve(sp.diff(hermite, x), x)} == {3, -6}
    return [
        Step(
            r"The output is even in law. With cumulants $K$ and $\kappa_4=O(1/n)$, the next $\kappa_6=O(1/n^2)$, its "
            r"characteristic function is",
            r"E e^{i\tau f}=e^{-K\tau^2/2}\left(1+\frac{\kappa_4}{24}\tau^4\right)+O(1/n^2)",
        ),
        Step(
            r"Each $\tau$ is a derivative $i\,d/df$ of the Gaussian density, so that $\tau^4$ gives its fourth derivative.",
            rf"\frac{{d^4}}{{df^4}}N(f;0,K)=\frac{{1}}{{K^2}}\mathrm{{He}}_4(f/\sqrt K)\,N(f;0,K),\quad "
            rf"\mathrm{{He}}_4(x)={sp.latex(hermite)}",
        ),
        Step(
            r"Its moments of order 0, 2, 4, 6 by integration; the first three are exact.",
            ",\\quad ".join(map(sp.latex, moments)),
        ),
        Step(
            r"$\mathrm{He}_4\geq-6$, reached at $x^2=3$: the expression is a density while $\kappa_4\leq4K^2$.",
            r"p(f)=N(f;0,K)\left(1+\frac{\kappa_4}{24K^2}\mathrm{He}_4(f/\sqrt K)\right)",
        ),
    ]


def _linear_density(output: float, width: int, slope: float) -> mpmath.mpf:
    """Density of slope times the mean product of two Gaussian vectors over sqrt(width): S is chi-squared, a Bessel function."""
    y, order = abs(mpmath.mpf(output)) * mpmath.sqrt(width) / slope, (mpmath.mpf(width) - 1) / 2
    scale = mpmath.sqrt(width) / slope
    return scale * (y / 2) ** order * mpmath.besselk(order, y) / (mpmath.sqrt(mpmath.pi) * mpmath.gamma(mpmath.mpf(width) / 2))


@in_float64
def checks() -> list[Check]:
    random = np.random.default_rng(5)
    exact = sp.lambdify((f, K, kappa), _density(), "mpmath")
    outputs, variances = random.normal(size=12) * 3, np.exp(random.normal(size=12))
    outputs[:3] = [0.0, 30.0, -1e-9]
    cumulants = variances**2 * random.uniform(-0.5, 4, 12)
    cumulants[3] = 0
    found = np.asarray(ns.finite_width.edgeworth_density(outputs, variances, cumulants))
    values = [float(exact(*map(mpmath.mpf, row))) for row in zip(outputs, variances, cumulants, strict=True)]
    # Linear units: the exact density, and what is left falls as 1/n^2.
    points, widths = (0.3, 1.0, 2.5), (512, 1024)
    errors = []
    for width in widths:
        approximate = np.asarray(ns.finite_width.edgeworth_density(np.array(points), 1.0, 6.0 / width))
        errors.append([float(_linear_density(at, width, 1)) - mine for at, mine in zip(points, approximate, strict=True)])
    errors = np.abs(errors)
    # Drawn hidden layers of tanh: the density at three outputs is the mean of N(f; 0, S).
    network = ns.MLP(1, "tanh", width=64, weight_variance=1.5, bias_variance=0.2)
    x = np.array([[0.7, -1.1, 0.4]])
    units = np.sqrt(1.5 * np.mean(x**2) + 0.2) * random.normal(size=(4000, 64))
    conditional = 1.5 * np.mean(np.tanh(units) ** 2, axis=1) + 0.2
    variance = float(network.kernels(x).nngp[0, 0])
    at = np.array([0.0, 1.0, 2.0])
    densities = np.exp(-(at**2) / (2 * conditional[:, None])) / np.sqrt(2 * np.pi * conditional[:, None])
    predicted = np.asarray(
        ns.finite_width.edgeworth_density(at, variance, ns.finite_width.output_fourth_cumulant(network, x)[0])
    )
    scores = (densities.mean(0) - predicted) / (densities.std(0) / np.sqrt(len(densities)))
    return [
        compare("density against the fourth derivative of the Gaussian", values, found),
        # The next order in 1/n still shows.
        compare("order in 1/width of what is left, linear units, against 2", 2, np.log2(errors[0] / errors[1]), tolerance=0.1),
        Check("z-score of the density over 4000 drawn hidden layers of 64 tanh units", float(np.abs(scores).max()), 4.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    at = np.linspace(-4, 4, 161)
    normal = np.asarray(ns.finite_width.edgeworth_density(at, 1.0, 0.0))
    for width, color in ((8, "C0"), (32, "C1")):
        exact = np.array([float(_linear_density(value if value else 1e-9, width, 1)) for value in at])
        axes.plot(at, exact - normal, color=color, label=f"exact, n = {width}")
        axes.plot(
            at,
            np.asarray(ns.finite_width.edgeworth_density(at, 1.0, 6 / width)) - normal,
            "--",
            color=color,
            label=f"first order, n = {width}",
        )
    axes.axhline(0, color="0.7", lw=1)
    axes.set(xlabel=r"output $f/\sqrt{K}$", ylabel="density less the Gaussian's, linear units")
    axes.legend(fontsize=8)
    return drawing


DERIVATION = Derivation(
    label="D10.2",
    title="The output's density to first order in 1/width",
    statement=r"With output variance $K$ and fourth cumulant $\kappa_4$ the density at initialisation is "
    r"$N(f;0,K)\left(1+\frac{\kappa_4}{24K^2}\mathrm{He}_4(f/\sqrt K)\right)+O(1/n^2)$.",
    assumptions=["one input; the output is even in law", r"$\kappa_4=O(1/n)$, $\kappa_6=O(1/n^2)$"],
    builds_on=["D10.1"],
    code=["ntk_shortcuts.finite_width.edgeworth_density"],
    source="Antognini (2019)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
