"""D14.3: flipped labels and unequal classes. Run by itself, or as `ntk-shortcuts derive D14.3`."""

import jax
import numpy as np
import sympy as sp
from scipy.special import ndtr
from scipy.stats import multivariate_normal

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, lines, main
from ntk_shortcuts.metrics import Accuracy, BalancedAccuracy
from ntk_shortcuts.networks import KernelFacts

f, r, rate_plus, rate_minus, share, grown_plus, grown_minus = sp.symbols("f r r_+ r_- pi a_+ a_-", real=True)


def steps() -> list[Step]:
    plus, minus = (1 + f) / 2, (1 - f) / 2
    # Flips at a rate of each class.
    positive, negative = (1 - 2 * rate_plus) * plus, -(1 - 2 * rate_minus) * minus
    mean, with_class = sp.expand(positive + negative), sp.expand(positive - negative)
    assert sp.simplify(mean - ((1 - rate_plus - rate_minus) * f + rate_minus - rate_plus)) == 0
    one_rate = {rate_plus: r, rate_minus: r}
    assert sp.simplify(mean.subs(one_rate) - (1 - 2 * r) * f) == 0
    assert sp.simplify(with_class.subs(one_rate) - (1 - 2 * r)) == 0
    # Covariance of label and class; without flips the label's own variance.
    covariance = with_class - mean * f
    assert sp.simplify(covariance.subs({rate_plus: 0, rate_minus: 0}) - (1 - f**2)) == 0
    # Unequal classes.
    density = grown_plus * plus + grown_minus * minus
    expectation = (grown_plus * plus - grown_minus * minus) / density
    shifted = sp.tanh(sp.atanh(f) + sp.log(grown_plus / grown_minus) / 2)
    at = {f: sp.Rational(3, 10), grown_plus: sp.Rational(2, 5), grown_minus: sp.Rational(8, 5)}
    assert abs(sp.N((expectation - shifted).subs(at))) < 1e-12
    return [
        Step(
            r"A label that is flipped with the probability $r_y$ of its class has the mean, and with the class the product,",
            lines(
                r"t(z) = E[\tilde y|z] = \sum_yP(y|z)(1 - 2r_y)\,y,",
                r"m(z) = E[y\tilde y|z] = \sum_yP(y|z)(1 - 2r_y)",
            ),
        ),
        Step(
            r"With one rate $t = (1 - 2r)f^*$. A linear learner sees $t$ on infinite data; on a data set a label has "
            r"the variance $1 - t^2$ at its point. With class counts fixed the influence $F(x; z, \tilde y)$ of a point has "
            r"$E[F|y]$ taken off, for which",
            r"E[yF] = E\big[(m - f^*t)\,F_y\big] + E\big[f^*F(x; z, t)\big],\qquad F = F_y\,\tilde y + \dots",
        ),
        Step(
            r"In a pool a sample that comes $c$ times has $c$ independent labels, whose mean has the variance $(1 - t^2)/c$: "
            r"beside the variance over counts there is",
            r"\sum_p\sum_cP(c)\,\frac{1 - t_p^2}{c}\Big(\mathrm{Re}\sum_k\frac{c_k}{N}\frac{c}{1 + cd_{pk}}"
            r"\frac{\langle k_x,Q_kk_p\rangle}{e_{pk}}\Big)^2",
        ),
        Step(
            r"Classes that grow by $a_\pm = \pi_\pm'/\pi_\pm$ reweight density and labels alike,",
            r"p' = p\sum_ya_yP(y|z),\qquad E'[y|z] = \tanh\big(\mathrm{artanh}f^* + \tfrac12\log\tfrac{a_+}{a_-}\big)",
        ),
        Step(
            r"For one Gaussian a class, $\Delta = |L^{-1}\mu|$ and $l = \log(\pi_+/\pi_-)$, the best accuracies of the classes "
            r"are",
            r"a_\pm^* = \Phi\Big(\Delta \pm \frac{l}{2\Delta}\Big)",
        ),
    ]


def checks() -> list[Check]:
    model = ns.GenerativeModel((0.75, 0.85), (3.0, 1.0), 0.3)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 2))
    rare = ns.ImbalancedClasses(model, 0.15)
    densities = [
        multivariate_normal(side * np.asarray(model.means), np.asarray(model.covariance)).pdf(points) for side in (1, -1)
    ]
    weighted = np.array([0.15, 0.85])[:, None] * densities
    distance, shift = float(np.linalg.norm(model.whitened_mean)), np.log(0.15 / 0.85)
    best = ndtr([distance + shift / 2 / distance, distance - shift / 2 / distance])
    found = rare.labelled_points(level=3)
    optimal = [float(metric.optimal(found)) for metric in (Accuracy(), BalancedAccuracy())]
    # Nodes of both at once, against sampled labels.
    both = ns.NoisyLabels(rare, {1: 0.3, -1: 0.1})
    nodes = both.nodes(3, KernelFacts(), "operator")
    weights = np.asarray(nodes.weights).ravel()
    means = [
        weights @ np.asarray(part).ravel()
        for part in (nodes.targets, nodes.sides, sum(np.array([1, -1])[:, None, None] * nodes.labels_by_class))
    ]
    data = both.sample(jax.random.key(0), 40_000)
    flipped = [float(np.mean(data.labels)), 0.15 - 0.85, 0.15 * 0.4 + 0.85 * 0.8]
    return [
        compare(
            "E[y|z] at other proportions against scipy's densities",
            (weighted[0] - weighted[1]) / weighted.sum(axis=0),
            rare.class_expectation(points),
            1e-10,
        ),
        compare("p(z) at other proportions", weighted.sum(axis=0), rare.density(points), 1e-10),
        compare("best accuracy, and balanced", [0.15 * best[0] + 0.85 * best[1], best.mean()], optimal, 5e-3),
        compare("means of label, class, and their product, the first of 40,000 samples", flipped, means, 1e-2),
    ]


def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6.6, 3.0), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2)
    at = np.linspace(-3, 3, 200)
    expectation = np.tanh(at)
    for rates, style in (((0.0, 0.0), "-"), ((0.2, 0.2), "--"), ((0.4, 0.0), ":")):
        mean = (1 - sum(rates)) * expectation + rates[1] - rates[0]
        left.plot(at, mean, style, color="C0", label=rf"$r_+ = {rates[0]}$, $r_- = {rates[1]}$")
    left.set(xlabel=r"$w^* \cdot z$", ylabel=r"$E[\tilde y|z]$")
    left.legend(frameon=False, fontsize="small")
    shares = np.linspace(0.02, 0.98, 100)
    for distance, color in ((0.7, "C1"), (1.3, "C2")):
        shift = np.log(shares / (1 - shares)) / 2 / distance
        balanced = (ndtr(distance + shift) + ndtr(distance - shift)) / 2
        right.plot(
            shares,
            shares * ndtr(distance + shift) + (1 - shares) * ndtr(distance - shift),
            color=color,
            label=rf"$\Delta = {distance}$",
        )
        right.plot(shares, balanced, "--", color=color)
    right.set(xlabel=r"share of class $+1$", ylabel="best accuracy (dashed: balanced)")
    right.legend(frameon=False, fontsize="small")
    return drawing


DERIVATION = Derivation(
    label="D14.3",
    title="Flipped labels and unequal classes",
    statement=r"Flips at the rates $r_y$ leave $E[\tilde y|z] = \sum_yP(y|z)(1 - 2r_y)y$, of variance one less its square; "
    r"classes in other proportions reweight density and labels alike.",
    assumptions=[
        r"labels are flipped at every draw anew, independently of all else",
        r"within a class nothing changes with its share",
    ],
    code=[
        "ntk_shortcuts.NoisyLabels",
        "ntk_shortcuts.ImbalancedClasses",
        "ntk_shortcuts.metrics.BalancedAccuracy",
    ],
    source="label noise by class: Natarajan et al. (2013); shift of priors: Saerens et al. (2002); the "
    "variances: worked out for this package",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
