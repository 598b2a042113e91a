"""D14.2: clusters and the best accuracies of their groups. Run by itself, or as `ntk-shortcuts derive D14.2`."""

import numpy as np
import sympy as sp
from scipy.special import ndtr
from scipy.stats import multivariate_normal

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main

share = sp.Symbol("p", positive=True)
a, b, c, d, x, y, scale = sp.symbols("a b c d x y v", real=True)


def steps() -> list[Step]:
    # Bayes' rule: a difference over a sum is tanh of half the difference of logarithms.
    plus, minus = sp.symbols("P Q", positive=True)
    half = sp.log(plus / minus) / 2
    assert sp.simplify(sp.tanh(half).rewrite(sp.exp) - (plus - minus) / (plus + minus)) == 0
    # Two clusters of one covariance: the logarithm is linear.
    z, first, second = sp.Matrix([x, y]), sp.Matrix([a, b]), sp.Matrix([c, d])
    precision = sp.Matrix([[2, 1], [1, 3]])
    logs = [-((z - mean).T * precision * (z - mean))[0] / 2 for mean in (first, second)]
    linear = ((first - second).T * precision * (z - (first + second) / 2))[0]
    assert sp.expand(logs[0] - logs[1] - linear) == 0
    # Under cluster +, that logarithm has the mean D^2/2 and the variance D^2.
    mean = linear.subs({x: a, y: b})
    distance = ((first - second).T * precision * (first - second))[0]
    assert sp.expand(mean - distance / 2) == 0
    slope = sp.Matrix([sp.diff(linear, v) for v in (x, y)])
    assert sp.expand((slope.T * precision.inv() * slope)[0] - distance) == 0
    return [
        Step(
            r"Bayes' rule over the clusters of either label, with $P_\pm(z) = \sum_{y_g = \pm 1}p_gN(z; m_g, S_g)$,",
            r"E[y|z] = \frac{P_+ - P_-}{P_+ + P_-} = \tanh\Big(\tfrac12\log\frac{P_+}{P_-}\Big)",
        ),
        Step(
            r"The optimal classifier is its sign, and the accuracy of group $g$ the part of the group's own Gaussian on its "
            r"side,",
            r"a_g^* = \int N(z; m_g, S_g)\,\big[y_gE[y|z] > 0\big]\,dz",
        ),
        Step(
            r"For two clusters of one covariance $S$ the logarithm is linear. In cluster + it is normal with mean "
            r"$\Delta^2/2 + \log(p_+/p_-)$ and variance $\Delta^2$, $\Delta^2 = (m_+ - m_-)^\top S^{-1}(m_+ - m_-)$: the "
            r"larger class "
            r"gains, the smaller loses,",
            r"a_\pm^* = \Phi\Big(\frac{\Delta}{2} \pm \frac{1}{\Delta}\log\frac{p_+}{p_-}\Big)",
        ),
    ]


def _two(share: float, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    means = np.array([[0.8, 0.3], [-0.5, 0.6]])
    law = ns.Clusters(means, (share, 1 - share), (1, -1), covariance=covariance)
    difference = means[0] - means[1]
    distance = np.sqrt(difference @ np.linalg.solve(covariance, difference))
    shift = np.log(share / (1 - share)) / distance
    return ndtr([distance / 2 + shift, distance / 2 - shift]), np.asarray(law.bayes_group_accuracy())


def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.4], [0.4, 0.7]])
    pairs = [_two(share, covariance) for share in (0.5, 0.7, 0.95)]
    expected, got = [], []
    for features in (1, 2, 4):
        means, shares = rng.normal(size=(5, features)), rng.uniform(0.2, 1, 5)
        matrices = [root @ root.T + 0.3 * np.eye(features) for root in rng.normal(size=(5, features, features))]
        labels = np.array([1, -1, 1, -1, -1])
        law = ns.Clusters(means, shares, labels, covariance=matrices)
        points = rng.normal(size=(40, features))
        densities = [p * multivariate_normal(m, s).pdf(points) for p, m, s in zip(shares, means, matrices, strict=True)]
        expected += list(labels @ densities / np.sum(densities, axis=0))
        got += list(law.class_expectation(points))
    birds = ns.Clusters.waterbirds(0.9, covariance=0.8)
    draws = 400_000
    sampled = []
    for mean, label in zip(np.asarray(birds.means), birds.labels, strict=True):
        points = mean + np.sqrt(0.8) * rng.normal(size=(draws, 2))
        sampled.append(np.mean(np.sign(np.asarray(birds.class_expectation(points))) == label))
    return [
        compare("E[y|z] against scipy's densities, 5 clusters of their own covariance", expected, got, 1e-10),
        compare("two clusters: accuracies in closed form", [pair[0] for pair in pairs], [pair[1] for pair in pairs], 5e-4),
        compare("four groups: against 400,000 draws each", sampled, np.ravel(birds.bayes_group_accuracy()), 3e-3),
    ]


def figure():
    from matplotlib.figure import Figure

    law = ns.Clusters.waterbirds(0.95)
    drawing = Figure(figsize=(4.6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    side = np.linspace(-4, 4, 161)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    expected = np.asarray(law.class_expectation(grid)).reshape(161, 161)
    shown = axes.contourf(side, side, expected, levels=np.linspace(-1, 1, 21), cmap="RdBu_r")
    axes.contour(side, side, expected, levels=[0], colors="black")
    accuracies = np.ravel(law.bayes_group_accuracy())
    for mean, weight, accuracy in zip(np.asarray(law.means), np.asarray(law.proportions), accuracies, strict=True):
        axes.plot(*mean, "o", color="black", ms=4 + 16 * weight)
        axes.annotate(f"{accuracy:.2f}", mean, xytext=(0, 10), textcoords="offset points", ha="center")
    axes.set(xlabel="background", ylabel="bird", aspect="equal")
    drawing.colorbar(shown, ax=axes, label=r"$E[y|z]$")
    return drawing


DERIVATION = Derivation(
    label="D14.2",
    title="Clusters: the class expectation and the best accuracies of groups",
    statement=r"For Gaussian clusters with labels $E[y|z] = \tanh(\frac12\log P_+/P_-)$, and the best accuracy of a group "
    r"is the part "
    r"of its own Gaussian where this has its label's sign; for two clusters of one covariance "
    r"$\Phi(\Delta/2 \pm \log(p_+/p_-)/\Delta)$.",
    assumptions=[r"$z \mid g \sim N(m_g, S_g)$ with probability $p_g$", r"a known label $y_g = \pm 1$ of each cluster"],
    builds_on=["D1.3"],
    code=[
        "ntk_shortcuts.Clusters",
        "ntk_shortcuts.Clusters.class_expectation",
        "ntk_shortcuts.Clusters.bayes_group_accuracy",
    ],
    source="Bayes' rule; two classes of one covariance: Fisher's discriminant with priors (Anderson, 1958)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
