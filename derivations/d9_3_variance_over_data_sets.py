"""D9.3: variance over data sets by the influence of one point. Run by itself, or as `ntk-shortcuts derive D9.3`."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.analysis.influence import _influence
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, lines, main, told_apart
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.laws.eigenfunctions import sector_features, sector_spectra
from ntk_shortcuts.laws.two_features.polar import latent_rays
from ntk_shortcuts.methods.average.deterministic_equivalent import averaged_resolvent, scalar_kappa
from ntk_shortcuts.methods.average.law import Switches, averaged_law
from ntk_shortcuts.numerics import in_float64

N = sp.Symbol("N", positive=True)
y, s = sp.symbols("y s", real=True)


def _influence_residual() -> sp.Expr:
    """Change of a resolvent predictor by one more sample, minus (1/N) h (y - f(z))/(1 + delta), in the plane."""
    a, b, d = sp.symbols("a b d", real=True)
    before = sp.Matrix([[a, b], [b, d]])  # S - s without the sample
    k, probe, labels = (sp.Matrix(sp.symbols(f"{name}1 {name}2", real=True)) for name in ("k", "x", "v"))
    after = before + k * k.T / N
    change = (probe.T * after.inv() * (labels + k * y / N) - probe.T * before.inv() * labels)[0]
    h, delta, fit = ((left.T * before.inv() * right)[0] for left, right in ((probe, k), (k, k), (k, labels)))
    return sp.simplify(change - h * (y - fit) / (1 + delta / N) / N)


def steps() -> list[Step]:
    assert _influence_residual() == 0
    # h/(1 + delta) = H/kappa with H = -s h and kappa = -s (1 + delta).
    h, delta = sp.symbols("h delta", real=True)
    assert sp.simplify(h / (1 + delta) - (-s * h) / (-s * (1 + delta))) == 0
    # Averages over the label, E y = m and y^2 = 1, of F = y A - B: the code's split into noise and residual.
    m, A, B = sp.symbols("f A B", real=True)
    plus, minus = (1 + m) / 2, (1 - m) / 2
    second = plus * (A - B) ** 2 + minus * (-A - B) ** 2
    assert sp.expand(second - ((1 - m**2) * A**2 + (m * A - B) ** 2)) == 0
    # Class averages E[F|c] = int p (1 + c m)(c A - B): half their sum is int p (m A - B), half their difference as in the code.
    by_class = [(1 + c * m) * (c * A - B) for c in (1, -1)]
    assert sp.expand((by_class[0] + by_class[1]) / 2 - (m * A - B)) == 0
    assert sp.expand((by_class[0] - by_class[1]) / 2 - ((1 - m**2) * A + m * (m * A - B))) == 0
    # N/2 independent samples of each class: variances add.
    squares, means = sp.symbols("E_+ E_-"), sp.symbols("m_+ m_-")
    balanced = sum(N / 2 * (square - mean**2) for square, mean in zip(squares, means, strict=True)) / N**2
    assert sp.expand(balanced - (sum(squares) / 2 - sum(mean**2 for mean in means) / 2) / N) == 0
    return [
        Step(
            r"One more sample $(z, y)$ changes a resolvent predictor by a rank-one update (checked with matrices of size two):",
            r"f_{+}(x) - f_{-}(x) = \frac1N\,\frac{\langle k_x, Q_-k_z\rangle}{1 + \delta(z)}\,(y - f_-(z))",
        ),
        Step(
            r"In the averages of D9.2 the factor is $H(x, z)/\kappa(z)$. A filter $g(\lambda) = "
            r"\mathrm{Re}\sum_kc_k/(\lambda - s_k)$ adds the changes of its resolvents: the influence of one point is",
            r"F(x; z, y) = \mathrm{Re}\sum_kc_k\frac{H_k(x, z)}{\kappa_k(z)}\,(y - f_k(z)) = yA - B",
        ),
        Step(
            r"To leading order the output is its mean plus $\frac1N\sum_n(F_n - EF_n)$, a sum of independent terms "
            r"(Hoeffding's first projection). With $N/2$ samples of each class",
            r"\mathrm{Var} f(x) = \frac1N\Big(E[F^2] - \tfrac12\sum_{c = \pm1}E[F \mid y = c]^2\Big)",
        ),
        Step(
            r"Given $z$ the label has mean $f^*(z)$ and $y^2 = 1$, which splits label noise from the rest:",
            r"E[F^2 \mid z] = (1 - f^{*2})A^2 + (f^*A - B)^2",
        ),
        Step(
            r"The class averages are $a \pm b$ with $a$ odd and $b$ even in $x$, and $\frac12\sum_cE[F|c]^2 = a^2 + b^2$. "
            r"Altogether",
            lines(
                r"N\,\mathrm{Var} f = \int p\,\big[(1 - f^{*2})A^2 + (f^*A - B)^2\big] - a^2 - b^2,",
                r"a = \int p\,(f^*A - B),\quad b = \int p\,\big[(1 - f^{*2})A + f^*(f^*A - B)\big]",
            ),
        ),
    ]


MODEL = ns.GenerativeModel((0.8, 0.9), (2.0, 1.0))
KERNEL = LawKernel(MODEL, ns.MLP(1))
PROBES = np.array([[1.0, 0.5], [2.0, -1.0], [-0.7, 1.5]])
RULE = (8, 6)


def _laws(poles, residues, samples, switched, initial_modes=1):
    """Nodes of a small rule, and the code's laws at the probes by its switches (random_init, feedback, balanced)."""
    rays = latent_rays(MODEL, *RULE, True)
    spectra = sector_spectra(KERNEL.in_sectors(), rays)
    features = sector_features(KERNEL.in_sectors(), rays, jnp.asarray(PROBES), RULE[0], initial_modes, spectra)

    def at_one_pole(pole):
        start = scalar_kappa(pole, spectra.basis.eigenvalues.ravel(), samples)
        return averaged_resolvent(pole, start, rays, features, samples)

    resolvents = jax.lax.map(at_one_pole, poles)

    def with_parts(random_init: float, feedback: float, balanced: float):
        switches = Switches(random_init, balanced=balanced, feedback=feedback, uniform_noise=0.0)
        return averaged_law(residues, resolvents, rays, features, KERNEL.parity, samples, switches)

    return rays, {flags: with_parts(*flags) for flags in switched}


@jax.jit
def _code(poles, residues, samples):
    """Nodes of a small rule, and the code's mean and variance at the probes, for balanced and for independent labels."""
    rays, laws = _laws(poles, residues, samples, ((0.0, 0.0, 1.0), (0.0, 0.0, 0.0)))
    balanced, independent = laws.values()
    return rays, balanced.mean, balanced.data_variance, independent.data_variance


@jax.jit
def _gram(points1, points2):
    return KERNEL(points1, points2).ntk


def _nodes(rays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All nodes in the plane, z and -z, with their weights (of sum 1 up to the coarse rule's error) and E[y | z]."""
    points = np.asarray(rays.everywhere)
    weights, targets = np.ravel(rays.weights), np.ravel(rays.targets)
    return np.concatenate([points, -points]), np.concatenate([weights, weights]) / 2, np.concatenate([targets, -targets])


def _smoothed(cross: np.ndarray, gram: np.ndarray, density: np.ndarray) -> np.ndarray:
    """H between points and nodes: G_x (1 + D G)^-1, D the diagonal of p/kappa."""
    return np.linalg.solve((np.eye(len(gram)) + density[:, None] * gram).T, cross.T).T


def _kappa(pole: complex, gram: np.ndarray, weights: np.ndarray, samples: int) -> np.ndarray:
    """The fixed point of D9.2 at the nodes, by plain iteration on the Gram matrix."""
    kappa = np.full(len(weights), -pole + weights @ np.diag(gram) / samples)
    for _ in range(2000):
        new = -pole + np.diag(_smoothed(gram, gram, weights / kappa)) / samples
        change, kappa = np.max(np.abs(new - kappa) / np.abs(kappa)), new
        if change < 1e-13:
            break
    return kappa


def _parts(poles, residues, gram, cross, weights, targets, samples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean at the probes, and A and B of F = y A - B between probes and nodes, on the Gram matrix of all nodes."""
    mean, label, residual = 0.0, 0.0, 0.0
    for pole, residue in zip(poles, residues, strict=True):
        kappa = _kappa(pole, gram, weights, samples)
        source = weights / kappa * targets
        at_nodes = _smoothed(gram, gram, weights / kappa) @ source
        section = _smoothed(cross, gram, weights / kappa)
        mean += (residue * section @ source).real
        label += (residue * section / kappa).real
        residual += (residue * section / kappa * at_nodes).real
    return mean, label, residual


def _variance(label, residual, weights, targets, samples, balanced=True) -> np.ndarray:
    """Directly over the two labels of every node."""
    effects = {c: c * label - residual for c in (1, -1)}
    chance = {c: weights * (1 + c * targets) / 2 for c in (1, -1)}
    second = sum(effects[c] ** 2 @ chance[c] for c in (1, -1))
    # E[F | y = c]: both classes have weight 1/2.
    averages = [2 * effects[c] @ chance[c] for c in (1, -1)]
    first = sum(a**2 for a in averages) / 2 if balanced else (sum(averages) / 2) ** 2
    return (second - first) / samples


def _data_sets(strength: float, weights, targets, gram: np.ndarray, samples: int, number: int) -> Iterator[tuple]:
    """Balanced data sets drawn from the nodes: the matrix that kernel ridge regression solves, counts, and sums of labels."""
    random = np.random.default_rng(0)
    laws = [weights * (1 + c * targets) for c in (1, -1)]
    for _ in range(number):
        positive, negative = (random.multinomial(samples // 2, law / law.sum()) for law in laws)
        counts = positive + negative
        yield counts[:, None] * gram / samples + strength / samples * np.eye(len(gram)), counts, positive - negative


def _sampled(strength: float, nodes: tuple, gram: np.ndarray, cross: np.ndarray, samples: int, data_sets: int):
    """Variance and its standard error over balanced data sets drawn from the nodes, kernel ridge regression."""
    _, weights, targets = nodes
    drawn = _data_sets(strength, weights, targets, gram, samples, data_sets)
    outputs = [cross @ np.linalg.solve(system, labels / samples) for system, _, labels in drawn]
    squares = (np.array(outputs) - np.mean(outputs, axis=0)) ** 2
    return squares.mean(axis=0), squares.std(axis=0) / np.sqrt(data_sets)


@in_float64
def checks() -> list[Check]:
    found = []
    samples = 60
    filter_ = ns.GradientFlow(30.0).rational(samples, 1.0, 6)
    poles, residues = np.asarray(filter_.poles), np.asarray(filter_.residues)
    rays, mean, variance, independent = _code(poles, residues, float(samples))
    points, weights, targets = _nodes(rays)
    gram, cross = np.asarray(_gram(points, points)), np.asarray(_gram(PROBES, points))
    parts = _parts(poles, residues, gram, cross, weights, targets, samples)
    for name, flag, got in (("balanced", True, variance), ("independent labels", False, independent)):
        exact = _variance(*parts[1:], weights, targets, samples, flag)
        # The code stops its fixed point at a relative change of 1e-10.
        found.append(compare(f"gradient flow, {name}: variance at the probes", np.ones(3), got / exact, 1e-8))
    found.append(compare("gradient flow: mean at the probes", parts[0], mean, 1e-8))
    slope, few, sectors = np.array([0.3, -1.0, 0.5]), [3, 20, 70], KERNEL.in_sectors().shared()
    rule, probes = ns.GradientFlow(30.0), jnp.asarray(PROBES)
    (label,), (residual,) = _influence(sectors, rule, float(samples), points[few], probes, slope[None], rays)
    largest = float(np.max(np.linalg.eigvalsh(np.sqrt(weights)[:, None] * gram * np.sqrt(weights))))
    filter_ = ns.GradientFlow(30.0).rational(samples, largest, 8)
    parts = _parts(np.asarray(filter_.poles), np.asarray(filter_.residues), gram, cross, weights, targets, samples)
    exact = [slope @ parts[1][:, few], slope @ parts[2][:, few]]
    found.append(compare("influence of points: parts of the label and of the fit", exact, [label, residual], 1e-8))
    samples, strength = 200, 2.0
    weights = weights / weights.sum()
    sampled, error = _sampled(strength, (points, weights, targets), gram, cross, samples, 400)
    ridge = _parts([-strength / samples], [1.0], gram, cross, weights, targets, samples)
    balanced = _variance(*ridge[1:], weights, targets, samples)
    score, wrong = (float(np.max(np.abs(sampled - v) / error)) for v in (balanced, 1.6 * balanced))
    return [
        *found,
        Check("z-score of the variance at 3 probes over 400 data sets, N = 200", score, 4.0),
        told_apart("1.6 times the variance", wrong),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    rays, *_ = _code(np.array([-0.1 + 0j] * 6), np.ones(6) + 0j, 60.0)
    points, weights, targets = _nodes(rays)
    weights = weights / weights.sum()
    gram, cross = np.asarray(_gram(points, points)), np.asarray(_gram(PROBES, points))
    counts = np.array([20, 40, 80, 160, 320])
    theory, sampled, errors = [], [], []
    for count in counts:
        strength = 0.01 * count
        parts = _parts([-0.01], [1.0], gram, cross, weights, targets, count)
        theory.append(np.sqrt(_variance(*parts[1:], weights, targets, count)))
        variance, error = _sampled(strength, (points, weights, targets), gram, cross, int(count), 150)
        sampled.append(np.sqrt(variance))
        errors.append(error / np.sqrt(variance))  # two standard errors of the root
    theory, sampled, errors = map(np.array, (theory, sampled, errors))
    for index, (style, marker, colour) in enumerate((("-", "o", "C0"), ("--", "s", "C1"), ("-.", "^", "C2"))):
        name = f"z = ({PROBES[index][0]:g}, {PROBES[index][1]:g})"
        axes.plot(counts, theory[:, index], style, color=colour, label=name)
        axes.errorbar(counts, sampled[:, index], errors[:, index], fmt=marker, mfc="none", color=colour)
    axes.set(xlabel="samples N", ylabel="standard deviation over data sets", xscale="log", yscale="log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_yticks([0.05, 0.1, 0.2, 0.4], ["0.05", "0.1", "0.2", "0.4"])
    axes.legend(frameon=False, title="lines: theory\nsymbols: 150 data sets")
    return drawing


DERIVATION = Derivation(
    label="D9.3",
    title="Variance over data sets by the influence of one training point",
    statement=r"With $F(x; z, y) = \mathrm{Re}\sum_kc_kH_k(x, z)(y - f_k(z))/\kappa_k(z)$, the influence of a training "
    r"point, the output's variance over data sets of $N/2$ samples of each class is $\frac1N(E[F^2] - \frac12\sum_cE[F \mid "
    r"y = c]^2)$; for independent labels $E[F]^2$ is subtracted instead.",
    assumptions=[
        r"those of D9.2; variance to leading order in $1/N$",
        r"the other samples enter through their average: the predictor's own variance in the residual $y - f(z)$ is left out "
        r"(the next derivation adds it)",
        r"output averaged over initialisations (the next derivation adds the random one)",
    ],
    builds_on=["D9.2"],
    code=[
        "ntk_shortcuts.methods.average.dataset_averaged.DatasetAveraged",
        "ntk_shortcuts.methods.average.law.averaged_law",
        "ntk_shortcuts.analysis.influence",
    ],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)
