"""D11.3: groups of few samples, drawn while the rest is averaged. Run by itself, or as `ntk-shortcuts derive D11.3`."""

import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main, told_apart
from ntk_shortcuts.methods.average.atoms.coordinates import coordinates
from ntk_shortcuts.methods.average.atoms.influence import Influence, label_spread, spread_at, with_feedback
from ntk_shortcuts.methods.average.atoms.rare import RareNodes, drawn_means
from ntk_shortcuts.methods.average.atoms.resolvent import averaged_resolvent
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.numerics import in_float64

POLE, SAMPLES, SIZE, RARE = -2e-3, 60, 80, 8


def _woodbury_residual() -> sp.Expr:
    """Output with two more samples minus f + H (1 + Delta H)^-1 Delta (y - f), in the plane."""
    a, b, e = sp.symbols("a b e", real=True)
    without = sp.Matrix([[a, b], [b, e]])
    probe, labels, y = (sp.Matrix(sp.symbols(f"{name}1 {name}2", real=True)) for name in ("x", "v", "y"))
    # Two nodes in the plane: unit vectors after a change of coordinates.
    nodes, added = sp.eye(2), sp.diag(*sp.symbols("D1 D2", positive=True))
    after = (probe.T * (without + nodes.T * added * nodes).inv() * (labels + nodes.T * added * y))[0]
    Q = without.inv()
    among, fitted = nodes * Q * nodes.T, Q * labels
    change = probe.T * Q * nodes.T * (sp.eye(2) + added * among).inv() * added * (y - nodes * fitted)
    return sp.simplify(after - (probe.T * fitted)[0] - change[0])


def steps() -> list[Step]:
    assert _woodbury_residual() == 0
    # A part of a section that no other node has, of square t: eliminated from a 2 x 2 system it shrinks the weight.
    w, t, s, u, y, f = sp.symbols("w t s u y f")
    own = sp.solve(w * sp.sqrt(t) * (u + sp.sqrt(t) * f - y) - s * f, f)[0]
    left = sp.simplify(w * (u + sp.sqrt(t) * own - y))
    assert sp.simplify(left - w / (1 - w * t / s) * (u - y)) == 0
    return [
        Step(
            r"Given how often the rare nodes came, the other counts are random as before, and the known ones have "
            r"weights $\Delta = c/N$ (D11.1 with a known count). With $Q$ the averaged resolvent of the others, "
            r"$H = \Phi Q\Phi^T$, and $f$ their output, a change of rank $|D|$ (checked for two nodes in the plane):",
            r"f_D(x) = f(x) + H_{xD}(1 + \Delta H_{DD})^{-1}\Delta(y_D - f(D))",
        ),
        Step(
            r"What coordinates leave out of a node's section, of square $\mathrm{tail}_p$, is met by no other node. "
            r"Eliminated, it lowers the node's weight; with $\tau_p = \mathrm{tail}_p/(-sN)$",
            r"\Delta_p = \frac{c_p}{N(1 + c_p\tau_p)}",
        ),
        Step(
            r"The others' weights are taken from the average over all counts, so that one inverse serves all draws. Over the "
            r"others' counts the output is Gaussian, with the variance of D11.2 restricted to them: an accuracy is",
            r"E_D\Big[\Phi_{\mathcal N}\Big(\frac{y\,f_D(x)}{\sigma(x)}\Big)\Big]",
        ),
    ]


def _problem(points: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernels and labels of a pool whose first nodes have the other sign of a strong feature than their class."""
    random = np.random.default_rng(0)
    labels = np.resize([-1.0, 1.0], SIZE)
    inputs = random.normal(size=(SIZE + points, 6))
    sides = np.r_[labels, np.resize([-1.0, 1.0], points)]
    unlike = np.r_[np.ones(RARE), np.zeros(SIZE - RARE), np.ones(points)]
    inputs[:, 0] += 0.7 * sides
    inputs[:, 1] += 2 * sides * (1 - 2 * unlike)
    kernel = np.asarray(ns.MLP(1, bias_variance=0.1).kernels(inputs, inputs[:SIZE]).ntk)
    return kernel[:SIZE], kernel[SIZE:], labels


def _counts(labels: np.ndarray) -> Counts:
    """The rare nodes come 2 of 60 times, all classes alike."""
    weights = np.r_[np.full(RARE, 2 / RARE), np.full(SIZE - RARE, (SAMPLES - 2) / (SIZE - RARE))] / SAMPLES
    return Counts.with_replacement(2 * weights, np.full(SIZE, SAMPLES // 2), (labels > 0).astype(int))


def _draws(labels: np.ndarray, number: int) -> np.ndarray:
    counts, random = _counts(labels), np.random.default_rng(0)
    found = np.zeros((number, SIZE))
    for value in (-1, 1):
        of = labels == value
        found[:, of] = random.multinomial(SAMPLES // 2, counts.mean[of] / counts.mean[of].sum(), size=number)
    return found


def _ridge(times: np.ndarray, kernel: np.ndarray, cross: np.ndarray, labels: np.ndarray) -> np.ndarray:
    weight = times / SAMPLES
    return cross @ np.linalg.solve(weight[:, None] * kernel - POLE * np.eye(SIZE), weight * labels)


def _code(kernel, cross, labels, rare: RareNodes):
    """Means of the draws, and the variance over the other nodes' counts."""
    where = coordinates(kernel, cross, np.full(SIZE, 1 / SIZE), 0.0)
    counts = _counts(labels)
    resolvent = averaged_resolvent(POLE, where, counts, SAMPLES)
    influence = Influence(np.ones(1), [resolvent], counts, SAMPLES, np.setdiff1d(np.arange(SIZE), rare.nodes))
    fed, _ = with_feedback(influence, where, label_spread(influence, where, labels[:, None]))
    variance = spread_at(fed, where.points)
    return drawn_means(influence, where, labels[:, None], rare)[..., 0], variance, resolvent


@in_float64
def checks() -> list[Check]:
    kernel, cross, labels = _problem()
    draws = _draws(labels, 200)
    outputs = np.stack([_ridge(times, kernel, cross, labels) for times in draws])
    means, variance, resolvent = _code(kernel, cross, labels, RareNodes(np.arange(RARE), draws[:, :RARE].astype(int)))
    direct = []
    for times in draws[:5]:
        weight = np.r_[times[:RARE] / SAMPLES, resolvent.weight.real[RARE:]]
        direct.append(_ridge(SAMPLES * weight, kernel, cross, labels))
    everything = _code(kernel, cross, labels, RareNodes(np.arange(SIZE), draws[:5].astype(int)))[0]
    # A flat part of the kernel, as of noise in every input, which no coordinates hold.
    noisy = kernel + 0.3 * np.eye(SIZE)
    rare = RareNodes(np.arange(SIZE), draws[:5].astype(int))
    where = coordinates(kernel, cross, np.full(SIZE, 1 / SIZE), 0.0)._replace(tail=np.full(SIZE, 0.3))
    influence = Influence(np.ones(1), [averaged_resolvent(POLE, where, _counts(labels), SAMPLES)], _counts(labels), SAMPLES, [])
    tails = [_ridge(times, noisy, cross, labels) for times in draws[:5]]
    error = (means - outputs).std(axis=0) / np.sqrt(len(draws))
    score = float(np.sqrt(np.mean(((means - outputs).mean(axis=0) / error) ** 2)))
    shifted = float(np.sqrt(np.mean((((means + 0.2) - outputs).mean(axis=0) / error) ** 2)))
    ratio = float(np.median(np.sqrt((means.var(axis=0) + variance) / outputs.var(axis=0))))
    return [
        compare("few nodes drawn: the whole system solved with their counts", np.array(direct), means[:5], 1e-8),
        compare("all nodes drawn: kernel ridge regression", outputs[:5], everything, 1e-8),
        compare(
            "all nodes drawn, with a tail", np.array(tails), drawn_means(influence, where, labels[:, None], rare)[..., 0], 1e-8
        ),
        Check("z-score, root mean square, of paired means over 200 data sets", score, 2.5),
        told_apart("means shifted by 0.2", shifted, 2.5),
        Check("relative error of the standard deviation, median of 20 points", abs(ratio - 1), 0.12),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure
    from scipy.stats import norm

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    kernel, cross, labels = _problem()
    draws = _draws(labels, 2000)
    means, variance, _ = _code(kernel, cross, labels, RareNodes(np.arange(RARE), draws[:, :RARE].astype(int)))
    outputs = np.stack([_ridge(times, kernel, cross, labels) for times in draws[:800]])
    point = int(np.argmax(np.abs(np.mean((means - means.mean(axis=0)) ** 3, axis=0)) / means.std(axis=0) ** 3))
    grid = np.linspace(*np.quantile(outputs[:, point], [0, 1]), 300)
    drawn = norm.pdf(grid[:, None], means[:, point], np.sqrt(variance[point])).mean(axis=1)
    whole = norm.pdf(grid, means[:, point].mean(), np.sqrt(variance[point] + means[:, point].var()))
    axes.hist(outputs[:, point], bins=40, density=True, color="0.85", label="800 data sets")
    axes.plot(grid, drawn, "-", label="rare nodes drawn")
    axes.plot(grid, whole, "--", label="one Gaussian")
    axes.set(xlabel="output at a point of the rare kind", ylabel="density over data sets")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D11.3",
    title="Rare groups drawn, the rest averaged",
    statement=r"For a draw $D$ of the rare nodes the mean output over the others' counts is $f_D(x) = f(x) + H_{xD}(1 + \Delta "
    r"H_{DD})^{-1}\Delta(y_D - f(D))$, a change of rank $|D|$ of the averaged problem; over the others' counts the output is "
    r"Gaussian.",
    assumptions=[
        r"those of D11.1 and D11.2 for the other nodes",
        r"the others' weights do not depend on the draw: the few nodes that came hardly change their leverages",
    ],
    builds_on=["D11.1", "D11.2"],
    evidence={"pools": "../evidence/pool_training.md"},
    code=["ntk_shortcuts.methods.average.atoms.rare"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
