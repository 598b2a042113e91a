"""D1.4: reliance of the Bayes-optimal classifier on a finite grid. Run by itself, or as `ntk-shortcuts derive D1.4`."""

from fractions import Fraction

import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main

i, j, m, r = sp.symbols("i j m r", positive=True)


def _below(x):
    """How many of the odd numbers 1, 3, 5, ... lie below x."""
    return sp.ceiling((x + 1) / 2) - 1


def _up_to(x):
    """How many lie below x or at it."""
    return sp.floor((x + 1) / 2)


def lattice_sum(slope: Fraction | float, half: int) -> float:
    """The result, for 2 half points per side: slope r = w*_s mu_s / (w*_c mu_c) >= 0."""
    slope = Fraction(slope)
    total = 0
    for odd in range(1, 2 * half, 2):
        x = slope * odd
        below, up_to = -((-x - 1) // 2) - 1, (x + 1) // 2
        total += min(half, max(0, below)) + min(half, up_to) - half
    return float(Fraction(total, half**2))


def steps() -> list[Step]:
    # Counting: 2 j - 1 < x, and the same with equality, against an explicit count at rationals, integers included.
    x = sp.Symbol("x", positive=True)
    assert sp.solve(sp.Eq(2 * j - 1, x), j) == [(x + 1) / 2]
    for value in (sp.Rational(k, 6) for k in range(1, 40)):
        odd = range(1, 41, 2)
        assert abs(_below(value) + _up_to(value) - value) <= 1
        assert _below(value) == sum(bool(n < value) for n in odd) and _up_to(value) == sum(bool(n <= value) for n in odd)
    # The sum over sign quadrants of the definition, on small grids, against the sum over one quadrant.
    for half, slope in ((1, Fraction(1, 3)), (2, Fraction(1, 3)), (3, Fraction(5, 3)), (3, Fraction(1)), (4, Fraction(0))):
        axis = [*range(-2 * half + 1, 0, 2), *range(1, 2 * half, 2)]
        direct = sum(np.sign(slope * a + b) * (np.sign(a) - np.sign(b)) for a in axis for b in axis)
        assert float(Fraction(int(direct), 4 * half**2)) == lattice_sum(slope, half)
    # Both counts are within 1/2 of x/2, as asserted above, so a row is x - m to within 1.
    rows = sp.summation(2 * i - 1, (i, 1, m))
    assert sp.expand(rows - m**2) == 0
    leading = sp.expand(sp.summation(r * (2 * i - 1) - m, (i, 1, m)) / m**2)
    assert sp.simplify(leading - (r - 1)) == 0
    term = r * (2 * i - 1)
    row = sp.Min(m, _below(term)) + sp.Min(m, _up_to(term)) - m
    return [
        Step(
            r"In units of $3\mu/(n-1)$ the probes are the odd numbers up to $n-1$ and their negatives, and the classifier is "
            r"the sign of $ra+b$ with $r = w^*_s\mu_s/(w^*_c\mu_c)$ (here $w^*_c>0$, $n=2m$).",
            r"z_s = a\,\frac{3\mu_s}{n-1},\quad z_c = b\,\frac{3\mu_c}{n-1},\quad a, b \in \{\pm1, \pm3, \dots, \pm(2m-1)\}",
        ),
        Step(
            r"Probes whose two signs agree have weight zero. The two other quadrants map to each other under "
            r"$(a,b)\to(-a,-b)$ and count $\pm2$ each.",
            r"R = \frac{1}{m^2}\sum_{i,j=1}^{m}\mathrm{sign}\left(r(2i-1)-(2j-1)\right)",
        ),
        Step(
            r"Row $i$: odd numbers below $x_i=r(2i-1)$ count $+1$, above it $-1$, and one on the boundary 0. With every row "
            r"replaced by $x_i-m$ the sum is $r-1$, since $\sum_i(2i-1)=m^2$. For $r\le1$ a row is off by at most 1, so "
            r"that the grid is within $1/m$ of $r-1$; $r>1$ follows from exchanging the features, $R\to-R$.",
            sp.Eq(sp.Symbol("R"), sp.Sum(row, (i, 1, m)) / m**2, evaluate=False),
        ),
    ]


def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    settings = [(0.85, 0.9, 0.6), (0.9, 0.9, 0.3), (0.5, 0.9, 0.6), (0.6, 0.9, 0.6), (0.9, 0.6, 0.8), (0.5, 0.9, 0.0)]
    settings += [(*rng.uniform(0.5, 0.99, 2), rng.uniform(-0.9, 0.9)) for _ in range(8)]
    exact, got, quadrants, errors = [], [], [], []
    for rho_s, rho_c, correlation in settings:
        model = ns.GenerativeModel((rho_s, rho_c), correlation=correlation)
        means, direction = np.asarray(model.means), np.asarray(model.bayes_direction)
        shortcut, core = direction * means
        # The boundary of equal features passes through probes: the ratio there is 1 exactly, whatever rounding makes of it.
        slope = Fraction(1) if rho_s == rho_c else Fraction(shortcut) / Fraction(core) if core else None
        got.append(float(ns.linear.optimal_reliance(model)))
        exact.append(-1.0 if shortcut <= 0 else 1.0 if core <= 0 else lattice_sum(slope, 15))
        quadrants.append(_direct(shortcut, core, 15) if rho_s != rho_c else 0.0)
        errors.append((got[-1] - float(ns.linear.optimal_reliance_limit(model))) * 15)
    return [
        compare("code against the lattice sum in rational arithmetic, n = 30", exact, got),
        compare("code against a sum over all probes in integer coordinates", quadrants, got),
        Check("|R - limit| / (1/m) at n = 30, at most 1", float(np.max(np.abs(errors))), 1.0),
    ]


def _direct(shortcut: float, core: float, half: int) -> float:
    axis = np.arange(-2 * half + 1, 2 * half, 2)
    a, b = np.meshgrid(axis, axis)
    return float(np.mean(np.sign(shortcut * a + core * b) * (np.sign(a) - np.sign(b))))


def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    slopes = np.linspace(0, 3, 601)
    for half, style in ((3, ":"), (15, "-")):
        values = [lattice_sum(Fraction(float(s)), half) for s in slopes]
        axes.plot(slopes, values, f"C0{style}", label=f"{2 * half} x {2 * half} probes")
    limit = np.where(slopes < 1, slopes - 1, 1 - 1 / np.maximum(slopes, 1))
    axes.plot(slopes, limit, "C1--", label="infinitely fine (D1.5)")
    axes.set(xlabel=r"$r = w^*_s\mu_s\,/\,w^*_c\mu_c$", ylabel="reliance of the optimal classifier", xlim=(0, 3))
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D1.4",
    title="Optimal reliance on the probe grid",
    statement=r"On $n \times n$ probes, $n = 2m$ even, and with $r = w^*_s\mu_s/(w^*_c\mu_c) \ge 0$, the Bayes-optimal "
    r"classifier has the reliance $R=\frac{1}{m^2}\sum_{i=1}^{m}\left(\#\{\mathrm{odd} < x_i\}-\#\{\mathrm{odd} > "
    r"x_i\}\right)$ with $x_i=r(2i-1)$ and odd numbers up to $2m-1$. It is $-1$ for $w^*_s\le0$ and $+1$ for $w^*_c\le0$, "
    r"and within $1/m$ of D1.5.",
    assumptions=[
        "an even number of probes per side, evenly spaced, ends included",
        "probes on the boundary count as undecided (sign 0)",
        r"at least one of $\mu_s$, $\mu_c$ is positive",
    ],
    builds_on=["D1.2", "D1.5"],
    code=["ntk_shortcuts.linear.optimal_reliance"],
    source="this project; the metric is that of Hermann et al. (2024), section 3",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
