"""D14.6: points with the law's direction. Run by itself, or as `ntk-shortcuts derive D14.6`."""

import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.metrics import Reliances
from ntk_shortcuts.networks import KernelFacts
from ntk_shortcuts.nodes.gaussian import sobol_normal
from ntk_shortcuts.numerics import in_float64

EIGHT = ns.GaussianFeatures(np.linspace(0.8, 0.9, 8), np.geomspace(4.0, 1.0, 8), correlation=0.5)
FIVE = ns.GaussianFeatures(np.linspace(0.8, 0.9, 5), np.geomspace(4.0, 1.0, 5), correlation=0.5)
COUNTS = (256, 512, 1024, 2048)


def steps() -> list[Step]:
    m, e, x = sp.symbols("m e x", positive=True)
    # One direction along the mean, one across: the direction learnt from correlations (m, e) in whitened coordinates.
    second = sp.Matrix([[1 + m**2, 0], [0, 1]])
    learnt = second.inv() * sp.Matrix([m, e])
    assert sp.simplify(learnt[1] / learnt[0] - e * (1 + m**2) / m) == 0
    # The target depends on the first coordinate alone, and the others are independent of it, of mean 0.
    bell = sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)
    assert sp.integrate(x * bell, (x, -sp.oo, sp.oo)) == 0
    # Points of mean 0 and covariance 1, any target: what is left is uncorrelated with 1, t and f.
    first, other = sp.Matrix([1, -1, 1, -1]), sp.Matrix([1, 1, -1, -1])
    f = sp.Matrix(sp.symbols("f_1:5", real=True))
    ones = sp.ones(4, 1)
    beyond = f - ones * (ones.dot(f) / 4) - first * (first.dot(f) / 4)
    moved = other - beyond * (beyond.dot(other) / beyond.dot(beyond))
    assert all(sp.simplify(moved.dot(column)) == 0 for column in (ones, first, f))
    return [
        Step(
            r"Let $\xi = L^{-1}(z - \mu)$, t its coordinate along $m = L^{-1}\mu$ and $\xi_\perp$ the others. Under class +1 "
            r"they are independent standard normal, and $f^* = E[y|z] = \tanh(|m|(|m| + t))$ is a function of t:",
            r"E[f^*\xi_\perp] = 0,\qquad E[f^*z] = \mu",
        ),
        Step(
            r"Nodes with the law's mean and covariance miss the second by $e = \langle f^*\xi_\perp\rangle$, the average over "
            r"the nodes. What a linear network learns from them in the end is $\langle zz^T\rangle^{-1}\langle f^*z\rangle$, "
            r"in whitened coordinates (checked for one coordinate across)",
            r"L^Tv \propto (1 + mm^T)^{-1}(m + e) = \frac{m}{1 + |m|^2} + e,\qquad w^* = L^{-T}m",
        ),
        Step(
            r"so that the direction is off by $L^{-T}e\,(1 + |m|^2)$, and $L^{-T}$ makes this largest where features are "
            r"correlated. It vanishes where the other coordinates are uncorrelated with 1, t and $f^*$. With the averages of "
            r"t and $t\xi_\perp$ 0 already and that of $t^2$ 1 (checked on four points, any target),",
            r"\xi_\perp\to\xi_\perp - r\,\frac{\langle r\,\xi_\perp\rangle}{\langle r^2\rangle},\qquad "
            r"r = f^* - \langle f^*\rangle - t\,\langle tf^*\rangle",
        ),
        Step(
            r"and a linear map of the others by the Cholesky factor of their covariance makes that 1 again and leaves "
            r"these correlations 0. The points then give a linear network the Bayes direction, whatever their number:",
            r"\langle zz^T\rangle^{-1}\langle f^*z\rangle\propto w^*",
        ),
    ]


def _plain(law: ns.GaussianFeatures, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sobol points of the law's mean and covariance, and the target there."""
    latents = np.asarray(law.means) + sobol_normal(law.features, count) @ np.asarray(law.whitening).T
    return latents, np.asarray(law.class_expectation(latents))


@in_float64
def _code(law: ns.GaussianFeatures, count: int) -> tuple[np.ndarray, np.ndarray]:
    nodes = law.nodes(COUNTS.index(count), KernelFacts(), "operator")
    return np.asarray(nodes.points), np.asarray(nodes.targets)[:, 0]


def _learnt(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The unit vector of a linear regression."""
    direction = np.linalg.solve(points.T @ points, points.T @ targets)
    return direction / np.linalg.norm(direction)


@in_float64
def _bias(law: ns.GaussianFeatures, direction: np.ndarray) -> float:
    """The largest bias of a linear classifier."""
    test, metric = law.test_points(), Reliances(law.features, law.core)
    signs = np.sign(np.asarray(test.points) @ direction), np.asarray(test.optimal)
    read = [np.asarray(metric.of_signs(sign, test)) for sign in signs]
    return float(np.max(np.abs(read[0] - read[1])))


def checks() -> list[Check]:
    exact = {law.features: np.asarray(law.bayes_direction) for law in (FIVE, EIGHT)}
    laws = (FIVE, EIGHT)
    targets = [exact[law.features] / np.linalg.norm(exact[law.features]) for law in laws]
    found = [_learnt(*_code(law, 256)) for law in laws]
    moments, expected = [], []
    for law in laws:
        points, _ = _code(law, 256)
        off = points - points.mean(axis=0)
        moments += [*points.mean(axis=0), *(off.T @ off / len(off)).ravel()]
        expected += [*np.asarray(law.means), *np.asarray(law.covariance).ravel()]
    # Another route: the whole path of nodes, kernel and operator, for a linear network at a time without end.
    law = ns.GaussianFeatures(EIGHT.predictivity, correlation=0.5)
    population = ns.predict(law, ns.MLP(0), ns.GradientFlow(1e5), method="population", random_init=False)
    # First order in e: how far plain points turn the direction, by the third step and by regression.
    latents, values = _plain(EIGHT, 1024)
    whitening, mean = np.asarray(EIGHT.whitening), np.asarray(EIGHT.whitened_mean)
    e = np.linalg.solve(whitening, latents.T @ values / len(values)) - mean
    turned = np.linalg.solve(whitening.T, mean + e - mean * (mean @ (mean + e)) / (1 + mean @ mean))
    return [
        compare(
            "direction learnt from 256 points, K = 5 and 8, against w*", np.concatenate(targets), np.concatenate(found), 1e-10
        ),
        compare("mean and covariance of the points", expected, moments, 1e-10),
        compare("direction from plain points, by e", turned / np.linalg.norm(turned), _learnt(latents, values), 1e-10),
        compare("bias of a linear network at the end, K = 8", np.zeros(7), population.bias.values, 2e-3),
    ]


def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(5.2, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    for color, size, law in (("C0", 7, FIVE), ("C1", 4, EIGHT)):  # where both are 0, both are seen
        for line, points, name in (("o--", _plain, "mean and covariance"), ("s-", _code, "and direction")):
            biases = [_bias(law, _learnt(*points(law, count))) for count in COUNTS]
            axes.plot(COUNTS, biases, line, color=color, label=f"{law.features} features, {name}", ms=size)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="points", ylabel="largest bias of a linear network\nat infinite time (exact: 0)", xticks=COUNTS)
    axes.set_xticklabels([str(count) for count in COUNTS])
    axes.legend(frameon=False, fontsize="small")
    return drawing


DERIVATION = Derivation(
    label="D14.6",
    title="Points with the law's direction",
    statement=r"Of points with the law's mean and covariance, moving the coordinates across the mean until they are "
    r"uncorrelated with $E[y|z]$ makes what a linear network learns from them in the end the Bayes direction $w^*$, "
    r"whatever their number.",
    assumptions=[
        r"$z \mid y \sim N(y\mu, \Sigma)$, $\Sigma = LL^T$, points under class +1 that count alike",
        "kernels that are not linear: only their linear part is without this error, others are integrated as before",
    ],
    builds_on=["D14.1"],
    evidence={"several features": "../evidence/laws.md"},
    code=["ntk_shortcuts.laws.features.rays.drawn_points"],
    source="control of moments of quasi-random points is standard; this condition: this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
