"""D14.1: several shortcuts. Run by itself, or as `ntk-shortcuts derive D14.1`."""

import mpmath
import numpy as np
import sympy as sp
from scipy.stats import multivariate_normal

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.metrics import Reliance, Reliances
from ntk_shortcuts.nodes.gaussian import sobol_box
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64

p1, p2, p3 = sp.symbols("p1 p2 p3", positive=True)
t, s = sp.symbols("t s", real=True)


def _posterior() -> None:
    """The log likelihood ratio for three features of any covariance is 2 w . z."""
    mu, z = sp.Matrix(sp.symbols("m1:4", real=True)), sp.Matrix(sp.symbols("z1:4", real=True))
    a, b, c = sp.symbols("a b c", real=True)
    precision = sp.Matrix([[1, a, b], [a, 1, c], [b, c, 1]]).inv()
    exponents = [-((z - y * mu).T * precision * (z - y * mu))[0] / 2 for y in (1, -1)]
    assert sp.simplify(exponents[0] - exponents[1] - 2 * (mu.T * precision * z)[0]) == 0


def steps() -> list[Step]:
    _posterior()
    # sign(p1 t + s) sign t over t in [-1, 1], |s| <= p1: the sign differs from that of t on a stretch of length |s| / p1.
    size = sp.Symbol("|s|", positive=True)
    wrong = sp.integrate(1, (t, 0, size / p1)) / 2
    assert sp.simplify(1 - 2 * wrong - (1 - size / p1)) == 0
    # E|p2 u + p3 v| for u, v uniform on [-1, 1], p2 >= p3, by the symmetry u, v -> -u, -v with u > 0 (there v < 0 may win).
    u, v, ratio = sp.symbols("u v q", positive=True)
    inside = sp.integrate(sp.integrate(u + ratio * v, (v, -u / ratio, 1)), (u, 0, ratio))
    inside -= sp.integrate(sp.integrate(u + ratio * v, (v, -1, -u / ratio)), (u, 0, ratio))
    outside = sp.integrate(sp.integrate(u + ratio * v, (v, -1, 1)), (u, ratio, 1))
    mean = sp.simplify((inside + outside) / 2)
    assert sp.simplify(mean - (sp.Rational(1, 2) + ratio**2 / 6)) == 0
    return [
        Step(
            r"Both classes have one covariance, so that the quadratic terms of the exponents cancel (checked for three "
            r"features "
            r"of any correlations), and Bayes' rule reads",
            r"\log\frac{p(z|+)}{p(z|-)} = 2w^*\cdot z,\quad w^* = \Sigma^{-1}\mu,\quad E[y|z] = \tanh(w^*\cdot z)",
        ),
        Step(
            r"On probes that fill the box $z_i = 3\mu_it_i$, $t_i \in [-1, 1]$, a linear classifier $v$ reads "
            r"$\mathrm{sign}\sum_ip_it_i$ with $p_i = v_i\mu_i$. Let $p_1 \ge \sum_{i>1}|p_i|$ and $s = \sum_{i>1}p_it_i$. "
            r"Given $s$, "
            r"the sign differs from that of $t_1$ for a part $|s|/(2p_1)$ of its range,",
            r"A_1 = 1 - \frac{E|s|}{p_1},\qquad E[\mathrm{sign}(p_1t_1 + s)\,|\,s] = \frac{s}{p_1}",
        ),
        Step(
            r"and $E[s\,\mathrm{sign}\,t_i] = p_iE|t_i| = p_i/2$: the agreement with each of the weaker features,",
            r"A_i = \frac{p_i}{2p_1}\quad(i > 1)",
        ),
        Step(
            r"For three features, $p_2 \ge |p_3|$, the integral of $|p_2u + p_3v|$ over the square gives $E|s|$, and so "
            r"every bias "
            r"$(A_i - A_c) - (A_i^* - A_c^*)$ in closed form.",
            sp.Eq(sp.Symbol("A_1"), 1 - (p2 / 2 + p3**2 / (6 * p2)) / p1, evaluate=False),
        ),
    ]


def _agreements(p: np.ndarray) -> np.ndarray:
    """A_i for three features, the first of which dominates; the second is not the weakest."""
    first = 1 - (abs(p[1]) / 2 + p[2] ** 2 / (6 * abs(p[1]))) / p[0]
    return np.array([first, p[1] / (2 * p[0]), p[2] / (2 * p[0])])


def _read(metric: Reliances, direction: np.ndarray, points: np.ndarray) -> np.ndarray:
    sides = {f"feature_{i}": np.sign(points[:, i]) for i in range(points.shape[1])}
    test = TestPoints(points, sides, None, np.ones(len(points)))
    return np.asarray(metric.of_signs(np.sign(points @ direction), test))


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    exact, got, expected, predicted = [], [], [], []
    for features in (2, 3, 5, 8):
        root = rng.normal(size=(features, 2 * features))
        matrix = root @ root.T
        matrix /= np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
        matrix = (matrix + matrix.T) / 2
        np.fill_diagonal(matrix, 1.0)
        law = ns.GaussianFeatures(rng.uniform(0.55, 0.95, features), correlation=matrix)
        with mpmath.workdps(40):
            exact += [
                float(x) for x in mpmath.lu_solve(mpmath.matrix(matrix.tolist()), mpmath.matrix(np.asarray(law.means).tolist()))
            ]
        got += list(law.bayes_direction)
        points = rng.normal(size=(20, features))
        densities = [multivariate_normal(y * np.asarray(law.means), matrix).pdf(points) for y in (1, -1)]
        expected += list((densities[0] - densities[1]) / (densities[0] + densities[1]))
        predicted += list(law.class_expectation(points))
    fine = sobol_box(3, 2**17)
    directions = np.array([[1.0, 0.5, 0.3], [2.0, -0.9, 0.2], [1.0, 0.4, -0.4]])
    closed = [_agreements(direction) for direction in directions]
    reliances = [[a[1] - a[0], a[2] - a[0]] for a in closed]
    found = [_read(Reliances(3, 0), direction, fine) for direction in directions]
    two = ns.GaussianFeatures((0.8, 0.9))
    model = ns.GenerativeModel((0.8, 0.9))
    side = np.asarray(model.probe_grid())
    of_two = _read(Reliances(2, 1), np.array([1.0, 0.7]), side)
    signs = np.sign(side @ np.array([1.0, 0.7]))
    return [
        compare("direction against a linear solve in 40 digits", exact, got),
        compare("E[y|z] against scipy's densities", expected, predicted, 1e-10),
        compare("agreements with three features against 131,072 points of the box", reliances, found, 3e-3),
        compare("two features: the reliance", Reliance().of_signs(signs, model.test_points()), of_two[0]),
        compare("two features: probes and optimum", model.test_points().optimal, two.test_points().optimal),
    ]


def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(5, 3.2), dpi=150, layout="constrained")
    axes = drawing.subplots()
    fine, shares = sobol_box(3, 2**12), np.linspace(0, 1, 41)
    sampled = np.linspace(0, 1, 9)
    for i, (name, color) in enumerate((("dominant feature", "C0"), ("second", "C1"), ("third, half of it", "C2"))):
        lines = [_agreements(np.array([1.5, share, share / 2]))[i] if share else (1.0, 0.0, 0.0)[i] for share in shares]
        axes.plot(shares, lines, color=color, label=name)
        signs = [np.sign(fine @ [1.5, share, share / 2]) * np.sign(fine[:, i]) for share in sampled]
        axes.plot(sampled, [values.mean() for values in signs], "o", color=color, ms=4)
    axes.set(xlabel=r"weight of the second feature, $p_2$ ($p_1=1.5$)", ylabel=r"agreement $A_i$")
    axes.legend(frameon=False, fontsize="small")
    return drawing


DERIVATION = Derivation(
    label="D14.1",
    title="Several shortcuts",
    statement=r"For $K$ Gaussian features $E[y|z] = \tanh(w^*\cdot z)$ with $w^* = \Sigma^{-1}\mu$. The bias towards "
    r"shortcut $i$ is "
    r"$A_i - A_c$ less the same of the optimal classifier, $A_i$ the mean of $\mathrm{sign}f\,\mathrm{sign}z_i$ over the "
    r"probes; for a "
    r"linear classifier with a dominant feature it has a closed form.",
    assumptions=[
        r"$P(y = \pm 1) = 1/2$, $z \mid y \sim N(y\mu, \Sigma)$ in $R^K$, $\Sigma_{ii} = 1$",
        r"agreements: probes fill the box of sides $[-3\mu_i, 3\mu_i]$; $p_1 \ge \sum_{i>1}|p_i|$, $p_i = v_i\mu_i$",
    ],
    builds_on=["D1.2", "D1.4"],
    evidence={"two shortcuts": "../evidence/laws.md"},
    code=[
        "ntk_shortcuts.GaussianFeatures",
        "ntk_shortcuts.GaussianFeatures.bayes_direction",
        "ntk_shortcuts.GaussianFeatures.class_expectation",
        "ntk_shortcuts.metrics.Reliances",
    ],
    source="the law and the bias for two features: Hermann et al. (2024); agreements with several: this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
