"""D11.2: variance over data sets with counts. Run by itself, or as `ntk-shortcuts derive D11.2`."""

import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main, told_apart
from ntk_shortcuts.methods.average.atoms.coordinates import coordinates
from ntk_shortcuts.methods.average.atoms.influence import Influence, label_spread, spread_at, with_feedback
from ntk_shortcuts.methods.average.atoms.resolvent import averaged_resolvent
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.numerics import in_float64

c, d, q, N = sp.symbols("c d q N", positive=True)


def _influence_residual() -> sp.Expr:
    """Change of a predictor by c copies of a sample, minus (1/N) c/(1 + c d) <x, Q_- k> (y - f_-(k)), in the plane."""
    a, b, e, y = sp.symbols("a b e y", real=True)
    k, probe, labels = (sp.Matrix(sp.symbols(f"{name}1 {name}2", real=True)) for name in ("k", "x", "v"))
    without = sp.Matrix([[a, b], [b, e]])
    after = without + c / N * k * k.T
    change = (probe.T * after.inv() * (labels + c / N * k * y) - probe.T * without.inv() * labels)[0]
    h, own, fit = ((left.T * without.inv() * right)[0] for left, right in ((probe, k), (k, k), (k, labels)))
    return sp.simplify(change - c / (1 + c * own / N) * h * (y - fit) / N)


def steps() -> list[Step]:
    assert _influence_residual() == 0
    # Left out, a section and a residual grow by 1/e: f(p) = e f_-(p) + (1 - e) y in the average, with 1 - e = d g.
    y, f, g = sp.symbols("y f g", real=True)
    e = 1 - d * g
    mean = f + d * g * (y - f)
    assert sp.simplify((y - mean) / e - (y - f)) == 0
    # The least variance of F - b c, over b: what is left for a sum of c that is fixed.
    F2, Fc, c2, slope = sp.symbols("Var_F Cov_Fc Var_c b", real=True)
    best = sp.solve(sp.diff(F2 - 2 * slope * Fc + slope**2 * c2, slope), slope)[0]
    assert sp.simplify((F2 - 2 * slope * Fc + slope**2 * c2).subs(slope, best) - (F2 - Fc**2 / c2)) == 0
    # Influences a_p c of three nodes alike in weight, c multinomial: the regression has its variance up to 1 - 1/P.
    a = sp.symbols("a1:4", real=True)
    third, draws = sp.Rational(1, 3), sp.Symbol("n", positive=True)
    multinomial = draws * (sum(x**2 for x in a) * third - (sum(a) * third) ** 2)
    spread = draws * third * (1 - third)
    regression = spread * sum(x**2 for x in a) - (spread * sum(a)) ** 2 / (3 * spread)
    assert sp.simplify(regression - multinomial * (1 - third)) == 0
    # A density: counts of 0 and 1, the latter with probability N q -> 0.
    chance = N * q
    variance = chance / (1 + d) ** 2 - (chance / (1 + d)) ** 2
    assert sp.simplify(sp.limit(variance / (N * q), q, 0) - 1 / (1 + d) ** 2) == 0
    return [
        Step(
            r"$c$ copies of a sample change a resolvent predictor by (checked with matrices of size two)",
            r"f(x) - f_{-p}(x) = \frac1N\frac{c}{1 + cd_p}\langle k_x, Q_{-p}k_p\rangle(y_p - f_{-p}(p))",
        ),
        Step(
            r"Section and residual without the node are those of the average over $e_p$ (D11.1). A filter $g(\lambda) = "
            r"\mathrm{Re}\sum_kc_k/(\lambda - s_k)$ adds its resolvents: the influence of node $p$ at count $c$ is",
            r"F_c(x, p) = \mathrm{Re}\sum_k\frac{c_k}{N}\frac{c}{1 + cd_p}\frac{\langle k_x, Q_kk_p\rangle}{e_p}"
            r"\frac{y_p - f_k(p)}{e_p}",
        ),
        Step(
            r"To leading order the output is its mean plus the sum over nodes of $F_{c_p} - EF_{c_p}$. Counts with fixed sums "
            r"over classes are what independent ones are once those sums are given, and of $F$ only what is uncorrelated with "
            r"its class's sum is left: a regression on it",
            r"\mathrm{Var} f(x) = \sum_p\mathrm{Var}_cF_c(x, p) - \sum_{\mathrm{classes}}\frac{(\sum_p\mathrm{Cov}(F_c, c))^2}"
            r"{\sum_p\mathrm{Var}\,c}",
        ),
        Step(
            r"For a density $\mathrm{Var}[c/(1 + cd)] \to Nq/(1 + d)^2$, and the first term is that of D9.3; for known counts "
            r"both are 0.",
            r"\sum_p\mathrm{Var}_cF_c \to \frac1N\int p\,F^2",
        ),
        Step(
            r"Feedback: the residual of a node left out varies with the other nodes' counts. Its own count has no part in it, "
            r"so what is fed back at a node is the output's variance there less its own term,",
            r"E(y_p - f_{-p}(p))^2 = \frac{(y_p - f(p))^2 + v_p}{e_p^2},\qquad "
            r"v_p = \mathrm{Var} f(p) - \mathrm{Var}_cF_c(p, p)",
        ),
    ]


def _problem(size: int, points: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Kernel of a pool, kernel to other points, labels and uneven weights, balanced over the two classes."""
    random = np.random.default_rng(0)
    labels = np.resize([-1.0, 1.0], size)
    inputs = random.normal(size=(size + points, 6))
    inputs[:, 0] += np.resize([-1.0, 1.0], size + points)
    kernel = np.asarray(ns.MLP(1, bias_variance=0.1).kernels(inputs, inputs[:size]).ntk)
    weights = random.uniform(0.5, 1.5, size)
    for value in (-1, 1):
        weights[labels == value] /= 2 * weights[labels == value].sum()
    return kernel[:size], kernel[size:], labels, weights


def _counts(weights: np.ndarray, labels: np.ndarray, samples: int) -> Counts:
    return Counts.with_replacement(2 * weights, np.full(len(weights), samples // 2), (labels > 0).astype(int))


def _code(poles, residues, kernel, cross, labels, counts, samples):
    """Resolvents of the code, and its mean and variance, with and without feedback."""
    where = coordinates(kernel, cross, np.full(len(kernel), 1 / len(kernel)), 0.0)
    resolvents = [averaged_resolvent(complex(pole), where, counts, samples) for pole in poles]
    influence = Influence(residues, resolvents, counts, samples, np.arange(len(kernel)))
    spread = label_spread(influence, where, labels[:, None])
    mean = influence.mean(where, labels[:, None])[:, 0]
    fed, _ = with_feedback(influence, where, spread)
    return resolvents, mean, spread_at(spread.matrix, where.points), spread_at(fed, where.points)


def _directly(poles, residues, resolvents, kernel, cross, labels, counts, samples) -> np.ndarray:
    """The variance on the whole Gram matrix, count by count, from the code's leverages alone."""
    taken = {}
    for value in counts.values:
        taken[value] = 0.0
        for pole, residue, resolvent in zip(poles, residues, resolvents, strict=True):
            moment = counts.moment(resolvent.whole)
            left_out = 1 - resolvent.whole * moment
            weight = moment / (samples * left_out)
            system = weight[:, None] * kernel - pole * np.eye(len(kernel))
            section, at_nodes = (np.linalg.solve(system.T, side.T).T for side in (cross, kernel))
            residual = (labels - at_nodes @ (weight * labels)) / left_out
            factor = residue / samples * value / (1 + value * resolvent.whole) / left_out
            taken[value] = taken[value] + (factor * section * residual).real
    chances = dict(zip(counts.values, counts.probability, strict=True))
    mean = sum(chances[value] * F for value, F in taken.items())
    variance = np.sum(sum(chances[value] * F**2 for value, F in taken.items()) - mean**2, axis=1)
    along = sum(chances[value] * F * (value - counts.mean) for value, F in taken.items())
    for total in (0, 1):
        of = counts.totals == total
        variance = variance - np.sum(along[:, of], axis=1) ** 2 / np.sum(counts.variance[of])
    return variance


def _sampled(strength: float, kernel, cross, labels, weights, samples: int, data_sets: int):
    """Variance of kernel ridge regression over draws with fixed classes, and its standard error."""
    random, outputs = np.random.default_rng(0), []
    for _ in range(data_sets):
        counts = np.zeros(len(labels))
        for value in (-1, 1):
            of = labels == value
            counts[of] = random.multinomial(samples // 2, weights[of] / weights[of].sum())
        system = counts[:, None] * kernel / samples + strength * np.eye(len(kernel))
        outputs.append(cross @ np.linalg.solve(system, counts / samples * labels))
    squares = (np.array(outputs) - np.mean(outputs, axis=0)) ** 2
    return squares.mean(axis=0), squares.std(axis=0) / np.sqrt(data_sets)


@in_float64
def checks() -> list[Check]:
    kernel, cross, labels, weights = _problem(40)
    counts = _counts(weights, labels, 30)
    filter_ = ns.GradientFlow(30.0).rational(30, 10.0, 6)
    poles, residues = np.asarray(filter_.poles), np.asarray(filter_.residues)
    resolvents, _, variance, _ = _code(poles, residues, kernel, cross, labels, counts, 30)
    direct = _directly(poles, residues, resolvents, kernel, cross, labels, counts, 30)
    known = Counts.known(np.ones(40))
    *_, none, fed = _code(poles, residues, kernel, cross, labels, known, 40)
    found = [
        # The code stops its fixed point at a relative change of 1e-7.
        compare("gradient flow, draws with replacement: variance at 20 points", np.ones(20), variance / direct, 1e-5),
        compare("gradient flow, a data set: no variance, with feedback or without", np.zeros(40), np.r_[none, fed]),
    ]
    kernel, cross, labels, weights = _problem(150)
    strength, samples = 0.05, 200
    *_, fed = _code([-strength], np.ones(1), kernel, cross, labels, _counts(weights, labels, samples), samples)
    sampled, error = _sampled(strength, kernel, cross, labels, weights, samples, 400)
    score, wrong = (float(np.sqrt(np.mean(((sampled - v) / error) ** 2))) for v in (fed, 1.6 * fed))
    return [
        *found,
        Check("z-score, root mean square, of the variance at 20 points over 400 data sets, N = 200 of 150", score, 2.0),
        told_apart("1.6 times the variance", wrong, 2.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    kernel, cross, labels, weights = _problem(60)
    sizes, strength = np.array([20, 40, 80, 160, 320]), 1e-3
    rows = []
    for size in sizes:
        counts = _counts(weights, labels, int(size))
        *_, plain, fed = _code([-strength], np.ones(1), kernel, cross, labels, counts, int(size))
        sampled, error = _sampled(strength, kernel, cross, labels, weights, int(size), 150)
        rows.append([np.mean(v) for v in (fed, plain, sampled)] + [np.mean(error)])
    fed, plain, sampled, error = np.array(rows).T
    axes.plot(sizes, np.sqrt(fed), "-", label="with feedback")
    axes.plot(sizes, np.sqrt(plain), "--", label="without")
    axes.errorbar(sizes, np.sqrt(sampled), error / np.sqrt(sampled), fmt="ko", mfc="none", label="150 data sets each")
    axes.set(xlabel="samples N, drawn from 60", ylabel="standard deviation over data sets", xscale="log", yscale="log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_yticks([0.1, 0.2, 0.3], ["0.1", "0.2", "0.3"])
    axes.minorticks_off()
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D11.2",
    title="Variance over data sets in which samples come more than once",
    statement=r"With $F_c(x, p)$ the influence of $c$ copies of node $p$, the variance of an output over data sets is $\sum_p"
    r"\mathrm{Var}_cF_c - \sum(\sum_p\mathrm{Cov}(F_c, c))^2/\sum_p\mathrm{Var}\,c$, the second term over sums of counts that "
    r"are fixed. What a node's own count does to the output there is not fed back into its residual.",
    assumptions=[
        r"those of D11.1; variance to leading order in one over the number of samples",
        r"fixed sums enter by linear regression, up to a factor $1 - 1/P$ of their P nodes",
        r"output averaged over initialisations",
    ],
    builds_on=["D9.3", "D11.1"],
    code=["ntk_shortcuts.methods.average.atoms.influence"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
