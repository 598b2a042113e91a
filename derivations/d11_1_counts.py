"""D11.1: the averaged resolvent with counts. Run by itself, or as `ntk-shortcuts derive D11.1`."""

import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main, told_apart
from ntk_shortcuts.methods.average.atoms.coordinates import coordinates
from ntk_shortcuts.methods.average.atoms.resolvent import averaged_resolvent
from ntk_shortcuts.nodes.counts import Counts
from ntk_shortcuts.numerics import in_float64

c, d, q, pi = sp.symbols("c d q pi", positive=True)
N = sp.Symbol("N", positive=True)


def _rank_one() -> sp.Expr:
    """(A + (c/N) k k^T)^-1 k minus A^-1 k/(1 + c d), in the plane."""
    a, b, e = sp.symbols("a b e", real=True)
    k, without = sp.Matrix(sp.symbols("k1 k2", real=True)), sp.Matrix([[a, b], [b, e]]).inv()
    own = (k.T * without * k)[0] / N
    changed = (without.inv() + c / N * k * k.T).inv() * k - without * k / (1 + c * own)
    return sp.simplify(changed.norm() ** 2)


def _weight(law: dict) -> sp.Expr:
    """W of a law of counts {count: probability}."""
    g = sum(p * n / (1 + n * d) for n, p in law.items())
    return sp.simplify(g / (N * (1 - d * g)))


def steps() -> list[Step]:
    assert _rank_one() == 0
    # What is left over and what is taken add up, count by count.
    assert sp.simplify(1 / (1 + c * d) - (1 - d * c / (1 + c * d))) == 0
    g = sp.Symbol("g", positive=True)
    # e = 1 - W <k, Q k> from <k, Q k> = N d e.
    e = 1 - d * g
    assert sp.simplify(1 - g / (N * e) * (N * d * e) - e) == 0
    # A data set; subsets; draws with replacement (three draws stand for any number); a density.
    assert _weight({1: sp.Integer(1)}) == 1 / N
    assert sp.simplify(_weight({0: 1 - pi, 1: pi}) - pi / (N * (1 + d * (1 - pi)))) == 0
    thrice = _weight({n: sp.binomial(3, n) * q**n * (1 - q) ** (3 - n) for n in range(4)}).subs(N, 3)
    assert sp.simplify(sp.series(thrice, q, 0, 2).removeO() - q / (1 + d)) == 0
    # A known count beyond one: the sample weighs so often.
    assert sp.simplify(_weight({3: sp.Integer(1)}) - 3 / N) == 0
    return [
        Step(
            r"A data set holds node $p$ $c_p$ times, $Q = (\sum_p\frac{c_p}{N}k_pk_p^T - s)^{-1}$. Taking one node out "
            r"(checked with matrices of size two), with $d_p = \frac1N\langle k_p, Q_{-p}k_p\rangle$,",
            r"Qk_p = \frac{Q_{-p}k_p}{1 + c_pd_p}",
        ),
        Step(
            r"$Q_{-p}$ does not depend on $c_p$, and $d_p$ hardly fluctuates where many nodes share the work. Averaging over "
            r"$c_p$ with $g_p = E[c/(1 + cd_p)]$ and $e_p = E[1/(1 + cd_p)] = 1 - d_pg_p$,",
            r"E\Big[\tfrac{c_p}{N}k_pk_p^TQ\Big] = \frac{g_p}{N}k_pk_p^TQ_{-p},\qquad E[Q]k_p = e_pQ_{-p}k_p",
        ),
        Step(
            r"So a node acts in the average as a known weight $W_p$: $\sum_pW_pk_pk_p^TQ - sQ = 1$ with",
            r"W_p = \frac{g_p}{Ne_p},\qquad \langle k_p, Q_{-p}k_p\rangle = \frac{\langle k_p, Qk_p\rangle}{e_p},\qquad "
            r"e_p = 1 - W_p\langle k_p, Qk_p\rangle",
        ),
        Step(
            r"Four laws of counts: a data set, $c = 1$; subsets, $c = 1$ with probability $\pi$; draws with "
            r"replacement, binomial, whose moments are finite sums; and their limit of many nodes of little weight, "
            r"the form of D9.2 for a density",
            r"W = \frac1N,\qquad W = \frac{\pi}{N(1 + d(1 - \pi))},\qquad W \to \frac{q}{1 + d}\quad(Nq \to 0)",
        ),
        Step(
            r"The mean of a resolvent predictor",
            r"E f_s(x) = \sum_pW_py_p\langle k_x, Qk_p\rangle",
        ),
    ]


def _problem(size: int, points: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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


def _laws(weights: np.ndarray, samples: int) -> dict[str, Counts]:
    none = np.zeros(len(weights), int)
    return {
        "a data set": Counts.known(np.ones(len(weights))),
        "subsets": Counts.subsets(weights, np.full(len(weights), samples), none),
        "draws with replacement": Counts.with_replacement(weights, np.full(len(weights), samples), none),
    }


def _solved(pole: complex, kernel: np.ndarray, counts: Counts, samples: int) -> np.ndarray:
    """W by damped iteration on the whole Gram matrix: <k, Q k> = diag(K - K (1/W) ...) without coordinates."""
    leverage = np.zeros(len(kernel), complex)
    for _ in range(4000):
        taken = counts.moment(leverage)
        weight = taken / (samples * (1 - leverage * taken))
        # K Q-form: K (W K - s)^-1.
        own = np.diag(np.linalg.solve((weight[:, None] * kernel - pole * np.eye(len(kernel))).T, kernel.T).T)
        new = own / (samples * (1 - weight * own))
        change, leverage = np.max(np.abs(new - leverage)), (leverage + new) / 2
        if change < 1e-12:
            break
    return weight


def _mean(pole: float, weight: np.ndarray, kernel: np.ndarray, cross: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return (cross @ np.linalg.solve(weight[:, None] * kernel - pole * np.eye(len(kernel)), weight * labels)).real


def _code(pole: complex, kernel: np.ndarray, cross: np.ndarray, counts: Counts, samples: int):
    where = coordinates(kernel, cross, np.full(len(kernel), 1 / len(kernel)), 0.0)
    return where, averaged_resolvent(pole, where, counts, samples)


def _sampled(pole, kernel, cross, labels, weights, samples: int, data_sets: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean outputs of kernel ridge regression and their standard errors, over draws with fixed classes."""
    random, outputs = np.random.default_rng(0), []
    for _ in range(data_sets):
        counts = np.zeros(len(labels))
        for value in (-1, 1):
            of = labels == value
            counts[of] = random.multinomial(samples // 2, weights[of] / weights[of].sum())
        outputs.append(_mean(pole, counts / samples, kernel, cross, labels))
    return np.mean(outputs, axis=0), np.std(outputs, axis=0, ddof=1) / np.sqrt(data_sets)


def _with_and_without(pole, kernel, weights, labels, samples):
    """W of draws with fixed classes, and of the form of a density."""
    share, trials, totals = 2 * weights, np.full(len(weights), samples // 2), (labels > 0).astype(int)
    counts = Counts.with_replacement(share, trials, totals)
    leverage = np.zeros(len(weights))
    for _ in range(2000):
        density = weights / (1 + leverage)
        solved = np.linalg.solve((density[:, None] * kernel - pole * np.eye(len(kernel))).T, kernel.T).T
        new = np.diag(solved) / samples
        change, leverage = np.max(np.abs(new - leverage)), (leverage + new) / 2
        if change < 1e-10:
            break
    return counts, density


@in_float64
def checks() -> list[Check]:
    kernel, cross, labels, weights = _problem(40)
    found = []
    for name, counts in _laws(weights, 20).items():
        samples = 40 if name == "a data set" else 20
        for pole in (-0.05, -0.02 + 0.05j):
            _, resolvent = _code(pole, kernel, cross, counts, samples)
            direct = _solved(pole, kernel, counts, samples)
            # The code stops at a relative change of 1e-7.
            found.append(compare(f"W, {name}, s = {pole}", np.ones(40), np.abs(resolvent.weight / direct), 1e-6))
    where, resolvent = _code(-0.05, kernel, cross, Counts.known(np.ones(40)), 40)
    ridge = cross @ np.linalg.solve(kernel + 2.0 * np.eye(40), labels)
    mean = (where.points @ resolvent.fitted(labels[:, None]))[:, 0].real
    found.append(compare("c = 1: kernel ridge regression", ridge, mean, 1e-6))
    kernel, cross, labels, weights = _problem(100)
    pole, samples = -1e-4, 150
    counts, density = _with_and_without(pole, kernel, weights, labels, samples)
    where, resolvent = _code(pole, kernel, cross, counts, samples)
    mean = (where.points @ resolvent.fitted(labels[:, None]))[:, 0].real
    sampled, error = _sampled(pole, kernel, cross, labels, weights, samples, 200)
    plain = _mean(pole, density, kernel, cross, labels)
    score, without = (float(np.sqrt(np.mean(((m - sampled) / error) ** 2))) for m in (mean, plain))
    return [
        *found,
        Check("z-score, root mean square, of the mean at 30 points over 200 data sets, N = 150 of 100", score, 2.0),
        told_apart("without counts", without, 2.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    kernel, cross, labels, weights = _problem(60)
    sizes, pole = np.array([20, 40, 80, 160, 320]), -1e-4
    rows = []
    for size in sizes:
        counts, density = _with_and_without(pole, kernel, weights, labels, int(size))
        where, resolvent = _code(pole, kernel, cross, counts, int(size))
        mean = (where.points @ resolvent.fitted(labels[:, None]))[:, 0].real
        sampled, error = _sampled(pole, kernel, cross, labels, weights, int(size), 300)
        plain = _mean(pole, density, kernel, cross, labels)
        rows.append([np.sqrt(np.mean(part**2)) for part in (mean - sampled, plain - sampled, error)])
    with_counts, plain, error = np.array(rows).T
    axes.plot(sizes, plain, "s--", color="C1", label="as a density")
    axes.plot(sizes, with_counts, "o-", color="C0", label="with counts")
    axes.fill_between(sizes, error, color="0.85", label="standard error of 300 data sets")
    axes.set(xlabel="samples N, drawn from 60", ylabel="error of the mean output", xscale="log", ylim=(0, None))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D11.1",
    title="Averaged resolvent of data sets in which samples come more than once",
    statement=r"Where node $p$ comes $c_p$ times, the mean resolvent is $Q = (\sum_pW_pk_pk_p^T - s)^{-1}$ with $W_p = "
    r"g_p/(Ne_p)$, $g_p = E[c/(1 + cd_p)]$, $e_p = 1 - d_pg_p$ and $d_p = \frac1N\langle k_p, Qk_p\rangle/e_p$. Data sets, "
    r"subsets, draws with replacement and densities differ in the law of $c$ alone.",
    assumptions=[
        r"counts of different nodes independent (fixed sums of them are of relative order $1/N$ in the mean)",
        r"the leverage $d_p$ in its average: to leading order in one over the number of samples that share a mode; exact for "
        r"known counts",
    ],
    builds_on=["D9.2"],
    code=["ntk_shortcuts.methods.average.atoms.resolvent"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
